"""Markdown as GitHub and Hugging Face show it: texts from data, files and branch names mean nothing but themselves."""

import re
from collections.abc import Iterable

from gitmodel.base import outlet

TITLES = {
    "roc_auc": "ROC AUC",
    "brier": "Brier score",
    "f1": "F1",
    "ece": "expected calibration error",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
}
LONGEST = 60_000  # a comment on GitHub may have 65,536 characters
MOST_TEXT = 200  # characters of a text that comes from data
CODE = re.compile("`([^`]+)`")
MOST_WHOLE = 1e15  # beyond it a number is written with its power of ten


def table(header: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table of cells that are escaped already."""
    lines = [list(header), *map(list, body)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def listed(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def folded(summary: str, text: str) -> str:
    """Return text that is shown when its summary is clicked."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def escape(value: object) -> str:
    """Return any text as one line of Markdown that means nothing but itself, in tables too."""
    return outlet.markdown(str(value).strip()) or "(empty)"


def cut(text: object, most: int = MOST_TEXT) -> str:
    """Return a text from data, files or people: escaped, and not too long."""
    return escape(outlet.short(str(text), most))


def prose(sentence: str) -> str:
    """Return a sentence as Markdown; what it has between backticks is code, and all else means nothing but itself."""
    parts = CODE.split(outlet.one_line(sentence))  # every other one is code
    shown = [f"`{part}`" if place % 2 and part.strip() else outlet.markdown(part) for place, part in enumerate(parts)]
    return "".join(shown) or "(empty)"


def title(name: str) -> str:
    """Return a metric's name as people write it."""
    return TITLES.get(name, name.replace("_", " "))


def number(value: float | None) -> str:
    """Return a number for people: whole ones whole, others with four significant digits, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else figure(value)


def figure(value: float, digits: int = 4, sign: str = "") -> str:
    """Return a number to so many digits; a large one whole, never as 5.4e+04."""
    value += 0.0  # no -0
    whole = 10**digits - 0.5 <= abs(value) < MOST_WHOLE
    return f"{value:{sign},.0f}" if whole else f"{value:{sign},.{digits}g}"


def cell(value: float) -> str:
    """Return a number of a table's column, to six digits: without commas, for 1961 may be a year."""
    return figure(value, 6).replace(",", "")
