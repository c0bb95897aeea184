"""What `model backtest` found, for people: on the terminal, in Markdown, drawn."""

from gitmodel.backtest.result import AGES, LASTS, UNKNOWN, Age, Aging, Backtest
from gitmodel.base import outlet
from gitmodel.base.markdown import escape, figure, number, table, title
from gitmodel.plots.svg import BLUE, ORANGE, canvas, render, shorten, styled

HEADLINES = {
    AGES: "The model ages",
    LASTS: "The model does not age measurably",
    UNKNOWN: "These rows cannot tell whether the model ages",
}
MARKS = {AGES: "❌ worse", LASTS: "✅ not worse", UNKNOWN: "⚠️ cannot tell"}
WIDTHS = (16, 10, 10, 34)


def in_short(found: Backtest) -> str:
    """Return the findings as a table for the terminal."""
    lines = [f"{HEADLINES[found.verdict]}: {found.sentence}", ""]
    for aging in found.metrics:
        lines += [f"  {title(aging.metric)}, {direction(aging)}", "  " + columns("age", "fresh", "aged", "worse by")]
        lines += ["  " + columns(row.time, number(row.fresh), number(row.aged), loss(row)) for row in aging.ages]
        lines.append("")
    return outlet.lines([*lines, basis(found), *found.notes])


def markdown(found: Backtest) -> str:
    """Return the report in Markdown."""
    parts = [f"## {HEADLINES[found.verdict]}", escape(found.sentence), basis(found), *map(escape, found.notes)]
    for aging in found.metrics:
        body = [
            [row.time, str(row.slices), number(row.fresh), number(row.aged), loss(row), MARKS[row.verdict]]
            for row in aging.ages
        ]
        parts += [
            f"### {title(aging.metric)}",
            f"{direction(aging)[0].upper()}{direction(aging)[1:]}.",
            table(["age", "slices", "fresh", "aged", "worse by (interval)", "verdict"], body),
        ]
    return "\n\n".join(parts) + "\n"


def picture(found: Backtest) -> str:
    """Return an SVG of the first metric on each slice, for a model that is retrained and for one that is not."""
    aging, slices = found.metrics[0], [shorten(part.name, 24) for part in found.slices]
    with styled():
        drawing, axes = canvas(
            HEADLINES[found.verdict],
            f"{title(aging.metric)} on each slice; {direction(aging).split(';')[0]}",
            height=400,
            bottom=118,
        )
        for values, name, style in (
            (aging.retrained, "trained just before", (BLUE, "-", "o")),
            (aging.once, "trained once, at the start", (ORANGE, (0, (5, 2)), "s")),
        ):
            drawn = [float("nan") if value is None else value for value in values]
            axes.plot(drawn, c=style[0], ls=style[1], marker=style[2], lw=1.8, ms=5, label=name)
        axes.set_xticks(range(len(slices)), slices)
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
        axes.legend(loc="best")
        return render(drawing)


def basis(found: Backtest) -> str:
    """Return on what the findings rest."""
    return (
        f"Each model learned from {found.trained_on:,} rows, in the order of {found.order}; {len(found.slices)} later"
        " slices were predicted by models of every age, the same rows by each."
    )


def direction(aging: Aging) -> str:
    """Return which values are better, and how much worse is allowed."""
    better = f"{aging.better} is better"
    return better if aging.margin is None else f"{better}; allowed loss: {figure(aging.margin)}"


def loss(row: Age) -> str:
    """Return a loss with its interval."""
    return f"{figure(row.loss, 3, '+')} ({figure(row.low, 2, '+')} to {figure(row.high, 2, '+')})"


def columns(*cells: str) -> str:
    """Return cells under one another."""
    return "".join(f"{cell:<{width - 1}} " for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
