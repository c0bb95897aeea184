"""A bundle that predicts with its own code: that of the commit that made it, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.contents import Contents
from gitmodel.contract.features import DeriveError, Features
from gitmodel.contract.schema import Column
from gitmodel.git import own_code_process as process
from gitmodel.git.snapshot import environment

KINDS = {"M": pa.timestamp("us"), "O": pa.string()}  # of typed rows; the others are numbers


class OwnCodeFailed(UserError):
    """The code of a bundle's own commit cannot load it, or cannot predict with it."""


class OwnCode(Bundle):
    """A bundle whose predictions and derived columns come from the code in another folder.

    A context manager: the process ends with the block. Any thread may ask.
    """

    def __init__(self, folder: Path, directory: Path) -> None:
        """Start the process, which checks the bundle: `folder` is the project as its commit has it."""
        directory = directory.resolve()
        self.contents = contents = Contents.read(directory, verify=False)
        self.manifest = contents.manifest
        known = (self.manifest.get("features") or {}).get("derived") or {}
        derived = {name: Column(kind, nullable=True) for name, kind in known.items()}
        self.features = Features(contents.schema(), self._derive, derived)
        self.schema, self.classes = self.features.schema, self.features.schema.classes
        self._columns, self._lock = self.schema.features(), Lock()
        self.decision, self.interval = contents.decision(), contents.interval()
        self._open = ExitStack()
        self._exchange = Path(self._open.enter_context(TemporaryDirectory(prefix="model-own-code-")))
        errors = (self._exchange / "errors").open("w+", encoding="utf-8", errors="replace")
        self._errors = self._open.enter_context(errors)
        self._process = subprocess.Popen(
            [sys.executable, "-P", process.__file__, *modules(folder), str(directory)],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        """Wait until the bundle is loaded; OwnCodeFailed if it cannot be."""
        try:
            self._answer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process, and remove what was handed over."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()
        self._open.close()

    def predict(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what `Bundle.predict` returns."""
        if not len(rows[self._columns[0]]):
            return np.empty((0, len(self.classes)) if self.classes else 0)
        found: np.ndarray = self._ask("predict", rows, np.load)
        return found

    def trained(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what models/model.skops in the folder, from which the bundle was made, predicts."""
        found: np.ndarray = self._ask("trained", rows, np.load)
        return found

    def microseconds(self, rows: Mapping[str, np.ndarray], times: int) -> float:
        """Return the median time of so many predictions, as measured in the process itself."""
        return float(self._ask("measure", rows, times=times)["microseconds"])

    def _derive(self, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        frame = self._ask("derive", rows, pd.read_parquet)
        return {str(name): column.to_numpy() for name, column in frame.items()}

    def _ask(
        self, what: str, rows: Mapping[str, np.ndarray], read: Callable[[Path], Any] | None = None, times: int = 1
    ) -> Any:
        """Return what is said about typed rows, or what `read` makes of the file that is written."""
        source, target = (self._exchange / name for name in ("question", "answer"))
        with self._lock:
            write_rows({name: rows[name] for name in self._columns}, source)
            with suppress(OSError):  # it ended: the answer says why
                print(json.dumps([what, str(source), str(target), times]), file=self._process.stdin, flush=True)
            said = self._answer()
            return read(target) if read else said

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._errors.seek(0)
            told = [one_line(text) for text in self._errors if text.strip()]
            raise OwnCodeFailed(f"its own code ended: {told[-1] if told else 'no reason given'}")
        said: dict[str, Any] = parse_json(line)
        if said.get("rule"):
            raise DeriveError(one_line(said["error"]), one_line(said["rule"]))
        if said.get("error"):
            raise OwnCodeFailed(one_line(said["error"]))
        return said


def write_rows(rows: Mapping[str, np.ndarray], path: Path) -> None:
    """Write typed rows, each column with its type even where nothing is known."""
    arrays = {name: pa.array(values, KINDS.get(values.dtype.kind, pa.float64())) for name, values in rows.items()}
    pq.write_table(pa.table(arrays), path)


def modules(folder: Path) -> tuple[str, str]:
    """Return the modules that load a bundle and type rows; before the library they were the project's."""
    if (folder / "vendor/gitmodel").exists():
        return "gitmodel.bundle.bundle", "gitmodel.contract.table"
    try:
        package = next(path.parent.parent.name for path in folder.glob("src/*/ops/bundle.py"))
    except StopIteration:
        raise OwnCodeFailed("its commit has no code that loads a bundle") from None
    return f"{package}.ops.bundle", f"{package}.ops.table"
