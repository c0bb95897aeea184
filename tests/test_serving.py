"""Clients that people have already speak to `model serve`; a fuzzer finds no answer that its description lacks."""

import csv
import io
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from conftest import BIN, BakedProject, plain_environment, run

pytestmark = pytest.mark.slow

MODEL = "income-model"
ROWS = 200
EXPECTED = """
import json, sys
import pandas as pd
from gitmodel.bundle.bundle import Bundle
from gitmodel.base.project import TEST
from gitmodel.contract.table import rows
bundle, frame = Bundle.load(), pd.read_parquet(TEST).head(int(sys.argv[1]))
typed = rows(frame[bundle.schema.features()])
kinds = {name: bundle.schema.columns[name].type for name in typed}
def cell(name, value):
    missing = value is None or value != value
    return None if missing else {"integer": int, "boolean": bool}.get(kinds[name], str)(value)
print(json.dumps({
    "columns": {name: [cell(name, value) for value in values] for name, values in typed.items()},
    "probabilities": bundle.predict(typed).astype(float).tolist(),
}))
"""
DTYPES = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}
# Of CSV and Triton's binary bodies no description can say which are good.
OTHERS = ("--exclude-path", "/predict", "--exclude-checks", "positive_data_acceptance")

Environment = dict[str, str]


@pytest.fixture(scope="module")
def address(project: BakedProject, environment: Environment) -> Iterator[str]:
    """Serve the bundle; return where."""
    python = Path(environment["VIRTUAL_ENV"], "bin", "python")
    process = subprocess.Popen(
        [str(python), "-m", "gitmodel.cli", "serve", "--port", "0", "--version", "v1.2.0"],
        cwd=project.path,
        env=plain_environment(**environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1].rstrip("/")
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def truth(project: BakedProject, environment: Environment) -> dict[str, Any]:
    """Return test rows by column, and what the bundle predicts for them."""
    found: dict[str, Any] = json.loads(project.run(["python", "-c", EXPECTED, str(ROWS)], **environment).stdout)
    return found


def post(address: str, body: bytes, kind: str) -> Any:
    """Return what `/invocations` answers."""
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.parametrize("binary", [True, False], ids=["binary tensors", "JSON tensors"])
def test_a_client_of_triton_gets_the_predictions(address: str, truth: dict[str, Any], binary: bool) -> None:
    """It finds the model, reads its inputs, and gets the probabilities digit by digit."""
    client = tritonclient.http.InferenceServerClient(address.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
    complete = [
        n for n in range(ROWS) if truth["columns"]["union_member"][n] is not None
    ]  # NaN is all that can be missing
    inputs = []
    for tensor in client.get_model_metadata(MODEL)["inputs"]:
        values = [truth["columns"][tensor["name"]][n] for n in complete]
        texts = ["" if value is None else str(value).lower() if value in (True, False) else value for value in values]
        datatype = tensor["datatype"]
        column = tritonclient.http.InferInput(tensor["name"], [len(complete), 1], datatype)
        found: Any = np.array(values if datatype == "BOOL" else texts, dtype=DTYPES[datatype])
        column.set_data_from_numpy(found[:, None], binary_data=binary)
        inputs.append(column)
    outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
    answer = client.infer(MODEL, inputs, outputs=outputs, request_id="42")
    expected = np.array(truth["probabilities"])[complete]
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, rtol=1e-6)
    labels = [label.decode() if binary else label for label in answer.as_numpy("label")]
    assert labels == [("no", "yes")[row.argmax()] for row in expected]
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("42", "v1.2.0")
    with pytest.raises(tritonclient.http.InferenceServerException, match=r"row 0: `education`: is missing"):
        client.infer(MODEL, inputs[:1])


def test_requests_of_mlflow_and_sagemaker_get_the_predictions(address: str, truth: dict[str, Any]) -> None:
    """As `mlflow models serve` takes them, and as SageMaker sends a file."""
    names, rows = list(truth["columns"]), list(zip(*truth["columns"].values(), strict=True))
    split = json.dumps({"dataframe_split": {"columns": names, "data": rows}}).encode()
    text = io.StringIO(newline="")
    csv.writer(text).writerows([names, *rows])
    expected = [("no", "yes")[int(np.argmax(row))] for row in truth["probabilities"]]
    for body, kind in ((split, "application/json"), (text.getvalue().encode(), "text/csv")):
        answer = post(address, body, kind)
        assert answer["predictions"] == expected
        found = [[row["no"], row["yes"]] for row in answer["probabilities"]]
        np.testing.assert_allclose(found, truth["probabilities"], rtol=1e-6)


def fuzz(source: str, address: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Send what a description allows, and what it does not; every answer is checked against the description."""
    command = [str(BIN / "schemathesis"), "run", source, "--url", address, "--phases", "examples,coverage,fuzzing"]
    return run([*command, "--seed", "1", "--no-color", *options], folder, check=False)


@pytest.mark.parametrize("options", [("--include-path", "/predict"), OTHERS], ids=["predict", "the others"])
def test_a_fuzzer_finds_no_answer_that_is_not_described(address: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    """No status 5xx, no body, type or status that is not described; bad data is refused, good data is not."""
    result = fuzz(f"{address}/openapi.json", address, tmp_path, "--max-time", "25", "--max-examples", "2000", *options)
    assert result.returncode == 0, result.stdout[-5_000:]
    (cases,) = re.findall(r"([\d,]+) generated", result.stdout)
    assert int(cases.replace(",", "")) >= 200  # thousands where the processor is idle


def test_the_fuzzer_finds_a_wrong_description(address: str, tmp_path: Path) -> None:
    """A type that the answers do not have is found, so the check above can fail."""
    with urllib.request.urlopen(f"{address}/openapi.json", timeout=30) as answer:
        described = json.load(answer)
    answered = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    answered["properties"]["version"] = {"type": "integer"}
    (tmp_path / "openapi.json").write_text(json.dumps(described), encoding="utf-8")
    options = ("--include-path", "/predict", "--max-examples", "5", "--max-failures", "1")
    result = fuzz(str(tmp_path / "openapi.json"), address, tmp_path, *options)
    assert result.returncode == 1 and "'v1.2.0' is not of type 'integer'" in result.stdout.replace('"', "'")
