"""Pictures of how good a model is, for people who look at reports/plots/ on GitHub."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gitmodel.metrics.builtin import BETTER
from gitmodel.metrics.scored import Scored
from gitmodel.metrics.significance import wilson_interval
from gitmodel.plots import curves
from gitmodel.plots.svg import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    SHADES,
    WIDTH,
    canvas,
    limits,
    render,
    rounded,
    short_ticks,
    shorten,
    styled,
    text_width,
)

METRIC_NAMES = {"roc_auc": "ROC AUC", "log_loss": "log loss", "rmse": "RMSE"}
COLUMNS_SHOWN = 15
POINTS_SHOWN = 500


def draw(
    scored: Mapping[str, Scored], metrics: dict[str, Any], importances: pd.DataFrame, counts: pd.DataFrame
) -> dict[str, str]:
    """Return the pictures of the task: name -> SVG."""
    test, model = metrics["test"], scored["model"]
    pictures: dict[str, Callable[[], Figure]] = {"importance": lambda: importance(importances)}
    if model.schema.task == "regression":
        pictures["residuals"] = lambda: residuals(model, test)
        pictures["calibration"] = lambda: value_calibration(model, test)
    else:
        if "roc_auc" in test:
            pictures["roc"] = lambda: roc(scored, metrics)
        pictures["calibration"] = lambda: calibration(model, test["ece"])
        pictures["confusion"] = lambda: confusion(counts, test["accuracy"])
    with styled():
        return {name: render(picture()) for name, picture in pictures.items()}


def roc(scored: Mapping[str, Scored], metrics: dict[str, Any]) -> Figure:
    """Draw the ROC curves of the model and the linear baseline, and chance."""
    auc = {"model": metrics["test"]["roc_auc"], "linear": metrics["baseline"]["linear"]["roc_auc"]}
    kind = "ROC curve" if scored["model"].schema.task == "binary" else "ROC curve, mean of all classes"
    figure, axes = canvas(
        f"{kind}: AUC {auc['model']:.3f} on {len(scored['model']):,} test rows",
        "How many rows of the class are found, for how many false alarms; the upper left corner is perfect",
        height=500,
    )
    for who, style in {"model": (BLUE, "-", 2.2), "linear": (ORANGE, (0, (5, 2)), 1.6)}.items():
        curve = curves.curves(scored[who])["roc"]
        name = "model" if who == "model" else "linear baseline"
        axes.plot(curve["x"], curve["y"], c=style[0], ls=style[1], lw=style[2], label=f"{name}, {auc[who]:.3f}")
    axes.plot([0, 1], [0, 1], c=LINE, ls=(0, (1, 2)), lw=1.4, label="chance, 0.5")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right", title="AUC", alignment="left")
    return figure


def calibration(scored: Scored, ece: float) -> Figure:
    """Draw observed shares against predicted probabilities, with 95% intervals, over a histogram of the rows."""
    bins, schema = curves.calibration(*scored.confidence, scored.weight), scored.schema
    whose = f"of {shorten(str(schema.positive), 20)}" if schema.task == "binary" else "of the most likely class"
    figure, axes = canvas(
        f"Calibration: probabilities are off by {100 * ece:.1f} points on average",
        "On the dotted line, of the rows given 70% about 70% come true; bars: 95% intervals",
        height=500,
        bottom=124,
    )
    low, high = wilson_interval(bins["y"].to_numpy(), bins["worth"].to_numpy())
    axes.plot([0, 1], [0, 1], c=LINE, ls=(0, (1, 2)), lw=1.4)
    axes.vlines(bins["x"], low, high, color=BLUE, lw=1.6, alpha=0.45)
    axes.plot(bins["x"], bins["y"], "o-", c=BLUE, lw=1.6, ms=5)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed share")
    axes.tick_params(labelbottom=False)
    below = figure.add_axes((58 / WIDTH, 46 / 500, (WIDTH - 78) / WIDTH, 64 / 500), sharex=axes)
    below.bar(bins["x"], bins["rows"], width=0.045, color=LINE)
    below.tick_params(length=0, pad=5)
    below.set(xlabel=f"predicted probability {whose}", ylabel="rows")
    short_ticks(below, x=False)
    return figure


def confusion(counts: pd.DataFrame, accuracy: float) -> Figure:
    """Draw counts by actual and predicted class, shaded by their share of the actual class."""
    names, size = [shorten(name, 22) for name in counts.index], len(counts)
    left = 44 + text_width(names)
    cell = min((WIDTH - left - 20) / size, 90)
    slanted = size > 2 and text_width(names) > cell
    bottom = 44 + (0.62 * text_width(names) if slanted else 0)
    figure, axes = canvas(
        f"Confusion: {100 * accuracy:.1f}% of {counts.to_numpy().sum():,.0f} test rows get the right class",
        "Each row of cells adds up to 100%: how the rows of that class were predicted",
        height=int(60 + cell * size + bottom),
        left=int(left),
        bottom=int(bottom),
    )
    whole = counts.sum(axis="columns").to_numpy()[:, None]
    shares = (counts / np.where(whole > 0, whole, 1)).to_numpy()
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    label_cells(axes, counts.to_numpy(), shares)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.set_xticks(range(size), names)
    for name in axes.get_xticklabels() if slanted else ():
        name.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names)
    axes.tick_params(labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    axes.hlines(np.arange(1, size) - 0.5, -0.5, size - 0.5, color="white", lw=1.5)
    axes.vlines(np.arange(1, size) - 0.5, -0.5, size - 0.5, color="white", lw=1.5)
    return figure


def label_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Write share and count into each cell that has rows; only the share where cells are small."""
    size = len(counts)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            share = f"{100 * shares[row, column]:.0f}"
            text = f"{share}%\n{count:,.0f}" if size <= 7 else share
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10 if size <= 5 else 8)


def residuals(scored: Scored, test: dict[str, float]) -> Figure:
    """Draw residuals against predictions, with their median and the band that holds 80 % of them."""
    truth, predicted = scored.truth, scored.predicted
    figure, axes = canvas(
        f"Residuals: half of {len(truth):,} test rows are within {rounded(test['median_absolute_error'])}",
        "Around zero and of even width is good; line: median, band: 80% of the rows",
        height=400,
    )
    errors = truth - predicted
    axes.axhline(0, c=LINE, ls=(0, (1, 2)), lw=1.4)
    scatter(axes, predicted, errors)
    bands = curves.residual_bands(truth, predicted, scored.weight)
    axes.fill_between(bands["x"], bands["low"], bands["high"], color=BLUE, alpha=0.16, lw=0)
    axes.plot(bands["x"], bands["y"], c=BLUE, lw=2.2)
    axes.set(xlim=limits(predicted), ylim=limits(errors), xlabel="predicted", ylabel="actual - predicted")
    return figure


def value_calibration(scored: Scored, test: dict[str, float]) -> Figure:
    """Draw actual against predicted values, with the mean of both in bins."""
    truth, predicted = scored.truth, scored.predicted
    share = f"R² {test['r2']:.3f}" if "r2" in test else f"RMSE {rounded(test['rmse'])}"
    figure, axes = canvas(
        f"Actual against predicted: {share} on {len(truth):,} test rows",
        "On the dotted line, predictions are right on average; dots: means of equally many rows",
        height=460,
    )
    scatter(axes, predicted, truth)
    bins = curves.value_calibration(truth, predicted, scored.weight)
    axes.axline((bins["x"][0], bins["x"][0]), slope=1, c=LINE, ls=(0, (1, 2)), lw=1.4)
    axes.plot(bins["x"], bins["y"], "o-", c=BLUE, lw=1.6, ms=5)
    axes.set(xlim=limits(predicted), ylim=limits(truth), xlabel="predicted", ylabel="actual")
    return figure


def importance(table: pd.DataFrame) -> Figure:
    """Draw the permutation importance of the columns that matter most, with its spread."""
    shown, metric = table.head(COLUMNS_SHOWN), table["metric"].iloc[0]
    names = [shorten(name, 28) for name in shown["column"]]
    verb, best = "falls" if BETTER[metric] == "higher" else "rises", shown["importance"].iloc[0]
    rest = f" ({len(shown)} of {len(table)} columns)" if len(table) > len(shown) else ""
    figure, axes = canvas(
        f"Importance: {names[0]} matters most" if best > 0 else "Importance: no column helps on the test rows",
        f"How much {METRIC_NAMES[metric]} {verb} when a column is shuffled; whiskers: deviation{rest}",
        height=106 + 24 * len(shown),
        left=int(30 + text_width(names)),
    )
    whiskers = {"ecolor": INK, "elinewidth": 1.2, "capsize": 2.5}
    axes.barh(range(len(names)), shown["importance"], xerr=shown["spread"], height=0.62, color=BLUE, error_kw=whiskers)
    axes.axvline(0, c=LINE, lw=1)
    short_ticks(axes)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    axes.set_xlabel(f"{METRIC_NAMES[metric]} lost" if verb == "falls" else f"{METRIC_NAMES[metric]} added")
    return figure


def scatter(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw some of the rows, evenly chosen, as faint dots."""
    some = np.unique(np.linspace(0, len(x) - 1, POINTS_SHOWN).astype(int))
    axes.plot(x[some], y[some], "o", c=MUTED, ms=3.6, alpha=0.3, mew=0)
    short_ticks(axes)
