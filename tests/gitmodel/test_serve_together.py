"""Requests that come together are predicted in one run, and each gets the answer that it gets alone."""

import asyncio
import json
from functools import partial

import numpy as np
import pytest
from gitmodel.base.project import BUNDLE
from gitmodel.contract.encoding import encode
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.serve import together
from gitmodel.serve.app import Settings, build
from gitmodel.serve.checks import RowChecker
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.matrices import encoder
from gitmodel.serve.rows import example
from gitmodel.serve.service import ServedModel, Service


@pytest.fixture
def service(workspace, tmp_path):
    """Return a service that logs."""
    service = Service(ServedModel.load(workspace / BUNDLE), log=PredictionLog(tmp_path / "log"))
    yield service
    service.close()


@pytest.fixture
def rows(service):
    """Return six rows that differ."""
    schema, row = service.main.bundle.schema, example(service.main.bundle.schema, service.main.profile)
    number = next((name for name in schema.features("number", "integer")), None)
    column = schema.columns.get(number)
    step = -1 if column and column.max is not None and row[number] + 6 > column.max else 1
    return [{**row, number: row[number] + step * more} if number else row for more in range(6)]


@pytest.fixture
def runs(service, monkeypatch):
    """Return how many rows each run of the model has had."""
    seen, kind = [], type(service.main.bundle.model)
    run = kind.__call__

    def counted(self, numbers, categories):
        seen.append(len(numbers))
        return run(self, numbers, categories)

    monkeypatch.setattr(kind, "__call__", counted)
    return seen


def ask(service, bodies):
    """Send requests at the same time; return their answers."""
    app = build(service, Settings())

    async def one(body):
        sent, content = [], json.dumps(body).encode()

        async def receive():
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "root_path": ""}
        await app({**scope, "headers": [(b"content-type", b"application/json")]}, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def all_of_them():
        return await asyncio.gather(*map(one, bodies))

    return asyncio.run(all_of_them())


def numbers(told):
    """Return the numbers of the first prediction."""
    said = told["predictions"][0]
    return [*said.get("probabilities", {"": said.get("prediction")}).values()]


def test_one_run_answers_all_of_the_census(service, rows, runs, tmp_path):
    """Each request has its own answer, id and record, as if it had been alone."""
    alone = [ask(service, [{"rows": [row]}])[0][1] for row in rows]
    assert [1] * len(rows) == runs
    runs.clear()
    found = [told for _, told in ask(service, [{"rows": [row]} for row in rows])]
    assert [len(rows)] == runs
    np.testing.assert_allclose([*map(numbers, found)], [*map(numbers, alone)], rtol=1e-5)
    service.close()
    records = [*read(tmp_path / "log")][len(rows) :]
    assert [told["id"] for told in found] == [record["id"] for record in records]
    kept = [{name: row[name] for name in row if name not in service.unlogged} for row in rows]
    assert kept == [record["row"] for record in records]
    assert [numbers({"predictions": [record]}) for record in records] == [*map(numbers, found)]


def test_a_run_of_the_census_is_not_too_long(service, rows, runs, monkeypatch):
    """What is more than a run may hold is predicted in the next one."""
    monkeypatch.setattr(together, "MOST_ROWS", 4)
    answers = ask(service, [{"rows": rows[:3]}, {"rows": rows[3:]}, {"rows": rows[:1]}, {"rows": rows}])
    assert [status for status, _ in answers] == [200] * 4
    assert runs == [3, 4, 6]


def test_who_fails_in_the_census_fails_alone(service, rows, monkeypatch):
    """A row that the model has no number for is told to its client; who came with it is answered."""
    first = next(iter(service.main.bundle.schema.features("number", "integer")), None)
    if first is None:
        pytest.skip("this table has no numbers")
    predicted = Service._predicted

    def fails(self, model, typed):
        found, labels = predicted(self, model, typed)
        bad = [row[first] == rows[1][first] for row in typed]
        return np.where(np.array(bad).reshape(-1, *[1] * (found.ndim - 1)), np.nan, found), labels

    monkeypatch.setattr(Service, "_predicted", fails)
    service._together["main"]._predict = partial(fails, service, service.main)
    answers = ask(service, [{"rows": [row]} for row in rows] + [{"rows": [1]}])
    assert [status for status, _ in answers] == [200, 422, 200, 200, 200, 200, 422]
    assert answers[1][1]["detail"][0]["rule"] == "the model has no finite prediction for this row"


def test_matrices_are_those_of_training():
    """What is made of rows at once is, bit by bit, what `encode` makes of their columns."""
    kinds = ("category", "number", "boolean", "integer", "category")
    columns = {f"{kind} {n}": Column(kind, nullable=True) for n, kind in enumerate(kinds)}
    columns["centred"] = Column("number", nullable=True, offset=16777216.0)
    schema = Schema("", "y", "regression", {**columns, "y": Column("number")})
    values = {
        "number": [0.1, -1e300, None, 1e39, 16777217.5],
        "integer": [2**53, 0, None, -7, 3.0],
        "boolean": [True, False, None, True, True],
        "category": ["a", "", None, "Ü b", "nan"],
    }
    rows = [{name: values[column.type][n] for name, column in columns.items()} for n in range(5)] + [{}]
    checker = RowChecker(schema, 10)
    batch = checker.read(rows)
    for some in (batch.typed, batch.typed[2:3]):
        found = encoder(Features(schema))(some)
        for expected, made in zip(encode(checker.typed_columns(some), schema), found, strict=True):
            assert (expected.dtype, expected.shape) == (made.dtype, made.shape)
            np.testing.assert_array_equal(expected, made)


@pytest.mark.parametrize("kind", ["datetime", "text"])
def test_parts_need_columns(kind):
    """Dates and texts become several numbers: that is left to `encode`."""
    schema = Schema("", "y", "regression", {"a": Column(kind), "y": Column("number")})
    assert encoder(Features(schema)) is None


def test_rows_of_one_kind():
    """A table may have only numbers, or only categories."""
    for kind, value in (("number", 1.5), ("category", "a")):
        schema = Schema("", "y", "regression", {"a": Column(kind), "y": Column("number")})
        shapes = [matrix.shape for matrix in encoder(Features(schema))([{"a": value}, {"a": value}])]
        assert sorted(shapes) == [(2, 0), (2, 1)]
