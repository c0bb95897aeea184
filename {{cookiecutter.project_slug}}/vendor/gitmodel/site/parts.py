"""What the sections of the site share: links to what proves a number, days, metrics with their intervals."""

from dataclasses import dataclass

from gitmodel.base.markdown import figure
from gitmodel.base.project import CARD, METRICS
from gitmodel.log.facts import Facts, Measured, Version
from gitmodel.log.forge import Forge
from gitmodel.page.html import cells, text, wide
from gitmodel.versions.tags import date

PASS = "pass"  # as gate/judge.py calls it, which needs NumPy
FEWEST_SHOWN = 20  # rows of a table that are not folded
MOST_WORDS = 500  # characters of what people wrote


@dataclass(frozen=True)
class Site:
    """The facts, and where they can be looked at."""

    facts: Facts
    forge: Forge

    def commit(self, commit: str) -> str:
        """Return a commit: a link, or its id where the repository is on no forge."""
        return _link(self.forge.commit(commit), f"<code>{text(commit[:9])}</code>", commit)

    def tag(self, tag: str) -> str:
        """Return a tag, in the same way."""
        return _link(self.forge.tag(tag), f"<code>{text(tag)}</code>", tag)

    def file(self, commit: str, path: str, name: str) -> str:
        """Return a file of a commit, in the same way."""
        return _link(self.forge.file(commit, path), text(name), f"git show {commit[:9]}:{path}")

    def rows(self, version: Version) -> dict[str, str]:
        """Return how many rows a version was trained and tested on, by the name of the line; nothing if unknown."""
        known = version.rows
        said = f"{known.get('train', 0):,} to train on, {known.get('test', 0):,} to test on"
        return {"Rows": said} if known else {}

    def card(self, version: Version) -> str:
        """Return the model card of a version, as a link to it."""
        return self.file(version.commit, CARD.as_posix(), CARD.name)

    def metrics(self, version: Version) -> str:
        """Return the file that holds the numbers of a version, as a link to it."""
        return self.file(version.commit, METRICS.as_posix(), METRICS.name)

    def version(self, name: str) -> str:
        """Return a version, as a link to all that is known of it."""
        known = self.facts.named(name)
        return (
            f'<a href="#{text(name)}">{text(name)}</a>' if known else f"<code>{text(name[:9])}</code>" if name else "-"
        )


def _link(address: str, shown: str, title: str) -> str:
    if not address:
        return f'<span title="{text(title)}">{shown}</span>'
    return f'<a href="{text(address, 2_000)}">{shown}</a>'


def day(time: int | None) -> str:
    """Return the day of a time; a program reads the seconds, too."""
    return "now" if time is None else f'<time datetime="{iso(time)}">{date(time)[:10]}</time>'


def iso(time: int) -> str:
    """Return a time as programs read it."""
    return date(time).removesuffix(" UTC").replace(" ", "T") + "Z"


def told(measured: Measured | None) -> str:
    """Return a metric with its interval."""
    if measured is None:
        return "-"
    if not measured.interval:
        return f"<b>{figure(measured.value)}</b>"
    low, high = map(figure, measured.interval)
    return f'<b>{figure(measured.value)}</b> <span class="soft">{low} to {high}</span>'


def words(said: str) -> str:
    """Return what a person wrote."""
    return text(said, MOST_WORDS) or "-"


def verdict(version: Version) -> str:
    """Return what the gate said; what it stopped is not called `pass`, even if the model itself is no worse."""
    said = text(version.gate) or "-"
    return f"stopped by a rule (the model: {said})" if version.accepted and version.gate == PASS else said


def md5(digest: str) -> str:
    """Return the beginning of a hash, with all of it for those who ask."""
    return f'<code title="{text(digest)}">{text(digest[:9])}</code>' if digest else "-"


def folded(head: str, rows: list[str], caption: str, what: str) -> str:
    """Return a table of rows; those after the first ones are folded."""
    first, rest = rows[:FEWEST_SHOWN], rows[FEWEST_SHOWN:]
    more = wide(head, "".join(rest), f"{caption}, earlier") if rest else ""
    fold = f"<details><summary>{len(rest):,} earlier {what}</summary>{more}</details>" if rest else ""
    return wide(head, "".join(first), caption) + fold if rows else ""


def row(first: str, *others: str) -> str:
    """Return a row whose first cell names it; all of it is HTML."""
    return f'<tr><th scope="row">{first}</th>{cells(*others)}</tr>'
