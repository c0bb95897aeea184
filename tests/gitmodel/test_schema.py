"""schema.yaml is read strictly, and rows that break it are named."""

import numpy as np
import pytest
import yaml
from gitmodel.base.project import UserError
from gitmodel.contract import schema as schema_module
from gitmodel.contract.schema import check, check_names, load

CONTRACT = {
    "table": "data/raw.csv",
    "target": "bought",
    "task": "binary",
    "positive": "yes",
    "id": "customer",
    "slices": ["country"],
    "columns": {
        "age": {"type": "integer", "min": 18, "max": 120},
        "country": {"type": "category", "values": ["DE", "FR"]},
        "income": {"type": "number", "nullable": True},
        "bought": {"type": "category", "values": ["no", "yes"]},
    },
    "ignored": {"note": "free text"},
}

VALUE = "`{}`: is not one of values in 1 row, such as"


def contract(tmp_path, **changes):
    """Write the contract with some keys changed, and load it."""
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump({**CONTRACT, **changes}, sort_keys=False), encoding="utf-8")
    return load(path)


def good_rows(**changes):
    """Return two rows that keep the contract, with some columns changed."""
    rows = {
        "customer": np.array(["a", "b"], dtype=object),
        "age": np.array([30.0, 40.0]),
        "country": np.array(["DE", "FR"], dtype=object),
        "income": np.array([np.nan, 1.5]),
        "bought": np.array(["no", "yes"], dtype=object),
    }
    return {**rows, **changes}


def test_good_rows_break_nothing(tmp_path):
    """Rows that keep the contract are not reported."""
    assert check(good_rows(), contract(tmp_path)) == []


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("age", [30.0, np.nan], "`age`: is missing (nullable: false) in 1 row, such as an empty cell (row 2)"),
        ("age", [17.0, 16.0], "`age`: is below min 18 in 2 rows, such as 17 (row 1)"),
        ("age", [18.0, 999.0], "`age`: is above max 120 in 1 row, such as 999 (row 2)"),
        ("age", [30.5, 40.0], "`age`: is not a whole number in 1 row, such as 30.5 (row 1)"),
        ("income", [1.0, np.inf], "`income`: is not finite in 1 row, such as inf (row 2)"),
        ("country", ["DE", "XX"], f"{VALUE.format('country')} 'XX' (row 2); allowed: 'DE', 'FR'"),
        ("bought", ["no", "yess"], f"{VALUE.format('bought')} 'yess' (row 2); allowed: 'yes' and 1 more"),
        ("customer", ["a", "a"], "`customer`: is not unique (id) in 1 row, such as 'a' (row 2)"),
        ("customer", ["a", None], "`customer`: is missing (id) in 1 row, such as an empty cell (row 2)"),
    ],
)
def test_each_broken_rule_is_named(tmp_path, column, values, expected):
    """A violation names column, rule, number of rows and an example."""
    dtype = float if column in ("age", "income") else object
    found = check(good_rows(**{column: np.array(values, dtype=dtype)}), contract(tmp_path))
    assert [expected] == [str(violation) for violation in found]


def test_columns_that_are_not_there_are_not_checked(tmp_path):
    """A request that is served has no target; what it has is checked."""
    rows = good_rows(age=np.array([17.0, 30.0]))
    del rows["bought"], rows["customer"]
    (found,) = check(rows, contract(tmp_path))
    assert (found.column, found.broken.tolist(), found.count) == ("age", [True, False], 1)


def test_what_tells_who_somebody_is_stays_out_of_the_log(tmp_path):
    """Sensitive and personal columns are logged only if the contract says so."""
    columns = {**CONTRACT["columns"], "income": {"type": "number", "nullable": True, "personal": True}}
    assert {"country", "income"} == contract(tmp_path, columns=columns, sensitive=["country"]).unlogged
    assert {"income"} == contract(tmp_path, columns=columns, sensitive=["country"], logged=["country"]).unlogged


def test_missing_and_new_columns_are_named(tmp_path):
    """A column that went away and one that appeared are both told; an ignored one may come and go."""
    found = check_names(["customer", "age", "country", "income", "extra"], contract(tmp_path))
    assert [found[0], found[1].split(":")[0]] == ["`bought`: the column is missing from the table", "`extra`"]


def test_ignored_classes_are_neither_learned_nor_violations(tmp_path):
    """A class in ignored_classes is allowed in the table and absent from the classes."""
    columns = {**CONTRACT["columns"], "bought": {"type": "category", "values": ["no", "rare", "yes"]}}
    schema = contract(tmp_path, columns=columns, ignored_classes={"rare": "3 rows"})
    assert schema.classes == ("no", "yes")
    assert check(good_rows(bought=np.array(["no", "rare"], dtype=object)), schema) == []


DATED = {"time": "since", "columns": {**CONTRACT["columns"], "since": {"type": "datetime"}}}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"2026-01-31"', "2026-01-31T00:00"),
        ("2026-01-31", "2026-01-31T00:00"),
        ("2026-01-31 09:30:00", "2026-01-31T09:30"),
        ("2026-01-31T09:30:00+02:00", "2026-01-31T07:30"),
        ('"2026-01-31T09:30+02:00"', "2026-01-31T07:30"),
        ("null", None),
    ],
)
def test_the_moment_of_the_test(tmp_path, written, expected):
    """It is in UTC unless it names an offset, with or without quotes."""
    path = tmp_path / "schema.yaml"
    path.write_text(f"{yaml.safe_dump({**CONTRACT, **DATED})}test_from: {written}\n", encoding="utf-8")
    assert load(path).cut == (expected and np.datetime64(expected))


@pytest.mark.parametrize("written", ["spring", "2026-13-01", "2026-03", "31.01.2026", "0001-01-01T00:00+02:00"])
def test_what_is_no_moment_is_refused(tmp_path, written):
    """The message shows how one is written."""
    with pytest.raises(UserError, match=r"`test_from` is '.+': give a moment of ISO 8601, such as 2026-01-31 or"):
        contract(tmp_path, **DATED, test_from=written)


@pytest.mark.parametrize("moment", ["2026-01-31T00:00", "2026-01-31T09:30:00.000001", "1969-12-31T23:59:59"])
def test_the_text_of_a_moment_is_read_back(moment):
    """What `model adopt` writes is what was meant; a day is a day."""
    assert np.datetime64(moment, "us") == schema_module.moment(schema_module.moment_text(np.datetime64(moment)))
    assert schema_module.moment_text(np.datetime64("2026-01-31T00:00")) == "2026-01-31"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target": "gone"}, "`target` names 'gone'"),
        ({"task": "guess"}, "task 'guess' is none of"),
        ({"positive": "maybe"}, "`positive:` one of them"),
        ({"slices": ["income"]}, "'income' cannot be a slice"),
        ({"identity": ["bought"]}, "`identity` must not hold the target"),
        ({"id": None}, "`id` or `identity` must say"),
        ({"violations": "ignore"}, "violations 'ignore' is none of reject, flag"),
        ({"logged": ["note"]}, "`logged` names 'note', which is not in `columns`"),
        ({"time": "age"}, "must be of type datetime"),
        ({"test_from": "2026-01-31"}, "`time` must name a column"),
        ({"test_from": 2026}, "test_from in {path} is 2026: give a text in quotes"),
        ({"colour": "red"}, "colour in {path} is no setting"),
        ({"columns": {"age": {"type": "int"}}}, "columns.age.type in {path} is 'int': did you mean `integer`?"),
        ({"columns": {"age": {"type": "category", "values": [True]}}}, "True is not text: put it in quotes"),
        (
            {"columns": {"age": {"kind": "number"}}},
            "columns.age.kind in {path} is no setting: choose from type, nullable",
        ),
        ({"columns": {"age": {}}}, "{path} has no columns.age.type: add it"),
        ({"columns": {"age": {"type": "number", "min": "3"}}}, "columns.age.min in {path} is '3': give a number"),
        (
            {"columns": {"age": {"type": "number", "nullable": "no"}}},
            "columns.age.nullable in {path} is 'no': give true",
        ),
        ({"columns": {"age": "number"}}, "`age` in {path} must be written as {type: ...}"),
        ({"columns": ["age"]}, "`columns:` in {path} must list"),
        ({"reading": {"seperator": ";"}}, "reading.seperator in {path} is no setting: did you mean `separator`?"),
        ({"reading": {"decimal": 1}}, "reading.decimal in {path} is 1: give a text in quotes"),
        ({"positive": True}, "positive in {path} is True: give a text in quotes"),
        ({"ignored": ["note"]}, "`ignored:` in {path} must hold `name: text` lines"),
        ({"task": "regression"}, "must be of type number, not category"),
    ],
)
def test_a_contract_that_does_not_fit_together_is_refused(tmp_path, changes, expected):
    """Each mistake in schema.yaml is one line that names it."""
    with pytest.raises(UserError) as error:
        contract(tmp_path, **changes)
    assert expected.replace("{path}", str(tmp_path / "schema.yaml")) in str(error.value)
    assert "\n" not in str(error.value)
