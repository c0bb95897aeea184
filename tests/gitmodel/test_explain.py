"""Contributions are Shapley values: exact ones on the same background, and of any bundle they add up."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from gitmodel import seam
from gitmodel.base.project import BUNDLE, MODEL, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.profile import profile
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import rows as typed_rows
from gitmodel.explain import shapley
from gitmodel.explain.marginals import RARE, drawn
from gitmodel.explain.shapley import Explainer
from gitmodel.skops_file import SkopsModel

ROWS = 4_000
EVIL = "'; DROP\n::error::<b>|`=1+1` größe"
COLUMNS = {
    "amount": Column("number", nullable=True),
    "years": Column("integer"),
    "member": Column("boolean", nullable=True),
    EVIL: Column("category", nullable=True),
    "since": Column("datetime"),
    "note": Column("text", nullable=True),
    "watched": Column("number", feature=False),
}
CLASSES = ("no", "perhaps", "yes")


def made(seed=0):
    """Return typed rows of every kind of column, drawn independently."""
    random = np.random.default_rng(seed)
    amount = random.lognormal(3, 1, ROWS) * (random.random(ROWS) < 0.7)
    amount[random.random(ROWS) < 0.1] = np.nan
    member = random.integers(0, 2, ROWS).astype(float)
    member[:200] = np.nan
    kinds = np.array(["a", "b", "c", None], dtype=object)[random.choice(4, ROWS, p=[0.6, 0.2, 0.15, 0.05])]
    days = random.integers(18_000, 20_000, ROWS)
    return {
        "amount": amount,
        "years": random.poisson(6, ROWS).astype(float),
        "member": member,
        EVIL: kinds,
        "since": days.astype("datetime64[D]").astype("datetime64[us]"),
        "note": np.array(["good", "bad good", None], dtype=object)[random.integers(0, 3, ROWS)],
        "watched": random.normal(size=ROWS),
    }


def chances(numbers, categories):
    """Return probabilities (n, 3) with interactions, some of which a missing value takes part in."""
    amount, years, member, days = (np.nan_to_num(numbers[:, place], nan=-1.0) for place in range(4))
    kind = (categories[:, 0] == "a") - 2.0 * (categories[:, 0] == "<missing>")
    score = 0.02 * np.minimum(amount, 200) + 0.2 * years * (member > 0) + kind * (days > 19_000)
    odds = np.stack([np.zeros(len(score)), score - 1, 0.5 * score - 0.1 * years], axis=1)
    return (np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)).astype(np.float32)


def bundle_of(task, derive=None):
    """Return a bundle whose model is a function, and its profile."""
    classes = {"binary": CLASSES[:2], "multiclass": CLASSES, "regression": None}[task]
    target = Column("category", values=classes) if classes else Column("number")
    positive = classes[1] if task == "binary" else None
    schema = Schema("", "y", task, {**COLUMNS, "y": target}, positive=positive)
    rows = made()

    def model(numbers, categories):
        found = chances(numbers, categories)
        if task == "binary":
            return np.stack([1 - found[:, 2], found[:, 2]], axis=1)
        return found if classes else 100 * found[:, 2] + numbers[:, 1]

    features = Features.of(rows, schema, derive) if derive else Features(schema)
    bundle = Bundle(model, features, {})
    predicted = bundle.predict(rows)
    counts = {name: np.histogram(predicted[:, k], 20, (0, 1))[0].tolist() for k, name in enumerate(classes or ())}
    predictions = {"probabilities": counts} if classes else {"std": float(predicted.std())}
    return bundle, {"columns": {n: profile(v, COLUMNS[n]) for n, v in rows.items()}, "predictions": predictions}


def some(rows, *positions):
    """Return the rows at these positions."""
    return {name: values[[*positions]] for name, values in rows.items()}


def exact(explainer, row, code):
    """Return Shapley values by all sets of columns (Shapley 1953), on the draws of an explainer."""
    columns, _, _ = explainer._background
    names, size = explainer.names, len(next(iter(columns.values())))

    def worth(known):
        mixed = {name: np.repeat(row[name], size) if name in known else columns[name] for name in names}
        return explainer.bundle.predict(mixed).astype(float).reshape(size, -1)[:, code].mean()

    found = dict.fromkeys(names, 0.0)
    for name in names:
        others = [other for other in names if other != name]
        for count in range(len(names)):
            chance = factorial(count) * factorial(len(others) - count) / factorial(len(names))
            for known in combinations(others, count):
                found[name] += chance * (worth({*known, name}) - worth({*known}))
    return found


@pytest.fixture(params=["binary", "multiclass", "regression"])
def explainer(request):
    """Explain a model of each task."""
    return Explainer(*bundle_of(request.param))


def test_contributions_are_shapley_values(explainer, monkeypatch):
    """Those of all sets of columns on the same draws; a column that is not learned from has none."""
    monkeypatch.setattr(shapley, "PRECISION", 0.0)  # all draws
    rows, classes = some(made(1), 0, *range(300, 304)), explainer.bundle.classes
    largest = 0.0
    for position, found in enumerate(explainer.explain(rows)):
        row = some(rows, position)
        code = classes.index(found.class_name) if classes else 0
        expected, spread = exact(explainer, row, code), explainer.spread(code)
        assert found.contributions.keys() == expected.keys() == COLUMNS.keys() - {"watched"}
        assert found.contributions["note"] == 0
        for name, value in expected.items():
            assert found.contributions[name] == pytest.approx(value, abs=5 * found.standard_error + 1e-6), name
            assert found.contributions[name] == pytest.approx(value, abs=0.05 * spread), name
        largest = max(largest, max(map(abs, expected.values())) / spread)
    assert largest > 0.5


def test_they_add_up_and_are_the_same_again(explainer):
    """To the prediction, exactly; whatever rows are explained along."""
    rows = some(made(2), *range(12))
    predicted = explainer.bundle.predict(rows).reshape(12, -1)
    whole = explainer.explain(rows)
    for position, found in enumerate(whole):
        assert found.base_value + sum(found.contributions.values()) == pytest.approx(found.value, rel=1e-12, abs=1e-12)
        assert found.value in predicted[position]
        assert found.standard_error > 0
    again = Explainer(explainer.bundle, explainer.profile)
    assert again.explain(some(rows, 7)) == [whole[7]]


def test_what_is_explained(explainer):
    """The positive class of two, the predicted one of many, and a number."""
    rows = some(made(3), *range(40))
    predicted, task = explainer.bundle.predict(rows), explainer.bundle.schema.task
    named = [found.class_name for found in explainer.explain(rows)]
    assert (
        named
        == {
            "binary": ["perhaps"] * 40,
            "multiclass": [CLASSES[code] for code in predicted.reshape(40, -1).argmax(axis=1)],
            "regression": [None] * 40,
        }[task]
    )
    assert task != "multiclass" or len({*named}) > 1


def test_the_error_is_as_small_as_promised(explainer):
    """At most two in a hundred of the spread, unless all draws are used up; and it is true of other draws."""
    rows = some(made(4), *range(20))
    first = explainer.explain(rows)
    other = Explainer(explainer.bundle, explainer.profile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapley, "SEED", 1)
        second = other.explain(rows)
    codes = [explainer.bundle.classes.index(one.class_name) if one.class_name else 0 for one in first]
    spreads = [explainer.spread(code) for code in codes]
    assert all(one.standard_error <= 0.02 * spread for one, spread in zip(first, spreads, strict=True))
    apart = [
        abs(one.contributions[name] - two.contributions[name]) / np.hypot(one.standard_error, two.standard_error)
        for one, two in zip(first, second, strict=True)
        for name in one.contributions
    ]
    assert 0.5 < np.quantile(apart, 0.95) < 2.5  # errors of the same draws, for all rows


def test_derived_columns_are_told_by_what_they_are_made_of():
    """A column of the table that only `derive` uses has its contribution; a derived one has none."""

    def derive(rows):
        return {"words": np.array([float(len((text or "").split())) for text in rows["note"]])}

    bundle, known = bundle_of("regression", derive)
    bundle.model = lambda numbers, categories: numbers[:, -1]  # of what is derived alone
    rows = made(5)
    (found,) = Explainer(bundle, known).explain(some(rows, int(np.argmax(rows["note"] == "bad good"))))
    assert found.contributions["note"] == found.value - found.base_value == 2
    assert {name for name, value in found.contributions.items() if value} == {"note"}


def test_it_agrees_with_permutation_importance():
    """On independent columns, whose ranks are planted: mean contributions rank as the loss of a shuffle."""
    bundle, known = bundle_of("regression")
    weights = {"amount": 0.02, "years": 1.0, "member": 8.0}

    def model(numbers, categories):
        filled = np.nan_to_num(numbers)
        return filled[:, :3] @ [*weights.values()] + 1.0 * (categories[:, 0] == "a")

    bundle.model = model
    rows, random = some(made(6), *range(300, 400)), np.random.default_rng(0)
    truth, loss = bundle.predict(rows), {}
    for name in COLUMNS:
        shuffled = {**rows, name: random.permutation(rows[name])}
        loss[name] = float(np.square(bundle.predict(shuffled) - truth).mean())
    explained = Explainer(bundle, known).explain(rows)
    size = {name: float(np.mean([abs(one.contributions.get(name, 0.0)) for one in explained])) for name in COLUMNS}
    planted = [EVIL, "amount", "years", "member"]
    assert sorted(size, key=size.get)[-4:] == sorted(loss, key=loss.get)[-4:] == planted


def test_a_background_is_what_the_profile_counts():
    """Shares of missing and frequent values, the mean of numbers, in their range; no rare value."""
    rows, uniform = made(7), (np.arange(8_000) + 0.5) / 8_000
    rows[EVIL][:3] = "a name"
    values = {n: drawn(uniform, column, profile(rows[n], column)) for n, column in COLUMNS.items()}
    for name in ("amount", "years", "watched"):
        there, truth = values[name][~np.isnan(values[name])], rows[name][~np.isnan(rows[name])]
        assert there.mean() == pytest.approx(truth.mean(), abs=0.05 * truth.std()), name
        assert there.std() == pytest.approx(truth.std(), rel=0.25), name
        assert (there.min() >= truth.min()) and (there.max() <= truth.max())
        assert np.isnan(values[name]).mean() == pytest.approx(np.isnan(rows[name]).mean(), abs=1e-3)
    assert (values["amount"] == 0).mean() == pytest.approx((rows["amount"] == 0).mean(), abs=1e-3)
    assert np.array_equal(np.unique(values["years"]), np.round(np.unique(values["years"])))
    assert (values["member"] == 1).mean() == pytest.approx((rows["member"] == 1).mean(), abs=1e-3)
    assert {*values[EVIL]} == {"a", "b", "c", None, RARE}
    assert values["since"].dtype == "datetime64[us]"
    assert rows["since"].min() <= values["since"].min() and values["since"].max() <= rows["since"].max()
    assert {*values["note"]} == {"", None}


@pytest.mark.parametrize("kind", sorted({column.type for column in COLUMNS.values()}))
def test_a_column_of_which_nothing_is_known_can_be_drawn(kind):
    """All of it missing, or all of one value."""
    column = Column(kind, nullable=True)
    nothing = np.array([None] * 50, dtype=column.dtype)
    assert len(drawn(np.linspace(0, 0.99, 20), column, profile(nothing, column))) == 20
    one = {"category": "a", "text": "a", "datetime": np.datetime64("2020-01-01", "us")}.get(kind, 1.0)
    found = drawn(np.linspace(0, 0.99, 20), column, profile(np.array([one] * 50, dtype=column.dtype), column))
    assert {*found.tolist()} == {"" if kind == "text" else np.array([one], column.dtype).tolist()[0]}


def test_no_finite_prediction_is_said():
    """Not as a number."""
    bundle, known = bundle_of("regression")
    bundle.model = lambda numbers, _: np.where(numbers[:, 1] > 3, np.inf, 1.0)
    rows = made(8)
    with pytest.raises(UserError, match="no finite prediction"):
        Explainer(bundle, known).explain(some(rows, int(np.argmin(rows["years"]))))


def test_a_model_without_an_onnx_form_is_explained_alike(workspace, bundle, frame, monkeypatch):
    """One that ships as model.skops: here the trained model, whose predictions are those of its ONNX form."""
    monkeypatch.chdir(workspace)
    model = SkopsModel(MODEL.read_bytes(), bundle.features, seam.package())
    rows = {name: values[:2] for name, values in typed_rows(frame).items() if name in bundle.schema.features()}
    known = Bundle.load(workspace / BUNDLE).loaded_from.profile
    native = Explainer(Bundle(model, bundle.features, bundle.manifest), known).explain(rows)
    for one, other in zip(native, Explainer(bundle, known).explain(rows), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-3)
        assert one.contributions == pytest.approx(other.contributions, rel=1e-2, abs=1e-3 * abs(one.value))


def test_any_bundle_explains_its_rows(workspace, bundle, frame):
    """That of the project: what it says adds up to what it predicts."""
    rows = {name: values[:4] for name, values in typed_rows(frame).items() if name in bundle.schema.features()}
    predicted = bundle.predict(rows).reshape(4, -1)
    found = Explainer(bundle, Bundle.load(workspace / BUNDLE).loaded_from.profile).explain(rows)
    for position, one in enumerate(found):
        assert [*one.contributions] == bundle.schema.features()
        assert one.value in predicted[position].astype(float)
        assert one.base_value + sum(one.contributions.values()) == pytest.approx(one.value, rel=1e-9, abs=1e-9)
