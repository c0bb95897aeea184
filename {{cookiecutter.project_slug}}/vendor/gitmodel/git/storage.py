"""Where the table is kept: in Git while it is small, under DVC when it is not or when there is a remote."""

from pathlib import Path

from gitmodel.base.project import UserError, say, warn
from gitmodel.git.programs import dvc, git, last_line

GIT_LIMIT_MB = 20  # a larger table makes every clone slow


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


def is_stored(path: Path) -> bool:
    """Tell whether a file is under DVC."""
    return path.with_name(f"{path.name}.dvc").exists()


def replaced(path: Path) -> None:
    """Let DVC hash a table anew that took the place of one that it keeps."""
    if is_stored(path):
        _dvc("add", str(path))


def forget(path: Path) -> None:
    """Let DVC no longer look for a table that is gone."""
    if is_stored(path):
        _dvc("remove", f"{path}.dvc")


def _dvc(*arguments: str) -> None:
    result = dvc(*arguments)
    if result.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {last_line(result.stderr)}; run it yourself")
