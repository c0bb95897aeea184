"""The service says why: in every protocol the same, of few rows, and never in the log."""

import asyncio
import json
import threading

import pytest
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.features import DeriveError
from gitmodel.explain.shapley import Explainer
from gitmodel.serve import service as served
from gitmodel.serve.app import Settings, build
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.service import ServedModel, Service
from test_serve import ask, plain

TOO_MANY = "21 rows are too many to explain: send at most 20 at a time, or leave `explain` out"


@pytest.fixture(scope="module")
def model(workspace):
    """Return the bundle that the present code makes, ready to serve."""
    return ServedModel.load(workspace / BUNDLE)


@pytest.fixture
def service(model, tmp_path):
    """Return a service that logs."""
    service = Service(model, log=PredictionLog(tmp_path / "log"))
    yield service
    service.close()


@pytest.fixture
def app(service):
    """Return its application."""
    return build(service, Settings())


@pytest.fixture
def rows(frame, model):
    """Return rows to send."""
    return plain(frame.head(21), model.bundle.schema)


def test_contributions_add_up_to_the_answer(app, model, rows):
    """To the probability of the class that is named, or to the prediction; a row alone has the same ones."""
    body = {"rows": rows[:3], "explain": True}
    status, _, told = ask(app, "POST", "/predict", body)
    assert status == 200
    for row, said in zip(rows, told["predictions"], strict=False):
        why = said["explanation"]
        value = said["probabilities"][why["class"]] if "class" in why else said["prediction"]
        assert why["value"] == value
        assert why["base_value"] + sum(why["contributions"].values()) == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert [*why["contributions"]] == model.bundle.schema.features()
        (alone,) = ask(app, "POST", "/predict", {"rows": [row], "explain": True})[2]["predictions"]
        assert alone["explanation"]["contributions"] == pytest.approx(why["contributions"], rel=1e-3, abs=1e-4)
    if model.bundle.schema.task == "binary":
        assert {said["explanation"]["class"] for said in told["predictions"]} == {model.bundle.schema.positive}


@pytest.mark.parametrize("asked", [False, None])
def test_nobody_is_told_who_did_not_ask(app, rows, asked):
    """The answer is as it was."""
    (said,) = ask(app, "POST", "/predict", {"rows": rows[:1], "explain": asked})[2]["predictions"]
    assert "explanation" not in said


def test_every_protocol_has_a_place_for_it(app, model, rows):
    """`params` of MLflow, `parameters` of the Open Inference Protocol."""
    said = ask(app, "POST", "/predict", {"rows": rows[:2], "explain": True})[2]["predictions"]
    expected = [row["explanation"] for row in said]
    flow = ask(app, "POST", "/invocations", {"instances": rows[:2], "params": {"explain": True, "more": 1}})[2]
    assert flow["explanations"] == expected
    assert "explanations" not in ask(app, "POST", "/invocations", {"instances": rows[:2], "params": {"more": 1}})[2]
    tensors = [
        {"name": name, "shape": [2], "datatype": "BYTES", "data": [row[name] for row in rows[:2]]} for name in rows[0]
    ]
    body = {"inputs": tensors, "parameters": {"explain": True, "binary_data_output": False}}
    status, _, told = ask(app, "POST", f"/v2/models/{model.name}/infer", body)
    base, matrix = told["outputs"][-2:]
    assert (status, base["name"], matrix["name"]) == (200, "base_value", "contributions")
    assert base["data"] == [why["base_value"] for why in expected]
    assert matrix["shape"] == [2, len(model.bundle.schema.features())]
    assert matrix["data"] == [value for why in expected for value in why["contributions"].values()]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", lambda rows: {"rows": rows, "explain": True}),
        ("/invocations", lambda rows: {"dataframe_records": rows, "params": {"explain": True}}),
    ],
)
def test_few_rows_are_explained_at_a_time(app, rows, path, body):
    """More are refused, with what to do; without `explain` they are answered."""
    status, _, told = ask(app, "POST", path, body(rows))
    assert (status, [problem["rule"] for problem in told["detail"]]) == (422, [TOO_MANY])
    assert ask(app, "POST", path, body(rows[:1]))[0] == 200
    assert ask(app, "POST", path, {next(iter(body(rows))): rows})[0] == 200


@pytest.mark.parametrize("wrong", ["yes", 1, [], {}])
def test_explain_is_true_or_false(app, rows, wrong):
    """Anything else is refused, not guessed."""
    status, _, told = ask(app, "POST", "/predict", {"rows": rows[:1], "explain": wrong})
    assert (status, told["detail"][0]["rule"]) == (422, "`explain` must be true or false")


def test_the_log_holds_no_explanation(app, service, rows, tmp_path):
    """It holds what was predicted."""
    ask(app, "POST", "/predict", {"rows": rows[:1], "explain": True})
    service.close()
    (record,) = read(tmp_path / "log")
    assert "explanation" not in record and "contributions" not in str(record)
    assert {"label", "prediction"} & record.keys()


@pytest.mark.parametrize("spelled", ['"explain": true', '"explain" :\n true', '"\\u0065xplain": true'])
def test_others_need_not_wait(service, rows, spelled, monkeypatch):
    """An explanation is made in a thread, however its key is spelled; too many at a time get 503 and may come again."""
    app, seen = build(service, Settings()), []
    explain = Explainer.explain
    monkeypatch.setattr(Explainer, "explain", lambda *given: seen.append(threading.current_thread()) or explain(*given))
    body = f"{json.dumps({'rows': rows[:1]})[:-1]}, {spelled}}}".encode()
    assert ask(app, "POST", "/predict", body)[0] == 200
    assert seen and seen[0] is not threading.main_thread()
    monkeypatch.setattr(served, "MOST_IN_TURN", 0)
    status, headers, told = ask(app, "POST", "/predict", body)
    assert (status, headers["retry-after"]) == (503, "1")
    assert told["detail"][0]["rule"] == "too many explanations are being made: ask again"
    assert len(seen) == 1


def test_the_turn_ends_with_the_work(service):
    """Also if it fails."""

    async def fail_then_work():
        with pytest.raises(ZeroDivisionError):
            await service.in_turn(lambda: 1 / 0)
        return await service.in_turn(lambda: 7)

    assert asyncio.run(fail_then_work()) == 7
    assert service._in_turn == 0


def test_what_cannot_be_explained_is_said(service, rows, monkeypatch):
    """Where `derive` takes the row, and none of those that it is compared with: without a cell of theirs."""

    def predict(bundle, columns):
        if len(next(iter(columns.values()))) > 1:
            raise DeriveError("derive in features.py failed with 'a cell'", "derive in features.py failed")
        return plainly(bundle, columns)

    plainly = Bundle.predict
    monkeypatch.setattr(Bundle, "predict", predict)
    monkeypatch.setitem(service.main.__dict__, "explainer", Explainer(service.main.bundle, service.main.profile))
    app = build(service, Settings())
    status, _, told = ask(app, "POST", "/predict", {"rows": rows[:1], "explain": True})
    assert (status, told["detail"][0]["rule"]) == (422, "the rows cannot be explained: derive in features.py failed")
    assert ask(app, "POST", "/predict", {"rows": rows[:1]})[0] == 200


def test_the_description_tells_it(app, model):
    """Request and answer of each protocol."""
    told = ask(app, "GET", "/openapi.json")[2]["paths"]
    body = told["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert body["explain"]["type"] == ["boolean", "null"]
    answer = told["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    why = answer["properties"]["predictions"]["items"]["properties"]["explanation"]["properties"]
    assert [*why["contributions"]["properties"]] == model.bundle.schema.features()
    assert ("class" in why) == bool(model.bundle.classes)
    assert "503" in told["/invocations"]["post"]["responses"]
