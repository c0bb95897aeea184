"""Pull requests to a generated project: its workflows run (act), its comments are made (gh), on a hub of our own."""

import json
import re
from collections.abc import Iterator

import pytest
from conftest import commit_all, run
from origin import MARKER, Origin, prepared

pytestmark = pytest.mark.slow

HOSTILE_CATEGORY = (
    "<img src=x onerror=x()>@octocat [a](http://b) `touch executed` $(touch executed) ${{ github.token }}|"
)
HOSTILE = "x`touch${IFS}$RUNNER_TEMP/executed`$(touch${IFS}executed)'\";touch${IFS}executed;#<b>@octocat"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Origin]:
    """Return a repository whose main has a model, learned from a table with a hostile category."""
    with prepared(tmp_path_factory.mktemp("hub"), environment, category=HOSTILE_CATEGORY) as origin:
        yield origin


def test_main_is_reproduced(origin: Origin) -> None:
    """A push to main makes its results again and leaves a warm cache; nothing is judged."""
    pushed = origin.act("model", "push", {"ref": "refs/heads/main"})
    assert pushed.conclusion == "success", pushed.log
    assert pushed.jobs == {"acceptance": "success", "make": "success", "required": "success"}
    assert list((origin.folder / "cache").glob("dvc-main-*"))


def test_the_site_is_published_once_a_variable_says_so(origin: Origin) -> None:
    """The page of main, with its feed and its data; without the variable nothing happens."""
    done = origin.act("pages", "push", {"ref": "refs/heads/main"}, "main", "--var", "PUBLISH_SITE=yes")
    assert done.conclusion == "success", done.log
    assert done.jobs == {"build": "success", "publish": "success"}
    pages = origin.folder / "artifacts/pages"
    assert {path.name for path in pages.iterdir()} == {"index.html", "feed.xml", "model.json", "model.schema.json"}
    assert json.loads((pages / "model.json").read_text(encoding="utf-8"))["commit"] == origin.git("rev-parse", "main")
    run(["rm", "--recursive", str(pages)], origin.folder)
    assert "success" not in origin.act("pages", "push", {"ref": "refs/heads/main"}).jobs.values()
    assert not pages.exists()


def test_change_of_words_is_green(origin: Origin) -> None:
    """The same model passes, and the comment says so."""
    origin.start("words")
    origin.project.write("notes.md", "# Notes\n")
    judged, comment = origin.judge(origin.push("Notes"))
    assert judged.conclusion == "success", judged.log
    assert "The model is not worse" in comment


def test_better_model_is_green(origin: Origin) -> None:
    """More of the same trees: the comment says which metric won, and that nothing blocks."""
    origin.start("better")
    origin.edit("params.yaml", "max_iter: 20", "max_iter: 50")
    origin.reproduce()
    judged, comment = origin.judge(origin.push("More trees"))
    assert judged.conclusion == "success", judged.log
    assert "| train.gradient_boosting.max_iter | 20 | 50 |" in comment
    assert re.search(r"log loss ↓ .* ✅ better \|", comment)


def test_edited_metrics_are_red(origin: Origin) -> None:
    """Results that this code, data and parameters do not give are named; the block does not depend on the gate."""
    origin.start("edited")
    metrics = json.loads(origin.project.read("reports/metrics.json"))
    metrics["test"]["roc_auc"] = 0.999
    origin.project.write("reports/metrics.json", json.dumps(metrics, indent=2))
    judged, comment = origin.judge(origin.push("Better metrics"))
    assert (judged.conclusion, judged.jobs["required"]) == ("failure", "failure")
    assert "The committed results cannot be confirmed" in comment
    assert "reports/metrics.json is not the committed one (test.roc_auc is" in comment


def test_loosened_margin_is_red(origin: Origin) -> None:
    """The rule of the base applies, and the new one is shown."""
    origin.start("looser")
    text = origin.project.read("rules.yaml")
    origin.project.write("rules.yaml", re.sub(r"    log_loss: .*", "    log_loss: 0.9", text))
    judged, comment = origin.judge(origin.push("A margin"))
    assert judged.conclusion == "failure"
    assert "This change loosens the rule that it is judged by" in comment


def test_a_change_cannot_spare_itself_the_training(origin: Origin) -> None:
    """Main's rule counts: the model is trained again, and the headline says no more than before."""
    origin.start("spared")
    origin.edit("rules.yaml", "repeat_training: true", "repeat_training: false")
    origin.edit("params.yaml", "max_iter: 20", "max_iter: 40")
    origin.reproduce()
    judged, comment = origin.judge(origin.push("Spared"))
    assert judged.conclusion == "failure"
    assert re.search(r"gate\.repeat\S*training: true -\S+ false", comment), comment
    assert "training not repeated" not in comment
    assert "Running stage 'train'" in judged.log


def test_worse_model_from_a_hostile_fork_is_red_until_it_is_accepted(origin: Origin) -> None:
    """The one comment names metric and loss, nothing hostile runs or is rendered; label and reason open the gate."""
    origin.start(HOSTILE)
    origin.edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.001")
    origin.reproduce()
    number = origin.push("Slower", owner="mallory")
    origin.api.comment(number, {"login": "mallory", "type": "User"}, f"{MARKER} not yours")

    judged, comment = origin.judge(number)
    assert (judged.conclusion, judged.jobs["required"]) == ("failure", "failure")
    assert re.search(r"log loss is worse by 0\.\d+ \(0\.\d+, now 0\.\d+; allowed: 0\.\d+\)", comment)
    assert "onerror" in comment
    assert [text for text in ("<img", "@octocat", "](http://b", "`touch", "${{") if text in comment] == []
    assert [str(path) for path in origin.folder.rglob("executed")] == []

    origin.label(number, "No reason given")
    judged, comment = origin.judge(number)
    assert judged.conclusion == "failure"
    assert "The label accept-regression accepts nothing" in comment

    origin.label(number, "Accept-regression: the form has other questions from May on")
    judged, comment = origin.judge(number)
    assert judged.conclusion == "success", judged.log
    assert "The model is worse, but accepted" in comment
    assert "the form has other questions from May on (label set by maintainer)" in comment
    assert len(origin.api.comments[number]) == 2


FORGED = """<!-- report of model.yml --><img src=//x.example/p.png><Picture><source srcset=//x.example/p.png></Picture>
![p](//x.example/p.png) ![p][1] @octocat <details open><summary>ours</summary>

</details>

[1]: //x.example/p.png"""


def test_a_forged_report_loads_nothing_and_calls_nobody(origin: Origin) -> None:
    """A fork can change the workflow that writes the report: what it writes is no picture, no mention, no marker."""
    origin.start("forged")
    origin.project.write("forged.md", "x\n")
    number = origin.push("Forged", owner="mallory")
    report = origin.folder / "artifacts/model-report"
    report.mkdir(parents=True, exist_ok=True)
    (report / "report.md").write_text(FORGED, encoding="utf-8")
    (report / "head").write_text(origin.api.pulls[number]["head"]["sha"])
    comment = origin.comment(number, "success").partition(MARKER)[2]
    assert "x.example" in comment
    assert "<summary>ours</summary>" in comment  # of our own reports
    assert re.findall(r"<!--|<(?:img|picture|source|details )|!\[|@\w", comment, re.IGNORECASE) == []


def test_branches_that_both_trained_are_merged_with_one_command(origin: Origin) -> None:
    """Conflicts in dvc.lock and reports/ are results: they are made again, not merged."""
    for branch, old, new in (("one", "max_iter: 20", "max_iter: 25"), ("two", "C: 1.0", "C: 0.5")):
        origin.start(branch)
        origin.edit("params.yaml", old, new)
        origin.reproduce()
        commit_all(origin.project.path, branch)
    person = "-c user.name=T -c user.email=t@example.com".split()
    merged = origin.project.run(["git", *person, "merge", "--quiet", "one"], check=False)
    assert merged.returncode != 0
    conflicts = origin.git("diff", "--name-only", "--diff-filter=U").split()
    assert "dvc.lock" in conflicts
    assert {path.split("/")[0] for path in conflicts} <= {"dvc.lock", "reports"}
    assert "<<<<<<<" not in "".join(origin.project.read(name) for name in conflicts)
    origin.reproduce()
    origin.git("add", "--all")
    origin.git(*person, "commit", "--quiet", "--no-edit")
    assert "Data and pipelines are up to date" in origin.project.run("dvc repro", **origin.variables).stdout
