"""How pictures look: SVG, the same bytes for the same numbers, whatever characters the names hold."""

import io
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gitmodel.base import outlet

WIDTH = 500
MOST_LETTERS = 1_000  # of a name that are looked at
INK, MUTED, LINE, GRID = "#1f2328", "#59636e", "#8c959f", "#e6e9ed"
BLUE, ORANGE = "#0550ae", "#d4650b"  # of different lightness too: told apart by everyone, and in grey
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#b6d3f5", "#5b9be0", BLUE])
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text: small, searchable, in any script
    "svg.hashsalt": "model",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
}
# Laid out in matplotlib's own font, which is everywhere the same and wide; shown in the viewer's.
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif"


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style within the block: the person's own matplotlibrc would change the bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def render(figure: Figure) -> str:
    """Return a figure as SVG, without a date; glyphs that matplotlib's font lacks are left to the viewer's."""
    output = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None, "Title": figure.get_label()})
    lines = output.getvalue().replace("'DejaVu Sans'", FONTS).split("\n")
    return outlet.svg("\n".join(line.rstrip() for line in lines).strip("\n") + "\n")


def canvas(title: str, hint: str, height: int, left: int = 58, bottom: int = 46) -> tuple[Figure, Axes]:
    """Return a figure and axes below a title that says what is seen, and a hint on how to read it; sizes in points."""
    title, hint = outlet.one_line(title), outlet.one_line(hint)
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="white", label=title)
    figure.text(16 / WIDTH, 1 - 24 / height, title, fontsize=13, fontweight="bold")
    figure.text(16 / WIDTH, 1 - 41 / height, hint, fontsize=9.5, color=MUTED)
    width, tall = WIDTH - left - 20, height - bottom - 60
    axes = figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, tall / height))
    axes.tick_params(length=0, pad=5)
    return figure, axes


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the range of all but the most extreme values, a little widened."""
    low, high = np.quantile(values, [0.005, 0.995])
    margin = 0.06 * (high - low) or abs(high) or 1.0
    return float(low - margin), float(high + margin)


def short_ticks(axes: Axes, x: bool = True) -> None:
    """Write 25,000 as 25k on the axes."""
    for axis in (axes.xaxis, axes.yaxis) if x else (axes.yaxis,):
        axis.set_major_formatter(lambda value, _: short_number(value))


def short_number(value: float) -> str:
    """Write a number for a tick: 1,500 and 25k and 3M."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.6g}{unit}"
    return f"{value:,.6g}"


def rounded(value: float) -> str:
    """Write a number with three significant digits."""
    return short_number(float(f"{value:.3g}"))


def shorten(text: str, most: int) -> str:
    """Return a name that fits `most` Latin letters, on one line, … at the end."""
    clean = outlet.one_line(outlet.short(text, MOST_LETTERS)) or "(empty)"
    width = np.cumsum([letter_width(letter) for letter in clean])
    return clean if width[-1] <= most else clean[: int((width < most).sum())].rstrip() + "…"


def letter_width(letter: str) -> int:
    """Return 2 for East Asian letters and emoji, else 1."""
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def text_width(names: list[str]) -> float:
    """Return about how many points the longest name takes."""
    return 6.2 * max(sum(letter_width(letter) for letter in name) for name in names)
