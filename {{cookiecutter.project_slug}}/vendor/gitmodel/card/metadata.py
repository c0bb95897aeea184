"""The first part of the card, for machines: https://huggingface.co/docs/hub/model-cards."""

from typing import Any

import yaml

from gitmodel.base.markdown import title


def metadata(manifest: dict[str, Any], license: str | None) -> str:
    """Return the YAML that Hugging Face's hub reads."""
    task = "tabular-regression" if manifest["task"] == "regression" else "tabular-classification"
    measured = [{"type": name, "name": title(name), "value": v} for name, v in manifest["metrics"]["test"].items()]
    dataset = {"type": manifest["name"], "name": manifest["data"]["table"], "split": "test"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": measured}
    content = {
        "license": license or "other",
        "library_name": "onnx",
        "pipeline_tag": task,
        "tags": ["tabular", manifest["task"]],
        "model-index": [{"name": manifest["name"], "results": [result]}],
    }
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text
