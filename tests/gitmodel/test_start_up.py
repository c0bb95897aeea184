"""Each command imports what it needs, and nothing else that takes long: half of a short command is its start."""

import os
import subprocess
import sys

import pytest
from gitmodel.cli import COMMANDS

TABLES = {"numpy", "pandas", "pyarrow"}
RUNS = {"numpy", "onnxruntime"}
# What a command imports before it does anything, of the packages that take long; those that are not here, none.
NEEDS = {
    **dict.fromkeys(("init", "adopt", "margins"), TABLES | {"scipy"}),
    **dict.fromkeys(("ingest", "fetch", "verify", "register"), TABLES),
    "gate": TABLES | RUNS | {"scipy"},
    **dict.fromkeys(("score", "explain"), TABLES | RUNS | {"onnx"}),
    **dict.fromkeys(("monitor", "canary"), TABLES | RUNS | {"onnx", "scipy"}),
    **dict.fromkeys(("tune", "columns"), TABLES | {"scipy", "sklearn", "skops"}),
    "backtest": TABLES | {"scipy", "sklearn", "skops", "matplotlib"},
    "serve": RUNS | {"fastapi"},
    **dict.fromkeys(("checkout", "release"), RUNS),
    "log": {"numpy"},
    "site": {"numpy"},
}
HEAVY = sorted(
    {"dvc", "gto", "skl2onnx", "sklearn.gaussian_process"}.union(*NEEDS.values())
)  # skops would have that imported
SCRIPT = """
import os, sys
from importlib import import_module
from gitmodel.cli import COMMANDS
heavy = sys.argv[1:]
for name, module in {"": "gitmodel.cli", **{name: known.module for name, known in COMMANDS.items()}}.items():
    if not os.fork():
        import_module(module)
        os.write(1, (" ".join([name + ":", *(one for one in heavy if one in sys.modules)]) + "\\n").encode())
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_command_imports_no_more_than_it_needs():
    """The table above is what a process of its own imports for each command; `model --help` needs none of it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *HEAVY], capture_output=True, text=True, check=True)
    found = {name: {*rest.split()} for name, _, rest in (line.partition(":") for line in done.stdout.splitlines())}
    assert {"", *COMMANDS} == found.keys()
    assert {name: NEEDS.get(name, set()) for name in found} == found
