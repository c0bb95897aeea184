"""Cleaning treats each row by itself, and what is left keeps the contract."""

import pandas as pd
from gitmodel.base.project import TEST, TRAIN
from gitmodel.contract.cleaning import mended


def test_every_row_is_on_one_side(workspace, contract):
    """Training and test rows are apart, each has an id of its own, and every class can be learned."""
    train, test = (pd.read_parquet(workspace / path) for path in (TRAIN, TEST))
    ids = pd.concat([train["row"], test["row"]])
    assert ids.is_unique and len(train) and len(test)
    assert set(contract.classes) <= set(train[contract.target])


def test_a_part_of_the_table_is_cleaned_as_in_the_whole(cells):
    """A batch that is scored or watched has other neighbours than a row of the table: they must not matter."""
    whole, part = mended(cells), mended(cells.iloc[::2])
    pd.testing.assert_frame_equal(whole.loc[whole.index.isin(cells.index[::2])], part, check_dtype=False)


def test_rows_without_their_target_are_cleaned(cells, contract):
    """`model score` reads rows whose target nobody knows yet."""
    whole, unlabelled = mended(cells), mended(cells.drop(columns=contract.target))
    names = [name for name in unlabelled.columns if name != contract.target]
    pd.testing.assert_frame_equal(whole[names], unlabelled[names], check_dtype=False)


def test_no_rows_are_cleaned(cells):
    """A file that holds only its header keeps its columns."""
    assert list(mended(cells)) == list(mended(cells.head(0)))
