"""Hugging Face's own parser reads the model card, whatever the task and the names."""

import json
from typing import Any

import pytest
from conftest import BakedProject, bake_into
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import EvalResult

NAMES = ["income-model", "a: b # c", "---", "x\n---\ny", "größe 🐟", "yes", "1e3", "{a}", "q\"'`", "| <b>", "- a", ""]
METRICS = {
    "binary": {"roc_auc": 0.9, "log_loss": 0.3, "ece": 0.01},
    "multiclass": {"log_loss": 0.3, "accuracy": 1.0, "ece": 0.0},
    "regression": {"rmse": 1e-7, "r2": -3.5e12},
}
RENDER = """
import json, sys
from gitmodel.card.card import Content, render
from gitmodel.card.prose import Licences, Prose
from gitmodel.contract.schema import parse

names, metrics = json.loads(sys.argv[1])
cards = {}
for task, test in metrics.items():
    for name in names:
        values = [name, "other", "third"][: 2 + (task == "multiclass")]
        target = {"type": "number"} if task == "regression" else {"type": "category", "values": values}
        columns = {"a" + name: {"type": "category"}, "y" + name: target}
        content = {"table": "data/raw.csv", "task": task, "identity": ["a" + name], "target": "y" + name}
        content |= {"columns": columns, "sensitive": ["a" + name], "positive": name if task == "binary" else None}
        manifest = {
            "name": name,
            "task": task,
            "beats_trivial": True,
            "beats_linear": True,
            "metrics": {"test": test, "baseline": {}},
            "data": {"table": name, "md5": "0", "rows": {"train": 1, "test": 1}},
            "params": {"train": {"model": name}},
            "packages": {},
            "parity": {"differences_up_to": 0, "test_rows": 1, "hard_rows": 1},
        }
        measured = {"test": test, "baseline": {}, "slices": {"a" + name: {name: {"rows": 9, **test}}}}
        importance = [{"column": name, "metric": "rmse", "importance": "1", "spread": "0"}]
        written = Prose(Licences("mit"), {"Summary": name})
        years = {name: (1994, 1995)}
        card = render(Content(manifest, measured, parse(content), written, "sha256:0", years, [], importance, ("roc",)))
        cards.setdefault(task, []).append(card)
print(json.dumps(cards))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, list[str]]:
    """Render a card for each task and name, with the code of a generated project."""
    project: BakedProject = bake_into(tmp_path_factory.mktemp("card"))
    printed = project.run(["python", "-c", RENDER, json.dumps([NAMES, METRICS])], **environment).stdout
    found: dict[str, list[str]] = json.loads(printed)
    return found


@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_hugging_face_reads_the_card(cards: dict[str, list[str]], task: str, number: int) -> None:
    """Model index, metrics and licence arrive as they were measured, and survive being written again."""
    card = ModelCard(cards[task][number])
    assert_read(card.data, NAMES[number], METRICS[task])
    again = ModelCard(str(card))
    assert_read(again.data, NAMES[number], METRICS[task])
    assert again.text == card.text
    assert card.text.lstrip().startswith("# ")


def assert_read(data: Any, name: str, metrics: dict[str, float]) -> None:
    """The hub's own classes hold what was measured."""
    results: list[EvalResult] = data.eval_results or []
    assert data.model_name == name
    assert {result.metric_type: result.metric_value for result in results} == metrics
    assert {result.dataset_split for result in results} == {"test"}
    assert {result.task_type for result in results} == {data.pipeline_tag}
    assert data.license == "mit"


FAULTS = {"type: rmse": "type: mae", "      type: tabular-regression": "      typo: x", "model-index:": "model_index:"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_card_is_noticed(cards: dict[str, list[str]], fault: str) -> None:
    """The check above can fail."""
    text = cards["regression"][0]
    assert fault in text
    with pytest.raises((ValueError, KeyError, AssertionError)):
        assert_read(ModelCard(text.replace(fault, FAULTS[fault], 1)).data, NAMES[0], METRICS["regression"])
