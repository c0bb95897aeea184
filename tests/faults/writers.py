"""Commands that write, at once and killed: no row is lost, no draft stays where Git sees it, all is done or nothing."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from lab import Lab, Project, Result, spare_rows

# Ends the process at the n-th of the calls that change something, and leaves the processes that it starts alone.
DEADLY = """
import atexit, itertools, os, pathlib, signal, subprocess
die_at, told, calls = int(os.environ.pop("DIE_AT")), os.environ.pop("CALLS"), itertools.count(1)
atexit.register(lambda: pathlib.Path(told).write_text(str(next(calls) - 1)))
def deadly(call):
    def wrapped(*words, **options):
        if next(calls) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*words, **options)
    return wrapped
for name in ("replace", "rename", "link", "fsync"):
    setattr(os, name, deadly(getattr(os, name)))
class Deadly(subprocess.Popen):
    __init__ = deadly(subprocess.Popen.__init__)
subprocess.Popen = Deadly
"""
NEVER = 10**9
MOST_KILLS = 4  # of each command
TABLE = ("adopt", "other.csv", "--target", "income_over_50k")
ADDRESS = ("adopt", "file://other.csv", "--target", "income_over_50k")
# What is killed, and what stands before it.
WRITERS: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    (("ingest", "one.csv"), ()),
    (TABLE, ()),
    (ADDRESS, ()),
    (("fetch",), (ADDRESS, ("!sed", "-i", "s|//other|//o*|", "schema.yaml"))),  # the rows of one.csv come, too
    (("margins",), ()),
    (("tune", "--trials", "2", "--model", "linear"), ()),
    (("explain", "one.csv", "data/scored.csv"), ()),
    (("init",), ()),
    (("register", "v1.0.0"), ()),
    (("promote", "v1.0.0", "staging"), (("register", "v1.0.0"),)),
    (("retire", "v1.0.0"), (("register", "v1.0.0"),)),
    (("changelog", "--output", "data/CHANGES.md"), (("register", "v1.0.0"),)),
    (("site", "site"), (("register", "v1.0.0"),)),
    (("score", "one.csv", "data/scored.csv"), ()),
    (("!python", "-m", "gitmodel.pipeline.prepare"), ()),
    (("!python", "-m", "gitmodel.pipeline.package"), ()),
)
ALLOWED = {
    "reports/trials.csv",
    "one.csv",
    "two.csv",
    "other.csv",
    "die",
    "data/CHANGES.md",
    "data/scored.csv",
    "data/fetched.json",
    "schema.yaml.bak",
}


def _fresh(project: Project) -> tuple[set[str], set[str]]:
    """Write one.csv and two.csv, of rows that the table has not, and return their lines."""
    head, *rows = project.lines()
    new = spare_rows(400)
    halves = new[::2], new[1::2]
    for name, half in zip(("one.csv", "two.csv"), halves, strict=True):
        (project.path / name).write_text("\n".join([head, *half]) + "\n")
    (project.path / "other.csv").write_text("\n".join([head, *rows[:900]]) + "\n")
    with (project.path / ".git/info/exclude").open("a") as file:
        file.write("/*.csv\n")
    return set(halves[0]), set(halves[1])


def at_once(lab: Lab) -> Iterator[str]:
    """Start two writers at once: whoever exits 0 has done its work, and the other says why it has not."""
    pairs = (
        (("ingest", "one.csv"), ("ingest", "two.csv")),
        (("ingest", "one.csv"), TABLE),
        (("ingest", "one.csv"), ("ingest", "one.csv")),
        (("register", "v1.0.0"), ("register", "v1.0.0")),
        (("margins",), TABLE),
    )
    for first, second in lab.some([pair for pair in pairs for _ in range(3)], 3):
        with lab.copy() as project:
            ones, twos = _fresh(project)
            started = [_start(project, words) for words in (first, second)]
            found = [_end(process, words) for process, words in zip(started, (first, second), strict=True)]
            wrong = next(filter(None, (result.unclean() for result in found)), "")
            lines = set(project.lines())
            for words, result, rows in zip((first, second), found, (ones, twos), strict=True):
                done = result.code == 0 and words[0] == "ingest" and TABLE not in (first, second)
                wanted = ones if words == ("ingest", "one.csv") else rows
                if done and not wanted <= lines and not wrong:
                    wrong = f"{words} exits 0, and {len(wanted - lines)} of {len(wanted)} rows are lost"
            if all(result.code for result in found):
                wrong = wrong or f"both are refused: {found[0].err.strip()[:100]}"
            yield wrong and f"{first} and {second}: {wrong}"


def _start(project: Project, words: tuple[str, ...]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        project.command(*words),
        cwd=project.path,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: "subprocess.Popen[str]", words: tuple[str, ...]) -> Result:
    out, err = process.communicate(timeout=120)
    return Result(words, process.returncode, out, err)


def killed(lab: Lab) -> Iterator[str]:
    """Kill a command at its first, second, ... change; what was kept stays, and the next run ends what was begun."""
    for words, before in lab.some(WRITERS, 3):
        with lab.copy() as project:
            _prepare(project, before)
            changes = range(1, 1 + _die(project, words, NEVER)[1])
        for number in lab.sample(changes, 2 if lab.short else MOST_KILLS):
            with lab.copy() as project:
                _prepare(project, before)
                rows = set(project.lines())
                found, _ = _die(project, words, number)
                if found.code == -signal.SIGKILL:
                    yield _after(project, words, number, rows)


def _prepare(project: Project, before: tuple[tuple[str, ...], ...]) -> None:
    _fresh(project)
    for earlier in before:
        project.run(*earlier)


def _die(project: Project, words: tuple[str, ...], number: int) -> tuple[Result, int]:
    """Kill a command at a change; return how it ended, and how many changes it made if it was left alone."""
    folder = project.path.parent / f"{project.path.name}.die"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(DEADLY)
    calls = folder / "calls"
    calls.write_text("0")
    paths = f"{folder}:{project.environment()['PYTHONPATH']}"
    found = project.run(*words, changes={"PYTHONPATH": paths, "DIE_AT": str(number), "CALLS": str(calls)})
    made = int(calls.read_text())
    shutil.rmtree(folder)
    return found, made


def _after(project: Project, words: tuple[str, ...], number: int, rows: set[str]) -> str:
    """Return what a kill cost, or nothing: drafts that Git sees, half of a change, a next run that fails."""
    what = f"{' '.join(words)}, killed at change {number}"
    if drafts := _drafts(project):
        return f"{what}: Git sees {drafts[0]}"
    if words == TABLE and (half := _half(project)):
        return f"{what}: {half}"
    if words[0] != "adopt" and not rows <= set(project.lines()):
        return f"{what}: rows are lost"
    again = project.run(*words)
    done = words[0] in ("register", "promote", "retire") and "already" in again.said()
    wrong = again.unclean() or (again.code and not done and f"then it ends with {again.err.strip()[:100]}") or ""
    return wrong and f"{what}: {wrong}"


def _drafts(project: Project) -> list[str]:
    status = project.git("status", "--porcelain", "--untracked-files=all").splitlines()
    untracked = {line[3:].strip('"') for line in status if line.startswith("??")}
    return sorted(untracked - ALLOWED)


def _half(project: Project) -> str:
    """Return what is half done of an adoption after another command has run, or nothing."""
    project.run("margins", "--missing")
    rows, salt = len(project.lines()) - 1, (project.path / "schema.yaml").read_bytes()
    changed = {"table": rows == 900, "schema": salt != project.git("show", "HEAD:schema.yaml").encode()}
    if project.lines()[0] and len(set(changed.values())) == 1:
        return ""
    return f"changed: {', '.join(name for name, is_so in changed.items() if is_so)}; not changed: the other"


def killed_at_random(lab: Lab) -> Iterator[str]:
    """Kill commands at random times: `git add --all` then commits no draft, and the next run works."""
    for words in lab.some([words for words in (("ingest", "one.csv"), TABLE, ("margins",)) for _ in range(4)], 2):
        with lab.copy() as project:
            _fresh(project)
            rows, process = set(project.lines()), _start(project, words)
            time.sleep(lab.random.uniform(0.3, 3))
            process.kill()
            process.communicate()
            yield _after(project, words, 0, rows)


FAMILIES = {
    "two commands that write, at once": at_once,
    "kill -9 between any two writes": killed,
    "kill -9 at random times": killed_at_random,
}
