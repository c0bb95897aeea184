"""Files that anybody may have made: what hangs, leads elsewhere or has no end is refused in a line."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from gitmodel import skops_file
from gitmodel.base.files import parse_json, parse_yaml, read_bytes
from gitmodel.base.project import BUNDLE, SCHEMA, UserError, read_yaml
from gitmodel.bundle.contents import PROFILE, Contents
from gitmodel.card import prose
from gitmodel.contract import origin
from gitmodel.contract import schema as contract
from gitmodel.contract.kinds import require_table
from gitmodel.pipeline import package
from gitmodel.results.predictions import read_work_tree
from gitmodel.tune import trials

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "stand for too many values"),
        ("a: &a [*a]", "stands for what it is in"),
        ("a: " + "[" * 100_000, "nesting"),
        ("a: 1\nb: {c: 1, c: 2}", "'c' twice"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: 2024-99-99", "month must be in"),
        ("a: [", "expected"),
    ],
)
def test_yaml_that_is_none_or_has_no_end(text: str, why: str) -> None:
    """An alias bomb, a document that holds itself, a key given twice: each is named, at once."""
    with pytest.raises(ValueError, match=why):
        parse_yaml(text)


def test_aliases_of_a_usual_size() -> None:
    """Aliases and merge keys are read as YAML has them."""
    text = "base: &base {a: 1, b: [1, 2]}\nother: {<<: *base, a: 2}\n"
    assert parse_yaml(text) == yaml.safe_load(text)


def test_a_yaml_file_that_is_a_bomb(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "params.yaml"
    path.write_text(BOMB)
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: its aliases"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 5_000, "", b"\xff\xfe"])
def test_json_that_is_none_or_has_no_end(text: str | bytes) -> None:
    """All that is wrong with JSON is a ValueError."""
    with pytest.raises(ValueError):
        parse_json(text)


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    """A pipe that nobody writes into is refused at once, and so are a device and a folder."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (pipe, tmp_path / "zero", tmp_path):
        with pytest.raises(OSError):
            read_bytes(path)
    with pytest.raises(UserError, match="pipe cannot be read: it is a pipe"):
        require_table(pipe)


def test_links_stay_in_their_folder(tmp_path: Path) -> None:
    """A link to a file of the folder is read, one into a cache of DVC too, any other is refused."""
    folder, cache = tmp_path / "bundle", tmp_path / "elsewhere/files/md5/ab"
    for place in (folder, cache):
        place.mkdir(parents=True)
    for path in (folder / "a", cache / ("c" * 30), tmp_path / "secret"):
        path.write_text(path.name)
    for name, target in (("inside", "a"), ("cached", cache / ("c" * 30)), ("out", tmp_path / "secret")):
        (folder / name).symlink_to(target)
    assert read_bytes(folder / "inside", folder) == b"a"
    assert read_bytes(folder / "cached", folder) == b"c" * 30
    with pytest.raises(OSError, match="leads out of bundle"):
        read_bytes(folder / "out", folder)


@pytest.mark.parametrize(
    "table", ["/etc/passwd", "../../etc/passwd", "data/../../x.csv", "C:\\x.csv", "\\\\host\\x.csv"]
)
def test_the_table_is_in_the_project(table: str) -> None:
    """A path out of the project is refused before anything is read from it."""
    content = {"table": table, "target": "y", "task": "regression", "columns": {"y": {"type": "number"}}}
    with pytest.raises(UserError, match="is not in the project"):
        contract.parse(content)


def test_the_table_is_no_link_out_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody committed shows nobody another file."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("secret")
    (project / "data/raw.csv").symlink_to(tmp_path / "secret.csv")
    monkeypatch.chdir(project)
    SCHEMA.write_text(
        "table: data/raw.csv\ntarget: y\ntask: regression\nidentity: [x]\n"
        "columns: {x: {type: number}, y: {type: number}}\n"
    )
    with pytest.raises(UserError, match=r"data/raw\.csv cannot be the table: it is a link"):
        contract.load()


def test_a_file_of_a_bundle_is_no_link_out_of_it(workspace: Path, tmp_path: Path) -> None:
    """Also if its content is the right one: what a link leads to is somebody else's."""
    bundle = tmp_path / "bundle"
    shutil.copytree(workspace / BUNDLE, bundle)
    (bundle / PROFILE).rename(tmp_path / PROFILE)
    (bundle / PROFILE).symlink_to(tmp_path / PROFILE)
    with pytest.raises(UserError, match=r"profile\.json cannot be read: it is a link that leads out of bundle"):
        Contents.read(bundle)


READERS = {  # a file of a project, and what reads it
    "card.md": prose.read_prose,
    "models/features.json": lambda: origin.of_model(None),
    "models/model.skops": lambda: skops_file.load(Path("models/model.skops")),
    "reports/metrics.json": package.read_metrics,
    "reports/predictions.csv": lambda: read_work_tree(Path("reports/predictions.csv")),
    "reports/trials.csv": lambda: trials.read("x"),
    "rules.yaml": lambda: read_yaml(Path("rules.yaml")),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", READERS)
def test_a_pipe_among_the_files_of_a_project_hangs_nobody(name, tmp_path, monkeypatch):
    """It is no ordinary file: said at once."""
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    os.mkfifo(name)
    with pytest.raises((UserError, OSError)):
        READERS[name]()
