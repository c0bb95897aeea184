"""The model card, reports/MODEL_CARD.md: metadata as Hugging Face reads it, then a page for people.

Model cards: Mitchell et al. 2019 (FAT*). Names and values that come from data are escaped; what people write in
the section `card:` of params.yaml is Markdown and stands as it is.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ..schema import Schema
from .bundle import digest
from .markdown import escape, folded, table, title
from .metrics import HIGHER_IS_BETTER
from .project import CARD, PLOTS, read_params, write_text

PARTS = {
    "intended_use": "Intended use",
    "misuse": "Out of scope and misuse",
    "limits": "Limits and risks",
    "data": "Where the data comes from",
    "contact": "Contact",
}
MOST_ROWS_SHOWN = 12
FIRST_PICTURES = ("roc", "residuals")


def write_card(manifest: dict[str, Any], metrics: dict[str, Any], schema: Schema) -> None:
    """Write the card of the bundle in models/bundle."""
    card = read_params("card")
    pictures = sorted(PLOTS.glob("*.svg"), key=lambda path: (path.stem not in FIRST_PICTURES, path.name))
    write_text(CARD, render(manifest, metrics, schema, card, pictures, digest()))


def render(
    manifest: dict[str, Any],
    metrics: dict[str, Any],
    schema: Schema,
    card: dict[str, Any],
    pictures: list[Path],
    bundle_digest: str,
) -> str:
    """Return the card as Markdown."""
    parts = [
        f"---\n{metadata(manifest, card)}---",
        f"# {escape(manifest['name'])}",
        _written(card, "summary"),
        *_warnings(manifest),
        "## What it predicts",
        predicts(manifest, schema),
        *_section(card, "intended_use"),
        *_section(card, "misuse"),
        "## How good it is",
        f"On {manifest['data']['rows']['test']:,} test rows that it was not trained on:",
        metrics_table(metrics),
        *(f"![{picture.stem.replace('_', ' ')}](plots/{picture.name})" for picture in pictures),
        *slices(metrics["slices"]),
        *_section(card, "limits"),
        *_section(card, "data"),
        "## How it was made",
        lineage(manifest, bundle_digest),
        folded("Parameters", table(["parameter", "value"], parameters(manifest["params"]))),
        "## How to make it again",
        REPRODUCE,
        *_section(card, "contact"),
    ]
    return "\n\n".join(parts) + "\n"


REPRODUCE = """In a clone of this repository, at the commit that holds this card:

```sh
make init
dvc repro --force
git status  # says that nothing changed: the same commit gives the same bytes
sha256sum models/bundle/manifest.json  # the digest above
```"""


def metadata(manifest: dict[str, Any], card: dict[str, Any]) -> str:
    """Return the YAML that Hugging Face's hub reads: https://huggingface.co/docs/hub/model-cards."""
    task = "tabular-regression" if manifest["task"] == "regression" else "tabular-classification"
    measured = [{"type": name, "name": title(name), "value": v} for name, v in manifest["metrics"]["test"].items()]
    dataset = {"type": manifest["name"], "name": manifest["data"]["table"], "split": "test"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": measured}
    content = {
        "license": card.get("license") or "other",
        "library_name": "onnx",
        "pipeline_tag": task,
        "tags": ["tabular", manifest["task"]],
        "model-index": [{"name": manifest["name"], "results": [result]}],
    }
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def predicts(manifest: dict[str, Any], schema: Schema) -> str:
    """Return one paragraph: target, classes, columns that are learned from and columns that are only watched."""
    target = f"**{escape(schema.target)}** ({schema.task})"
    if schema.classes:
        shown = ", ".join(escape(name) for name in schema.classes[:MOST_ROWS_SHOWN])
        more = f" and {len(schema.classes) - MOST_ROWS_SHOWN:,} more" if len(schema.classes) > MOST_ROWS_SHOWN else ""
        target += f": {shown}{more}"
    if schema.positive:
        target += f"; the positive class is {escape(schema.positive)}"
    names = schema.features()
    watched = [name for name in schema.columns if name not in names and name != schema.target]
    lines = [f"{target}.", folded(f"Learned from {len(names):,} columns", _listed(names))]
    if watched:
        lines.append(f"Measured but not learned from: {_listed(watched)}.")
    if schema.sensitive:
        lines.append(f"Groups whose gaps are watched: {_listed(schema.sensitive)}.")
    return "\n\n".join(lines)


def metrics_table(metrics: dict[str, Any]) -> str:
    """Return the metrics of the model beside those of its baselines."""
    columns = {"model": metrics["test"], **metrics["baseline"]}
    arrows = {True: "higher is better", False: "lower is better"}
    body = [
        [
            f"{title(name)} ({arrows[name in HIGHER_IS_BETTER]})",
            *(_number(results.get(name)) for results in columns.values()),
        ]
        for name in metrics["test"]
    ]
    return table(["metric", *columns], body)


def slices(found: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """Yield the section of results by group, folded when it is long."""
    groups = [(column, value, result) for column, values in found.items() for value, result in values.items()]
    if not groups:
        return
    names = list(dict.fromkeys(name for _, _, result in groups for name in result))
    body = [
        [escape(column), escape(value), *(_number(result.get(name)) for name in names)]
        for column, value, result in groups
    ]
    yield "## For whom"
    text = table(["column", "value", *map(title, names)], body)
    yield folded(f"{len(groups)} groups", text) if len(groups) > MOST_ROWS_SHOWN else text


def lineage(manifest: dict[str, Any], bundle_digest: str) -> str:
    """Return what the model was made from, and how sure it is that the exported one is the trained one."""
    data, parity = manifest["data"], manifest["parity"]
    checked = parity["test_rows"] + parity["hard_rows"]
    return "\n".join(
        [
            f"- Table: {escape(data['table'])}, MD5 `{data['md5']}`, {data['rows']['train']:,} rows to train on,"
            f" {data['rows']['test']:,} to test on",
            f"- Model: {escape(manifest['params']['train'].get('model', ''))}, exported to ONNX; on {checked:,} rows"
            f" its predictions differ from the trained model's by at most {parity['differences_up_to']:g}",
            f"- Made with: {', '.join(f'{name} {version}' for name, version in manifest['packages'].items())}",
            f"- Digest of the bundle: `{bundle_digest}`; `git log -1 -- dvc.lock` names the commit",
        ]
    )


def parameters(params: dict[str, Any]) -> list[list[str]]:
    """Return rows `section.name`, value."""
    return [
        [escape(f"{section}.{name}"), escape(value)]
        for section, values in params.items()
        for name, value in values.items()
    ]


def _warnings(manifest: dict[str, Any]) -> Iterator[str]:
    if not manifest["beats_trivial"]:
        yield "> [!WARNING]\n> This model is no better than guessing (the trivial baseline). Do not use it."
    elif not manifest["beats_linear"]:
        yield "> [!NOTE]\n> A linear model, which is simpler, is as good."


def _section(card: dict[str, Any], name: str) -> Iterator[str]:
    yield f"## {PARTS[name]}"
    yield _written(card, name)


def _written(card: dict[str, Any], name: str) -> str:
    return str(card.get(name) or "").strip() or f"_Not written yet: `card.{name}` in params.yaml._"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(escape(name) for name in names)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
