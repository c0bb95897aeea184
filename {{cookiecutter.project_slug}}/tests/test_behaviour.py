"""How the trained model behaves, whatever the table: with the present code, and in models/bundle if it is here."""

import numpy as np
import pytest
from gitmodel.bundle.parity import hard_rows
from gitmodel.contract.table import rows


@pytest.fixture
def typed(bundle, frame):
    """Return the columns that the model learns from."""
    return rows(frame[bundle.schema.features()])


def part(typed, positions):
    """Return some of the rows, in any order."""
    return {name: values[positions] for name, values in typed.items()}


def assert_same(actual, expected):
    """Assert that predictions are equal up to the rounding of float32."""
    unit = max(np.abs(expected).max(initial=0), 1e-300)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * unit)


def assert_sound(predicted, bundle, size):
    """Assert that predictions are finite and, for classes, probabilities."""
    assert predicted.shape == ((size, len(bundle.classes)) if bundle.classes else (size,))
    assert np.isfinite(predicted).all()
    if bundle.classes:
        assert predicted.min(initial=0) >= 0 and predicted.max(initial=0) <= 1
        np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)


def test_predictions_are_sound(bundle, typed, frame):
    """Probabilities lie in [0, 1] and add up to 1; values are finite."""
    assert_sound(bundle.predict(typed), bundle, len(frame))


def test_labels_are_what_is_decided(bundle, typed):
    """Each label is a class: the most likely one, or the one that `decision:` in params.yaml says."""
    if not bundle.classes:
        pytest.skip("a regression has no labels")
    predicted = bundle.predict(typed)
    codes = [bundle.classes.index(label) for label in bundle.labels(predicted)]
    if bundle.decision.threshold is not None:
        positive = bundle.decision.positive
        reached = predicted[:, positive].astype(np.float32) >= np.float32(bundle.decision.threshold)
        assert codes == np.where(reached, positive, 1 - positive).tolist()
    elif not bundle.decision.costs:
        assert predicted[np.arange(len(codes)), codes].tolist() == predicted.max(axis=1).tolist()


def test_the_order_of_rows_does_not_matter(bundle, typed, frame):
    """Shuffled rows get shuffled predictions."""
    order = np.random.default_rng(0).permutation(len(frame))
    assert_same(bundle.predict(part(typed, order)), bundle.predict(typed)[order])


def test_the_order_of_columns_does_not_matter(bundle, typed):
    """Columns are known by their names."""
    assert_same(bundle.predict(dict(reversed(typed.items()))), bundle.predict(typed))


def test_other_columns_do_not_matter(bundle, frame):
    """What is not learned from may be there, sensitive columns and the target included, or not."""
    watched = rows(frame)
    assert_same(bundle.predict(watched), bundle.predict({name: watched[name] for name in bundle.schema.features()}))


def test_one_row_alone_is_predicted_as_in_a_batch(bundle, typed, frame):
    """No row depends on its neighbours."""
    size = min(len(frame), 20)
    alone = np.concatenate([bundle.predict(part(typed, slice(i, i + 1))) for i in range(size)])
    assert_same(alone, bundle.predict(typed)[:size])


def test_equal_rows_are_predicted_the_same(bundle, typed, frame):
    """A row that comes twice gets the same prediction twice."""
    twice = bundle.predict(part(typed, np.repeat(np.arange(len(frame)), 2)))
    assert_same(twice[::2], twice[1::2])


def test_no_rows_get_no_predictions(bundle, typed):
    """An empty batch is no mistake."""
    assert_sound(bundle.predict(part(typed, slice(0))), bundle, 0)


def test_any_column_may_be_missing_throughout(bundle, typed, frame):
    """A batch in which one column is all missing gets sound predictions."""
    for name, values in typed.items():
        missing = {"O": None, "M": np.datetime64("NaT")}.get(values.dtype.kind, np.nan)
        batch = typed | {name: np.full_like(values, missing)}
        assert_sound(bundle.predict(batch), bundle, len(frame))


def test_missing_unseen_and_extreme_values_get_sound_predictions(bundle, frame):
    """All missing, never seen, far out of range: the answer is still a prediction."""
    hard = hard_rows(frame, bundle.schema)
    assert_sound(bundle.predict(rows(hard[bundle.schema.features()])), bundle, len(hard))
