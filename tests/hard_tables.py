"""`model adopt` against every hard table that came to mind: what it infers, says and refuses.

`test_adopt_hard.py` runs this in the environment of a generated project; by hand, in such an environment:
`PYTHONPATH='{{cookiecutter.project_slug}}/vendor' python -m pytest --noconftest tests/hard_tables.py`.
"""

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.adopt import command, personal, schema_file
from gitmodel.base.project import UserError
from gitmodel.contract import encoding
from gitmodel.contract import schema as contract
from gitmodel.contract import table as tables
from gitmodel.leaks import GIVEN_AWAY, given_away

Adopt = Callable[..., SimpleNamespace]
Refused = Callable[..., str]
Columns = dict[str, list[str]]
ROWS = 300


@pytest.fixture(autouse=True)
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty project folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def adopt(capsys: pytest.CaptureFixture[str]) -> Adopt:
    """Adopt a table and return the schema as read back, what was said, and the columns; the table must keep it."""

    def run(table: Path | str, target: str = "target", **options: Any) -> SimpleNamespace:
        schema = command.adopt(Path(table), target, **options)
        assert contract.load() == schema, "schema.yaml must read back as what was inferred"
        cells = tables.read_cells(Path(schema.table), schema.reading)
        frame, broken = tables.convert(cells, schema)
        rows = tables.rows(frame)
        problems = [*broken, *contract.check(rows, schema), *contract.check_names(list(cells), schema)]
        assert problems == [], "a table must keep the contract that was inferred from it"
        numbers, categories = encoding.encode(rows, schema)
        assert len(numbers) == len(categories) == len(cells)
        return SimpleNamespace(schema=schema, said=capsys.readouterr().out, **vars(schema))

    return run


@pytest.fixture
def refused(adopt: Adopt) -> Refused:
    """Return the one line with which a table is refused; nothing may be left behind."""

    def run(table: Path | str, target: str = "target", **options: Any) -> str:
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        with pytest.raises(UserError) as error:
            adopt(table, target, **options)
        assert "\n" not in str(error.value)
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
        return str(error.value)

    return run


def column(name: str, rows: int = ROWS) -> list[str]:
    """Return values of a named kind, the same in every run."""
    draw = random.Random(name)
    return {
        "integer": lambda: [str(draw.randint(0, 90)) for _ in range(rows)],
        "number": lambda: [f"{draw.gauss(0, 3):.3f}" for _ in range(rows)],
        "group": lambda: [draw.choice(["red", "green", "blue"]) for _ in range(rows)],
        "yes": lambda: [draw.choice(["yes", "no", "no"]) for _ in range(rows)],
        "text": lambda: [" ".join(draw.choices(WORDS, k=draw.randint(5, 12))) for _ in range(rows)],
    }[name]()


WORDS = "the parcel arrived late and broken please send money back thanks good quality would buy again never".split()


def write(
    columns: Columns, path: str = "table.csv", separator: str = ",", encoding: str = "utf-8", **extra: list[str]
) -> Path:
    """Write columns of texts as a table of cells as they stand, quoted where needed; add a feature and a target."""
    columns = {"x": column("integer"), **columns, **extra}
    columns.setdefault("target", column("yes", len(columns["x"])))
    size = min(map(len, columns.values()))
    frame = pd.DataFrame({name: values[:size] for name, values in columns.items()}, dtype=object)
    frame.to_csv(path, index=False, sep=separator, encoding=encoding)
    return Path(path)


def one(values: list[str], adopt: Adopt, name: str = "c", **options: Any) -> tuple[SimpleNamespace, Any]:
    """Adopt a table with one interesting column; return what is said about it, its contract or its reason."""
    found = adopt(write({name: values}), **options)
    return found, found.columns.get(name) or found.ignored[name]


# --- types of columns


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(["1", "2", "30"], {"type": "integer", "min": 0}, id="integers"),
        pytest.param(["+1", "2", "30"], {"type": "integer", "min": 0}, id="plus signs"),
        pytest.param(["1.0", "2.0", "30.0"], {"type": "integer", "min": 0}, id="whole decimals"),
        pytest.param(["1.5", "-2", ".5", "1e-3"], {"type": "number"}, id="decimals"),
        pytest.param(["1", "", "3"], {"type": "integer", "nullable": True}, id="missing"),
        pytest.param(["1", "unknown", "3"], {"type": "integer", "nullable": True}, id="missing in words"),
        pytest.param(["1.5", "#DIV/0!", "3"], {"type": "number", "nullable": True}, id="errors of a spreadsheet"),
        pytest.param(["1.5", "inf", "-inf", "3"], {"type": "number", "nullable": True}, id="infinities"),
        pytest.param(["0", "1"], {"type": "boolean"}, id="0 and 1"),
        pytest.param(["0.0", "1.0", ""], {"type": "boolean", "nullable": True}, id="0.0 and 1.0"),
        pytest.param(["True", "FALSE", "false"], {"type": "boolean"}, id="true and false"),
        pytest.param(["Yes", "no", "NO"], {"type": "boolean"}, id="yes and no"),
        pytest.param(["y", "N"], {"type": "boolean"}, id="y and n"),
        pytest.param(["t", "f"], {"type": "boolean"}, id="t and f"),
        pytest.param(["On", "off"], {"type": "boolean"}, id="on and off"),
        pytest.param(["yes", ""], {"type": "boolean", "nullable": True}, id="yes or nothing"),
        pytest.param(["F", ""], {"type": "category", "nullable": True, "values": ("F",)}, id="a lone F"),
        pytest.param(["m", "k"], {"type": "category", "values": ("k", "m")}, id="letters"),
        pytest.param(["007", "012", "345"], {"type": "category", "values": ("007", "012", "345")}, id="leading zeros"),
        pytest.param(["07", "12", "34"], {"type": "category", "values": ("07", "12", "34")}, id="a leading zero"),
        pytest.param(["12345678901234567", "2", "3"], {"type": "category"}, id="too long for a float"),
        pytest.param(["2024-01-31", "2023-02-01"], {"type": "datetime"}, id="dates"),
        pytest.param(["2024/1/31", "2023/12/01 10:00"], {"type": "datetime"}, id="dates with slashes"),
        pytest.param(["2024-01", "2023-12"], {"type": "datetime"}, id="months"),
        pytest.param(["2024-01-31T10:20:30Z", "2023-02-01 10:00"], {"type": "datetime"}, id="times"),
        pytest.param(["2024-01-31 10:20:30.123+02:00", ""], {"type": "datetime", "nullable": True}, id="time zones"),
        pytest.param(["2024-13-45", "2024-01-01"], {"type": "category"}, id="no real date"),
        pytest.param(["31/12/2024", "01/02/2023"], {"type": "datetime"}, id="the day first"),
        pytest.param(["3/4/2024", "1/2/2023"], {"type": "category"}, id="the day or the month first"),
        pytest.param(["31/12/2024", "12/31/2023"], {"type": "category"}, id="now the day, now the month first"),
        pytest.param(["31.12.24", "1.2.23"], {"type": "category"}, id="years of two digits"),
        pytest.param(["12%", "13.5 %"], {"type": "number", "min": 0}, id="percent"),
        pytest.param(["12%", "0.13"], {"type": "category"}, id="percent, and shares"),
        pytest.param(["$1,500.5", "-$3"], {"type": "number"}, id="prices"),
        pytest.param(["$1,500.5", "€3"], {"type": "category"}, id="two currencies"),
        pytest.param(["1,500-", "(3)", "\u22124", "5"], {"type": "integer"}, id="negative in other ways"),
        pytest.param(["1", "a", "2"], {"type": "category", "values": ("1", "2", "a")}, id="mixed"),
        pytest.param(["yes", "null", "1.0", "#x", "- a", ": b"], {"type": "category", "nullable": True}, id="yaml"),
    ],
)
def test_type(adopt: Adopt, values: Any, expected: Any) -> None:
    """A column gets the type, range and values that its cells show."""
    _, contract = one(values * (ROWS // len(values)), adopt)
    assert expected == {key: getattr(contract, key) for key in expected}


def test_range_leaves_room(adopt: Adopt) -> None:
    """A range holds twice what was seen, from 0 if nothing is negative."""
    _, contract = one([str(n % 91) for n in range(ROWS)], adopt)
    assert (contract.min, contract.max) == (0, 180)


def test_range_of_heavy_tails(adopt: Adopt) -> None:
    """Where a few values stand far out, larger ones are to be expected."""
    _, contract = one([*["-5", "5", "7"] * 99, "-900"], adopt)
    assert (contract.min, contract.max) == (-9000, 9000)


def test_rare_value_leaves_the_list_open(adopt: Adopt) -> None:
    """A list of values is closed only if no value is so rare that others must be expected."""
    _, contract = one([*["a", "b"] * 149, "a", "c"], adopt)
    assert contract.values is None


def test_many_categories(adopt: Adopt) -> None:
    """Thousands of categories are a category without a list of values."""
    draw = random.Random(0)
    found = adopt(write({"x": column("integer", 9000), "c": [f"k{draw.randint(0, 2500)}" for _ in range(9000)]}))
    assert (found.columns["c"].type, found.columns["c"].values) == ("category", None)


def test_free_text(adopt: Adopt) -> None:
    """Sentences that hardly ever repeat are text."""
    _, contract = one(column("text"), adopt)
    assert contract.type == "text"


def test_chinese_text(adopt: Adopt) -> None:
    """Text without spaces is text too."""
    draw = random.Random(0)
    _, contract = one(["".join(draw.choices("包裹迟到了而且破损请退款谢谢质量很好", k=20)) for _ in range(ROWS)], adopt)
    assert contract.type == "text"


def test_long_group_names_are_categories(adopt: Adopt) -> None:
    """Names of groups stay categories however many words they have."""
    _, contract = one(["married and living with a spouse", "never married so far at all"] * 150, adopt)
    assert contract.type == "category"


# --- columns that are left out


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        pytest.param("c", [""] * ROWS, "empty", id="empty"),
        pytest.param("c", ["?", "NA", "null"] * 100, "empty", id="only spellings of missing"),
        pytest.param("c", ["same"] * ROWS, "constant: 'same'", id="constant"),
        pytest.param("c", ["7"] * ROWS, "constant: '7'", id="constant number"),
        pytest.param("c", [str(n) for n in range(ROWS)], "row number", id="row number"),
        pytest.param("Unnamed: 0", [str(n) for n in range(1, ROWS + 1)], "row number", id="index of pandas"),
        pytest.param("c", [f"A{n * 7919 % 100003:06}" for n in range(ROWS)], "identifier", id="codes"),
        pytest.param("visit", [f"https://example.com/{n}" for n in range(ROWS)], "identifier", id="addresses of pages"),
        pytest.param("c", [f"{'$€'[n % 2]}{n}.5" for n in range(ROWS)], "numbers with several units", id="prices"),
        pytest.param("customer_id", [str(1000 + n // 2) for n in range(ROWS)], "identifier: 150 values", id="repeats"),
    ],
)
def test_left_out(adopt: Adopt, name: Any, values: Any, reason: Any) -> None:
    """A column that cannot help is ignored, with the reason."""
    found, why = one(values, adopt, name)
    assert why.startswith(reason)
    assert name in found.said


def test_index_without_a_name(adopt: Adopt) -> None:
    """The index that pandas writes first is left out, and its name is said."""
    Path("t.csv").write_text(",x,target\n" + "".join(f"{n},{n * 7 % 50},{n * 3 % 2}\n" for n in range(ROWS)))
    found = adopt("t.csv")
    assert found.ignored["column_1"].startswith("row number")
    assert "'' is called `column_1`" in found.said


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "ID",
        "customer_id",
        "PassengerId",
        "customerID",
        "userid",
        "uuid",
        "order key",
        "order number",
        "Kunden-Nr.",
        "Rechnungsnummer",
    ],
)
def test_id(adopt: Adopt, name: Any) -> None:
    """A column named like an identifier, with a value of its own in each row, is the id."""
    found = adopt(write({name: [f"{n * 7919 % 100003}" for n in range(ROWS)]}))
    assert (name, ()) == (found.schema.id, found.identity)
    assert name not in found.columns


def test_best_id(adopt: Adopt) -> None:
    """Of several identifiers `id` itself is taken; the others are ignored."""
    codes = [f"{n * 7919 % 100003}" for n in range(ROWS)]
    found = adopt(write({"order_id": codes, "id": codes, "paid": column("number")}))
    assert (found.schema.id, list(found.ignored)) == ("id", ["order_id"])


def test_shop_numbers_are_names(adopt: Adopt) -> None:
    """Numbers that name few groups are categories, and so are postcodes."""
    found = adopt(write({"shop_id": ["3", "5", "11"] * 100, "zip_code": ["10115", "80331", "20095"] * 100}))
    assert [found.columns[name].type for name in ("shop_id", "zip_code")] == ["category", "category"]


def test_id_that_is_none(refused: Refused) -> None:
    """An id that is not unique is refused with the number of rows that share a value."""
    assert "150 rows share one" in refused(write({"c": ["a", "b"] * 150}), id="c")


def test_id_by_wish(adopt: Adopt) -> None:
    """A person may name the id."""
    assert adopt(write({"c": [f"r{n}" for n in range(ROWS)]}), id="c").schema.id == "c"


# --- people


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("contact", lambda n: f"user{n}@mail.example.org", "e-mail"),
        ("c", lambda n: f"+49 30 {1000000 + n * 7}", "phone"),
        ("c", lambda n: f"({200 + n % 700}) 555-{1000 + n}", "phone"),
        ("c", lambda n: _iban("DE", f"{n * 1234567:018}"), "IBAN"),
        ("c", lambda n: _card(f"4{n * 7654321:014}"), "card"),
        ("c", lambda n: f"10.{n % 256}.{n * 7 % 256}.{n * 13 % 256}", "IP address"),
        ("c", lambda n: f"{100 + n:03}-{n % 90 + 10}-{n + 1000}", "national number"),
        ("wer", lambda n: f"{['Anna', 'Peter', 'Maria', 'Ida'][n % 4]} {'BCDF'[n % 4]}aller{chr(97 + n % 20)}", "name"),
        ("Name", lambda n: f"Braund{chr(97 + n % 10)}, Mr. {['Owen', 'Karl', 'Lam'][n % 3]} {n // 30 * 'x'}", "name"),
        ("lastName", lambda n: f"Hart{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}", "name"),
        ("c", lambda n: f"{n + 1} {['Oak', 'Main', 'Hill'][n % 3]} Street, Springfield", "street"),
        ("c", lambda n: f"{['Linden', 'Birken', 'Dorf'][n % 3]}straße {n + 1}", "street"),
        ("phone", lambda n: str(4930_1000000 + n * 7), "phone"),
    ],
)  # fmt: skip
def test_personal_data(adopt: Adopt, name: Any, make: Any, what: Any) -> None:
    """Personal data is told by its name or its form, left out, and said with how to use it."""
    found, why = one([make(n) for n in range(ROWS)], adopt, name)
    assert what in why
    assert "move it to columns" in why
    assert f"`{name}`: looks like" in found.said


@pytest.mark.parametrize(
    ("number", "holds"), [("4111 1111 1111 1111", True), ("378282246310005", True), ("4111 1111 1111 1112", False)]
)
def test_check_digit_of_cards(number: Any, holds: Any) -> None:
    """Numbers that card companies publish for tests pass, others do not."""
    assert personal._luhn(number) == holds


def _iban(country: str, account: str) -> str:
    rest = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(rest) % 97:02}{account}"


def _card(start: str) -> str:
    return next(f"{start}{d}" for d in range(10) if personal._luhn(f"{start}{d}"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("phone_service", ["yes", "no"] * 150),
        ("email_domain", [f"{n % 40}.example" for n in range(ROWS)]),
        ("phone_minutes", [str(n * 37 % 500) for n in range(ROWS)]),
        ("car name", [f"{('chevrolet', 'ford', 'audi')[n % 3]} model {n % 70}" for n in range(ROWS)]),
        ("city", [("New York", "San Francisco", "Los Angeles")[n % 3] for n in range(ROWS)]),
        ("weight", [f"{n * 7919 % 1000 / 7:.2f}" for n in range(ROWS)]),
        ("day", [str(date(2020, 1, 1) + timedelta(n)) for n in range(ROWS)]),
        ("time of day", [f"{n % 24:02}:{n * 7 % 60:02}:00" for n in range(ROWS)]),
    ],
)
def test_not_personal(adopt: Adopt, name: Any, values: Any) -> None:
    """What only sounds like personal data is kept."""
    assert name in adopt(write({name: values})).columns


@pytest.mark.parametrize(
    "name", ["sex", "Gender", "RACE", "applicant_ethnicity", "Religion", "Geschlecht", "性别", "sexo"]
)
def test_sensitive_by_name(adopt: Adopt, name: Any) -> None:
    """Groups that the law protects are measured, said, and not learned from."""
    found = adopt(write({name: ["a", "b"] * 150}))
    assert ((name,), False) == (found.sensitive, found.columns[name].feature)
    assert name in found.slices
    assert f"`{name}`: sensitive" in found.said


def test_sensitive_by_values(adopt: Adopt) -> None:
    """Sexes are sensitive under any name."""
    assert adopt(write({"c": ["Male", "Female", "Female"] * 100})).sensitive == ("c",)


def test_sensitive_codes_are_groups(adopt: Adopt) -> None:
    """Coded groups are groups, not numbers; something measured that only sounds like one is neither."""
    found = adopt(write({"race": ["1", "2", "3"] * 100, "race_time": column("number")}))
    assert found.sensitive == ("race",)
    assert (found.columns["race"].type, found.columns["race_time"].type) == ("category", "number")


def test_proxies_are_said(adopt: Adopt) -> None:
    """What may stand in for a protected group is kept and said."""
    found = adopt(write({"marital_status": ["a", "b"] * 150}))
    assert "`marital_status`: may stand in" in found.said


def test_contacts_in_text(adopt: Adopt) -> None:
    """E-mail addresses inside texts are said."""
    texts = [f"{text} write to me{n}@example.org" if n % 5 == 0 else text for n, text in enumerate(column("text"))]
    found, contract = one(texts, adopt)
    assert contract.type == "text"
    assert "20% of the texts hold an e-mail" in found.said


# --- spellings of tables


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_spellings_of_a_table(adopt: Adopt, encoding: Any, separator: Any) -> None:
    """Any separator and encoding gives the same schema, and the table is copied byte for byte."""
    path = write(
        {"größe, cm": column("number"), "Straße": ["Weiß; groß", "Grün | klein"] * 150}, "t.tsv", separator, encoding
    )
    found = adopt(path)
    assert Path("data/raw.csv").read_bytes() == path.read_bytes()
    assert {name: contract.type for name, contract in found.columns.items()} == {
        "x": "integer",
        "größe, cm": "number",
        "Straße": "category",
        "target": "category",
    }


@pytest.mark.parametrize(
    ("decimal", "thousands", "make"),
    [
        (",", "", lambda n: f"{n / 8:.3f}".replace(".", ",")),
        (",", ".", lambda n: f"{n * 1000 / 7:,.2f}".translate(str.maketrans(",.", ".,"))),
        (".", ",", lambda n: f"{n * 1000 / 7:,.2f}"),
        (".", "'", lambda n: f"{n * 1000 / 7:,.2f}".replace(",", "'")),
        (",", " ", lambda n: f"{n * 1000 / 7:,.2f}".translate(str.maketrans(",.", "\u00a0,"))),
    ],
)
def test_marks_of_numbers(adopt: Adopt, decimal: Any, thousands: Any, make: Any) -> None:
    """Decimal commas and marks between thousands are found, and say what the numbers are."""
    found, contract = one([make(n) for n in range(ROWS)], adopt, target="target")
    assert (decimal, thousands, "number") == (found.reading.decimal, found.reading.thousands, contract.type)
    assert contract.max > 60


def test_decimal_comma_with_a_word_for_missing(adopt: Adopt) -> None:
    """One cell that says there is no value does not hide the decimal commas."""
    _, contract = one([*[f"{n},5" for n in range(ROWS - 1)], "k.A."], adopt)
    assert (contract.type, contract.nullable) == ("number", True)


def test_lists_are_no_numbers(adopt: Adopt) -> None:
    """Lists of numbers in a cell are not read as one large number."""
    _, contract = one(["1,2,3", "4,5", "6"] * 100, adopt)
    assert contract.type == "category"


NAMES = [
    "with space", "a.b", "a,b", "a;b", "a:b", "[x]", "{y}", "(z)", "<b>", "50%", "a/b", "a\\b", 'say "hi"',
    "it's", "$PATH", "`tick`", "#x", "- a", ": b", "? q", "! t", "& r", "* s", "@at", "yes", "no", "null",
    "~", "true", "1.0", "007", "1e3", "2024-01-31", "0x1F", "1_000", "select", "class", "def", "None", "row",
    "target2", "😀", "größe", "列名", "имя поля", "العمر", "a\tb", "line\nbreak", "x" * 300, "__proto__",
    "${HOME}", "{{ jinja }}", "=1+1", "<<", "=", "min", "type",
]  # fmt: skip


def test_names_of_columns(adopt: Adopt) -> None:
    """Any name works for a column, and reads back from schema.yaml as it was."""
    draw = random.Random(0)
    found = adopt(write({name: [str(draw.randint(0, 99)) for _ in range(ROWS)] for name in NAMES}))
    assert list(found.columns) == ["x", *("row_2" if name == "row" else name for name in NAMES), "target"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "row"])
def test_names_of_targets_and_classes(adopt: Adopt, name: Any) -> None:
    """Any name works for a target and for its classes, with the groups and ignored columns beside it."""
    frame = {name: [f"{name} a", f"{name} b"] * 150, "empty": [""] * ROWS, f"sex {name}": ["m", "f", "f"] * 100}
    path = Path("t.csv")
    pd.DataFrame({"x": column("integer"), **frame}).to_csv(path, index=False)
    found = adopt(path, name)
    assert (found.task, len(found.schema.classes)) == ("binary", 2)


def test_names_that_are_empty_or_repeated(adopt: Adopt) -> None:
    """Empty and repeated names get others, and that is said."""
    rows = "".join(f"{n * 7 % 90},{n * 11 % 80},{n * 13 % 70},{n * 3 % 2}\n" for n in range(ROWS))
    Path("t.csv").write_text("a,,a,target\n" + rows)
    found = adopt("t.csv")
    assert {"a", "column_2", "a_2", "target"} == set(found.columns)
    assert "'a' is called `a_2`" in found.said


def test_header_that_is_a_row(adopt: Adopt) -> None:
    """A first line of values is said: the header is missing."""
    Path("t.csv").write_text("5.1,3.5,1\n" + "".join(f"{n * 7 % 9}.5,{n * 3 % 4}.5,{n % 2}\n" for n in range(ROWS)))
    assert "looks like values" in adopt("t.csv", "1").said


def test_class_spelt_like_missing(refused: Refused) -> None:
    """A class that is spelt like a missing value is said to be taken for one."""
    assert "missing is also spelt 'None'" in refused(write({}, target=["None", "yes"] * 150))


def test_parquet(adopt: Adopt) -> None:
    """A Parquet file keeps its types; text files' spelling is not written."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "i": draw.integers(0, 90, ROWS),
            "f": draw.normal(size=ROWS),
            "b": draw.random(ROWS) > 0.5,
            "bn": [True, None, False] * 100,
            "c": pd.Categorical(["a", "b", "c"] * 100),
            "s": ["x", "y", None] * 100,
            "question": ["?", "y", "z"] * 100,
            "d": [date(2024, 1, 1 + n % 28) for n in range(ROWS)],
            "t": pd.date_range("2024-01-01", periods=ROWS, freq="h", tz="Europe/Berlin"),
            "dec": [Decimal(n) / 8 for n in range(ROWS)],
            "i8": draw.integers(0, 90, ROWS).astype("int8"),
            "inull": pd.array([1, None, 3] * 100, dtype="Int64"),
            "long": 2**60 + draw.integers(0, 90, ROWS),
            "list": [[1, 2]] * ROWS,
            "bytes": [b"ab"] * ROWS,
            "span": pd.to_timedelta(draw.integers(0, 90, ROWS), unit="s"),
            "target": draw.random(ROWS) > 0.7,
        }
    )
    frame.to_parquet("t.parquet")
    found = adopt("t.parquet")
    assert Path("data/raw.parquet").read_bytes() == Path("t.parquet").read_bytes()
    assert "reading" not in Path("schema.yaml").read_text()
    assert dict(
        i="integer", f="number", b="boolean", bn="boolean", c="category", s="category", question="category",
        d="datetime", t="datetime", dec="number", i8="integer", inull="integer", long="category", target="category",
    ) == {name: contract.type for name, contract in found.columns.items()}  # fmt: skip
    assert {"list", "bytes", "span"} == set(found.ignored)
    assert {"bn", "s", "inull"} == {name for name, contract in found.columns.items() if contract.nullable}
    assert (*found.schema.classes, found.positive) == ("False", "True", "True")


# --- targets


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        pytest.param(["yes", "no"], "binary", "yes", id="yes and no"),
        pytest.param(["TRUE", "FALSE"], "binary", "TRUE", id="true and false"),
        pytest.param(["0", "1"], "binary", "1", id="0 and 1"),
        pytest.param(["0.0", "1.0"], "binary", "1.0", id="0.0 and 1.0"),
        pytest.param(["1", "2", "2"], "binary", "1", id="1 and 2: the rarer"),
        pytest.param(["good", "bad", "good"], "binary", "bad", id="the rarer"),
        pytest.param(["negative", "positive", "positive"], "binary", "positive", id="positive"),
        pytest.param(["-1.5", "2.5"], "binary", "-1.5", id="two numbers"),
        pytest.param(["a", "b", "c"], "multiclass", None, id="texts"),
        pytest.param(["1", "2", "3"], "multiclass", None, id="few whole numbers"),
        pytest.param([str(n) for n in range(7)], "multiclass", None, id="seven in turn"),
        pytest.param([str(n) for n in range(0, 40, 3)], "regression", None, id="not in turn"),
        pytest.param([str(n) for n in range(60)], "regression", None, id="many whole numbers"),
        pytest.param(["1.5", "2.25", "3"], "regression", None, id="decimals"),
    ],
)
def test_task(adopt: Adopt, values: Any, task: Any, positive: Any) -> None:
    """The values of the target say what kind of prediction is asked for, and which class is looked for."""
    found = adopt(write({}, target=(values * ROWS)[:ROWS]))
    assert (task, positive) == (found.task, found.positive)


def test_counts_are_amounts(adopt: Adopt) -> None:
    """Few whole numbers under the name of an amount are not classes; and how to make them classes is told."""
    found = adopt(write({"rings": [str(n % 4) for n in range(ROWS)]}), "rings")
    assert found.task == "regression"
    assert "`--task multiclass`" in found.said


@pytest.mark.parametrize(
    ("values", "task"), [(["1", "2", "3"], "regression"), ([str(n) for n in range(15)], "multiclass")]
)
def test_task_by_wish(adopt: Adopt, values: Any, task: Any) -> None:
    """A person may say which kind of prediction is meant."""
    assert task == adopt(write({}, target=(values * ROWS)[:ROWS]), task=task).task


def test_target_partly_missing(adopt: Adopt) -> None:
    """Rows without a target are counted and said."""
    found = adopt(write({}, target=["yes", "no", "?"] * 100))
    assert found.columns["target"].nullable
    assert "missing in 100 rows" in found.said


def test_rare_classes(adopt: Adopt) -> None:
    """Classes of fewer than ten rows are left out, with the reason."""
    found = adopt(write({}, target=[*["a", "b", "c"] * 97, *["rare"] * 9]))
    assert found.ignored_classes == {"rare": "9 rows: too few to learn"}
    assert (found.schema.classes, found.task) == (("a", "b", "c"), "multiclass")
    assert "'rare' 9" in found.said


def test_rare_third_class_leaves_a_binary_task(adopt: Adopt) -> None:
    """With two classes left, the task is binary."""
    assert adopt(write({}, target=[*["a", "b"] * 149, "odd", "odd"])).task == "binary"


# --- leaks and other suspicions


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda y, n: f"code {y}", id="copy under other names"),
        pytest.param(lambda y, n: f"{y}{n % 40}", id="code of many values"),
        pytest.param(lambda y, n: str((y == "yes") + n % 100 / 200), id="score"),
        pytest.param(lambda y, n: "2024-01-05" if y == "yes" else "", id="only there if yes"),
    ],
)
def test_leak_of_a_class(adopt: Adopt, leak: Any) -> None:
    """A column that alone gives the class away is said first, and kept."""
    rows = 2000
    target = column("yes", rows)
    values = [leak(y, n) for n, y in enumerate(target)]
    found = adopt(write({"x": column("integer", rows), "leak": values, "c": column("group", rows)}, target=target))
    assert "LEAK? `leak`" in found.said.split("noticed")[1].splitlines()[1]
    assert found.said.count("LEAK?") == 1
    assert found.columns["leak"].feature


@pytest.mark.parametrize("leak", [lambda y: f"{y * 1.19:.2f}", lambda y: f"{-(y**3):.4f}"])
def test_leak_of_a_number(adopt: Adopt, leak: Any) -> None:
    """A column that rises or falls with the target gives it away."""
    target = [round(random.Random(n).lognormvariate(3, 2), 3) for n in range(1000)]
    found = adopt(write({"x": column("number", 1000), "leak": list(map(leak, target))}, target=list(map(str, target))))
    assert "LEAK? `leak`" in found.said


def test_no_leak(adopt: Adopt) -> None:
    """A good feature, and one with a value of its own in most rows, are no leaks."""
    rows = 2000
    target = column("yes", rows)
    draw = random.Random(1)
    good = [f"{draw.gauss(2 * (y == 'yes'), 1):.4f}" for y in target]
    many = [f"k{draw.randint(0, 1500)}" for _ in target]
    assert "LEAK" not in adopt(write({"x": column("integer", rows), "good": good, "many": many}, target=target)).said


def test_almost_no_leak() -> None:
    """A column that is right in nine rows of ten is a good feature; one that is always right is a leak."""
    draw = np.random.default_rng(0)
    target = draw.integers(0, 2, 5000)
    good = np.where(draw.random(5000) < 0.9, target, 1 - target)
    assert 0.7 < given_away(good, target) < GIVEN_AWAY < given_away(target, target)


def test_leak_of_a_rare_class() -> None:
    """A rare class that a threshold gives away is found."""
    score = np.random.default_rng(0).random(20_000)
    target = (score > 0.995).astype(int)
    assert given_away(score, target) > GIVEN_AWAY


def test_duplicates(adopt: Adopt) -> None:
    """Rows that are equal to an earlier one are counted."""
    columns = {"x": [str(n % 250) for n in range(ROWS)], "c": column("group", 250) + column("group", 250)[:50]}
    target = column("yes", 250)
    assert "equal to an earlier row in what is used: 50 rows" in adopt(write(columns, target=target + target[:50])).said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param(["Male ", "male", "other"], "several spellings", id="case"),
        pytest.param(["12%", "13%", "0.2"], "several units, such as '12%', '13%' (row 1)", id="percent"),
        pytest.param(["12 kg", *map("{} kg".format, range(30))], "numbers with a unit, such as '12 kg'", id="weights"),
        pytest.param(["3/4/2024", "01/02/2023", "03/04/2022"], "does the day come first, or the month?", id="dates"),
        pytest.param(["31.12.24", "1.2.23"], "that are not read, such as '31.12.24', '1.2.23' (row 1)", id="years"),
        pytest.param([*["2024-01-31", "2024-02-01"] * 10, "soon"], "dates but for 'soon' (row 21)", id="almost dates"),
        pytest.param([*map(str, range(99)), "n/k"], "numbers but for 'n/k' (row 100)", id="almost numbers"),
        pytest.param([str(1717171700123 + n) for n in range(99)], "looks like milliseconds since 1970", id="epoch"),
        pytest.param(["\\N", "1", "2", "3"], "missing  '\\N' in 75 rows", id="missing"),
        pytest.param([*map(str, range(40)), "-999"], "may stand for missing", id="sentinel"),
        pytest.param(["2024-01-31", "2023-02-01"], "--time c", id="a date that could split"),
    ],
)
def test_oddities_are_said(adopt: Adopt, values: Any, said: Any) -> None:
    """What looks like a mistake in the table is said."""
    found, _ = one((values * ROWS)[:ROWS], adopt)
    assert said in found.said


def test_repeating_identifier_is_said(adopt: Adopt) -> None:
    """Rows that belong together may fall on both sides of the split: said."""
    found = adopt(write({"customer_id": [str(1000 + n // 2) for n in range(ROWS)]}))
    assert "GROUPS? the rows of one `customer_id` (150 values)" in found.said


# --- time and slices


def test_time(adopt: Adopt) -> None:
    """A column of dates may say which rows are the latest."""
    dates = [str(date(2020, 1, 1) + timedelta(n)) for n in range(ROWS)]
    assert adopt(write({"c": dates}), time="c").time == "c"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a", "b"], "not dates"),
        (["2024-01-31", ""], "missing in 150 rows"),
        (["31.12.24", "01.01.24"], "not dates"),
    ],
)
def test_time_that_is_none(refused: Refused, values: Any, said: Any) -> None:
    """A time that is no date, or missing somewhere, is refused."""
    assert said in refused(write({"c": values * 150}), time="c")


def test_slices(adopt: Adopt) -> None:
    """Groups of enough rows are measured, the sensitive ones first, then at most five."""
    groups = {f"g{n}": column("group") for n in range(8)}
    found = adopt(write({"many": [str(n % 30) + "k" for n in range(ROWS)], **groups, "sex": ["m", "f"] * 150}))
    assert found.slices == ("sex", "g0", "g1", "g2", "g3", "g4")


# --- files that are refused


def _bytes(content: bytes) -> Path:
    path = Path("bad")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"x,target\n", "no rows", id="header only"),
        pytest.param(b"PK\x03\x04rest", "export it as CSV", id="Excel"),
        pytest.param(b"\xd0\xcf\x11\xe0rest", "export it as CSV", id="old Excel"),
        pytest.param(b"\x1f\x8brest", "damaged or cut off", id="gzip"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "is a picture", id="picture"),
        pytest.param(b"PAR1 and then nothing", "damaged Parquet", id="truncated Parquet"),
        pytest.param(b"x,target\n1,2\n3\n" * 20, "cells", id="ragged"),
        pytest.param(b"\n\n\n", "", id="blank lines"),
        pytest.param(b'{"x": 1}\n{"x": 2}\n', "no such column", id="JSON lines"),
    ],
)
def test_file_that_is_no_table(refused: Refused, content: Any, said: Any) -> None:
    """A file that is no table is refused with the cause and the remedy."""
    assert said in refused(_bytes(content))


def test_path_that_is_no_file(refused: Refused) -> None:
    """A missing path and a folder are refused."""
    Path("folder").mkdir()
    assert "does not exist" in refused("nowhere.csv")
    assert "folder" in refused("folder")


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        pytest.param({"target": ["?"] * ROWS}, {}, "missing in every row", id="target all missing"),
        pytest.param({"target": ["yes"] * ROWS}, {}, "nothing to tell apart", id="one class"),
        pytest.param(
            {"target": ["yes"] * 295 + ["no"] * 5}, {}, "needs two classes", id="one class but for a few rows"
        ),
        pytest.param({"target": [*["yes", "no"] * 9, *[""] * 282]}, {}, "only 18 rows with a target", id="few labels"),
        pytest.param(
            {"target": [f"c{n}" for n in range(ROWS)]}, {}, "an identifier or free text", id="target is an id"
        ),
        pytest.param({"target": column("text")}, {}, "an identifier or free text", id="target is text"),
        pytest.param({"target": ["2024-01-31", "2024-02-01"] * 150}, {}, "is a date", id="target is a date"),
        pytest.param({"target": ["Yes", "yes", "no"] * 100}, {}, "make them equal", id="target in two spellings"),
        pytest.param(
            {"target": [*[f"{n}.5" for n in range(295)], *["n/k"] * 5]}, {}, "but for 'n/k'", id="target almost numbers"
        ),
        pytest.param({"target": ["a", "b"] * 150}, {"task": "regression"}, "not numbers", id="regression of texts"),
        pytest.param({"target": ["a", "b", "c"] * 100}, {"task": "binary"}, "use multiclass", id="binary of three"),
        pytest.param({"x": ["1"] * ROWS}, {}, "no usable column", id="no usable column"),
        pytest.param({"x": ["1", "2"] * 9}, {}, "at least 20", id="few rows"),
        pytest.param(
            {"Target": ["a", "b"] * 150, "target": ["c", "d"] * 150},
            {"target": "targt"},
            "did you mean 'target'",
            id="typo",
        ),
        pytest.param({}, {"target": "price"}, "the columns are 'x', 'target'", id="no such column"),
        pytest.param({}, {"time": "when"}, "--time 'when'", id="no such time"),
        pytest.param({}, {"id": "target"}, "cannot be the target", id="target as id"),
    ],
)
def test_table_that_cannot_work(refused: Refused, columns: Any, options: Any, said: Any) -> None:
    """What cannot be learned is refused with one line that says why."""
    options = dict(options)
    target = options.pop("target", "target")
    assert said in refused(write(columns), target, **options)


# --- putting things in place


def test_in_place(adopt: Adopt) -> None:
    """A table that is in place already stays there."""
    Path("data").mkdir()
    path = write({}, "data/raw.csv")
    before = path.stat()
    adopt(path)
    assert (before.st_ino, before.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


def test_other_table_is_removed(adopt: Adopt) -> None:
    """A Parquet table replaces a CSV table, and the other way round."""
    adopt(write({}))
    pd.DataFrame({"x": range(100), "y": [3, 1] * 50, "target": ["a", "b"] * 50}).to_parquet("t.parquet")
    adopt("t.parquet")
    assert not Path("data/raw.csv").exists()
    adopt("table.csv")
    assert not Path("data/raw.parquet").exists()


def test_edits_are_kept(adopt: Adopt) -> None:
    """A schema.yaml that a person edited is kept beside the new one; one that is the same is not."""
    adopt(write({}))
    adopt("table.csv")
    assert not Path("schema.yaml.bak").exists()
    Path("schema.yaml").write_text(Path("schema.yaml").read_text().replace("max: 180", "max: 99"))
    with pytest.raises(UserError, match=r"-  x: \{type: integer, min: 0, max: 99\}"):
        adopt("table.csv")
    found = adopt("table.csv", force=True)
    assert "max: 99" in Path("schema.yaml.bak").read_text()
    assert "schema.yaml.bak" in found.said


def test_refusal_changes_nothing(adopt: Adopt, refused: Refused) -> None:
    """After a refusal the table and the schema of before are there."""
    adopt(write({}))
    write({"target": ["same"] * ROWS}, "bad.csv")
    refused("bad.csv")


def test_damage_while_copying_changes_nothing(adopt: Adopt, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full while copying, the schema of before is there."""
    adopt(write({}))
    before = Path("schema.yaml").read_bytes()
    write({"more": column("number")}, "new.csv")
    monkeypatch.setattr("shutil.copyfile", _full)
    with pytest.raises(OSError, match="full"):
        adopt("new.csv")
    assert before == Path("schema.yaml").read_bytes()
    assert {"raw.csv"} == {path.name for path in Path("data").iterdir()}


def _full(*_: object) -> None:
    raise OSError("disk full")


def test_schema_that_does_not_read_back_changes_nothing(adopt: Adopt, monkeypatch: Any) -> None:
    """Should the text of a schema not be readable, nothing is put in place."""
    monkeypatch.setattr(command, "schema_text", lambda schema: "table: [")
    with pytest.raises(UserError, match="not valid YAML"):
        adopt(write({}))
    assert [path.name for path in Path().iterdir() if path.is_file()] == ["table.csv"]


def test_same_bytes(adopt: Adopt) -> None:
    """The same table gives the same schema.yaml, byte for byte."""
    path = write({"c": column("group"), "t": column("text")})
    adopt(path)
    first = Path("schema.yaml").read_bytes()
    Path("schema.yaml").unlink()
    adopt(path)
    assert first == Path("schema.yaml").read_bytes()


def test_hand_edited_schema_is_read(adopt: Adopt) -> None:
    """Comments, other quotes and another order of keys survive reading."""
    adopt(write({"c": column("group")}))
    text = Path("schema.yaml").read_text()
    edited = text.replace(
        "{type: category, values: [blue, green, red]}",
        "\n    values: ['red', \"blue\", green]  # mine\n    type: category",
    )
    assert edited != text
    Path("schema.yaml").write_text(edited)
    assert contract.load().columns["c"].values == ("red", "blue", "green")


@pytest.mark.parametrize(
    "value",
    [*NAMES, "", " ", "\ufeff", "\x85", "\u2028", "a: b", "a #b", "- ", "on", "Off", "y", "1:30", ".5", "+1", "\x00x"],
)
def test_scalar_survives_yaml(value: Any) -> None:
    """Any text reads back from schema.yaml, as a key, a value and in a list."""
    text = schema_file.scalar(value)
    assert "\n" not in text
    assert {value: [value, value]} == yaml.safe_load(f"{text}: [{text}, {text}]")


@pytest.mark.parametrize("value", ["0o17", "1e3", "1_000", "12:30:45", "2024-01-31", "y", "on"])
def test_scalar_is_plain_text_to_every_reader(value: Any) -> None:
    """What YAML 1.1 or 1.2 may take for a number, a date or a boolean is in quotes."""
    assert schema_file.scalar(value) == f'"{value}"'


def test_lines_are_short(adopt: Adopt) -> None:
    """schema.yaml is for people: no line is longer than a screen, but for long names and reasons."""
    adopt(write({"c": [f"a group with a rather long name number {n % 45:02}" for n in range(ROWS)]}))
    assert max(map(len, Path("schema.yaml").read_text().splitlines())) <= 120
