"""Which of new rows are new: by their identity, beside the rows of the table and beside one another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import some_rows
from gitmodel.contract.schema import Reading


@dataclass(frozen=True)
class New:
    """The rows of a file: their cells, the same with types, how the cells are spelt (of Parquet: any reading)."""

    cells: pd.DataFrame
    typed: pd.DataFrame
    reading: Reading


@dataclass(frozen=True)
class Merge:
    """What becomes of the rows of a file.

    `fresh`: their positions (n,) that are appended. `labels`: rows of the table -> rows of the file whose label they
    take. `known`, `repeated`: left out, because the table or the file has them already. `relabelled`: with another
    label than the row of that identity that stays or is replaced. `unclear`: the same, where several rows of the table
    are of that identity, so that none can be replaced.
    """

    rows: int
    fresh: np.ndarray
    labels: dict[int, int]
    known: int
    repeated: int
    relabelled: int
    unclear: int

    def summary(self, file: Path | str, replace_labels: bool) -> list[str]:
        """Return what becomes of the rows, for a person to read."""
        stays = "of these have another label (the known one stays; --replace-labels takes the new one)"
        unclear = "the known ones stay, as the table has several rows of that identity"
        counts = {
            "new, appended": len(self.fresh),
            "left out: in the table already": self.known,
            "left out: more than once in the file": self.repeated,
            "of these have another label, which the table takes" if replace_labels else stays: self.relabelled,
            f"of these have another label ({unclear})": self.unclear,
        }
        lines = [f"  {count:,} {what}" for what, count in counts.items() if count or "label" not in what]
        return [f"{file}: {some_rows(self.rows)}", *lines]


def merge(known: pd.DataFrame, new: pd.DataFrame, replace_labels: bool) -> Merge:
    """Compare frames of `identity` (hashes) and `label`; of equal identities the first row counts.

    With `replace_labels` the last one counts. A label that is missing says nothing: it never counts before another.
    """
    new = new.assign(row=np.arange(len(new)), unlabelled=new["label"].isna())
    ranked = new.sort_values(["unlabelled", "row"], ascending=[True, not replace_labels], kind="stable")
    counting = ranked[~ranked["identity"].duplicated()]
    is_known = counting["identity"].isin(known["identity"])
    held = counting[is_known]
    others = held[~same_label(held, known) & ~held["unlabelled"]]
    copies = known["identity"].value_counts()
    unclear = (others["identity"].map(copies) > 1).to_numpy() & replace_labels
    corrections = others[~unclear]
    places = pd.Series(np.arange(len(known)), known["identity"].to_numpy())
    rows = places[~places.index.duplicated()].reindex(corrections["identity"]).to_numpy()
    left_out = ranked[ranked["identity"].duplicated()]
    relabelled = ~same_label(left_out, counting) & ~left_out["unlabelled"]
    return Merge(
        rows=len(new),
        fresh=np.sort(counting["row"][~is_known].to_numpy()),
        labels=dict(zip(rows.tolist(), corrections["row"].tolist(), strict=True)) if replace_labels else {},
        known=len(held),
        repeated=len(left_out),
        relabelled=len(corrections) + int(relabelled.sum()),
        unclear=int(unclear.sum()),
    )


def everything(rows: int) -> Merge:
    """Return that all rows of a file are appended."""
    return Merge(rows, np.arange(rows), {}, known=0, repeated=0, relabelled=0, unclear=0)


def same_label(rows: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Return the mask (n,) of rows whose identity is known with that label."""
    pairs = known[["identity", "label"]].drop_duplicates()
    return (rows[["identity", "label"]].merge(pairs, how="left", indicator=True)["_merge"] == "both").to_numpy()
