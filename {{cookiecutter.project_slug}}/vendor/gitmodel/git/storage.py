"""Where the table is kept: in Git while it is small, under DVC when it is not or when there is a remote.

Labels and predictions of its rows, reports/predictions.csv, are kept where the table is.
"""

from pathlib import Path

from gitmodel.base.files import read_text
from gitmodel.base.pipeline_file import PIPELINE, is_cached, with_cache
from gitmodel.base.project import LOCK, PREDICTIONS, UserError, md5_of, say, warn
from gitmodel.base.writing import seen, together
from gitmodel.git.programs import call, dvc, git, in_repository, last_line

GIT_LIMIT_MB = 20  # a larger table makes every clone slow
IGNORED = Path(".gitignore")


def has_remote() -> bool:
    """Tell whether DVC has a remote to push to."""
    return bool(dvc("config", "core.remote").stdout.strip())


def fetch_table(table: Path) -> None:
    """Get the table from DVC's remote when this is a fresh clone."""
    pointer = Path(f"{table}.dvc")
    if table.exists():
        return
    if not pointer.exists():
        raise UserError(f"{table} is missing: restore it (`git restore {table}`), or run `model adopt` with another")
    say(f"Fetching {table} from DVC's remote")
    result = dvc("pull", str(pointer))
    if result.returncode:
        warn(f"{table} is not here ({last_line(result.stderr)}); run `dvc pull` once you have access to the remote")


def store_table(table: Path) -> None:
    """Put the table under DVC when there is a remote or it is too large for Git; predictions.csv follows it."""
    add_table(table)
    keep_predictions(table)


def add_table(table: Path) -> None:
    """Put the table under DVC when there is a remote or it is too large for Git."""
    pointer = Path(f"{table}.dvc")
    if not table.exists() or (not pointer.exists() and git("ls-files", str(table))):
        return
    remote = has_remote()
    if not pointer.exists() and (remote or table.stat().st_size > GIT_LIMIT_MB * 1_000_000):
        say(f"Putting {table} under DVC")
        _dvc("add", str(table))
        if not remote:
            warn(
                f"{table} is too large for Git and DVC has no remote, so nobody else can fetch it; "
                "add one with `dvc remote add --default storage ADDRESS`, then `dvc push`"
            )
    if remote and pointer.exists():
        push(pointer)


def push(pointer: Path) -> None:
    """Send the table to the remote; one that cannot be reached now is no reason to stop."""
    table = pointer.with_suffix("")
    say(f"Pushing {table} to DVC's remote")
    result = dvc("push", str(pointer))
    if result.returncode:
        reason = last_line(result.stderr)
        warn(f"{table} is not in the remote ({reason}); run `dvc push` once it can be reached")
    else:
        say(f"{table} is in DVC's remote")


def keep_predictions(table: Path) -> None:
    """Let DVC keep predictions.csv while it keeps the table, and Git while Git does; say so if that is new."""
    read = {path: seen(path) for path in (PIPELINE, IGNORED)}
    text = read_text(PIPELINE) if PIPELINE.exists() else ""
    if is_cached(text, PREDICTIONS) is None:
        return
    ignored = read_text(IGNORED) if IGNORED.exists() else ""
    cached = is_stored(table)
    wanted = {PIPELINE: with_cache(text, PREDICTIONS, cached), IGNORED: with_line(ignored, f"/{PREDICTIONS}", cached)}
    changed = wanted != {PIPELINE: text, IGNORED: ignored}
    with together(PIPELINE) as change:
        for path, content in wanted.items() if changed else ():
            change.write(path, content, read[path])
    if cached and in_repository():
        tracked = git("ls-files", str(PREDICTIONS))
        call("git", "rm", "--cached", "--quiet", "--force", "--ignore-unmatch", "--", str(PREDICTIONS))
        changed = changed or bool(tracked)
    if changed:
        then = ": run `dvc repro`, then commit" if LOCK.exists() else ""
        say(f"{'DVC' if cached else 'Git'} keeps {PREDICTIONS} from now on, as it keeps {table}{then}")


def with_line(text: str, line: str, there: bool) -> str:
    """Return .gitignore with or without a line; a new one stands with the other outputs of the pipeline."""
    lines = text.splitlines()
    if (line in lines) == there:
        return text
    if there:
        lines.insert(lines.index("/models/") + 1 if "/models/" in lines else len(lines), line)
    else:
        lines = [other for other in lines if other != line]
    return "".join(f"{other}\n" for other in lines)


def is_stored(path: Path) -> bool:
    """Tell whether a file is under DVC."""
    return path.with_name(f"{path.name}.dvc").exists()


def replaced(path: Path) -> None:
    """Let DVC hash a table anew that took the place of one that it keeps."""
    if is_stored(path):
        _dvc("add", str(path))


def settle(path: Path) -> None:
    """Let DVC hash a table anew if its pointer names another: a command was killed before it came to that."""
    pointer = Path(f"{path}.dvc")
    if is_stored(path) and md5_of(path) not in read_text(pointer):
        _dvc("add", str(path))


def forget(path: Path) -> None:
    """Let DVC no longer look for a table that is gone."""
    if is_stored(path):
        _dvc("remove", f"{path}.dvc")


def _dvc(*arguments: str) -> None:
    result = dvc(*arguments)
    if result.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {last_line(result.stderr)}; run it yourself")
