"""What a change's bundle is asked: the base's test rows, without labels, and the base's own bundle to time it by.

Run as `python -m gitmodel.gate.questions FOLDER` where the base is checked out. FOLDER/questions goes to where the
bundle predicts; this library is in it, which starts that. FOLDER/base holds the base's rows, bundle and predictions for
the judge, as objects of DVC's cache.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from gitmodel.base.project import BUNDLE, PREDICTIONS, SCHEMA, TEST, TRAIN, UserError, run, say, some_rows
from gitmodel.base.writing import replacing_folder
from gitmodel.gate.accepted import accepted, states
from gitmodel.gate.answers import CODE, ROWS, copy
from gitmodel.gate.must_pass import joined, of_base, of_commit
from gitmodel.gate.results import Results, from_commit, output
from gitmodel.gate.serving import serving
from gitmodel.gate.test_rows import base_rows, table_of
from gitmodel.git import commits
from gitmodel.git.cache import OBJECTS, copy_folder, object_path, objects, stored
from gitmodel.git.snapshot import code_of


def main(folder: str) -> None:
    """Write the questions of the commit that is checked out."""
    commit = commits.git("rev-parse", "HEAD")
    base = from_commit(commit)
    with replacing_folder(Path(folder)) as whole:
        (whole / "base").mkdir()
        place = whole / "questions"
        copy(Path("vendor"), place / "vendor")
        copy(SCHEMA, place / SCHEMA)
        rows = questions(base, commit)
        rows.to_parquet(place / ROWS)
        if base:
            keep(base, commit, whole / "base")
            with former(base, commit) as found:
                if found:
                    shutil.copytree(found, place / "former")
    say(f"{folder} holds the questions of commit {commit[:9]}: {some_rows(len(rows))}")


def questions(base: Results | None, commit: str) -> pd.DataFrame:
    """Return the rows to be asked, without labels: the test rows, and among them those that must pass."""
    if base is None:
        return joined(None, of_commit(commit))
    return joined(unlabelled(base_rows(base, commit), base), of_base(base))


def keep(base: Results, commit: str, folder: Path) -> None:
    """Put the base's rows, bundle and predictions into a folder as DVC's cache would keep them, if they can be had.

    The predictions of the version that serves and of accepted states, which are compared too, go there as well.
    """
    for path in (TEST, TRAIN):
        table_of(base, commit, path)  # which brings it into the cache
    wanted = [output(base.lock, path).get("md5", "") for path in (TEST, TRAIN, BUNDLE, PREDICTIONS)]
    with suppress(UserError):  # the judge says that it cannot be had
        if (served := serving(base)) and (version := from_commit(served)):  # which brings them into the cache
            wanted.append(output(version.lock, PREDICTIONS).get("md5", ""))
    with suppress(UserError):
        states(base, commit, [])  # which brings theirs into the cache, too
        wanted += [state.digest for state in accepted(base, commit)]
    kept = stored()
    for digest in wanted:
        for name in objects(digest, kept):
            if name and object_path(kept, name).exists():
                copy(object_path(kept, name), object_path(folder / OBJECTS, name))


def unlabelled(rows: pd.DataFrame, base: Results) -> pd.DataFrame:
    """Return typed rows without their label."""
    return rows.drop(columns=[base.schema.target], errors="ignore")


@contextmanager
def former(base: Results, commit: str) -> Iterator[Path | None]:
    """Give a folder with the base's code and bundle; None where DVC's cache does not have the bundle."""
    with code_of(commit) as folder:
        for path in folder.iterdir():
            if path.name not in CODE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        try:
            copy_folder(output(base.lock, BUNDLE).get("md5", ""), folder / BUNDLE)
        except (OSError, UserError):
            yield None
            return
        yield folder


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
