"""Draw what scale.py measured: `build/demo/income-model/.venv/bin/python benchmarks/scale_picture.py`.

The figures are those of the table of stages in README.md, so that both say the same.
"""

import re
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).parent
LINE = re.compile(r"(?m)^\| ([\d,]+) \| (\w+) \| [\d,]+ \| ([\d,]+) \| [\d,]+ \| ([\d,]+) MB \|$")
PANELS = ("processor time, seconds", "peak memory, GB")


def measured(text: str) -> dict[str, list[tuple[int, float, float]]]:
    """Return for each stage the rows, the seconds of processors and the GB of its lines, by rows."""
    found = defaultdict(list)
    for rows, stage, seconds, memory in LINE.findall(text):
        number = [int(each.replace(",", "")) for each in (rows, seconds, memory)]
        found[stage].append((number[0], float(number[1]), number[2] / 1000))
    return {stage: sorted(points) for stage, points in found.items()}


def main() -> None:
    """Write scale.png."""
    known = measured((HERE / "README.md").read_text(encoding="utf-8"))
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for place, (panel, title) in enumerate(zip(panels, PANELS, strict=True), start=1):
        for stage, points in known.items():
            panel.plot([point[0] / 1e6 for point in points], [point[place] for point in points], "o-", label=stage)
        panel.set(xscale="log", xlabel="rows, millions", title=title)
        ticks = sorted({point[0] / 1e6 for points in known.values() for point in points})
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_yscale("log")
    panels[1].set_ylim(bottom=0)
    panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(HERE / "scale.png", dpi=100)


if __name__ == "__main__":
    main()
