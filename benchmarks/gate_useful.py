"""What the gate says about harmless changes and about damage, on models that are trained for it.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_useful.py --splits 20`.

Each split is another 10,000 rows of the census table (see make_census.py), as many as the sample has; no row is in two.
On each, the project's own code trains a base and a candidate for every kind of change, and the gate judges the pair by
the margins that `model margins` would have written for the base. `--target` predicts another column: the other tasks.
"""

import argparse
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from gitmodel.base.project import PARAMS, read_yaml
from gitmodel.contract.origin import of_project
from gitmodel.contract.schema import Column, Schema, load
from gitmodel.contract.table import convert, groups, rows
from gitmodel.estimator import from_arrays
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding, judge, overall
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import Results, pair
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.pipeline import evaluate, train
from gitmodel.pipeline.side import add_row_id
from gitmodel.pipeline.split import in_test
from gitmodel.rules import GateRules

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "build" / "demo" / "income-model"
MILLION = ROOT / "build" / "census_million.csv"
ROWS = 10_000
ROUNDS = 100
LEAK = "leak"  # a column made from the target, for the base whose candidate goes without it
TARGETS = {  # target -> task, two important columns
    "income_over_50k": ("binary", ("occupation", "age")),
    "marital_status": ("multiclass", ("household_summary", "age")),
    "age": ("regression", ("marital_status", "household_summary")),
}


@dataclass(frozen=True)
class Setting:
    """What a model is made from."""

    train: pd.DataFrame
    schema: Schema
    params: dict[str, Any]

    def with_params(self, **changes: Any) -> "Setting":
        """Return the setting with other parameters."""
        return replace(self, params={**self.params, **changes})

    def tuned(self, **changes: Any) -> "Setting":
        """Return the setting with other parameters of its estimator."""
        model = self.params["model"]
        return self.with_params(**{model: {**self.params[model], **changes}})

    def with_rows(self, rows: np.ndarray) -> "Setting":
        """Return the setting with some of the training rows, in this order."""
        return replace(self, train=self.train.iloc[rows].reset_index(drop=True))

    def without(self, column: str) -> "Setting":
        """Return the setting with a column that is not learned from."""
        return self.with_column(column, replace(self.schema.columns[column], feature=False))

    def with_column(self, name: str, column: Column) -> "Setting":
        """Return the setting with another column, or with another rule for one."""
        return replace(self, schema=replace(self.schema, columns={**self.schema.columns, name: column}))


def main() -> None:
    """Judge every kind of change on every split, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--target", choices=TARGETS, default="income_over_50k", help="what the models predict")
    parser.add_argument("--project", type=Path, default=PROJECT)
    parser.add_argument("--table", type=Path, default=MILLION)
    args = parser.parse_args()
    table_path = args.table.absolute()
    os.chdir(args.project)  # where the library finds the project's own code
    found: dict[tuple[str, str], list[list[GateFinding]]] = defaultdict(list)
    for split, (part, kind, name, base, candidate, test) in judged_pairs(table_path, args.splits, args.target):
        found[kind, name].append(judged(base, candidate, test))
        if part == 0:
            print(f"split {split + 1} of {args.splits}", flush=True)
    print(table(found))


def judged_pairs(path: Path, splits: int, target: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield split, (number, kind, name, base, candidate, test rows) for each change on each split."""
    schema, params = aimed(load(), target), read_yaml(PARAMS)
    cells = pd.read_csv(path, nrows=ROWS * splits, dtype=str, keep_default_na=False).sample(frac=1, random_state=1)
    for split in range(splits):
        table, _ = convert(cells.iloc[split::splits].reset_index(drop=True), schema)
        table = add_row_id(table, schema)
        random = np.random.default_rng(split)
        value = table[target].factorize()[0] if schema.classes else table[target].to_numpy()
        table[LEAK] = value / value.std() + random.normal(0, 3, len(table))
        is_test = in_test(table, schema, params["prepare"]["test_size"])
        test = table[is_test].reset_index(drop=True)
        boosting = {**params["train"]["gradient_boosting"], "max_iter": ROUNDS}
        train_params = {**params["train"], "model": "gradient_boosting", "gradient_boosting": boosting}
        setting = Setting(table[~is_test].reset_index(drop=True), schema, train_params)
        known: dict[int, Results] = {}
        for part, (kind, name, before, after) in enumerate(changes(setting, random)):
            if id(before) not in known:
                known[id(before)] = results(before, test)
            yield split, (part, kind, name, known[id(before)], results(after, test), test)


def aimed(schema: Schema, target: str) -> Schema:
    """Return the schema with another column to predict."""
    slices = tuple(name for name in schema.slices if name != target)
    positive = schema.positive if target == schema.target else None
    return replace(schema, target=target, task=TARGETS[target][0], positive=positive, slices=slices)


def changes(boosting: Setting, random: np.random.Generator) -> Iterator[tuple[str, str, Setting, Setting]]:
    """Yield kind, name, base and candidate of each change."""
    rows, names = len(boosting.train), list(boosting.schema.columns)
    forest, sampling = boosting.with_params(model="random_forest"), boosting.tuned(max_features=0.5)
    order = {name: boosting.schema.columns[name] for name in random.permutation(names)}
    fewer = np.sort(random.choice(rows, int(0.98 * rows), replace=False))
    for name, base in (("forest", forest), ("boosting on half of the columns a split", sampling)):
        yield "harmless", f"another seed, {name}", base, base.with_params(seed=1)
    yield "harmless", "5 % more iterations", boosting, boosting.tuned(max_iter=105)
    for name, base in (("boosting", boosting), ("forest", forest)):
        yield (
            "harmless",
            f"another order of columns, {name}",
            base,
            replace(base, schema=replace(base.schema, columns=order)),
        )
    for name, base in (("boosting", boosting), ("forest", forest)):
        yield "harmless", f"another order of training rows, {name}", base, base.with_rows(random.permutation(rows))
    yield "harmless", "l2_regularization 1.1 for 1.0", boosting, boosting.tuned(l2_regularization=1.1)
    yield "harmless", "2 % fewer training rows", boosting, boosting.with_rows(fewer)
    half = np.sort(random.choice(rows, rows // 2, replace=False))
    yield "damage", "half of the training rows", boosting, boosting.with_rows(half)
    for column in TARGETS[boosting.schema.target][1]:
        yield "damage", f"without the column {column}", boosting, boosting.without(column)
    yield "damage", "labels of 5 % of the training rows shuffled", boosting, shuffled(boosting, random, 0.05)
    leaky = boosting.with_column(LEAK, Column("number"))
    yield "damage", "without a column that leaks", leaky, boosting
    yield "damage", "learning_rate 0.01 for 0.1", boosting, boosting.tuned(learning_rate=0.01)


def shuffled(setting: Setting, random: np.random.Generator, share: float) -> Setting:
    """Return the setting with the labels of some training rows exchanged among them."""
    frame, target = setting.train.copy(), setting.schema.target
    chosen = random.choice(len(frame), int(share * len(frame)), replace=False)
    frame.loc[chosen, target] = frame.loc[random.permutation(chosen), target].to_numpy()
    return replace(setting, train=frame)


def results(setting: Setting, test: pd.DataFrame) -> Results:
    """Train as the stage does, and return what reports/ would hold, with 6 digits as there."""
    schema = setting.schema
    arrays = rows(setting.train[schema.features()])
    features = of_project(arrays, schema)
    inputs = from_arrays(arrays, features)
    unfitted = train.build(train.Data.of(inputs, features, setting.params, setting.train), setting.params)
    model = train.fit(unfitted, inputs, train.targets(setting.train, schema))
    predicted = evaluate.predict({"model": model}, test, features)["model"]
    ids, labels = (test[name].astype(str).to_numpy(dtype=object) for name in ("row", schema.target))
    return Results("here", schema, ids, labels, predicted.round(6), params=setting.params)


def judged(base: Results, candidate: Results, test: pd.DataFrame) -> list[GateFinding]:
    """Return the gate's findings, by the margins that are proposed for the base."""
    pairs, schema = pair(base, candidate), base.schema
    frame = test.set_index("row").loc[pairs.base.ids]
    columns = dict.fromkeys([*schema.slices, *schema.sensitive])
    by_group = {name: groups(frame[name]) for name in columns}
    metrics = BUILT_IN[schema.task]
    rules = GateRules(margins=proposed(base, metrics.values()))
    return judge({"base": pairs}, by_group, schema.sensitive, rules, metrics)


def table(found: dict[tuple[str, str], list[list[GateFinding]]]) -> str:
    """Return the verdicts of each kind of change in Markdown, and the rows that would settle the open ones."""
    header = ["change", "kind", "cases", PASS, INCONCLUSIVE, REGRESSION, "rows needed"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for (kind, name), cases in found.items():
        verdicts = Counter(overall(case) for case in cases)
        shares = [f"{verdicts[verdict]}" for verdict in (PASS, INCONCLUSIVE, REGRESSION)]
        needed = [rows for case in cases if overall(case) == INCONCLUSIVE and (rows := settling(case))]
        shown = f"{median(needed):,.0f}" if needed else ""
        lines.append(f"| {name} | {kind} | {len(cases)} | {' | '.join(shares)} | {shown} |")
    return "\n".join(lines)


def settling(case: list[GateFinding]) -> int | None:
    """Return about how many test rows would settle every metric that is open; None if no number would."""
    needed = [f.rows_needed for f in case if f.kind == "metric" and f.verdict == INCONCLUSIVE]
    return None if None in needed else max(n for n in needed if n)


if __name__ == "__main__":
    main()
