"""DVC knows all that decides a result: modules of the user that a stage imports, and the library's parts."""

import json
from pathlib import Path

import pytest
import yaml
from gitmodel.base.project import UserError
from gitmodel.pipeline import stage
from room import Room
from test_floors import LIBRARY, imports_of

STAGES = ("prepare", "train", "evaluate", "package")
DVC_YAML = """# a comment that stays
stages:
  prepare: {{cmd: x, deps: [a]}}
  train:
    cmd: python -m gitmodel.pipeline.train
    deps:
      - data/train.parquet   # stays too
      - src/{package}/features.py
      - src/{package}/train.py
      - vendor/gitmodel/base
    params: [train]
"""
ALL = """stages:
  prepare:
    deps:
    - src/{package}/prepare.py
  train:
    deps:
    - src/{package}/features.py
    - src/{package}/train.py
  evaluate:
    deps:
    - src/{package}/evaluate.py
    - src/{package}/features.py
  package:
    deps:
    - src/{package}
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Return a user's room with a pipeline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path / "src"), *__import__("sys").path])
    room = Room(tmp_path, prepare="", features="", train="", evaluate="", package="")
    Path("dvc.yaml").write_text(ALL.format(package=room.package), encoding="utf-8")
    return room


def deps():
    """Return stage -> dependencies."""
    return {name: entry["deps"] for name, entry in yaml.safe_load(Path("dvc.yaml").read_text())["stages"].items()}


def require_all():
    """Look at all stages as each does before it runs."""
    stage.require_listed({name: stage.imported(name) for name in STAGES})


def test_nothing_is_missing_where_nothing_is_imported(room):
    """The file is left as it is."""
    before = Path("dvc.yaml").stat().st_mtime_ns
    require_all()
    assert before == Path("dvc.yaml").stat().st_mtime_ns


def test_a_helper_is_added_to_the_stages_that_use_it(room):
    """Also a helper of a helper; the stop is one line that says what to do."""
    room.write("features", f"from {room.package} import ratios\n")
    room.write("ratios", "from . import numbers\n")
    room.write("numbers", "")
    with pytest.raises(UserError, match="run `dvc repro` again"):
        require_all()
    helpers = {f"src/{room.package}/{name}.py" for name in ("ratios", "numbers")}
    assert helpers <= set(deps()["train"]) and helpers <= set(deps()["evaluate"])
    assert not helpers & set(deps()["prepare"])
    assert [f"src/{room.package}"] == deps()["package"]
    require_all()


def test_a_class_of_train_is_a_part_of_what_later_stages_load(room):
    """Its code predicts, whatever was fitted."""
    room.write("train", "class Mean:\n    pass\n")
    with pytest.raises(UserError, match=r"train\.py to the `deps:` of evaluate"):
        require_all()


def test_what_is_loaded_in_another_way_is_added_too(room):
    """An import that no text shows is seen after the stage ran."""
    room.write("hidden", "")
    __import__(f"{room.package}.hidden")
    with pytest.raises(UserError, match=r"hidden\.py"):
        stage.require_listed({"train": stage.loaded()})
    assert f"src/{room.package}/hidden.py" in deps()["train"]


def test_comments_and_order_stay(room):
    """One line more, in its place; all else byte for byte."""
    before = DVC_YAML.format(package="p")
    after = stage.with_line(before, "train", "src/p/helper.py")
    line = "      - src/p/helper.py\n"
    assert before == after.replace(line, "")
    assert f"features.py\n{line}      - src/p/train.py" in after
    assert f"train.py\n{line.replace('helper', 'x')}      - vendor" in stage.with_line(before, "train", "src/p/x.py")


def test_a_list_in_one_line_is_named(room):
    """Nothing can be added to it safely."""
    with pytest.raises(UserError, match="no list `deps:` in stage prepare, one path a line"):
        stage.with_line(DVC_YAML.format(package="p"), "prepare", "src/p/helper.py")


@pytest.mark.parametrize("name", STAGES)
def test_the_stages_depend_on_what_they_import_of_the_library(sample, name):
    """Late imports included; nothing that the stage does not import is listed."""
    imports, seen, waiting = imports_of(LIBRARY), set(), [f"pipeline.{name}"]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += imports[module]
    files = {f"vendor/gitmodel/{module.replace('.', '/')}.py" for module in seen}
    files = {file if (LIBRARY.parents[1] / file).exists() else file.replace(".py", "/__init__.py") for file in files}
    listed = yaml.safe_load((sample / "dvc.yaml").read_text())["stages"][name]["deps"]
    listed = [entry for entry in listed if entry.startswith("vendor/")]
    assert sorted(file for file in files if not stage.is_covered(file, listed)) == []
    assert [entry for entry in listed if not any(stage.is_covered(file, [entry]) for file in files)] == []


def stale(project):
    """Return the stages that DVC would run."""
    said = json.loads(project.run(project.python, "-m", "dvc", "status", "--json").stdout)
    return [name for name in STAGES if name in said]


def repro(project, check=True):
    """Run DVC."""
    return project.run(project.python, "-m", "dvc", "repro", check=check)


MESSAGES = {
    "registry/retire.py": "UserError(",
    "serve/command.py": "serving ",
    "monitor/contract.py": "keeps the contract",
    "gate/report.py": "def ",
    "cli.py": "The life of this repository's model.",
}


def test_messages_of_other_rooms_make_nothing_stale(made, project):
    """A word in the registry, the service, the monitor or the gate trains nothing; the encoding does."""
    assert stale(project) == []
    for name, text in MESSAGES.items():
        project.edit(f"vendor/gitmodel/{name}", text, f"{text} ")
    assert stale(project) == []
    project.edit("vendor/gitmodel/contract/encoding.py", '"<missing>"', '"<absent>"')
    assert list(STAGES) == stale(project)


def test_a_helper_makes_exactly_its_stages_stale(project):
    """It was added to dvc.yaml by the stage that met it first."""
    assert (
        "src/income_model/ratios.py"
        in yaml.safe_load((project.path / "dvc.yaml").read_text())["stages"]["train"]["deps"]
    )
    project.edit("src/income_model/ratios.py", "1 + other", "2 + other")
    assert stale(project) == ["train", "evaluate", "package"]


def test_a_new_helper_stops_the_pipeline_once(project):
    """One line names it; the next `dvc repro` runs through."""
    (project.path / "src/income_model/words.py").write_text("")
    project.edit(
        "src/income_model/prepare.py",
        "import pandas as pd\n",
        "import pandas as pd\n\nfrom income_model import words\n",
    )
    first = repro(project, check=False)
    assert "dvc.yaml: added src/income_model/words.py to the `deps:` of prepare" in first.stderr
    assert "Traceback" not in first.stderr
    repro(project)
    assert stale(project) == []
