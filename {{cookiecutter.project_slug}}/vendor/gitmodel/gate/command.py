"""`model gate --base REV`: is this change worse than what it started from? Exit status 0 no, 1 yes, 2 cannot judge."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gitmodel.base.outlet import one_line, words
from gitmodel.base.project import UserError, plain, say, some, tell_error
from gitmodel.base.writing import write_json, write_text
from gitmodel.gate.judge import REGRESSION
from gitmodel.gate.judgement import CANNOT_JUDGE, INCOMPARABLE, Judgement, as_json
from gitmodel.gate.report import in_short, markdown
from gitmodel.git import commits, library
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.git.snapshot import code_of, environment

JUDGE = "GITMODEL_JUDGE"  # the commit whose library judges, in a process that the library here has started
FEWEST_SEEDS = 2
SEEDS = Path("vendor/gitmodel/gate/seeds.py")  # in a library that trains with other seeds
JUDGES = Path("vendor/gitmodel/gate/compare.py")  # in a library that judges a bundle by what it predicts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model gate` takes."""
    parser.description = (
        f"{parser.description} Exit status: 0 it is not, or these rows cannot tell; 1 it is; 2 cannot judge."
    )
    parser.add_argument("--base", required=True, metavar="REV", help="a branch or commit, such as origin/main")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report for people here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report for machines here")
    parser.add_argument("--accept", default="", metavar="REASON", help="let it pass all the same; the reason is shown")
    parser.add_argument("--handover", type=Path, metavar="DIR", help="judge what another machine made and predicted")
    parser.add_argument("--head", metavar="REV", default="HEAD", help="with --handover: the commit that is judged")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="train both N times: does the sign hold?")
    parser.set_defaults(command=lambda args: command(args))


def command(args: argparse.Namespace) -> None:
    """Judge, write the reports, say the verdict, end with its exit status."""
    judgement = Judgement(accepted=words(args.accept))
    settle(judgement, lambda: judge_by_base(args, judgement))
    try:
        if args.report:
            write_text(args.report, markdown(judgement))
        if args.json:
            write_json(args.json, as_json(judgement))
    except OSError as error:
        where = error.filename2 or error.filename
        tell_error(f"the report cannot be written to {where}: {error.strerror}")
        sys.exit(2)
    status = judgement.exit_status
    if status == 2:
        tell_error(judgement.reason)
    else:
        say(*in_short(judgement).split("\n"))
    sys.exit(status)


def settle(judgement: Judgement, compare: Callable[[], None]) -> None:
    """Run a judgement; what prevents it becomes its verdict."""
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):  # many small products: more threads take longer, and their sums would vary
            compare()
    except Incomparable as error:
        judgement.verdict, judgement.reason = INCOMPARABLE, one_line(error)
    except Exception as error:
        judgement.verdict, judgement.reason = CANNOT_JUDGE, one_line(plain(error))


def judge_by_base(args: argparse.Namespace, judgement: Judgement) -> None:
    """Fill in the judgement, or let the library of the base do all of it and end with its exit status."""
    require_seeds(args)
    commit = commits.merge_base(args.base)
    judgement.base, judgement.head = commit, commits.git("rev-parse", "HEAD")
    if args.handover:
        judgement.head = commits.git("rev-parse", "--verify", f"{args.head}^{{commit}}")
        return judge_handover(commit, args.handover, judgement)
    if os.environ.get(JUDGE) != commit and other_judge(commit):
        with library_of(commit) as folder:
            if args.seeds and not (folder / SEEDS).exists():
                raise CannotJudge(f"the library of commit {commit[:9]}, which judges, knows no --seeds: leave it out")
            started = {**environment(folder), JUDGE: commit}
            words = [sys.executable, "-P", "-m", "gitmodel.cli", *sys.argv[1:]]
            sys.exit(subprocess.run(words, env=started).returncode)
    judge_here(commit, judgement)
    if args.seeds:
        train_again(commit, args.seeds, judgement)


def require_seeds(args: argparse.Namespace) -> None:
    """Raise CannotJudge where training with other seeds makes no sense."""
    if args.seeds and args.handover:
        raise CannotJudge("--seeds runs the code of the change, which --handover never does: leave one out")
    if args.seeds and args.seeds < FEWEST_SEEDS:
        raise CannotJudge(f"--seeds {args.seeds}: give {FEWEST_SEEDS} or more; five show what is clear")


def other_judge(commit: str) -> bool:
    """Tell whether the library or the metrics of the base are others than those here."""
    return bool(library.changed_since(commit)) or bool(commits.changed_files("src", since=commit))


@contextmanager
def library_of(commit: str) -> Iterator[Path]:
    """Give the code of a commit; Incomparable if its library cannot judge as this one does."""
    with code_of(commit) as folder:
        if not (folder / JUDGES).exists():
            raise Incomparable(
                f"the library of commit {commit[:9]}, which judges this change, is from before bundles were judged by"
                " what they predict: look at the change yourself, then accept it with a reason"
            )
        yield folder


def judge_here(commit: str, judgement: Judgement) -> None:
    """Judge the work tree."""
    from gitmodel.gate.compare import Change, against
    from gitmodel.gate.results import from_folder

    changed = commits.changed_files()
    if commit == judgement.head and not changed:
        raise CannotJudge("the base is this very commit, and nothing changed since: name what it is to be merged into")
    if changed:
        judgement.notes.append(f"not committed: {changed[0]}{f' and {len(changed) - 1} more' if changed[1:] else ''}")
    require_current()
    if edited := library.edited():
        judgement.notes.append(f"the library in {library.FOLDER} was edited: {library.shown(edited)}")
    judgement.notes += library_notes(commit, library.version())
    judgement.judge = judge_of(commit)
    against(commit, Change(from_folder(), Path()), judgement)


def train_again(commit: str, count: int, judgement: Judgement) -> None:
    """Say of each judged metric whether the sign of its loss holds over seeds; a note where that cannot be said."""
    from gitmodel.gate.results import from_commit, from_folder
    from gitmodel.gate.seeds import over_seeds
    from gitmodel.metrics.own import known

    base = from_commit(commit)
    if base is None:
        judgement.notes.append("not trained with other seeds: the base has no model")
        return
    try:
        judgement.seeds = over_seeds(
            base, from_folder(), commit, count, judgement.rules, known(base.schema, base.decision)
        )
    except UserError as error:
        judgement.notes.append(f"not trained with other seeds: {one_line(error)}")
        return
    if not judgement.seeds:
        judgement.notes.append("no prediction depends on the seed, of the base or of the change: training has no noise")


def judge_handover(commit: str, folder: Path, judgement: Judgement) -> None:
    """Judge what a change handed over and what its bundle predicted, both of which are data."""
    from gitmodel.gate.agreement import require_committed
    from gitmodel.gate.answers import read
    from gitmodel.gate.compare import Change, against
    from gitmodel.gate.results import from_handover

    change = Change(from_handover(folder / "evidence", judgement.head), folder / "evidence")
    judgement.notes += library_notes(commit, library.version_at(judgement.head), judgement.head)
    judgement.judge = judge_of(commit)
    against(commit, change, judgement, lambda *_: read(folder / "answers"))
    if judgement.verdict != REGRESSION or judgement.accepted:  # a worse model is called worse, whatever was committed
        require_committed(change.results, judgement.head)


def judge_of(commit: str) -> str:
    """Return what the report calls the judge: the version of the library, and the commit that it is of."""
    version = library.version_at(commit)
    return f"library {version} of commit {commit[:9]}" if version else ""


def require_current() -> None:
    """Raise CannotJudge if the results here are older than the table, the code or the parameters."""
    from gitmodel.verify.command import outdated

    for line in outdated():
        raise CannotJudge(line)


def library_notes(commit: str, now: str, head: str = "") -> list[str]:
    """Return what to say of the library if it is another one than in a commit: in `head`, or else in the work tree."""
    changed = library.changed_since(commit, head)
    if not changed:
        return []
    before, files = library.version_at(commit), some(len(changed), "file")
    whole = f" ({before} before, {now} now)" if before != now else ""
    return [f"this change replaces {files} of the library{whole}; that of the base judges"]
