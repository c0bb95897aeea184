"""What every stage and command needs: where files are, the parameters, messages and errors."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import md5
from pathlib import Path
from typing import Any, NoReturn

from gitmodel.base.files import parse_yaml, read_bytes
from gitmodel.base.machine import lack, told
from gitmodel.base.outlet import install, json_text, line

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
VALIDATION = Path("models/validation.parquet")
MEMBER = "of."  # in it, before the name of a model that is one of several
METRICS = Path("reports/metrics.json")
PREDICTIONS = Path("reports/predictions.csv")
PLOTS = Path("reports/plots")
CARD = Path("reports/MODEL_CARD.md")
REQUIREMENTS = Path("requirements.txt")
CHUNK_BYTES = 1 << 20
INSTALL = "uv pip install --constraint requirements.txt --no-build-isolation --editable '.[{}]'"  # an extra
MOST_TEST_ROWS = 1_000_000  # unless `prepare.max_test_rows` says another number
MOST_ROWS, MOST_CELLS = 20_000, 1_000_000  # of predictions.csv, which Git keeps as long as it keeps the table


class UserError(Exception):
    """A mistake that the person can mend: its text names the cause and the remedy, further lines may follow."""

    def __str__(self) -> str:
        """Return all of it."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The lines that are meant: a line end within one is of the data."""
        return [str(line) for line in self.args]


def run(main: Callable[[], object], failed: int = 1) -> NoReturn:
    """Call `main` and end the process: status 0, or `failed` with the error on stderr.

    That is the text of a UserError, or in one line what the machine lacks or what is wrong with a path.
    """
    install()
    try:
        main()
    except KeyboardInterrupt:
        end(UserError("interrupted: what was not finished did not happen"), 128 + signal.SIGINT)
    except Exception as error:
        end(plain(error), failed)
    sys.exit(0)


def plain(error: Exception) -> UserError:
    """Return an error as a person is told it; one of the library itself is raised again."""
    if missing := lack(error):
        return UserError(missing)
    if isinstance(error, UserError):
        return error
    if found := told(error):
        return UserError(found)
    raise error


def end(error: UserError, status: int) -> NoReturn:
    """End the process with an error on stderr; an output that cannot be written does not matter any more."""
    with suppress(OSError):
        tell_error(*error.lines)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def say(*lines: object) -> None:
    """Tell the person what happens, at once even when the output is piped; if nobody reads on, the work goes on."""
    _print("\n".join(map(line, lines)))


def say_json(content: object) -> None:
    """Tell a program, or a person who reads JSON."""
    _print(json_text(content, indent=2))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(message: object) -> None:
    """Tell the person on stderr what may be wrong."""
    tell(f"warning: {message}")


def tell_error(message: object, *more: object) -> None:
    """Tell the person on stderr what is wrong."""
    tell(f"error: {message}", *more)


def tell(*lines: object) -> None:
    """Tell the person something on stderr, next to an output for programs."""
    print("\n".join(map(line, lines)), file=sys.stderr, flush=True)


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
        return mapping_of(read_bytes(path), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the project's folder, or restore it with Git") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def mapping_of(content: bytes, path: Path) -> dict[str, Any]:
    """Return the mapping in the bytes of a YAML file, called `path` in messages; UserError as `read_yaml` has it."""
    try:
        found = parse_yaml(content)
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} must hold `key: value` lines")
    return found


def md5_of(path: Path, seen: Callable[[int], object] = lambda size: None) -> str:
    """Return the MD5 of a file, by which DVC knows it; `seen` is told the bytes of each chunk that was read."""
    digest = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            seen(len(chunk))
    return digest.hexdigest()
