"""What folds decide: the rounds of a boosting, and how much each of several models counts; they ship as one graph."""

import contextlib
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from conftest import cut, fast_params, room
from gitmodel import estimator, skops_file
from gitmodel.base.project import CARD, METRICS, MODEL, PARAMS, UserError
from gitmodel.blend import Blend, shares
from gitmodel.bundle.bundle import Bundle, OnnxModel
from gitmodel.bundle.export import to_onnx
from gitmodel.bundle.fast import FastBundle, FastModel
from gitmodel.contract.features import Features
from gitmodel.contract.table import rows
from gitmodel.pipeline import evaluate, package, prepare, processes, train
from gitmodel.pipeline.held_back import HeldBack
from gitmodel.skops_file import SkopsModel
from test_train import PARAMS as SETTINGS
from test_train import TARGETS, rows_for, schema_for

KINDS = ["gradient_boosting", "xgboost", "random_forest", "extra_trees", "linear"]
AUTO = {**SETTINGS, "model": "auto", "folds": 3, "auto": {"models": KINDS}}


@pytest.fixture(autouse=True)
def project(sample, monkeypatch):
    """Work where the estimators of the user are."""
    monkeypatch.chdir(sample)


def learning(task, size=200):
    """Return rows to learn from."""
    schema, frame = schema_for(task), rows_for(task, size)
    frame = frame.assign(row=[f"{number:04}" for number in range(size)])
    features = Features(schema)
    return train.Learning(frame, features, estimator.inputs(frame, features), train.targets(frame, schema), None)


def held_back(known, count=3):
    """Return folds of rows."""
    return HeldBack.of(known.inputs, known.table, known.features.schema, count)


def guesses(held, error, seed=0):
    """Return what somebody predicts for each fold whose errors are so large; of a regression."""
    random = np.random.default_rng(seed)
    truth = held.table[held.schema.target].to_numpy()
    return [truth[part] + random.normal(0, error, len(part)) for _, part in held.parts]


def test_models_that_do_not_help_are_left_out():
    """Two of independent errors count about alike, one of large errors not at all; the mean has the least loss."""
    held = held_back(learning("regression", 600))
    known = {"one": guesses(held, 0.3, 1), "noise": guesses(held, 9.0, 2), "two": guesses(held, 0.3, 3)}
    weights = held.weights(known)
    assert weights.keys() == {"one", "two"} and sum(weights.values()) == pytest.approx(1)
    assert 0.4 < weights["one"] < 0.6
    parts = [part for _, part in held.parts]
    mean = [sum(share * known[name][number] for name, share in weights.items()) for number in range(len(parts))]
    assert held.loss(mean, parts) < 0.8 * min(held.loss(known[name], parts) for name in known)


def test_weights_count_by_the_weight_of_rows(monkeypatch):
    """A model that is right where rows count is what is chosen."""
    held = held_back(learning("regression", 600))
    heavy = np.arange(600) < 100
    known = {"light": guesses(held, 0.1, 1), "heavy": guesses(held, 0.1, 2)}
    for number, (_, part) in enumerate(held.parts):
        known["light"][number] += 5 * heavy[part]
        known["heavy"][number] += 5 * ~heavy[part]
    assert held.weights(known)["light"] > 0.7
    monkeypatch.setitem(held.__dict__, "_weight", np.where(heavy, 1000.0, 1.0))
    assert held.weights(known)["heavy"] > 0.9


def test_what_a_fold_is_predicted_does_not_know_its_labels():
    """Its weights come from the other folds: with other labels in it, the same is predicted."""
    known = learning("regression")
    held = held_back(known)
    predicted = {"one": guesses(held, 0.5, 1), "two": guesses(held, 0.5, 2)}
    first, before = held.parts[0][1], held.blended(predicted)
    table = known.table.copy()
    table.loc[table.index[first], "y"] = -table["y"].iloc[first] * 100
    after = HeldBack(held.inputs, table, held.schema, held.parts).blended(predicted)
    np.testing.assert_array_equal(before[0], after[0])
    assert any(not np.array_equal(*pair) for pair in zip(before[1:], after[1:], strict=True))


BOOSTINGS = {
    "gradient_boosting": {"max_iter": 120, "min_samples_leaf": 5},
    "xgboost": {"n_estimators": 120, "learning_rate": 0.1},
}


@pytest.mark.parametrize("name", BOOSTINGS)
@pytest.mark.parametrize("task", TARGETS)
def test_rounds_are_those_with_the_least_loss_on_the_folds(task, name):
    """A boosting that goes on beyond them is worse there; what is held back is predicted with as many."""
    known = learning(task)
    noise = np.random.default_rng(1).permutation(known.target)
    known = train.Learning(
        known.table.assign(
            y=pd.Series(np.where(np.arange(200) % 3, noise, known.target), dtype=known.table["y"].dtype)
        ),
        known.features,
        known.inputs,
        np.where(np.arange(200) % 3, noise, known.target),
        None,
    )
    params = {**SETTINGS, **BOOSTINGS, "stop_early": True}
    held = held_back(known)
    most = known.rounds(name, params)
    assert most == 120 and known.rounds("linear", params) == 0
    assert known.rounds(name, {**params, "stop_early": False}) == 0

    def fit(learned, rounds):
        return known.some(learned).fitted(name, params, rounds)

    rounds, predicted = held.stopped(fit, most)
    parts = [part for _, part in held.parts]
    assert rounds < 60
    assert held.loss(predicted, parts) < held.loss(held.predicted(lambda learned: fit(learned, most)), parts)
    for each, again in zip(predicted, held.predicted(lambda learned: fit(learned, rounds)), strict=True):
        np.testing.assert_allclose(each, again, rtol=1e-6)


@pytest.fixture(scope="module", params=TARGETS)
def blend(request, sample):
    """Return a task's rows and the blend of all kinds, each of which counts."""
    with contextlib.chdir(sample):
        known = learning(request.param)
        return known, Blend([(name, known.fitted(name, AUTO)) for name in KINDS], [0.3, 0.2, 0.2, 0.2, 0.1])


def test_a_blend_ships_as_one_graph(blend):
    """It predicts what the mean of its members is, for single rows and many; what they share is there once."""
    known, model = blend
    content, features = to_onnx(model, known.features.full), known.features
    assert content == to_onnx(model, known.features.full)
    columns = rows(known.table[known.features.schema.features()])
    expected = estimator.predict(model, known.inputs)
    for bundle in (Bundle(OnnxModel(content), features, {}), FastBundle(FastModel(content), features, {})):
        np.testing.assert_allclose(bundle.predict(columns), expected, rtol=1e-5, atol=1e-6)
        if bundle.classes:
            assert bundle.labelled(columns)[0].tolist() == model.predict(known.inputs).tolist()
    kinds = Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    assert kinds["OneHotEncoder"] == 1
    assert FastModel(content)._values  # categories go in as numbers


def test_a_probability_is_never_above_1():
    """Where all members are sure, a sum of shares would be 1 and a rounding error."""
    known = learning("multiclass", 300)
    certain = known.fitted("extra_trees", {**SETTINGS, "extra_trees": {"n_estimators": 4, "min_samples_leaf": 1}})
    model = Blend([(str(number), certain) for number in range(10)], [0.1] * 10)
    bundle = Bundle(OnnxModel(to_onnx(model, known.features.full)), known.features, {})
    columns = rows(known.table[known.features.schema.features()])
    for predicted in (bundle.predict(columns), model.predict_proba(known.inputs)):
        assert predicted.min() >= 0 and predicted.max() <= 1


def test_a_blend_that_has_no_graph_ships_as_it_is(blend, tmp_path):
    """Kept by skops, the same bytes each time, and read with no more trust than other models have."""
    known, model = blend
    for name in ("one", "two"):
        skops_file.save(model, tmp_path / name)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    read = SkopsModel(content, known.features, "nobody")
    np.testing.assert_allclose(estimator.predict(read.estimator, known.inputs), estimator.predict(model, known.inputs))
    assert shares(read.estimator) == dict(zip(KINDS, model.weights, strict=True))
    assert "gitmodel" not in skops_file.runtime(content, "nobody")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"folds": 0}, r"train.model: auto .* lets folds decide: set train.folds to 2 or more"),
        ({"model": "linear", "stop_early": True, "folds": 1}, "train.stop_early .* set train.folds to 2 or more"),
        ({"auto": {"models": ["linear", "forest"]}}, "train.auto.models .* has 'forest': "),
        ({"auto": {"models": ["linear", "linear"]}}, "has linear twice: name it once"),
        ({"auto": {"models": []}}, "train.auto.models"),
        ({"auto": {"models": ["linear"], "rows": 3}}, "train.auto.rows .* is no setting: did you mean `most_rows`"),
        ({"auto": None}, "has no section `auto:`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(sample, tmp_path, monkeypatch, changed, expected):
    """In one line, with the remedy."""
    params = fast_params(sample)
    params["train"] |= {"model": "auto"} | changed
    (tmp_path / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    for name in ("pyproject.toml", "src"):
        (tmp_path / name).symlink_to(sample / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected):
        train.read_train()


def test_many_rows_have_the_first_model_alone(capsys):
    """`most_rows` is the budget of the slower ones; that one is the whole of the mean, and it is said."""
    params = {**AUTO, "auto": {"models": KINDS, "most_rows": 100}}
    assert train.models_of(params, 100) == KINDS
    assert train.models_of(params, 101) == KINDS[:1]
    assert shares(train.model_of(learning("regression"), params)) == {KINDS[0]: 1.0}
    assert "gradient_boosting alone: 200 rows are more than train.auto.most_rows, 100" in capsys.readouterr().err


def test_what_counts_least_for_its_size_is_left_out(monkeypatch, capsys):
    """Until all is within `most_mb`; the others are weighed anew on the folds, and one always stays."""

    def dumped(model):
        names = [name for name, _ in model.members] if isinstance(model, Blend) else [model]
        return bytes(sum(sizes[name] for name in names) * 1_000_000)

    held = held_back(learning("regression", 600))
    known = {"one": guesses(held, 0.3, 1), "other": guesses(held, 0.3, 2), "third": guesses(held, 0.4, 3)}
    sizes = {"one": 30, "other": 10, "third": 10}
    monkeypatch.setattr(train, "dumps", dumped)
    choice = train.Choice(held.weights(known), {}, known)
    assert set(choice.weights) == set(known)
    trained = train.Trained(learning("regression", 600), AUTO, choice, {name: name for name in known})
    assert trained.within(50, held) is trained
    assert capsys.readouterr().err == ""
    found = trained.within(49, held).choice
    assert found.weights == held.weights({name: known[name] for name in ("other", "third")})
    assert set(found.predicted) == {"other", "third"}
    warned = capsys.readouterr().err
    assert (
        "warning: one is left out: it has 30 of 50 MB and counts" in warned and "most_mb in params.yaml is 49" in warned
    )
    assert set(trained.within(1, held).choice.weights) == {"other"}
    assert [name for name, _ in trained.within(49, held).model.members] == ["other", "third"]
    alike = train.Choice({"one": 1 / 3, "other": 1 / 3, "third": 1 / 3}, {}, {})
    assert replace(trained, choice=alike).within(49, held).choice.weights == {"other": 0.5, "third": 0.5}


def test_one_that_is_left_is_the_whole_of_the_mean():
    """Its share is 1, those of the others are 0: the card says so."""
    held = held_back(learning("regression", 600))
    known = {"one": guesses(held, 0.3, 1), "noise": guesses(held, 9.0, 2)}
    assert held.weights(known) == {"one": 1.0}
    params = {**AUTO, "auto": {"models": ["linear"]}}
    assert shares(train.model_of(learning("regression"), params)) == {"linear": 1.0}


def test_what_does_not_keep_monotone_is_left_out(capsys):
    """The linear model cannot; alone it is refused."""
    known = learning("regression")
    schema = known.features.schema
    columns = {**schema.columns, "x": replace(schema.columns["x"], monotone="increasing")}
    known = replace(known, features=Features(replace(schema, columns=columns)))
    assert known.able(KINDS, AUTO) == KINDS[:4]
    assert "warning: linear is left out: it does not keep to `monotone:`" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"linear in train\.py does not keep to it"):
        train.model_of(known, {**AUTO, "auto": {"models": ["linear"]}})


def test_too_few_rows_for_folds_count_alike(capsys):
    """A model is trained all the same, and it is said."""
    model = train.model_of(learning("regression", 2).some(np.arange(2)), AUTO)
    assert set(shares(model).values()) == {1 / len(KINDS)}
    assert "warning: no validation" in capsys.readouterr().err


def test_a_project_trains_weighs_and_tells(sample, contract, tmp_path):
    """`model: auto` from the table to the card: weights that add up, what each brings, the same bytes."""
    folder = room(sample, tmp_path)
    cut(sample / contract.table, folder / contract.table, contract)
    params = fast_params(sample)
    params["train"] |= {"model": "auto", "stop_early": True, "folds": 2}
    (folder / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    with contextlib.chdir(folder):
        for stage in (prepare, train, evaluate, package):
            stage.main()
        first = MODEL.read_bytes()
        train.main()
        assert MODEL.read_bytes() == first
        found = json.loads(METRICS.read_text())["validation"]
        weights = {name: values["weight"] for name, values in found["models"].items()}
        assert weights.keys() == set(params["train"]["auto"]["models"])
        assert sum(weights.values()) == pytest.approx(1, abs=0.01)
        assert found["baseline"].keys() == {"trivial", "linear"}
        assert "It is the weighted mean of several models" in CARD.read_text()
        counted = {name: share for name, share in weights.items() if share}
        assert counted == pytest.approx(shares(skops_file.load(MODEL)), abs=0.001)


def test_models_side_by_side_are_the_same_bytes(monkeypatch):
    """However many processors there are."""
    known, found = learning("binary"), []
    for count in (1, 2):
        monkeypatch.setattr(processes, "cpu_count", lambda count=count: count)
        found.append(train.Trained.of(known, AUTO, held_back(known)))
    assert found[0].content == found[1].content
    assert found[0].choice.weights == found[1].choice.weights


def test_the_linear_baseline_is_learned_once():
    """Where it is one of the models, with the baseline's settings; with others it is another model."""
    known = learning("binary")
    kinds = {**AUTO, "auto": {"models": ["linear", "gradient_boosting"]}, "linear": train.AS_BASELINE}
    held = held_back(known)
    for settings, same in ((kinds, True), ({**kinds, "linear": {"C": 0.01}}, False)):
        trained = train.Trained.of(known, settings, held)
        trained = replace(trained, members={**trained.members, "linear": known.fitted("linear", settings)})
        assert (trained.linear() is not None) is same
    made, predicted = train.Trained.of(known, {**kinds, "auto": {"models": ["linear"]}}, held).linear()
    assert skops_file.dumps(made) == skops_file.dumps(known.baseline("linear", kinds))
    expected = held.predicted(lambda rows: known.baseline("linear", kinds, rows))
    np.testing.assert_array_equal(np.concatenate(expected), np.concatenate(predicted))
