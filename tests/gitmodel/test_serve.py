"""The service answers what the model predicts, in every protocol, and says of each bad row what is wrong with it."""

import asyncio
import contextlib
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator, skops_file
from gitmodel.base.project import BUNDLE, MODEL, UserError
from gitmodel.bundle import bundle as files
from gitmodel.contract.schema import MISSING
from gitmodel.contract.table import rows as typed_rows
from gitmodel.serve import checks, server
from gitmodel.serve import command as serve
from gitmodel.serve.app import Settings, build
from gitmodel.serve.checks import Refused, RowChecker
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.rows import example, moment
from gitmodel.serve.service import Call, ServedModel, Service

JSON = {"content-type": "application/json"}
HEAVY = {"pandas", "sklearn", "dvc", "skops", "onnx", "pyarrow", "scipy", "matplotlib"}
WRONG = {
    "number": ["3", True, [], {}, 1e999],
    "integer": ["3", True, 2.5, 1e999],
    "boolean": [1, "true", 0.0],
    "category": [1, True, ["a"], "\ud800"],
    "text": [1, False, {}],
    "datetime": [20240101, "yesterday", "2024-13-01", ""],
}
BROKEN = {
    "empty": b"",
    "cut off": b'{"rows": [',
    "not UTF-8": b'{"rows": "\xff"}',
    "NaN": b'{"rows": [{"a": NaN}]}',
    "infinity": b'{"rows": [{"a": -Infinity}]}',
    "too many digits": b'{"rows": [' + b"9" * 5_000 + b"]}",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "a key twice": b'{"rows": [], "rows": []}',
    "a key twice, further in": b'{"rows": [{"a": 1, "a": 2}]}',
    "a list": b"[]",
    "no rows": b'{"rows": []}',
    "rows that are none": b'{"rows": [1, null, []]}',
    "no list of rows": b'{"rows": {"a": 1}}',
    "another key": b'{"rows": [], "more": 1}',
    "no key": b"{}",
}


def ask(app, method, path, body=b"", headers=None):
    """Send one request to the application; return status, headers and what the body holds."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = [(name.encode(), value.encode()) for name, value in (headers or JSON).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": sent, "root_path": ""}
    answers = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        answers.append(message)

    asyncio.run(app(scope, receive, send))
    content = b"".join(answer.get("body", b"") for answer in answers)
    found = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
    is_json = found.get("content-type") == "application/json"
    return answers[0]["status"], found, json.loads(content) if is_json else content


def cell(value, kind):
    """Return a typed value as JSON has it."""
    if value is None or value != value:
        return None
    if kind == "datetime":
        return str(np.datetime_as_string(value, timezone="UTC"))
    return {"integer": int, "boolean": bool, "number": float}.get(kind, str)(value)


def plain(frame, schema):
    """Return typed rows as the objects of a request."""
    columns = {name: values for name, values in typed_rows(frame).items() if name in schema.features()}
    return [
        {name: cell(values[row], schema.columns[name].type) for name, values in columns.items()}
        for row in range(len(frame))
    ]


def values(predictions, classes):
    """Return the predictions of an answer as `Bundle.predict` has them."""
    if not classes:
        return np.array([said["prediction"] for said in predictions])
    return np.array([[said["probabilities"][name] for name in classes] for said in predictions])


@pytest.fixture(scope="module")
def model(workspace):
    """Return the bundle that the present code makes, ready to serve."""
    return ServedModel.load(workspace / BUNDLE)


@pytest.fixture(scope="module")
def good(model):
    """Return a row that keeps the contract."""
    return example(model.bundle.schema, model.profile)


@pytest.fixture
def service(model, tmp_path):
    """Return a service that logs."""
    service = Service(model, log=PredictionLog(tmp_path / "log"), most_rows=1_000)
    yield service
    service.close()


@pytest.fixture
def app(service):
    """Return its application."""
    return build(service, Settings(max_bytes=2_000_000))


def test_answers_are_those_of_the_trained_model(workspace, frame, model, app):
    """Over HTTP come the predictions of the bundle, digit by digit, and so those of the trained model."""
    schema = model.bundle.schema
    status, _, told = ask(app, "POST", "/predict", {"rows": plain(frame, schema)})
    assert (200, model.name, model.version) == (status, told["model"], told["version"])
    found = values(told["predictions"], schema.classes)
    np.testing.assert_array_equal(model.bundle.predict(typed_rows(frame)).astype(float), found)
    with contextlib.chdir(workspace):
        trained = skops_file.load(MODEL)
    expected = estimator.predict(trained, estimator.inputs(frame, model.bundle.features))
    scale = 1 if schema.classes else float(np.std(expected)) or 1.0
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)
    if schema.classes:
        assert model.bundle.labels(found).tolist() == [said["label"] for said in told["predictions"]]


def test_one_row_is_one_of_many(frame, model, app):
    """A row alone gets the answer that it gets among others."""
    rows = plain(frame.head(5), model.bundle.schema)
    together = ask(app, "POST", "/predict", {"rows": rows})[2]["predictions"]
    alone = [ask(app, "POST", "/predict", {"rows": [row]})[2]["predictions"][0] for row in rows]
    classes = model.bundle.classes
    np.testing.assert_allclose(values(together, classes), values(alone, classes), rtol=1e-4)


def test_every_protocol_gives_the_same_answer(frame, model, app):
    """MLflow's forms, CSV and tensors are other spellings of the same rows."""
    schema = model.bundle.schema
    rows = plain(frame.head(7), schema)
    names = list(rows[0])
    columns = {name: [row[name] for row in rows] for name in names}
    said = ask(app, "POST", "/predict", {"rows": rows})[2]["predictions"]
    expected = [row["label" if schema.classes else "prediction"] for row in said]
    forms = {
        "instances": rows,
        "dataframe_records": rows,
        "inputs": columns,
        "dataframe_split": {"columns": names, "data": [list(row.values()) for row in rows]},
    }
    for form, content in forms.items():
        assert expected == ask(app, "POST", "/invocations", {form: content})[2]["predictions"], form
    tensors = [
        {"name": name, "shape": [7, 1], "datatype": "BYTES", "data": [[value] for value in column]}
        for name, column in columns.items()
    ]
    status, _, told = ask(app, "POST", f"/v2/models/{model.name}/infer", {"id": "7", "inputs": tensors})
    assert (status, told["id"]) == (200, "7")
    for wrong in (7, None, "x" * 200, "\ud800"):
        assert ask(app, "POST", f"/v2/models/{model.name}/infer", {"id": wrong, "inputs": tensors})[0] == 422
    assert expected == told["outputs"][0]["data"]


def test_a_csv_body_is_read_as_the_table_is(frame, model, app):
    """Quotes, line breaks in cells and missing values mean what they mean in a file."""
    schema = model.bundle.schema
    names, missing = schema.features("category", "text"), {*MISSING, *schema.reading.missing}
    rows = [
        row
        for row in plain(frame.head(20), schema)
        if all(row[name] is None or row[name] == row[name].strip() not in missing for name in names)
    ]
    said = ask(app, "POST", "/predict", {"rows": rows})[2]["predictions"]
    text = pd.DataFrame(rows, dtype=object).to_csv(index=False).encode()
    status, _, told = ask(app, "POST", "/invocations", text, {"content-type": "text/csv; charset=utf-8"})
    assert status == 200, told
    assert [row["label" if schema.classes else "prediction"] for row in said] == told["predictions"]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ('"', '"', "line 2, column 1: a quote opens a cell that runs on to line 4"),
        ('"', "", "line 2, column 1: a quote opens a cell and never closes"),
        ("\0", "", "a NUL"),
    ],
)
def test_a_csv_body_loses_no_row(model, app, first, last, said):
    """A quote that swallows rows is named, as in a file."""
    names = model.bundle.schema.features()
    rows = [",".join(["1"] * len(names))] * 5
    rows[0], rows[2] = first + rows[0], rows[2] + last
    text = "\n".join([",".join(f'"{name}"' for name in names), *rows, ""])
    status, _, told = ask(app, "POST", "/invocations", text.encode(), {"content-type": "text/csv"})
    assert (status, said in str(told["detail"])) == (422, True), told


def test_bad_types_are_named_by_row_and_column(model, app, good):
    """A string is no number, nor is true; the answer names row, column, rule and JSON type, and never the value."""
    schema = model.bundle.schema
    for name in schema.features():
        for value in WRONG[schema.columns[name].type]:
            body = json.dumps({"rows": [good, {**good, name: value}]}).replace("Infinity", "1e999").encode()
            status, _, told = ask(app, "POST", "/predict", body)
            assert status == 422, (name, value)
            (problem,) = told["detail"]
            assert (1, checks.type_name(value)) == (problem["row"], problem["type"])
            assert problem["column"] == name or name[:77] in problem["column"]


def test_a_whole_number_may_be_written_as_a_float(model, app, good):
    """3.0 is an integer in JSON, and the same row."""
    floats = {name: float(value) if type(value) is int else value for name, value in good.items()}
    (first, second) = (ask(app, "POST", "/predict", {"rows": [row]})[2]["predictions"] for row in (good, floats))
    assert first == second


def test_missing_and_unknown_columns_are_named(model, app, good):
    """What may be missing may be left out; anything that is no column is refused, the target too."""
    schema = model.bundle.schema
    for name in schema.features():
        rest = {key: value for key, value in good.items() if key != name}
        for row, kind in ((rest, "absent"), ({**rest, name: None}, "null")):
            status, _, told = ask(app, "POST", "/predict", {"rows": [row]})
            if schema.columns[name].nullable:
                assert status == 200
            else:
                assert (422, "is missing (nullable: false)", kind) == (
                    status,
                    told["detail"][0]["rule"],
                    told["detail"][0]["type"],
                )
    for name in (schema.target, "no such column", "\ud800", ""):
        status, _, told = ask(app, "POST", "/predict", {"rows": [{**good, name: 1}]})
        assert (status, told["detail"][-1]["rule"]) == (422, checks.UNKNOWN), name


def outside(column):
    """Return a value outside the contract, and the rule that it breaks; None if every value is inside."""
    if column.values is not None and column.type in ("category", "text"):
        return "no such value \N{SNOWMAN}", "is not one of values"
    if column.type in ("number", "integer") and column.max is not None and math.isfinite(column.max):
        return math.floor(column.max) + 1, f"is above max {column.max:g}"
    if column.type in ("number", "integer") and column.min is not None and math.isfinite(column.min):
        return math.ceil(column.min) - 1, f"is below min {column.min:g}"
    return None


def test_values_outside_the_contract_are_refused_or_flagged(model, good):
    """`violations: reject` refuses the request; `flag` answers it and says in which rows what is broken."""
    schema = model.bundle.schema
    found = {name: outside(schema.columns[name]) for name in schema.features()}
    found = {name: broken for name, broken in found.items() if broken}
    bad = {**good, **{name: value for name, (value, _) in found.items()}}
    rules = {f"`{name}`: {rule}" for name, (_, rule) in found.items()}
    for policy in ("reject", "flag"):
        checker = RowChecker(replace(schema, violations=policy), 10)
        if not rules:
            assert checker.read([good, bad]).flags == {}
        elif policy == "flag":
            assert rules == set(checker.read([good, bad, good]).flags.pop(1))
        else:
            with pytest.raises(Refused) as refused:
                checker.read([good, bad, good])
            assert rules == {f"`{problem['column']}`: {problem['rule']}" for problem in refused.value.problems}
            assert {1} == {problem["row"] for problem in refused.value.problems}


def test_the_quick_judgement_is_the_thorough_one(model, frame, good, monkeypatch):
    """What passes at once breaks no rule when it is judged cell by cell, and gives the same columns."""
    schema = model.bundle.schema
    edges = [
        {**good, name: edge}
        for name in schema.features("number", "integer")
        for edge in (schema.columns[name].min, schema.columns[name].max)
        if edge is not None and math.isfinite(edge) and (schema.columns[name].type == "number" or edge % 1 == 0)
    ]
    rows = [*plain(frame, schema), *edges]
    checker = RowChecker(schema, 10_000)
    monkeypatch.setattr(RowChecker, "_slowly", lambda *_: pytest.fail("sound rows took the slow way"))
    quick = checker.read(rows)
    monkeypatch.undo()
    thorough = checker._slowly(rows)
    assert thorough.flags == {}
    for name, expected in quick.columns.items():
        np.testing.assert_array_equal(expected, thorough.columns[name])


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/{name}/infer"])
def test_broken_bodies_are_refused(app, model, path, body):
    """Whatever the body is, the answer is 422 and JSON."""
    status, _, told = ask(app, "POST", path.format(name=model.name), body)
    assert status == 422
    assert told["detail"] and ("error" in told) == path.startswith("/v2")


ANYTHING = (None, True, 0, -1, 1.5, "text", "", [], [0], [[1]], {}, {"a": 1}, 10**30)


@pytest.mark.parametrize("key", ["name", "shape", "datatype", "data", "parameters", "binary_data_size"])
def test_tensors_may_be_anything(app, model, key):
    """Whatever stands in place of a part of a tensor is refused, if it is not that part."""
    for value in ANYTHING:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0], key: value}
        if key == "binary_data_size":
            tensor["parameters"] = {key: value}
        for content in ({"inputs": [tensor]}, {"inputs": [tensor], "outputs": [{key: value}]}, {"inputs": value}):
            assert ask(app, "POST", f"/v2/models/{model.name}/infer", content)[0] == 422, (content, value)


@pytest.mark.parametrize("form", ["instances", "inputs", "dataframe_records", "dataframe_split"])
def test_rows_may_be_anything(app, form):
    """Nor does anything in place of the rows of MLflow's forms bring the server down."""
    for value in ANYTHING:
        for content in (value, [value], {"columns": value, "data": value}, {"columns": ["a"], "data": [value]}):
            assert ask(app, "POST", "/invocations", {form: content})[0] == 422, (form, content)


def test_bounds_of_requests(app, service, good):
    """Too many rows, bytes, another type, method or path: each is told by its status."""
    assert ask(app, "POST", "/predict", {"rows": [good] * 1_001})[0] == 422
    assert ask(app, "POST", "/predict", b" " * 2_000_001)[0] == 413
    assert ask(app, "POST", "/predict", b"{}", {**JSON, "content-length": "2000001"})[0] == 413
    assert ask(app, "POST", "/predict", {"rows": [good]}, {"content-type": "text/plain"})[0] == 415
    assert ask(app, "POST", "/predict", {"rows": [good]}, {"accept": "*/*"})[0] == 415
    assert ask(app, "POST", "/predict", b"", {**JSON, "content-encoding": "gzip"})[0] == 415
    assert (lambda status, headers, _: (status, headers["allow"]))(*ask(app, "GET", "/predict")) == (405, "POST")
    assert ask(app, "GET", "/nothing")[0] == 404
    assert ask(app, "POST", "/v2/models/another/infer", {})[0] == 404
    assert ask(app, "POST", "/predict", {"rows": [good] * 1_000})[0] == 200


def test_a_small_body_cannot_ask_for_an_endless_answer(model, app):
    """Of very many problems the first are told, with the number of all and every row that has some."""
    rows = [{f"unknown {n}": n for n in range(5_000)}, *[{"unknown": 1}] * 999]
    status, _, told = ask(app, "POST", "/predict", {"rows": rows})
    assert (422, checks.MOST_PROBLEMS, list(range(1_000))) == (status, len(told["detail"]), told["rows"])
    assert told["problems"] > checks.MOST_PROBLEMS


def test_tokens_guard_everything_but_liveness(service, good):
    """Any of the tokens opens the door, nothing else does; a browser gets a page to enter one."""
    guarded = build(service, Settings(tokens=("first-token", "second-token")))
    for path in ("/", "/docs", "/openapi.json", "/model", "/metrics", "/v2", "/v2/health/ready", "/nothing"):
        assert ask(guarded, "GET", path)[0] == 401, path
    for path in ("/ping", "/health", "/v2/health/live"):
        assert ask(guarded, "GET", path)[0] == ask(guarded, "HEAD", path)[0] == 200, path
    for given in (
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-toke",
        "Bearer first-tokens",
        "first-token",
        "Basic first-token",
    ):
        answer = ask(guarded, "POST", "/predict", {"rows": [good]}, {**JSON, "authorization": given})
        assert (answer[0], answer[1]["www-authenticate"]) == (401, "Bearer"), given
    for token in ("first-token", "second-token"):
        assert (
            ask(guarded, "POST", "/predict", {"rows": [good]}, {**JSON, "authorization": f"Bearer {token}"})[0] == 200
        )
    status, headers, page = ask(guarded, "GET", "/", headers={"accept": "text/html"})
    assert (status, b"token" in page) == (401, True) and "content-security-policy" in headers


def test_the_log_has_every_answer_and_nothing_personal(service, app, model, good, tmp_path):
    """Each row is a record, with what was said of it, and each refusal; sensitive and personal columns stay out."""
    headers = {**JSON, "x-request-id": "request-1"}
    status, answered, told = ask(app, "POST", "/predict", {"rows": [good, good]}, headers)
    assert (status, told["id"], answered["x-request-id"]) == (200, "request-1", "request-1")
    ask(app, "POST", "/predict", {"rows": [good, 5]})
    service.close()
    first, second, refused = read(tmp_path / "log")
    assert "row" not in refused and refused["refused"] == [{"column": None, "rule": "is not an object"}]
    assert [(r["id"], r["row_number"]) for r in (first, second)] == [("request-1", 0), ("request-1", 1)]
    kept = {name: value for name, value in good.items() if name not in model.bundle.schema.unlogged}
    assert (kept, "main", model.digest) == (first["row"], first["role"], first["digest"])
    assert told["predictions"][0].items() <= first.items()


def test_an_unwritable_log_stops_no_prediction(model, good, tmp_path):
    """Predictions go on; readiness and metrics say that the log fails."""
    (tmp_path / "log").write_text("a file where the folder should be", encoding="utf-8")
    service = Service(model, log=PredictionLog(tmp_path / "log"))
    app = build(service, Settings())
    assert ask(app, "POST", "/predict", {"rows": [good]})[0] == 200
    status, _, told = ask(app, "GET", "/v2/health/ready")
    assert (status, told["ready"]) == (200, True) and "cannot be written" in told["log"]
    assert b"model_log_failing 1.0" in ask(app, "GET", "/metrics")[2]
    service.close()


def test_metrics_count_by_names_that_are_known(app, model, good):
    """Requests, predictions and rejected rows are counted; what a client makes up gives no new series."""
    ask(app, "POST", "/predict", {"rows": [good]})
    for name in ("made up", "made up too"):
        ask(app, "POST", "/predict", {"rows": [{**good, name: 1}]})
        ask(app, "GET", f"/{name}")
    text = ask(app, "GET", "/metrics")[2].decode()
    assert 'model_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'model_requests_total{route="/predict",status="422"} 2.0' in text
    assert 'model_requests_total{route="other",status="404"} 2.0' in text
    assert 'model_rejected_rows_total{column="",rule="' + checks.UNKNOWN + '"} 2.0' in text
    assert "model_predictions_total{" in text and model.digest in text and "made up" not in text


def test_the_canary_answers_its_share_and_always_the_same_keys(model, good):
    """A key decides which model answers, whatever comes between."""
    service = Service(model, canary=replace(model, role="canary", version="next"), share=0.2)
    keys = [str(number) for number in range(2_000)]
    chosen = [service.choose(Call("id", key, 0.0)).version for key in keys]
    assert chosen == [service.choose(Call("other", key, 1.0)).version for key in keys]
    assert 0.15 < chosen.count("next") / len(keys) < 0.25
    assert service.choose(Call("id", "0", 0.0, version="next")).version == "next"
    app = build(service, Settings())
    key = keys[chosen.index("next")]
    assert ask(app, "POST", "/predict", {"rows": [good]}, {**JSON, "x-key": key})[2]["version"] == "next"
    assert ask(app, "POST", "/predict", {"rows": [good]}, {**JSON, "x-request-id": key})[2]["version"] == "next"


def test_who_answers_has_nothing_to_do_with_what_a_key_looks_like(model):
    """Counted keys: a checksum gave seven of ten that end in 0 to the canary, and three of ten that end in 2."""
    service = Service(model, canary=replace(model, role="canary", version="next"), share=0.5)
    for digit in range(10):
        keys = [f"r{number}" for number in range(digit, 1_200, 10)]
        assert 0.38 < np.mean([service.choose(Call("id", key, 0.0)).version == "next" for key in keys]) < 0.62


def test_a_refused_request_is_that_of_the_model_whose_turn_it_was(model, good, tmp_path):
    """So the log tells how often each of the two refuses."""
    canary = replace(model, role="canary", version="next", digest="sha256:next")
    service = Service(model, canary=canary, share=0.5, log=PredictionLog(tmp_path / "log"))
    app = build(service, Settings())
    for number in range(20):
        ask(app, "POST", "/predict", {"rows": [good, 5]}, {**JSON, "x-key": str(number)})
    service.close()
    turns = [service.choose(Call("id", str(number), 0.0)).digest for number in range(20)]
    assert [record["digest"] for record in read(tmp_path / "log")] == turns and len(set(turns)) == 2


def test_the_shadow_is_logged_and_never_heard(model, good, tmp_path):
    """It predicts the same rows under the same id, and whatever happens to it changes no answer."""
    shadow = replace(model, role="shadow", version="shadow")
    service = Service(model, shadow=shadow, log=PredictionLog(tmp_path / "log"))
    assert model.version == ask(build(service, Settings()), "POST", "/predict", {"rows": [good]})[2]["version"]
    service.close()
    assert {"main", "shadow"} == {record["role"] for record in read(tmp_path / "log")}
    assert len({record["id"] for record in read(tmp_path / "log")}) == 1
    bundle = Namespace(manifest=model.bundle.manifest, predict=None)
    broken = Service(model, shadow=replace(shadow, bundle=bundle))
    app = build(broken, Settings())
    assert ask(app, "POST", "/predict", {"rows": [good]})[0] == 200
    broken.close()
    assert b"model_shadow_skipped_total 1.0" in ask(app, "GET", "/metrics")[2]


def test_a_model_of_other_columns_cannot_stand_beside(model):
    """One contract holds for all that answer."""
    schema = model.bundle.schema
    name = schema.features()[0]
    other = {f"{key}_2" if key == name else key: column for key, column in schema.columns.items()}
    bundle = Namespace(schema=replace(schema, columns=other), classes=model.bundle.classes)
    with pytest.raises(UserError, match="the canary's columns are not those of the bundle"):
        replace(model, role="canary", bundle=bundle).require_like(model)
    bundle = Namespace(schema=schema, classes=("another",))
    with pytest.raises(UserError, match="the shadow's classes are not those of the bundle"):
        replace(model, role="shadow", bundle=bundle).require_like(model)


def test_the_description_has_the_columns(app, model, good):
    """OpenAPI names the person's own columns, with types, bounds and an example that is accepted."""
    status, _, described = ask(app, "GET", "/openapi.json")
    row = described["components"]["schemas"]["Row"]
    assert status == 200 and [good] == row["examples"]
    assert {*model.bundle.schema.features()} <= row["properties"].keys()
    for path in ("/predict", "/invocations", "/v2/models/{name}/infer"):
        body = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert ask(app, "POST", path.replace("{name}", model.name), body)[0] == 200, path
    for path in ("/", "/docs", "/model", "/ping", "/v2", f"/v2/models/{model.name}", f"/v2/models/{model.name}/ready"):
        assert ask(app, "GET", path)[0] == 200, path


def test_head_answers_where_get_does(app, model):
    """What probes and `curl -I` ask; what is only posted is not asked so."""
    described = ask(app, "GET", "/openapi.json")[2]["paths"]
    paths = [path for path, methods in described.items() if "get" in methods]
    assert {"/", "/docs", "/ping", "/health", "/version", "/v2/health/ready"} <= {*paths}
    for path in paths:
        place = path.replace("{name}", model.name).replace("{version}", model.version)
        assert ask(app, "HEAD", place)[0] == ask(app, "GET", place)[0] == 200, path
    assert ask(app, "HEAD", "/predict")[0] == 405


def test_every_address_is_of_both_kinds():
    """`::` listens for IPv4 and IPv6 at one port, which nobody else can have then."""
    listening = server.listeners("::", 0)
    port = listening[0].getsockname()[1]
    hosts = ["127.0.0.1", "::1"] if len(listening) == 2 else ["127.0.0.1"]
    for host in hosts:
        socket.create_connection((host, port), timeout=5).close()
    with pytest.raises(UserError, match="cannot listen"):
        server.listeners("::", port)
    for each in listening:
        each.close()


def test_a_moment_is_in_utc():
    """An offset is counted, a date is its midnight, years of any length of time ago stay what they are."""
    assert np.datetime64("2024-01-01T10:00", "us") == moment("2024-01-01T12:00:00+02:00")
    assert np.datetime64("2024-01-01", "us") == moment("2024-01-01") == moment("2024-01-01T00:00:00Z")
    assert np.datetime64("0001-01-01", "us") - np.timedelta64(1, "h") == moment("0001-01-01T00:00:00+01:00")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "must hold tokens"), ("\n \n", "must hold tokens"), ("schl\u00fcssel", "must hold tokens")],
)
def test_a_token_file_without_tokens_opens_nothing(tmp_path, text, message):
    """A file that was left empty is a mistake, not a service for everybody."""
    (tmp_path / "tokens").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="must hold tokens"):
        serve.read_tokens(tmp_path / "tokens")


def test_tokens_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    """One a line; an empty variable is a mistake too."""
    (tmp_path / "tokens").write_text("one\ntwo\n", encoding="utf-8")
    assert serve.read_tokens(tmp_path / "tokens") == ("one", "two")
    monkeypatch.delenv("MODEL_TOKENS", raising=False)
    assert serve.read_tokens(None) == ()
    monkeypatch.setenv("MODEL_TOKENS", "one")
    assert serve.read_tokens(None) == ("one",)
    monkeypatch.setenv("MODEL_TOKENS", "")
    with pytest.raises(UserError, match="MODEL_TOKENS must hold tokens"):
        serve.read_tokens(None)


def test_a_taken_port_is_one_line():
    """The message says what to choose."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="choose another --port"):
        server.listen("127.0.0.1", taken.getsockname()[1])


def command(*words):
    """Return the command that serves, in this environment."""
    return [sys.executable, "-m", "gitmodel.cli", "serve", *map(str, words)]


def test_a_changed_bundle_is_not_served(workspace, tmp_path):
    """One line, and no server."""
    copy = shutil.copytree(workspace / BUNDLE, tmp_path / "bundle")
    (copy / files.ONNX).write_bytes(b"changed")
    done = subprocess.run(
        command("--bundle", copy, "--port", 0), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_a_signature_is_asked_for_when_a_key_is_given(workspace, tmp_path):
    """A bundle that nobody signed is not served."""
    (tmp_path / "key.pub").write_text("key", encoding="utf-8")
    words = ("--bundle", workspace / BUNDLE, "--port", 0, "--public-key", tmp_path / "key.pub")
    done = subprocess.run(command(*words), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "bundle.sig is missing: sign the bundle first" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--canary-share", 0.5], "--canary-share shares with nobody"),
        (["--cors", "https://example.com/"], "must be https://NAME"),
        (["--cors", "example.com"], "must be https://NAME"),
    ],
)
def test_an_option_without_effect_is_refused(workspace, tmp_path, words, cause):
    """What would be served is not what somebody asked for."""
    words = ("--bundle", workspace / BUNDLE, "--port", 0, *words)
    done = subprocess.run(command(*words), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode and cause in done.stderr and "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_said_at_the_start_and_at_the_end(workspace, good, tmp_path):
    """The predictions are answered; how many of them are nowhere, stderr says."""
    (tmp_path / "log").write_text("a file in its place", encoding="utf-8")
    words = ("--bundle", workspace / BUNDLE, "--port", 0, "--log", tmp_path / "log")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command(*words), cwd=tmp_path, text=True, **pipes)
    try:
        address = process.stdout.readline().split()[-1]
        request = urllib.request.Request(f"{address}predict", json.dumps({"rows": [good]}).encode(), JSON)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        start, end = process.communicate(timeout=30)[1].splitlines()
    finally:
        process.kill()
        process.wait()
    assert start.startswith(f"warning: {tmp_path / 'log'} cannot be written to: ")
    assert end.startswith("warning: 1 row answered, but not logged: ")
    assert process.returncode == 0


def test_it_starts_says_where_and_ends_in_good_order(workspace, model, good, tmp_path):
    """One line names model, version and address; SIGTERM ends it with status 0 and a whole log."""
    words = ("--bundle", workspace / BUNDLE, "--port", 0, "--version", "v7", "--log", tmp_path / "log")
    process = subprocess.Popen(command(*words), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith(f"serving {model.name} v7 (sha256:")
        address = line.split()[-1]
        request = urllib.request.Request(f"{address}predict", json.dumps({"rows": [good]}).encode(), JSON)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["version"] == "v7"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    (record,) = read(tmp_path / "log")
    assert record["version"] == "v7"


def test_serving_imports_nothing_of_training():
    """The whole command needs no pandas, scikit-learn or DVC."""
    script = "import sys, gitmodel.serve.command; print(sorted({*sys.argv[1:]} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
