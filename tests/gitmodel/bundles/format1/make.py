"""Make one fixture of format 1: a bundle, rows to ask it, and what it answers.

Usage, with PYTHONPATH=PROJECT/src and the packages of its requirements.txt: `python make.py PROJECT NAME OUT`.
PROJECT is a project generated at commit f712740, NAME binary, multiclass or regression, OUT the folder to write.
"""

import csv
import json
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

Table = dict[str, list[str]]  # column -> cells, as people write them
QUICK = {
    "max_iter: 100": "max_iter: 10",
    "learning_rate: 0.1": "learning_rate: 0.4",
    "importance_repeats: 3": "importance_repeats: 1",
}
ROWS, ASKED = 320, 24
WORDS = [
    "quick",
    "slow",
    "delivery",
    "broken",
    "box",
    "Straße",
    "größer",
    "東京",
    "very",
    "naïve",
    "café",
    "again",
    "£5",
    "don't",
    "2nd",
    "🙂",
    "refund",
]


def cells(values: np.ndarray, form: str = "{}", missing: np.ndarray | None = None, spelt: str = "") -> list[str]:
    """Return values as text, `spelt` where `missing`."""
    texts = [form.format(value) for value in values.tolist()]
    return texts if missing is None else [spelt if gone else text for text, gone in zip(texts, missing, strict=True)]


def decimal_commas(texts: list[str]) -> list[str]:
    """Return numbers as text, as most of Europe writes them."""
    return [text.replace(".", ",") for text in texts]


def binary(random: np.random.Generator, size: int) -> Table:
    """Return a table of every type of column, whose target is yes or no."""
    amount, age = random.lognormal(3, 1, size), random.integers(18, 90, size)
    plan, member = random.choice(["free", "basic", "pro"], size), random.random(size) < 0.4
    since = np.datetime64("2019-01-01T00:00") + random.integers(0, 2_000_000, size)
    notes = [" ".join(random.choice(WORDS, random.integers(3, 9))) for _ in range(size)]
    region, city = random.choice(["north", "south", "west"], size), random.integers(1, 80, size) ** 2 // 80
    refund = np.array(["refund" in note for note in notes])
    score = np.log(amount) - 0.03 * age + 2 * (plan == "pro") + member + refund + (region == "north") + (city < 9)
    return {
        "amount": cells(amount, "{:.2f}", random.random(size) < 0.15, "unknown"),
        "age": cells(age),
        "member": cells(np.where(member, "True", "False"), missing=random.random(size) < 0.1, spelt="NA"),
        "plan": cells(plan, missing=random.random(size) < 0.1, spelt="?"),
        "city": cells(city, "city {}"),
        "since": cells(since, "{:%Y-%m-%d %H:%M}", random.random(size) < 0.05),
        "note": cells(np.array(notes, dtype=object), missing=random.random(size) < 0.1),
        "sex": cells(random.choice(["female", "male"], size)),
        "region": cells(region, missing=random.random(size) < 0.05),
        "bought": cells(np.where(score + random.logistic(0, 0.3, size) > 3.4, "yes", "no")),
    }


def multiclass(random: np.random.Generator, size: int) -> Table:
    """Return a table of odd names and many categories, with decimal commas; its target has a rare fourth class."""
    width, weight = random.normal(50, 20, size), random.gamma(2, 300, size)
    kind = random.integers(0, 90, size) ** 2 // 90
    score = 0.03 * width + 0.002 * weight + (kind % 3)
    label = np.where(score < 2.9, "klein: 1", np.where(score < 4.4, "mittel", "groß"))
    label[random.random(size) < 0.01] = "?!"
    return {
        "order id": cells(random.permutation(9 * size)[:size], "O-{:05d}"),
        'Größe in "cm"': decimal_commas(cells(width, "{:.1f}", random.random(size) < 0.1)),
        "it's, well: #weight": decimal_commas(cells(weight, "{:.3f}")),
        "on": cells(random.choice(["y", "n"], size)),
        "Art {des} [Teils]": cells(kind, "Teil {:03d}", random.random(size) < 0.05, "null"),
        "Jahr.Monat": cells(np.datetime64("2001-01") + random.integers(0, 240, size), "{:%Y-%m}"),
        "код": cells(random.choice(["007", "0815", "1e3", "yes: no"], size)),
        "Klasse ü": cells(label),
    }


def regression(random: np.random.Generator, size: int) -> Table:
    """Return a table of prices in millions, with thousands commas, tested on its latest rows."""
    area, rooms = random.lognormal(7, 0.6, size), random.integers(1, 9, size)
    sold, zone = np.datetime64("2015-01-01") + random.integers(0, 3_000, size), random.choice(list("ABCDE"), size)
    days = (sold - np.datetime64("2015-01-01")).astype(int)
    price = 2e6 + 900 * area + 1e5 * rooms + 150 * days + 3e5 * (zone == "C")
    return {
        "area": cells(area, "{:,.1f}", random.random(size) < 0.1, "n/a"),
        "rooms": cells(rooms),
        "sold": cells(sold),
        "zone": cells(zone, missing=random.random(size) < 0.08, spelt="-"),
        "country": ["here"] * size,
        "price": cells(price + random.normal(0, 2e5, size), "{:,.2f}"),
    }


KINDS = {  # the table, its target, how its cells are separated, its column of time
    "binary": (binary, "bought", ",", None),
    "multiclass": (multiclass, "Klasse ü", ";", None),
    "regression": (regression, "price", "\t", "sold"),
}
HARD = {  # rows that a table seldom holds, cells between bars: never seen, missing, beyond all range, otherwise spelt
    "binary": (
        "|18|||||||",
        "1e39|0|yes|enterprise|Ürgüp|1969-12-31T23:59:59.5Z|Refund, REFUND 東京!|other|east",
        "-1e300|180|0|free|city 1|2024-02-29T12:00+05:30|_a_b 1.5 İ ẞ|male|north",
        '0|1e9|TRUE|pro|a "b", c|2262-01-01|two\nlines|female|South',
        "-0.0|44.0|f|NULL|city 0|1677-09-22 01:02:03.000001|...|None|west",
        "3.4028236e38|33|t|basic|city 77|1970-01-01|.|male|--",
    ),
    "multiclass": (
        "x||0|0||2001-01|007",
        "O-00001|1e39|-1|TRUE|Teil 999|1900-12|7",
        "ü|-1,5e-42|1234567,891|F|teil 000|2099-07-15T08:00|<missing>",
        "7|0,1|,5|yes| Teil 001 |2010-02|a;b",
        '"q"|50|+600,000|n|NaN|2020-11|1000.0',
        "O-2|49,99|1e3|1|Teil 004|2005-06|yes: no",
    ),
    "regression": (
        "|1|2015-01-01||here",
        "9,999,999.9|0|1950-06-30|Z|here",
        "-1e30|1e30|2099-12-31T23:59|a|there",
        "1,000|4.0|2023-03-19|C|here",
        "0|-3|2019-02-28 06:00Z|A |here",
        "1096.6|8|2016-02-29|?|",
    ),
}


def write(table: Table, path: Path, separator: str) -> None:
    """Write a table as text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerows([list(table), *zip(*table.values(), strict=True)])


def main(project: Path, name: str, out: Path) -> None:
    """Train the project on the table of that name, and write what its bundle answers."""
    make, target, separator, time = KINDS[name]
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(project)
    (package,) = (path.name for path in Path("src").iterdir() if (path / "train.py").exists())
    adopt, files, tables = (import_module(f"{package}.ops.{module}") for module in ("adopt", "bundle", "table"))
    params = Path("params.yaml").read_text(encoding="utf-8")
    for old, new in QUICK.items():
        params = params.replace(old, new)
    Path("params.yaml").write_text(params, encoding="utf-8")
    write(make(np.random.default_rng(0), ROWS), Path("table.csv"), separator)
    adopt.adopt(Path("table.csv"), target, time=time)
    for stage in ("prepare", "train", "evaluate", "package"):
        import_module(f"{package}.{stage}").main()

    shutil.copytree("models/bundle", out / "bundle", dirs_exist_ok=True)
    asked = make(np.random.default_rng(1), ASKED)
    del asked[target]
    for column, hard in zip(asked, zip(*(row.split("|") for row in HARD[name]), strict=True), strict=True):
        asked[column] += hard
    write(asked, out / "rows.csv", separator)
    bundle = files.Bundle.load(out / "bundle")
    _, rows, _ = tables.judge(tables.read_cells(out / "rows.csv", bundle.schema.reading), bundle.schema)
    predictions = bundle.predict(rows)
    expected = {
        "digest": files.digest(out / "bundle"),
        "classes": list(bundle.classes),
        "labels": bundle.labels(predictions).tolist() if bundle.classes else None,
        "predictions": predictions.tolist(),
    }
    (out / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).resolve())
