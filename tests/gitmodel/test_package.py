"""The bundle predicts as the trained model does, or it is not written."""

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from conftest import fast_params, room
from gitmodel import estimator, skops_file
from gitmodel.base.project import (
    BUNDLE,
    CARD,
    METRICS,
    MODEL,
    PARAMS,
    PLOTS,
    PREDICTIONS,
    RULES,
    SCHEMA,
    TEST,
    TRAIN,
    UserError,
)
from gitmodel.bundle import bundle as files
from gitmodel.bundle import form, parity, profile
from gitmodel.bundle.bundle import Bundle, OnnxModel, digest
from gitmodel.bundle.export import to_onnx
from gitmodel.card import card
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, load
from gitmodel.contract.table import STRING, groups, rows
from gitmodel.metrics.groups import gap, measurable
from gitmodel.pipeline import evaluate, package, train
from gitmodel.results.predictions import Predictions, work_tree_predictions
from sklearn.ensemble import HistGradientBoostingClassifier

SIZE = 400
HOSTILE = "a|b `c` <img src=x>"
TARGETS = {
    "binary": {"type": "category", "values": ["1", "True"]},
    "multiclass": {"type": "category", "values": ["1", "True", "é"]},
    "regression": {"type": "number"},
}
RESULTS = {
    "binary": ({"roc_auc": 0.9, "log_loss": 0.3}, {"roc_auc": 0.5, "log_loss": 0.7}),
    "multiclass": ({"log_loss": 0.3}, {"log_loss": 1.0}),
    "regression": ({"rmse": 0.1}, {"rmse": 1.0}),
}


def columns(kind):
    """Return features of one kind, as they stand in the Parquet files, and their types."""
    random = np.random.default_rng(0)
    number = random.normal(size=SIZE)
    tenth = random.random(SIZE) < 0.1
    category = pd.Series(random.choice(["1", "True", "é", "<missing>"], SIZE), dtype=STRING).mask(tenth)
    found = {
        "numbers": {"a": np.where(tenth, np.nan, number), "b": number**2},
        "one number": {"a": number},
        "large integers": {"a": 1.7e9 + random.integers(0, 3_000, SIZE), "b": 2.0**24 + random.integers(0, 20, SIZE)},
        "neighbouring floats": {"a": np.float32(1) + random.integers(0, 20, SIZE) * np.spacing(np.float32(1)) + 0.0},
        "extreme floats": {"a": number * 1e38, "b": number * 1e-38, "c": np.where(tenth, 1e300, number)},
        "constant": {"a": np.ones(SIZE), "b": number},
        "empty column": {"a": number, "b": np.full(SIZE, np.nan)},
        "categories": {HOSTILE: category},
        "text": {"a": category.map({"1": "one two", "é": "", "True": "twö three"}).astype(STRING)},
        "dates": {"a": pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(number * 1e8, "s")).dt.as_unit("us")},
        "mixed": {"self": number, HOSTILE: category, "flag": np.where(tenth, np.nan, number > 0)},
    }[kind]
    return {name: pd.Series(values) for name, values in found.items()}


def types(kind, name):
    """Return the type of a feature."""
    fixed = {"categories": "category", "text": "text", "dates": "datetime"}
    return fixed.get(kind) or {HOSTILE: "category", "flag": "boolean"}.get(name, "number")


def target(features, task, scale=1.0, offset=0.0):
    """Return a target that depends on the first feature."""
    random = np.random.default_rng(1)
    codes = np.argsort(np.argsort(pd.factorize(next(iter(features.values())), sort=True)[0], kind="stable"))
    values = codes / SIZE + random.normal(size=SIZE) * 0.2
    if task == "regression":
        return pd.Series(values * scale + offset)
    classes = np.array(TARGETS[task]["values"])
    return pd.Series(classes[np.digitize(values, [0.4, 0.7][: len(classes) - 1])], dtype=STRING)


def results(task, better=True):
    """Return metrics of a model that beats its baselines, or of one that does not."""
    good, bad = RESULTS[task]
    if not better:
        good, bad = bad, good
    return {"test": good, "baseline": {"trivial": bad, "linear": bad}, "slices": {HOSTILE: {"é|": {"rows": 9, **bad}}}}


@pytest.fixture
def project(sample, tmp_path, monkeypatch):
    """Return a function that makes a folder with split rows, parameters and metrics, trains in it and packages."""
    monkeypatch.chdir(room(sample, tmp_path))

    def make(task="binary", kind="mixed", model="gradient_boosting", better=True, **target_options):
        features = columns(kind)
        frame = pd.DataFrame({**features, "y": target(features, task, **target_options)})
        for path, part in ((TRAIN, frame[100:]), (TEST, frame[:100])):
            path.parent.mkdir(exist_ok=True)
            part.assign(row=[f"{number:03}" for number in part.index]).to_parquet(path, index=False)
        frame.to_csv("data/raw.csv", index=False)
        described = {name: {"type": types(kind, name), "nullable": True} for name in features}
        schema = {"table": "data/raw.csv", "target": "y", "task": task, "identity": list(features)}
        schema |= {"columns": described | {"y": TARGETS[task]}, "positive": "1" if task == "binary" else None}
        SCHEMA.write_text(yaml.safe_dump(schema, allow_unicode=True), encoding="utf-8")
        params = fast_params(sample)
        params["train"]["model"] = model
        for name in ("gradient_boosting", "random_forest"):
            params["train"][name]["min_samples_leaf"] = 5
        PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")
        METRICS.parent.mkdir(exist_ok=True)
        METRICS.write_text(json.dumps(results(task, better)), encoding="utf-8")
        train.main()
        package.main()
        return load(SCHEMA)

    return make


KINDS = (
    "numbers",
    "one number",
    "large integers",
    "neighbouring floats",
    "extreme floats",
    "constant",
    "empty column",
    "categories",
    "text",
    "dates",
    "mixed",
)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("model", ["gradient_boosting", "xgboost", "random_forest", "linear"])
def test_every_model_and_task_is_exported_exactly(project, model, task):
    """Probabilities and values agree far below the tolerance."""
    project(task, "mixed", model)
    assert files.read_manifest()["parity"]["differences_up_to"] <= 1e-5


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for number, kind in enumerate(KINDS)])
def test_every_kind_of_table_is_exported_exactly(project, kind, number):
    """Large integers, neighbouring floats, no numbers, no categories: nothing is rounded away."""
    model = ["gradient_boosting", "random_forest", "linear"][number % 3]
    for chosen in {"gradient_boosting", "xgboost", model}:
        project([*TARGETS][number % 3], kind, chosen)
        assert files.read_manifest()["parity"]["differences_up_to"] <= 1e-5


@pytest.mark.parametrize("counts", [(10, 12), (12, 10)])
def test_the_label_is_the_most_likely_class(project, counts):
    """Also for trees whose values are all positive, which onnxruntime cuts at another place."""
    schema = project()
    frame = pd.read_parquet(TRAIN)[: sum(counts)]
    labels = np.repeat(schema.classes, counts)
    params = train.read_train()
    params["gradient_boosting"]["min_samples_leaf"] = 20
    features = Features(schema)
    inputs = estimator.inputs(frame, features)
    model = train.fit(train.build(train.Data.of(inputs, features, params, frame), params), inputs, labels, schema)
    bundle = Bundle(OnnxModel(to_onnx(model, schema)), features, {})
    found, probabilities = bundle.labelled(rows(frame[schema.features()]))
    assert [schema.classes[code] for code in probabilities.argmax(axis=1)] == list(found)
    assert {schema.classes[int(np.argmax(counts))]} == set(found)


@pytest.mark.parametrize("model", ["gradient_boosting", "xgboost", "random_forest", "linear"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 1e9), (1e30, 0), (1e-30, 0)])
def test_a_target_of_any_size_is_exported_exactly(project, model, scale, offset):
    """Dates in seconds or tiny concentrations as a target are not rounded to float32."""
    project("regression", "mixed", model, scale=scale, offset=offset)
    assert files.read_manifest()["parity"]["differences_up_to"] <= 1e-5


def test_the_manifest_describes_the_bundle(project):
    """Name, task, data, parameters, metrics, marks, versions; but no commit and no time."""
    project()
    manifest = files.read_manifest()
    assert manifest["classes"] == ["1", "True"] and manifest["positive"] == "1"
    assert manifest["data"]["rows"] == {"train": 300, "test": 100}
    assert manifest["parity"]["test_rows"] == 100 and manifest["parity"]["hard_rows"] > 100
    assert manifest["beats_trivial"] and manifest["beats_linear"]
    assert manifest["params"]["train"]["model"] == "gradient_boosting"
    assert not {"commit", "time", "date", "python"} & {*manifest, *manifest["packages"]}


def test_the_same_model_gives_the_same_bytes(project):
    """A second run changes no file."""
    project()
    before = digest(), CARD.read_bytes()
    package.main()
    assert (digest(), CARD.read_bytes()) == before


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_hash_seed(project):
    """Python orders sets differently in each process; the model does not show it."""
    project()
    code = "from gitmodel import skops_file; from gitmodel.base import project; from gitmodel.bundle import export;"
    code += "from gitmodel.contract.schema import load; import hashlib;"
    code += "print(hashlib.sha256(export.to_onnx(skops_file.load(project.MODEL), load())).hexdigest())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in "01"
    ]
    expected = files.read_manifest()["files"][files.ONNX]["sha256"]
    assert [process.communicate()[0].strip() for process in processes] == [expected, expected]


def poison(monkeypatch, change):
    """Let the export be wrong in one way."""

    def wrong(model, schema):
        exported = onnx.load_from_string(to_onnx(model, schema))
        change(exported)
        return exported.SerializeToString()

    monkeypatch.setattr(form, "to_onnx", wrong)


def tree_values(model, name):
    """Return an attribute of the trees of an ONNX model."""
    trees = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    return next(attribute for attribute in trees.attribute if attribute.name == name)


def change_leaf(model):
    """Change one leaf."""
    tree_values(model, "class_weights").floats[0] += 5


def round_threshold(model):
    """Move one threshold to the next float."""
    thresholds = tree_values(model, "nodes_values").floats
    thresholds[0] = float(np.nextafter(np.float32(thresholds[0]), np.float32(np.inf)))


def swap_labels(model):
    """Mix up the names of the classes, but not the probabilities."""
    next(found for found in model.graph.initializer if found.name == "class_names").string_data.reverse()


@pytest.mark.parametrize("fault", [change_leaf, swap_labels])
def test_an_export_that_disagrees_does_not_ship(project, monkeypatch, capsys, fault):
    """One wrong leaf, or swapped labels: the model itself ships, as a skops file, and that is said."""
    project()
    poison(monkeypatch, fault)
    package.main()
    assert re.search(r"disagree on \d+ of 100 test rows .* ships as model.skops", capsys.readouterr().err)
    assert {files.SKOPS} == {files.ONNX, files.SKOPS} & files.read_manifest()["files"].keys()
    assert Bundle.load(BUNDLE).manifest["runtime"].keys() == {"scikit-learn"}


def test_a_model_that_fails_leaves_the_former_bundle(project, monkeypatch):
    """No form predicts what the model cannot: nothing is replaced, and nothing is left behind."""
    project()
    before = digest()
    monkeypatch.setattr(parity, "predict", lambda model, inputs: np.full((len(inputs), 2), np.nan))
    with pytest.raises(UserError, match="predicts no finite number"):
        package.main()
    assert digest() == before and Bundle.load(BUNDLE)
    assert [path.name for path in BUNDLE.parent.iterdir() if path.name.startswith(".")] == []


def test_a_threshold_off_by_one_float_is_found(project, monkeypatch):
    """Where test rows lie on a threshold, the next float is the wrong side."""
    project(kind="neighbouring floats")
    poison(monkeypatch, round_threshold)
    package.main()
    assert files.SKOPS in files.read_manifest()["files"]


def test_a_native_categorical_split_ships_as_skops(project, monkeypatch):
    """Boosted trees that split sets of categories export silently wrong (skl2onnx 1.20)."""
    schema = project("binary", "numbers")
    frame = pd.read_parquet(TRAIN).assign(a=lambda frame: (frame["a"].fillna(0) * 5).abs().round())
    features = Features(schema)
    inputs, labels = estimator.inputs(frame, features), train.targets(frame, schema)
    trees = HistGradientBoostingClassifier(categorical_features=[0], max_iter=10, min_samples_leaf=5)
    fitted = train.Data.of(inputs, features, train.read_train(), frame).pipeline(trees).fit(inputs, labels)
    monkeypatch.setattr(skops_file, "load", lambda path: fitted)
    frame.to_parquet(TEST, index=False)
    package.main()
    assert files.SKOPS in files.read_manifest()["files"]


def test_a_step_without_onnx_form_is_refused(project):
    """The message says so in one line."""
    schema = project("regression", "numbers")
    from sklearn.isotonic import IsotonicRegression
    from sklearn.pipeline import make_pipeline

    inputs = estimator.inputs(pd.read_parquet(TRAIN), Features(schema))
    fitted = make_pipeline(IsotonicRegression()).fit(inputs[["b"]], inputs["b"])
    with pytest.raises(UserError, match="has no ONNX form") as error:
        to_onnx(fitted, schema)
    assert "\n" not in str(error.value)


def test_a_useless_model_is_packaged_with_a_mark(project, capsys):
    """Exploring goes on, shipping does not."""
    project(better=False)
    assert files.read_manifest()["beats_trivial"] is False
    assert "NO BETTER THAN GUESSING" in capsys.readouterr().err
    assert "[!WARNING]" in CARD.read_text(encoding="utf-8")


def test_missing_metrics_are_named(project):
    """The message says which stage writes them."""
    project()
    METRICS.unlink()
    with pytest.raises(UserError, match="run `dvc repro evaluate`"):
        package.main()


def test_hard_rows_cover_every_column(project):
    """Each feature is missing, and differs from the table, in some hard row."""
    schema = project()
    frame = pd.read_parquet(TEST)
    hard = parity.hard_rows(frame, schema)
    for name in schema.features():
        assert hard[name].isna().any()
        if schema.columns[name].type != "boolean":
            assert set(hard[name].dropna()) - set(frame[name].dropna())


def test_the_profile_counts_every_row_once():
    """Bins, missing and other values add up."""
    numbers = profile.profile(np.array([np.nan, np.inf, *range(100)]), Column("number"))
    assert sum(numbers["counts"]) == 100 and numbers["missing"] == 1 and numbers["max"] == 99
    assert len(numbers["counts"]) == len(numbers["edges"]) + 1
    texts = np.array(["rare", None, *["often"] * 10], dtype=object)
    category = profile.profile(texts, Column("category"))
    assert category["counts"] == {"often": 10} and category["other"] == {"values": 1, "rows": 1}
    words = profile.profile(texts, Column("text"))
    assert sum(words["length"]["counts"]) == 11


@pytest.mark.parametrize("kind", ["number", "integer", "boolean"])
def test_an_empty_column_has_a_profile(kind):
    """All missing is no mistake."""
    found = profile.profile(np.full(3, np.nan), Column(kind))
    assert found["missing"] == 3 and json.dumps(found, allow_nan=False)


def test_the_profile_holds_no_rare_value(workspace, contract):
    """No text of the table that fewer than 10 rows share can be read from it."""
    frame = pd.read_parquet(workspace / TRAIN)
    columns = json.loads((workspace / BUNDLE / files.PROFILE).read_text(encoding="utf-8"))["columns"]
    assert list(columns) == list(contract.columns)
    for name, found in columns.items():
        assert found["rows"] == len(frame) and found["missing"] == frame[name].isna().sum()
        if contract.columns[name].type in ("category", "text"):
            counts = frame[name].value_counts()
            assert set(found.get("counts", ())) <= set(counts[counts >= 10].index)


def test_the_card_escapes_what_comes_from_data(project):
    """A column's name cannot end a table cell, or be HTML."""
    project()
    text = CARD.read_text(encoding="utf-8")
    assert "<img" not in text and "a&#124;b &#96;c&#96;" in text and "é&#124;" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


@pytest.mark.parametrize("text", ["a\n# b", "*a*", "_a_", "[a](b)", "<b>", "a|b", "`a`", "\\", "- a", "1. a"])
def test_escaped_text_means_nothing(text):
    """No mark that Markdown or HTML reads survives, and no line end."""
    escaped = card.escape(text)
    assert not re.search(r"[*\[\]<>|`\\\n]|^[-\d]|_", escaped)


def test_the_card_is_metadata_and_a_page(project):
    """Hugging Face reads the first part; people read what is unwritten in the second."""
    project("multiclass")
    _, front, page = CARD.read_text(encoding="utf-8").split("---\n", 2)
    (entry,) = yaml.safe_load(front)["model-index"]
    assert entry["results"][0]["metrics"][0]["value"] == RESULTS["multiclass"][0]["log_loss"]
    assert digest() in page and "_Not written yet: `## Intended use` in card.md._" in page


def test_the_card_shows_the_pictures_that_exist(project):
    """A picture that was not drawn leaves no broken link."""
    project()
    assert "](plots/" not in CARD.read_text(encoding="utf-8")
    (METRICS.parent / "plots").mkdir()
    (METRICS.parent / "plots" / "roc.svg").write_text("<svg/>", encoding="utf-8")
    package.main()
    assert "![roc](plots/roc.svg)" in CARD.read_text(encoding="utf-8")


def test_the_card_shows_the_gaps_that_the_gate_judges(project):
    """Selection rate, true positive rate and error of each group of people, and the largest difference."""
    schema = dataclasses.replace(project(), sensitive=(HOSTILE,))
    frame = pd.read_parquet(TEST).assign(row=[f"{number:03}" for number in range(100)])
    frame.to_parquet(TEST, index=False)
    evaluate.predictions(frame, Bundle.load().predict(rows(frame)), schema).to_csv(PREDICTIONS, index=False)
    SCHEMA.write_text(SCHEMA.read_text(encoding="utf-8") + f"sensitive: ['{HOSTILE}']\n", encoding="utf-8")
    found = card.groups_by_rates(schema, 10)
    version = work_tree_predictions(schema)
    positive = {value: version.predicted[at].argmax(axis=1) == 0 for value, at in groups(frame[HOSTILE]).items()}
    assert len(found) > 2
    for group in found:
        assert group.rates["selection_rate"] == pytest.approx(positive[group.value].mean())
    for name in ("error", "selection_rate"):
        positions = [groups(frame[HOSTILE])[group.value] for group in found]
        expected = gap(version, name, positions)(np.ones((100, 1)))[0]
        assert card.gaps(found)[HOSTILE][name] == pytest.approx(expected)
    package.main()
    text = CARD.read_text(encoding="utf-8")
    assert "**largest gap**" not in text and "Too few rows to compare two groups" in text  # fewer than 50 each
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    RULES.write_text(yaml.safe_dump(rules | {"gate": rules["gate"] | {"min_rows": 10}}), encoding="utf-8")
    package.main()
    text = CARD.read_text(encoding="utf-8")
    assert "**largest gap**" in text and f"{found[0].rates['error']:.1%}" in text and "<img" not in text


def test_a_group_without_enough_positives_has_no_true_positive_rate(project):
    """As in the gate: what few rows say is left out."""
    schema = project()
    truth = np.zeros(60, dtype=object)
    truth[:] = ["1"] * 9 + ["True"] * 51
    ids = np.array([f"{number:02}" for number in range(60)], dtype=object)
    version = Predictions("here", schema, ids, truth, np.tile([0.4, 0.6], (60, 1)))
    everybody = {"all": np.arange(60)}
    assert measurable(version, "true_positive_rate", everybody, 50) == {}
    assert list(measurable(version, "error", everybody, 50)) == ["all"]
    assert measurable(version, "error", everybody, 61) == {}


def test_the_card_tells_the_years_of_dates_but_of_no_person(project):
    """They come from the columns; a date of birth stays out."""
    schema = project(kind="dates")
    dates = pd.concat([pd.read_parquet(path)["a"] for path in (TRAIN, TEST)])
    assert card.years(schema) == {"a": (dates.min().year, dates.max().year)}
    assert f"Years: a {dates.min().year} to {dates.max().year}" in CARD.read_text(encoding="utf-8")
    assert card.years(dataclasses.replace(schema, columns={"a": Column("datetime", personal=True)})) == {}


def test_the_card_lists_the_most_important_columns(project):
    """No more than ten, names escaped."""
    project()
    PLOTS.mkdir(parents=True)
    names = [HOSTILE, *(f"c{number}" for number in range(20))]
    lines = [f'"{name}",log_loss,0.001,{1 / (1 + place):.6g}' for place, name in enumerate(names)]
    (PLOTS / "importance.csv").write_text("\n".join(["column,metric,spread,importance", *lines]), encoding="utf-8")
    package.main()
    text = CARD.read_text(encoding="utf-8").partition("## What it goes by")[2]
    assert f"| {card.escape(HOSTILE)} | 1 | 0.001 |" in text and "| c8 |" in text and "| c9 |" not in text
    assert "The rest (11) is in reports/plots/importance.csv." in text


def test_predictions_equal_those_of_the_trained_model(workspace, contract):
    """The project's own bundle, on its own test rows."""
    with contextlib.chdir(workspace), warnings.catch_warnings(action="ignore"):
        frame = pd.read_parquet(TEST)
        bundle = Bundle.load()
        expected = estimator.predict(skops_file.load(MODEL), estimator.inputs(frame, bundle.features))
        actual = bundle.predict(rows(frame))
    unit = 1 if contract.classes else expected.std() or 1
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-4 * unit)
