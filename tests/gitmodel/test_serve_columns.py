"""Many rows are judged column by column: they are answered and refused as if each had been judged by itself."""

import json
import random

import numpy as np
import pytest
from gitmodel.contract.schema import Column, Schema
from gitmodel.serve import checks, spelled
from gitmodel.serve.body import parse
from gitmodel.serve.checks import CheckedRows, Refused, RowChecker
from gitmodel.serve.columns import Columns
from gitmodel.serve.records import blocks
from gitmodel.serve.rows import known
from pydantic_core import to_json

SOUND = {
    "number": [0, 1, -3, 0.1, 2.5, 1e-300, -0.0, 10**17 + 1],
    "integer": [0, 1, 3.0, -7, 12, 2**53 - 1],
    "boolean": [True, False],
    "category": ["a", "", "Ü b", "nan", "{", "}, {"],
    "text": ["one two", "", "\n", "\u2028", "👨\u200d👩", '"'],
    "datetime": ["2024-02-29", "2024-01-01T10:00:00+02:00", "1969-12-31T23:59", "2024-01-01T10:00:00Z"],
}
HOSTILE = [
    *(None, True, False, "3", "a", "", [], {}, [1], {"a": 1}, 2.5, 3.0, -1, 1e308, -1e308, 1e999, float("nan")),
    *(10**400, -(10**400), 2**53, 2**53 + 1, -(2**53), 1e16, "\ud800", "yesterday", "0001-01-01", "\0"),
    *("9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00", "20240101", "2024-13-01"),
]
LIMITS = {"number": (-5, 10.5), "integer": (-7, 12.5)}


def contract(chance):
    """Return some contract: every type with and without limits, nulls and a place among the features."""
    columns = {}
    for kind in SOUND:
        for number in range(2):
            low, high = chance.choice([(None, None), LIMITS.get(kind, (None, None))])
            values = ("a", "", "Ü b") if kind == "category" and chance.random() < 0.5 else None
            settings = {"nullable": chance.random() < 0.5, "feature": not number or chance.random() < 0.7}
            columns[f"{kind} {number}"] = Column(kind, min=low, max=high, values=values, **settings)
    answers = chance.choice(["refuse", "flag"])
    return Schema("", "y", "regression", {**columns, "y": Column("number")}, id="key", violations=answers)


def fitting(column):
    """Return the values that keep the rules of a column."""
    values = column.values or SOUND[column.type]
    within = [v for v in values if column.min is None or column.min <= v <= column.max]
    return [*within, None] if column.nullable or not column.feature else within


def table(schema, chance, size):
    """Return rows that keep a contract; where a column may be missing, it may be left out."""
    columns = known(schema)
    ragged = chance.random() < 0.3
    left_out = {name for name, c in columns.items() if (c.nullable or not c.feature) and chance.random() < 0.2}
    rows = [{name: chance.choice(fitting(column)) for name, column in columns.items()} for _ in range(size)]
    return [{name: v for name, v in row.items() if name not in left_out and not (ragged and v is None)} for row in rows]


def outcome(schema, rows, many, monkeypatch):
    """Return what is told of some rows where so many are judged by columns."""
    monkeypatch.setattr(checks, "MANY", many)
    try:
        batch = RowChecker(schema, 1_000).read(rows)
    except Refused as refused:
        return refused.problems
    return batch.flags, {name: (values.dtype, values.tolist()) for name, values in batch.columns.items()}


def test_hostile_rows_are_told_as_row_by_row(monkeypatch):
    """Whatever is wrong with some cells: the same columns of the same types, the same flags, the same problems."""
    refused = quick = 0
    for seed in range(400):
        chance = random.Random(seed)
        schema = contract(chance)
        rows = table(schema, chance, chance.choice([1, 2, 40]))
        for _ in range(chance.choice([0, 0, 1, 2])):
            chance.choice(rows)[chance.choice([*known(schema), "unknown"])] = chance.choice(HOSTILE)
        found, expected = (outcome(schema, rows, many, monkeypatch) for many in (1, 10_000))
        np.testing.assert_equal(found, expected)
        refused += isinstance(found, list)
        quick += Columns(known(schema)).read(rows) is not None
    assert refused > 50 and quick > 100


def test_sound_rows_are_judged_by_columns():
    """Every value that keeps the rules takes the quick way, whether or not all rows have the same columns."""
    for seed in range(50):
        chance = random.Random(seed)
        schema = contract(chance)
        assert Columns(known(schema)).read(table(schema, chance, 40)) is not None, seed


def test_a_cell_of_another_type_is_never_sure():
    """A number in a text, true as 1, NaN and half of a surrogate pair go the slow way."""
    for kind, wrong in [*((k, v) for k in ("number", "integer") for v in (True, "1", float("nan"), 1e999)),
                        ("integer", 2**53 + 1), ("integer", 0.5), ("boolean", 1), ("text", "\ud800"), ("text", 1),
                        ("category", ["a"]), ("datetime", "yesterday"), ("datetime", 20240101)]:  # fmt: skip
        column = Column(kind, nullable=True)
        assert Columns({"a": column}).read([{"a": SOUND[kind][0]}, {"a": wrong}]) is None, (kind, wrong)


TEXTS = ["x", "", "{", "}", "},{", '"', "\\", "\n", "a\u2028b", "##[group]x", "Größe", "\x7f", '"secret":', "b: c"]


@pytest.mark.parametrize("layout", [{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])
@pytest.mark.parametrize("excluded", [set(), {"secret"}, {"secret", "größe"}])
def test_the_log_has_rows_as_they_were_sent(layout, excluded):
    """Each record is a line of its own, has its row without what is not logged, and means what was sent."""
    for seed in range(60):
        chance = random.Random(seed)
        columns = chance.sample(["a", "secret", "größe", "b{", "c"], chance.choice([1, 3, 5]))
        values = [None, True, 1, 2.0, 1e300, *(TEXTS if seed % 2 else ["x", "y"])]
        rows = [{name: chance.choice(values) for name in columns} for _ in range(5)]
        body = json.dumps({"rows": rows, **({"explain": False} if seed % 3 else {})}, **layout).encode()
        batch = CheckedRows(spelled.Sent(parse(body)["rows"], body), dict, flags={3: ["`a`: is above 1"]})
        said = [b'{"prediction":%d}' % number for number in range(5)]
        said[3] = b'{"prediction":3,"flags":["`a`: is above 1"]}'
        text = b"".join(blocks("id", b'"model":"m"', 0.5, 1.25, batch, said, excluded))
        records = [json.loads(line) for line in text.splitlines()]
        assert [{n: v for n, v in row.items() if n not in excluded} for row in rows] == [r["row"] for r in records]
        assert [(n, n, batch.flags.get(n, [])) for n in range(5)] == [
            (r["row_number"], r["prediction"], r["flags"]) for r in records
        ]


def test_rows_on_one_line_are_not_spelled_again(monkeypatch):
    """What was sent is what is logged, byte by byte."""
    monkeypatch.setattr(spelled, "to_json", None)
    body = b'{"rows": [{"a": 1.50, "b": "x"} , {"a":2,"b":null}], "explain": false}'
    rows = spelled.Sent(json.loads(body)["rows"], body)
    assert spelled.rows_without(rows, {"secret"}) == [b'{"a": 1.50, "b": "x"}', b'{"a":2,"b":null}']


@pytest.mark.parametrize("classes", [[], ["no", "yes"], ['a"b', "100 %b", "], ["]])
def test_predictions_are_spelled_as_one_by_one(classes):
    """Labels, probabilities, bounds and flags: the JSON is that of each prediction by itself."""
    random_numbers = np.random.default_rng(0)
    predicted = random_numbers.random((7, len(classes)) if classes else 7) * 10.0 ** random_numbers.integers(-300, 2)
    labels = [classes[number % len(classes)] for number in range(7)] if classes else []
    bounds = {"classes": [classes[: n % 3] for n in range(7)]} if classes else {"low": [0.5] * 7, "high": [1e20] * 7}
    flags = {2: ["`a`: is above 1"], 5: ["`b`: is not one of a", "`c`: is missing"]}
    expected = []
    for number, row in enumerate(predicted.tolist()):
        told = {"label": labels[number], "probabilities": dict(zip(classes, row, strict=True))} if classes else {}
        told = told or {"prediction": row}
        told |= {name: values[number] for name, values in bounds.items()}
        expected.append(to_json(told | ({"flags": flags[number]} if number in flags else {})))
    assert expected == spelled.predictions(predicted, labels, classes, bounds, flags)
