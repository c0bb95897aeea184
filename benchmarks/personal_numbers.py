"""Personal numbers told by their values alone: `model adopt` beside python-stdnum, asked for all of these kinds.

Run `python benchmarks/personal_numbers.py` with the library and python-stdnum on the path. For each kind of number, a
column of 200 valid ones is drawn (by trying random digits with a birthday in them, as numbers of people have it), and
for each kind of ordinary number a column of 200 of those. Of python-stdnum alone, a column counts as told if 80 % of
its values are valid; `model adopt` asks for 95 % of 50 values or more, where they are digits alone.
"""

import random
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}/vendor"))
SIZE, MOST = 200, 0.8
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# d: a digit, L: a letter, y m t: two digits each of a year, a month and a day
KINDS = {
    "us.ssn": "ddd-dd-dddd",
    "gb.nhs": "4ddddddddd",  # as they are issued
    "br.cpf": "ddddddddddd",
    "es.dni": "ddddddddL",
    "de.idnr": "ddddddddddd",
    "fr.nir": "1ym75ddddddd d".replace(" ", ""),
    "nl.bsn": "ddddddddd",
    "be.nn": "ymtddddd",
    "pl.pesel": "ymtddddd",
    "se.personnummer": "ymt-dddd",
    "dk.cpr": "tmydddd",
    "fi.hetu": "tmy-dddL",
    "ch.ssn": "756dddddddddd",
    "in_.aadhaar": "dddddddddddd",
    "za.idnr": "ymtdddd08d",
    "tr.tckimlik": "ddddddddddd",
}
ORDINARY = {
    "order numbers, 9 digits": "ddddddddd",
    "order numbers, 10 digits": "dddddddddd",
    "numbers of 11 digits": "ddddddddddd",
    "numbers of 13 digits": "ddddddddddddd",
    "dates": "20y-m-t",
    "dates in digits": "20ymt",
    "article codes": "LL-dddd-L",
}


def drawn(form: str, chosen: random.Random) -> str:
    """Return a text of a form."""
    parts = {
        "d": lambda: str(chosen.randrange(10)),
        "L": lambda: chosen.choice(LETTERS),
        "y": lambda: f"{chosen.randrange(40, 99):02}",
        "m": lambda: f"{chosen.randrange(1, 13):02}",
        "t": lambda: f"{chosen.randrange(1, 29):02}",
    }
    return "".join(parts[mark]() if mark in parts else mark for mark in form)


def column(form: str, valid: Callable[[str], bool]) -> list[str]:
    """Return values of a form that are valid."""
    chosen, found = random.Random(0), []
    for _ in range(SIZE * 2_000):
        value = drawn(form, chosen)
        if valid(value):
            found.append(value)
        if len(found) == SIZE:
            return found
    raise SystemExit(f"no {SIZE} valid numbers of the form {form} were found")


def ours(values: list[str]) -> str:
    """Return what `model adopt` takes a column for, whose name says nothing."""
    from gitmodel.adopt.personal import personal_data

    return personal_data("x", values) or ""


def stdnum(values: list[str]) -> str:
    """Return the first of these kinds for which python-stdnum calls most values valid."""
    for kind in KINDS:
        is_valid = import_module(f"stdnum.{kind}").is_valid
        if sum(map(is_valid, values)) >= MOST * len(values):
            return kind
    return ""


def main() -> None:
    """Print what each says of each column."""
    print("python-stdnum", version("python-stdnum"))
    for title, kinds in (("personal", KINDS), ("ordinary", ORDINARY)):
        told = {"ours": 0, "python-stdnum": 0}
        for kind, form in kinds.items():
            valid = import_module(f"stdnum.{kind}").is_valid if title == "personal" else bool
            values = column(form, valid)
            said = {"ours": ours(values), "python-stdnum": stdnum(values)}
            told = {name: told[name] + bool(said[name]) for name in told}
            print(f"{title}: {kind}, such as {values[0]}: {said}")
        print(f"{title}: of {len(kinds)} told: {told}")


if __name__ == "__main__":
    main()
