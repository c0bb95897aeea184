"""What every stage and command needs: where files are, the parameters, messages and errors."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, NoReturn

import yaml

PARAMS = Path("params.yaml")
RULES = Path("rules.yaml")
PROSE = Path("card.md")
LOCK = Path("dvc.lock")
SCHEMA = Path("schema.yaml")
TRAIN = Path("data/train.parquet")
TEST = Path("data/test.parquet")
MODEL = Path("models/model.skops")
FEATURES = Path("models/features.json")
BASELINES = {"trivial": Path("models/trivial.skops"), "linear": Path("models/linear.skops")}
BUNDLE = Path("models/bundle")
METRICS = Path("reports/metrics.json")
PREDICTIONS = Path("reports/predictions.csv")
PLOTS = Path("reports/plots")
CARD = Path("reports/MODEL_CARD.md")
REQUIREMENTS = Path("requirements.txt")
CHUNK_BYTES = 1 << 20
MOST_ROWS, MOST_CELLS = 20_000, 1_000_000  # of predictions.csv, which Git keeps as long as it keeps the table


class UserError(Exception):
    """A mistake that the person can mend; its text names the cause and the remedy."""


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main` and end the process: status 0, or 1 with the text of a UserError on stderr."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def say(message: str) -> None:
    """Tell the person what happens, at once even when the output is piped; if nobody reads on, the work goes on."""
    try:
        print(message, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(message: str) -> None:
    """Tell the person on stderr what may be wrong."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def one_line(text: object) -> str:
    """Return any text as one line without control characters: what terminals and CI logs obey means nothing in it."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in str(text)).split())


def some(count: int, what: str, whats: str = "") -> str:
    """Return `1 day`, `2,000 days`; `whats` is the plural where an s at the end does not make it."""
    return f"{count:,} {what if count == 1 else whats or f'{what}s'}"


def some_rows(count: int) -> str:
    """Return `1 row`, `2,000 rows`."""
    return some(count, "row")


def most_predictions(classes: int) -> int:
    """Return how many rows predictions.csv holds at most, for a number of classes (0: a regression)."""
    return min(MOST_ROWS, MOST_CELLS // max(classes, 1))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; UserError if it is missing, broken or something else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the project's folder, or restore it with Git") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold `key: value` lines")
    return content


def md5_of(path: Path, seen: Callable[[int], object] = lambda size: None) -> str:
    """Return the MD5 of a file, by which DVC knows it; `seen` is told the bytes of each chunk that was read."""
    digest = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            seen(len(chunk))
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, which takes its place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`, which takes its place only if the block succeeds."""
    draft, former = (path.with_name(f".{path.name}.{suffix}") for suffix in ("draft", "former"))
    if former.exists() and not path.exists():  # a run was killed between the two renames below
        former.rename(path)
    for leftover in (draft, former):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if path.exists():
            path.rename(former)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: object) -> None:
    """Write JSON that people can read and Git can compare; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
