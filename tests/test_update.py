"""A project follows its template with cruft, also for a colleague who lacks the table that it started from."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CRUFT, ROOT, BakedProject, bake_into, commit_all, copy_template, create_with_cruft, linked, run

pytestmark = pytest.mark.slow

BEFORE = "f712740"  # the last commit before the library
MIGRATE = "python -m gitmodel.adopt.migrate"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the template."""
    return copy_template(tmp_path_factory.mktemp("template"))


def create(template: Path, folder: Path, **answers: str) -> BakedProject:
    """Create a project with cruft and commit it, its schema edited."""
    project = BakedProject(create_with_cruft(template, folder, **answers), "income_model")
    run("git -c init.defaultBranch=main init --quiet", project.path)
    project.write("schema.yaml", project.read("schema.yaml") + "# edited\n")
    commit_all(project.path, "start")
    return project


def edit(project: BakedProject, name: str, changes: dict[str, str]) -> None:
    """Replace texts of a file, each of which is there."""
    text = project.read(name)
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    project.write(name, text)


def improve(template: Path) -> None:
    """Change the template: one line of the machinery, the sample and the schema."""
    folder = template / "{{cookiecutter.project_slug}}"
    for name, line in (("Makefile", "# better"), ("data/raw.csv", "1,2"), ("schema.yaml", "# other")):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8") + f"{line}\n", encoding="utf-8")
    commit_all(template, "better")


@pytest.mark.parametrize("table", ["sample", "own"])
def test_update_brings_the_template_and_leaves_the_table(template: Path, tmp_path: Path, table: str) -> None:
    """`make update` brings what is new; the table and its schema stay, though the original file is gone."""
    own = tmp_path / "own.csv"
    own.write_text("a,b\n1,2\n")
    answers = {} if table == "sample" else {"data_path": str(own), "target_column": "b"}
    project = create(template, tmp_path, **answers)
    kept = {name: project.read(name) for name in ("data/raw.csv", "schema.yaml")}
    own.unlink()
    update = {"MODEL_TEMPLATE_UPDATE": "1"}
    project.run([CRUFT, "check"], **update)
    improve(template)
    assert project.run([CRUFT, "check"], check=False, **update).returncode == 1
    project.run([CRUFT, "update", "--skip-apply-ask"], **update)
    assert project.read("Makefile").endswith("# better\n")
    assert {name: project.read(name) for name in kept} == kept
    assert project.run("git diff --name-only --diff-filter=U").stdout == ""
    assert set(project.git_status().split()) - {"M"} == {".cruft.json", "Makefile"}


def test_make_update_needs_a_link(tmp_path: Path, environment: dict[str, str]) -> None:
    """A project that was not made with cruft is told how to link it."""
    project = bake_into(tmp_path)
    result = project.run("make update", check=False, **linked(project, environment))
    assert "error: no .cruft.json is here: link the template once with `uvx cruft link TEMPLATE`" in result.stderr


def test_make_update_stops_at_an_edited_library(tmp_path: Path, environment: dict[str, str]) -> None:
    """All edited files are named, and the template is not asked."""
    project = bake_into(tmp_path)
    variables = linked(project, environment) | {"PYTHONPATH": "stubs:src:vendor"}
    (project.path / "stubs/uv").mkdir(parents=True)
    project.write("stubs/uv/__init__.py", "")
    project.write("stubs/uv/__main__.py", "print('asked')\n")
    project.write(".cruft.json", "{}\n")
    project.run("git init --quiet")
    assert project.run("make update", **variables).stdout == "asked\n"
    edit(project, "vendor/gitmodel/serve/log.py", {'"""': '"""Ours. '})
    result = project.run("make update", check=False, **variables)
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: vendor/gitmodel was edited: serve/log.py: `make update` replaces" in result.stderr


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the template as it was before the library."""
    folder = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"commit {BEFORE} is not here: `git fetch --unshallow`")
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    run("git -c init.defaultBranch=main init --quiet", folder)
    commit_all(folder, BEFORE)
    return folder


OURS = {
    "max_iter: 100": "max_iter: 5",
    "importance_repeats: 3": "importance_repeats: 1",
    "n_estimators: 200": "n_estimators: 300",
    "roc_auc: 0.0035": "roc_auc: 0.004",
    "drift: 0.03": "drift: 0.05",
    "name: income-model": "name: incomes",
    "two_person: []": "two_person: [prod]",
    'intended_use: ""': 'intended_use: "To **learn**."',
}
METRICS, RESULTS = "reports/metrics.json", ("reports/predictions.csv", "models/bundle/model.onnx")


def results(project: BakedProject) -> dict[str, object]:
    """Return the results that both have; the library before said neither what folds hold back nor how sure it is."""
    metrics = json.loads(project.read(METRICS))
    both = {name: found for name, found in metrics.items() if name not in ("validation", "weak", "spread", "rows")}
    return {METRICS: both, **{name: (project.path / name).read_bytes() for name in RESULTS}}


@pytest.mark.long
def test_a_project_from_before_the_library_is_brought_over(earlier: Path, tmp_path: Path, cold: dict[str, str]) -> None:
    """`make update` and one more command: the same results to the byte, and the versions of before still work."""
    identity = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    old, new = ({**cold, **identity, "PYTHONPATH": path} for path in ("src", "src:vendor"))
    project = create(earlier, tmp_path)
    edit(project, "params.yaml", OURS)
    edit(project, "src/income_model/train.py", {'"""Training rows': '"""Ours. Training rows'})
    project.run("dvc repro --quiet", **old)
    commit_all(project.path, "model")
    project.run(["python", "-c", "from income_model.ops.cli import main; main()", "register", "v1.0.0"], **old)
    before = results(project)

    for path in earlier.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_template(earlier)
    project.run([CRUFT, "update", "--skip-apply-ask"], MODEL_TEMPLATE_UPDATE="1")
    said = project.run(MIGRATE, **new)
    assert "src/income_model/train.py: yours is in `git show HEAD:./src/income_model/train.py`" in said.stderr
    assert project.run("git diff --name-only --diff-filter=U").stdout == ""
    assert not (project.path / "src/income_model/ops").exists()
    params, rules = (yaml.safe_load(project.read(name)) for name in ("params.yaml", "rules.yaml"))
    trained = params["train"]
    assert (trained["model"], trained["stop_early"], trained["gradient_boosting"]["max_iter"]) == (
        "gradient_boosting",
        False,
        5,
    )
    assert (trained["random_forest"]["n_estimators"], trained["random_forest"]["max_leaf_nodes"]) == (300, None)
    assert (rules["model"]["name"], rules["monitor"]["drift"]) == ("incomes", 0.05)
    assert (rules["gate"]["margins"]["roc_auc"], rules["registry"]["two_person"]) == (0.004, ["prod"])
    assert "# how much worse a metric may get" in project.read("rules.yaml")
    assert "## Intended use\n\nTo **learn**.\n\n## Misuse" in project.read("card.md")

    project.run("dvc repro --quiet", **new)
    commit_all(project.path, "brought over")
    assert before == results(project)
    judged = project.run("python -m gitmodel.cli gate --base HEAD~1", check=False, **new)
    assert judged.returncode == 2 and "is from before bundles were judged by what they predict" in judged.stderr
    accepted = "gate --base HEAD~1 --accept moved"
    for command in ("verify", accepted, "checkout v1.0.0", "promote v1.0.0 staging", "register v1.1.0"):
        project.run(f"python -m gitmodel.cli {command}", **new)
    scores = [project.path / name for name in ("old.csv", "new.csv")]
    for path, bundle in zip(scores, ("models/v1.0.0", "models/bundle"), strict=True):
        words = f"score data/census_1995.csv {path.name} --bundle {bundle} --version same"
        project.run(f"python -m gitmodel.cli {words}", **new)
    assert scores[0].read_text() == scores[1].read_text()
    again = project.run(MIGRATE, check=False, **new)
    assert "this project has been brought over already" in again.stderr
