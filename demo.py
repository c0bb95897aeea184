"""Show what `make demo` made: the model next to its baselines, where to look, what to do next."""

import json
import sys
from pathlib import Path
from typing import Any


def compare(metrics: dict[str, Any]) -> str:
    """Return a table with one row for each metric: model, linear baseline, trivial baseline."""
    columns: dict[str, dict[str, float]] = {"model": metrics["test"], **metrics["baseline"]}
    rows = [["", *columns]]
    for metric in metrics["test"]:
        rows.append([metric, *(f"{values[metric]:.4f}" if metric in values else "-" for values in columns.values())])
    return "\n".join("  " + row[0].ljust(20) + "".join(cell.rjust(10) for cell in row[1:]) for row in rows)


def main() -> None:
    """Print the result of one generated project."""
    project = Path(sys.argv[1])
    metrics = json.loads((project / "reports/metrics.json").read_text(encoding="utf-8"))
    pictures = " ".join(path.name for path in sorted((project / "reports/plots").glob("*.svg")))
    print(f"""
On rows that the model has not seen:

{compare(metrics)}

  model card    {project}/reports/MODEL_CARD.md
  pictures      {project}/reports/plots/ ({pictures})
  what ships    {project}/models/bundle/
  its life      {project}/site/index.html  <- open this page: what serves, how good, for whom, who decided

Next:

  cd {project} && source .venv/bin/activate
  model log                                                # each model: its version, when, by whom, how good
  dvc exp run -S train.gradient_boosting.learning_rate=0.2 # try a change
  dvc exp show --only-changed --drop '.*(test|baseline|slices|spread|weak|models|telling).*' # compare validation
  git restore . && dvc checkout                            # back to the first model
  model site site                                          # the page again, after the next version
  model serve                                              # a page to try the model, and its HTTP interface
""")


if __name__ == "__main__":
    main()
