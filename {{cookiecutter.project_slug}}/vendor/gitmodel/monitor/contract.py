"""What a batch breaks of the contract: rules of schema.yaml, values that are missing or that were never seen."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, some_rows
from gitmodel.bundle.worth import Worth
from gitmodel.contract.schema import Rule, Schema
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.counts import Counts
from gitmodel.monitor.distance import beyond, common, more
from gitmodel.monitor.findings import Finding
from gitmodel.monitor.rules import MonitorRules

MEND = "Mend what writes these rows, or correct schema.yaml where the rule is wrong."


class Contract:
    """Counts the rows that break each column's rules; what is missing or unseen is taken from `all_counts`."""

    def __init__(
        self,
        schema: Schema,
        all_counts: Mapping[str, Counts],
        settings: MonitorRules,
        worth: Worth | None = None,
        worth_before: float = 1.0,
    ) -> None:
        """Start at zero; `worth` is what the rows are worth when all of them were added, and those before were."""
        self.worth, self.worth_before = worth or Worth(schema), worth_before
        self.schema, self.all_counts, self.settings = schema, all_counts, settings
        self.rows = self.broken_rows = self.misfits = 0
        self.broken: Counter[str] = Counter()
        self.rules: Counter[tuple[str, Rule]] = Counter()
        self.examples: dict[tuple[str, Rule], str] = {}

    def add(self, rows: Rows) -> None:
        """Count some rows."""
        self.rows += len(rows)
        masks: dict[str, np.ndarray] = {}
        for violation in rows.broken:
            key = violation.column, violation.rule
            self.rules[key] += violation.count
            self.examples.setdefault(key, violation.example.rpartition(" (row ")[0])
            masks[violation.column] = masks.get(violation.column, False) | violation.broken
        self.broken.update({column: int(mask.sum()) for column, mask in masks.items()})
        self.broken_rows += int(np.any([*masks.values()], axis=0).sum()) if masks else 0

    def findings(self) -> list[Finding]:
        """Return one finding for each column's rules, one for each that may be missing, and for each open category."""
        all_counts = {
            name: counts for name, counts in self.all_counts.items() if name in self.schema.columns
        }  # none derived
        self._require_types(all_counts)
        found = [self._rules(name) for name in all_counts]
        if self.misfits:
            found.append(self._misfits())
        for name, counts in all_counts.items():
            found += [*self._missing(name, counts), *self._unseen(name, counts)]
        return found

    def _require_types(self, all_counts: Mapping[str, Counts]) -> None:
        """Raise UserError for a column of another type: what it holds cannot be compared."""
        for name, counts in all_counts.items():
            broken = self.rules[name, Rule.TYPE]
            if broken and broken == self.rows - int(counts.now[-1]):
                said, cell = Rule.TYPE.said_of(self.schema.columns[name]), self._example(name, Rule.TYPE)
                raise UserError(f"`{name}` {said} in any row, such as {cell}: give the batch the types of schema.yaml")

    def _rules(self, name: str) -> Finding:
        """Return the finding about the rows that break any rule of a column."""
        if not self.broken[name]:
            sentence = f"`{name}` keeps the contract in {some_rows(self.rows)}"
            return self._share("violations", sentence, 0, self.rows, column=name)
        rules = [(rule, rows) for (column, rule), rows in self.rules.most_common() if column == name]
        said = {rule: rule.said_of(self.schema.columns[name]) for rule, _ in rules}
        first, count = rules[0]
        sentence = (
            f"`{name}` {said[first]} in {count:,} of {some_rows(self.rows)}, such as {self._example(name, first)}"
        )
        sentence += "".join(f"; {said[rule]} in {rows:,}" for rule, rows in rules[1:])
        return self._share("violations", sentence, self.broken[name], self.rows, column=name, remedy=MEND)

    def _misfits(self) -> Finding:
        rows = self.rows + self.misfits
        sentence = f"more or fewer cells than the header in {self.misfits:,} of {some_rows(rows)}"
        return self._share("misfits", sentence, self.misfits, rows, remedy="Quote cells that hold the separator.")

    def _share(self, name: str, sentence: str, count: int, rows: int, **more: Any) -> Finding:
        """Return the finding that so many rows are broken, of which there were none in the training."""
        share, limit = count / rows, self.settings.violations
        finding = Finding("contract", name, sentence, value=share, before=0.0, rows=rows, **more)
        return replace(
            finding, size=share, limit=limit, p=beyond(limit, count * self.worth.share, rows * self.worth.share)
        )

    def _missing(self, name: str, counts: Counts) -> Iterator[Finding]:
        if self.schema.columns[name].nullable:
            remedy = "Find out why the source no longer gives it."
            yield self._more("missing", name, counts, len(counts.now) - 1, "is missing", remedy)

    def _unseen(self, name: str, counts: Counts) -> Iterator[Finding]:
        column = self.schema.columns[name]
        if (
            name != self.schema.group
            and column.type == "category"
            and column.values is None
            and counts.other is not None
        ):
            words = "has a value that the training rows lack, or seldom have,"
            remedy = "See which values are new; a model that is trained with them knows what they mean."
            yield self._more("unseen", name, counts, counts.other, words, remedy)

    def _more(self, what: str, name: str, counts: Counts, cell: int, words: str, remedy: str) -> Finding:
        """Return the finding that a cell of a column holds a larger share than before."""
        now, rows = (float(part) * self.worth.share for part in (counts.now[cell], counts.now.sum()))
        before, rows_before = (float(part) * self.worth_before for part in (counts.before[cell], counts.before.sum()))
        if not rows or not rows_before:
            return Finding("contract", what, f"`{name}` has no cell to look at", column=name)
        share, share_before = now / rows, before / rows_before
        sentence = f"`{name}` {words} in {percent(share)} of the rows ({percent(share_before)} before)"
        finding = Finding("contract", what, sentence, column=name, value=share, before=share_before, rows=int(rows))
        p = more(before, rows_before, now, rows)
        finding = replace(finding, p=p, common=common(rows_before, rows), remedy=remedy)
        return replace(finding, size=share - share_before, limit=self.settings.missing)

    def _example(self, name: str, rule: Rule) -> str:
        return one_line(self.examples[name, rule])[:60]


def percent(share: float) -> str:
    """Return 0.051 as `5.1 %`."""
    return f"{share * 100:.1f} %" if share == 0 or share >= 0.001 else "below 0.1 %"
