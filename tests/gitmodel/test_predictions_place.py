"""predictions.csv lives where the table lives, and is read from there: by Git, or by DVC's cache."""

import shutil
from pathlib import Path

import gate_cases
import pytest
import yaml
from gitmodel.base.pipeline_file import is_cached, with_cache
from gitmodel.base.project import LOCK, PREDICTIONS, UserError, md5_of
from gitmodel.gate import compare, questions
from gitmodel.gate.results import from_commit, output
from gitmodel.git import cache, storage
from gitmodel.git.cache import OBJECTS, object_path
from gitmodel.git.commits import CannotJudge
from gitmodel.git.programs import git
from gitmodel.metrics import bootstrap
from gitmodel.pipeline import stage
from test_floors import LIBRARY

TABLE = Path("data/raw.csv")
TEMPLATE = (LIBRARY.parents[1] / "dvc.yaml").read_text(encoding="utf-8").replace("{{ cookiecutter.package_name }}", "p")
IGNORED = "/data/test.parquet\n/models/\n\n# More\n/dist/\n"
OTHERS = {
    "a path alone": "stages:\n  evaluate:\n    outs:\n      - reports/predictions.csv # here\n      - other\n",
    "in one line": "stages: {evaluate: {outs: [reports/predictions.csv: {persist: true}]}}\n",
    "another option": "stages:\n  evaluate:\n    outs:\n    - reports/predictions.csv:\n        persist: true # here\n",
}


def without_git_hook(monkeypatch):
    """Work away from a Git hook that may have called the tests."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a repository with a small pipeline, whose predictions Git keeps as it keeps the table."""
    without_git_hook(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "dvc.yaml": TEMPLATE,
        ".gitignore": IGNORED,
        "schema.yaml": "table: data/raw.csv\n",
        str(TABLE): "x\n",
        str(PREDICTIONS): "row,label\n",
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    git("-c", "init.defaultBranch=main", "init", "--quiet")
    git("add", "--all")
    return tmp_path


def pointer(there):
    """Put the table under DVC, or take it out."""
    path = Path(f"{TABLE}.dvc")
    path.write_text("outs:\n- path: raw.csv\n", encoding="utf-8") if there else path.unlink()


def state():
    """Return what says where predictions.csv is kept."""
    return Path("dvc.yaml").read_text(), Path(".gitignore").read_text(), git("ls-files", str(PREDICTIONS))


def test_one_word_of_the_pipeline_changes():
    """The template's own dvc.yaml keeps its comments, and comes back as it was."""
    cached = with_cache(TEMPLATE, PREDICTIONS, True)
    assert (is_cached(TEMPLATE, PREDICTIONS), is_cached(cached, PREDICTIONS)) == (False, True)
    before, after = TEMPLATE.splitlines(), cached.splitlines()
    assert [(one, two) for one, two in zip(before, after, strict=True) if one != two] == [
        ("          cache: false", "          cache: true")
    ]
    assert with_cache(cached, PREDICTIONS, True) == cached
    assert with_cache(cached, PREDICTIONS, False) == TEMPLATE


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_a_pipeline_that_people_wrote_is_edited_too(text):
    """DVC keeps what has no `cache:`; whatever else is said of it stays."""
    assert is_cached(text, PREDICTIONS) is True
    edited = with_cache(text, PREDICTIONS, False)
    expected = yaml.safe_load(text)
    (entry, *_) = outs = expected["stages"]["evaluate"]["outs"]
    outs[0] = {str(PREDICTIONS): {"cache": False, **(entry[str(PREDICTIONS)] if isinstance(entry, dict) else {})}}
    assert yaml.safe_load(edited) == expected
    assert edited.count("# here") == text.count("# here")


def test_a_pipeline_without_predictions_stays_as_it_is():
    """Somebody who dropped or renamed the output is not in the way."""
    text = "stages:\n  evaluate:\n    outs:\n      - other.csv\n"
    assert is_cached(text, PREDICTIONS) is None
    assert with_cache(text, PREDICTIONS, False) == text


def test_predictions_follow_the_table_there_and_back(room, capsys):
    """Under DVC, Git lets go of them, and the file stays; one line says so, once."""
    kept = state()
    storage.store_table(TABLE)
    assert (state(), capsys.readouterr().out) == (kept, "")
    pointer(True)
    LOCK.write_text("schema: '2.0'\n", encoding="utf-8")
    git("rm", "--cached", "--quiet", str(TABLE))
    storage.keep_predictions(TABLE)
    said = capsys.readouterr().out
    assert said == f"DVC keeps {PREDICTIONS} from now on, as it keeps {TABLE}: run `dvc repro`, then commit\n"
    moved = state()
    ignored = IGNORED.replace("/models/", f"/models/\n/{PREDICTIONS}")
    assert moved == (with_cache(TEMPLATE, PREDICTIONS, True), ignored, "")
    assert PREDICTIONS.exists()
    storage.keep_predictions(TABLE)
    assert (state(), capsys.readouterr().out) == (moved, "")
    pointer(False)
    git("add", str(TABLE))
    storage.store_table(TABLE)
    assert capsys.readouterr().out.startswith(f"Git keeps {PREDICTIONS} from now on, as it keeps {TABLE}")
    git("add", "--all")
    assert state() == kept


def test_predictions_that_were_added_to_git_again_are_let_go(room, capsys):
    """`git add --force` is no way around."""
    pointer(True)
    storage.keep_predictions(TABLE)
    git("add", "--force", str(PREDICTIONS))
    capsys.readouterr()
    storage.keep_predictions(TABLE)
    assert git("ls-files", str(PREDICTIONS)) == ""
    assert capsys.readouterr().out.count("\n") == 1


def test_evaluation_does_not_publish_what_dvc_keeps(room):
    """After `dvc add` by hand, the next evaluation stops with the remedy; where both agree, it does not."""
    stage.require_together()
    pointer(True)
    with pytest.raises(UserError, match=r"DVC keeps data/raw.csv.* run `make init`") as error:
        stage.require_together()
    assert "\n" not in str(error.value)
    storage.keep_predictions(TABLE)
    stage.require_together()


class KeptByDvc(gate_cases.Project):
    """A repository whose predictions are objects of DVC's cache."""

    def write(self, noise=1.0):
        """Write what a run of the pipeline leaves."""
        super().write(noise)
        lock = yaml.safe_load((self.folder / LOCK).read_text(encoding="utf-8"))
        digest = md5_of(self.folder / PREDICTIONS)
        lock["stages"]["evaluate"] = {"outs": [{"path": PREDICTIONS.as_posix(), "md5": digest}]}
        self.write_yaml(LOCK, lock)
        self.edit(Path(".gitignore"), lambda text: f"{text}/{PREDICTIONS}\n")
        kept = object_path(self.folder / gate_cases.STORE, digest)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / PREDICTIONS, kept)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return such a project, not committed yet."""
    without_git_hook(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for number in ("FEWEST_DRAWS", "MOST_DRAWS"):
        monkeypatch.setattr(bootstrap, number, 200)
    monkeypatch.setattr(compare, "ask_here", gate_cases.ask)
    for module in (cache, questions):
        monkeypatch.setattr(module, "stored", lambda: gate_cases.STORE)
    return KeptByDvc(tmp_path)


def object_of(project, commit):
    """Return where the cache has the predictions of a commit."""
    lock = yaml.safe_load(project.git("show", f"{commit}:{LOCK.as_posix()}"))
    return object_path(project.folder / gate_cases.STORE, output(lock, PREDICTIONS)["md5"])


@pytest.mark.parametrize(("noise", "status"), [(1.0, 0), (3.0, 1)])
def test_the_gate_reads_them_from_the_cache(project, noise, status):
    """Git has none of them, and the verdict is the usual one."""
    project.branch(noise)
    project.commit()
    assert project.git("ls-files", "reports") == "reports/metrics.json"
    outcome = project.gate()
    assert (outcome.status, outcome.err) == (status, "")
    assert outcome.json["rows"]["base"] == 300


LOST = {
    "lost": (lambda path: path.unlink(), "is neither in Git, nor in DVC's cache, nor in its remote ("),
    "damaged": (lambda path: path.write_bytes(b"row,label\n"), "does not hash to its name: delete it"),
}


@pytest.mark.parametrize(("harm", "said"), LOST.values(), ids=LOST)
def test_what_cannot_be_had_is_not_judged(project, harm, said):
    """One line has commit, cause and remedy."""
    project.branch(3.0)
    base = project.git("rev-parse", "main")
    harm(object_of(project, base))
    outcome = project.gate()
    assert outcome.status == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"error: {PREDICTIONS} of commit {base[:9]} is neither in Git")
    assert said in line and line.endswith("run `dvc repro && dvc push` where it was made")


def test_missing_predictions_of_a_clone_can_be_pulled(project):
    """The work tree's own come from DVC as well."""
    project.branch(1.0)
    (project.folder / PREDICTIONS).unlink()
    outcome = project.gate()
    assert outcome.status == 2
    assert f"{PREDICTIONS} is missing in the work tree: run `dvc pull` or `dvc repro`" in outcome.err


def test_the_judge_gets_those_of_the_base_and_of_what_serves(project):
    """The job that judges has no access to the remote."""
    version = project.commit("what serves")
    project.git("tag", "-a", "-m", "x", f"{gate_cases.NAME}@v1.0.0")
    project.git("tag", "-a", "-m", "x", f"{gate_cases.NAME}#prod#1")
    project.write(1.1)
    base = project.commit("the base")
    project.write(1.2)
    folder = project.folder / "handed"
    questions.keep(from_commit(base), base, folder)
    wanted = [object_of(project, commit) for commit in (version, base)]
    assert wanted[0] != wanted[1]
    assert [object_path(folder / OBJECTS, path.parent.name + path.name).exists() for path in wanted] == [True, True]
    wanted[0].unlink()
    questions.keep(from_commit(base), base, folder)  # the judge says what is lost
    with pytest.raises(CannotJudge, match="run `dvc repro && dvc push`"):
        from_commit(version)
