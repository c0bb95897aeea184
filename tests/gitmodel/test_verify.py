"""`model verify` finds each fault that is planted in a committed project, and names the file and what mends it."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from gitmodel.base.pipeline_file import with_cache
from gitmodel.base.project import BUNDLE, METRICS, MODEL, PARAMS, PREDICTIONS, SCHEMA, UserError
from gitmodel.bundle.bundle import ONNX
from gitmodel.git.programs import dvc, git
from gitmodel.verify import lock, results, storage
from gitmodel.verify.command import NOT_COVERED, verify
from gitmodel.verify.lock import LOCK

SOURCE = Path("src/income_model")
METRICS_CODE = Path("vendor/gitmodel/metrics")
SHARED = (".dvcignore", ".gitignore", ".gitattributes", "dvc.yaml", "requirements.txt")
CACHE = Path(".dvc/cache/files/md5")
RENEW = "run `dvc repro`, then commit dvc.lock and reports/"
COMMIT = "run `git add --all && git commit`"


@pytest.fixture(scope="module")
def committed_project(sample, workspace, tmp_path_factory):
    """Return a repository whose last commit holds results of the present code, and DVC's cache what they need."""
    folder = shutil.copytree(workspace, tmp_path_factory.mktemp("verified") / "project")
    shutil.copytree(sample / "vendor", folder / "vendor", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SHARED:
        shutil.copy(sample / name, folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (folder / ".dvc/.gitignore").write_bytes((sample / ".dvc/.gitignore").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        plain(patch, folder)
        git("-c", "init.defaultBranch=main", "init", "--quiet")
        renew()
        commit()
    return folder


@pytest.fixture
def project(committed_project, tmp_path, monkeypatch):
    """Work in a copy of the project, to plant a fault in it."""
    folder = shutil.copytree(committed_project, tmp_path / "project")
    plain(monkeypatch, folder)
    return folder


def plain(patch, folder):
    """Work in a folder, without what a hook of Git may have set."""
    patch.chdir(folder)
    patch.setenv("DVC_SITE_CACHE_DIR", str(folder.parent / "site"))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        patch.delenv(name, raising=False)


def renew():
    """Write dvc.lock and the cache of the results as they are, as if `dvc repro` had made them."""
    done = dvc("commit", "--force")
    assert done.returncode == 0, done.stderr


def commit():
    """Commit everything."""
    git("add", "--all")
    git("-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--no-verify", "--message", "State")


def failures():
    """Return the lines of what `model verify` finds."""
    with pytest.raises(UserError) as error:
        verify()
    return str(error.value).split("\nerror: ")


def append(path, text):
    """Add to the end of a file."""
    with Path(path).open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def flip(path):
    """Change one byte of a file and nothing else: DVC trusts what it made read-only."""
    content, mode = bytearray(path.read_bytes()), path.stat().st_mode
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def stored(path):
    """Return where DVC's cache has an output."""
    (entry,) = (entry for stage in read_lock()["stages"].values() for entry in stage["outs"] if entry["path"] == path)
    return CACHE / entry["md5"][:2] / entry["md5"][2:]


def read_lock():
    """Return the content of dvc.lock."""
    return yaml.safe_load(LOCK.read_text(encoding="utf-8"))


def edit_metrics(change):
    """Change the test metrics in metrics.json."""
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    metrics["test"] = {name: change(value) for name, value in metrics["test"].items()}
    METRICS.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def edit_predictions(column, change):
    """Change the last row of predictions.csv in one column, counted from 0."""
    with PREDICTIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[-1][column] = change(rows[-1][column])
    with PREDICTIONS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def edit_params(stage="train"):
    """Change a parameter of training."""
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    params[stage]["seed"] = 12345
    PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")


def edit_lock():
    """Name another hash of a source in dvc.lock."""
    content = read_lock()
    for stage in content["stages"].values():
        for entry in stage["deps"]:
            if entry["path"] == "requirements.txt":
                entry["md5"] = "0" * 32
    LOCK.write_text(yaml.safe_dump(content), encoding="utf-8")


def edit_command():
    """Change the command of a stage."""
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    Path("dvc.yaml").write_text(text.replace(".train\n", ".train --fast\n", 1), encoding="utf-8")


def add_stage():
    """Add a stage that never ran."""
    content = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    content["stages"]["extra"] = {"cmd": "echo", "deps": ["requirements.txt"]}
    Path("dvc.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def in_dvc(path):
    """Put a file under DVC, and change it."""
    Path(path).write_text("one", encoding="utf-8")
    assert dvc("add", path).returncode == 0
    commit()
    Path(path).write_text("two", encoding="utf-8")


def test_a_sound_project_passes(project, capsys):
    """What was checked is said, and nothing is changed."""
    before = git("status", "--porcelain")
    verify()
    said = capsys.readouterr()
    assert "" == before == git("status", "--porcelain")
    assert "dvc.lock is that of this code, data and parameters (4 stages)" in said.out
    assert f"{BUNDLE} is intact" in said.out
    assert "not here" not in said.out
    assert said.err == ""
    assert said.out.split("not covered:\n")[1].startswith("".join(f"- {line}\n" for line in NOT_COVERED))


FAULTS = {
    "edited metrics": (lambda: edit_metrics(lambda value: value + 0.01), f"{METRICS} is not the committed one", RENEW),
    "NaN in the metrics": (lambda: edit_metrics(lambda value: float("nan")), f"{METRICS} holds NaN", RENEW),
    "corrupt metrics": (lambda: METRICS.write_text("{"), f"{METRICS} is not valid JSON", RENEW),
    "metrics of another form": (lambda: METRICS.write_text("[]"), f"{METRICS} does not hold one JSON object", RENEW),
    "no metrics": (METRICS.unlink, f"{METRICS} is missing", RENEW),
    "edited prediction": (
        lambda: edit_predictions(2, lambda text: f"{float(text) + 10 * abs(float(text)) + 10:g}"),
        f"{PREDICTIONS} is not the committed one",
        RENEW,
    ),
    "edited label": (
        lambda: edit_predictions(1, lambda text: text + "0"),
        f"{PREDICTIONS} is not the committed one",
        RENEW,
    ),
    "NaN in the predictions": (lambda: edit_predictions(2, lambda text: "nan"), f"{PREDICTIONS} holds 'nan'", RENEW),
    "no number": (lambda: edit_predictions(2, lambda text: ""), f"{PREDICTIONS} holds ''", RENEW),
    "cut predictions": (lambda: append(PREDICTIONS, "row"), f"{PREDICTIONS} has 1 cells instead of", RENEW),
    "empty predictions": (lambda: PREDICTIONS.write_text(""), f"{PREDICTIONS} has no columns `row`, `label`", RENEW),
    "huge cell": (
        lambda: append(PREDICTIONS, "x" * 200_000),
        f"{PREDICTIONS} is not valid CSV",
        RENEW,
    ),
    "edited plot": (
        lambda: flip(next(Path("reports/plots").glob("*.svg"))),
        "reports/plots is not the one that dvc.lock names",
        RENEW,
    ),
    "edited lock": (edit_lock, "requirements.txt", RENEW),
    "changed parameter": (edit_params, f"{PARAMS}: `train`", RENEW),
    "changed code": (lambda: append(SOURCE / "train.py", "# new\n"), f"{SOURCE / 'train.py'} was changed", RENEW),
    "changed machinery": (lambda: append(METRICS_CODE / "builtin.py", "# new\n"), f"{METRICS_CODE} was changed", RENEW),
    "missing code": (
        (SOURCE / "train.py").unlink,
        f"{SOURCE / 'train.py'} is missing",
        f"`git checkout HEAD -- {SOURCE / 'train.py'}`",
    ),
    "changed contract": (lambda: append(SCHEMA, "\n# new\n"), f"{SCHEMA} was changed", RENEW),
    "changed command": (edit_command, "dvc.yaml: the command of stage train was changed", RENEW),
    "new stage": (add_stage, "dvc.yaml: stage extra has never run", RENEW),
    "damaged cache object": (
        lambda: flip(stored(str(MODEL))),
        f".dvc/cache/files/md5/.* \\(of {MODEL} in DVC's cache\\) does not hash to its name",
        "delete it, then run `dvc repro`",
    ),
    "damaged list of a folder": (
        lambda: flip(stored(str(BUNDLE))),
        f".dvc/cache/files/md5/.* \\(of {BUNDLE} in DVC's cache\\) does not hash to its name",
        "delete it, then run `dvc repro`",
    ),
    "damaged output": (
        lambda: flip(MODEL),
        f"{MODEL} is not the one that dvc.lock names",
        f"delete it, then run `dvc checkout {MODEL}`",
    ),
    "damaged output that is nowhere else": (
        lambda: (flip(MODEL), stored(str(MODEL)).unlink()),
        f"{MODEL} is not the one that dvc.lock names",
        RENEW,
    ),
    "damaged bundle": (lambda: flip(BUNDLE / ONNX), f"{BUNDLE / ONNX} was changed", "`dvc checkout --force`"),
    "file too many in the bundle": (
        lambda: append(BUNDLE / "x", ""),
        f"{BUNDLE / 'x'} is not in the manifest",
        "`dvc checkout --force`",
    ),
    "changed file under DVC": (lambda: in_dvc("x.csv"), "x.csv is not the one that x.csv.dvc names", "`dvc add x.csv"),
    "lock that is no YAML": (
        lambda: LOCK.write_text("a: b: c"),
        "dvc.lock is not valid YAML",
        f"delete it, {RENEW}",
    ),
    "lock without stages": (
        lambda: LOCK.write_text("stages: 1"),
        "dvc.lock is no list of stages",
        f"delete it, {RENEW}",
    ),
    "conflict markers": (
        lambda: append(LOCK, "<<<<<<< HEAD\n"),
        "dvc.lock holds conflict markers",
        f"delete it, {RENEW}",
    ),
    "no lock": (LOCK.unlink, "dvc.lock is missing", RENEW),
    "no repository": (lambda: shutil.rmtree(".git"), "this folder is no Git repository", "run `make init`"),
    "no commit": (
        lambda: git("update-ref", "-d", "HEAD"),
        "nothing is committed yet",
        "run `dvc repro`, then `git add",
    ),
    "pipeline that cannot be read": (
        lambda: Path("dvc.yaml").write_text("stages: 1"),
        "DVC cannot read the pipeline",
        "`dvc status` shows more",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "problem", "remedy"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(plant, problem, remedy, project):
    """One line names the file, what is wrong with it, and the command that mends it."""
    plant()
    (line,) = failures()
    assert re.match(problem, line), line
    assert remedy in line
    assert "\n" not in line


COMMITTED_FAULTS = {
    "edited metrics": (
        lambda: edit_metrics(lambda value: value + 0.01),
        f"{METRICS} is not the one that dvc.lock names",
    ),
    "NaN in the metrics": (lambda: edit_metrics(lambda value: float("nan")), f"{METRICS} holds NaN"),
    "edited prediction": (
        lambda: edit_predictions(2, lambda text: "0.123"),
        f"{PREDICTIONS} is not the one that dvc.lock",
    ),
    "changed parameter": (edit_params, f"{PARAMS}: `train` was changed"),
    "edited lock": (edit_lock, "requirements.txt was changed"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "problem"), COMMITTED_FAULTS.values(), ids=COMMITTED_FAULTS)
def test_a_committed_fault_is_found(plant, problem, project):
    """A fault that Git sees as good is found in what DVC knows."""
    plant()
    commit()
    (line,) = failures()
    assert line.startswith(problem)
    assert RENEW in line


REPRODUCED = {
    "metrics": (lambda: edit_metrics(lambda value: value + 0.01), f"{METRICS} is not the committed one"),
    "predictions": (lambda: edit_predictions(1, lambda text: text + "0"), f"{PREDICTIONS} is not the committed one"),
    "parameter": (edit_params, f"{PARAMS}: train.seed is 12345, the committed dvc.lock was made with 0"),
    "code": (
        lambda: append(SOURCE / "train.py", "# new\n"),
        f"{SOURCE / 'train.py'} is not the one that the committed",
    ),
    "command": (edit_command, "dvc.yaml: the command of stage train is not that of the committed"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "problem"), REPRODUCED.values(), ids=REPRODUCED)
def test_committed_results_of_something_else_are_found(change, problem, project):
    """CI reproduces everything, and then sees that the committed results are those of other inputs."""
    change()
    renew()
    (line,) = failures()
    assert line.startswith(problem)
    assert RENEW in line


@pytest.mark.slow
def test_rounding_of_another_processor_is_no_fault(project):
    """Reproduced results may differ from the committed ones by less than 1e-4, and outputs in their hash."""
    edit_metrics(lambda value: value * (1 + 1e-6))
    edit_predictions(2, lambda text: repr(float(text) * (1 + 1e-6)))
    renew()
    assert "reports/metrics.json" in git("status", "--porcelain")
    verify()


@pytest.mark.slow
def test_a_damaged_file_of_a_folder_is_found(project):
    """A folder's files are objects of the cache too."""
    (name, digest), *_ = storage.files(stored(str(BUNDLE)).read_bytes()).items()
    flip(CACHE / digest[:2] / digest[2:])
    (line,) = failures()
    assert line.startswith(f"{CACHE.as_posix()}/{digest[:2]}/{digest[2:]} (of {BUNDLE} in DVC's cache)"), name


@pytest.mark.slow
def test_verifying_changes_nothing(project):
    """DVC deletes a damaged object that is writable when it comes across it; `model verify` leaves it to the person."""
    path = stored(str(MODEL))
    flip(path)
    path.chmod(0o644)
    assert failures() == failures()
    assert path.exists()


@pytest.mark.slow
def test_results_that_are_not_committed_are_found(project):
    """dvc.lock, metrics, predictions and the other reports are part of the commit."""
    git("rm", "--quiet", "--cached", "-r", "reports")
    git("-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--no-verify", "--message", "Less")
    lines = failures()
    for name in (METRICS, PREDICTIONS, "reports/MODEL_CARD.md"):
        (line,) = (line for line in lines if line.startswith(str(name)))
        assert "not committed" in line and COMMIT in line
    git("rm", "--quiet", "--cached", str(LOCK))
    git("-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--no-verify", "--message", "Less")
    assert [f"{LOCK} is not committed: {COMMIT}"] == failures()


@pytest.mark.slow
def test_a_clone_without_data_passes(project, tmp_path, monkeypatch, capsys):
    """What DVC has not fetched is said, and is no failure; changed code still is one."""
    git("clone", "--quiet", str(project), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    verify()
    assert f"not here, so not checked: data/test.parquet, data/train.parquet, {BUNDLE}" in capsys.readouterr().out
    append(SOURCE / "train.py", "# new\n")
    (line,) = failures()
    assert line.startswith(f"{SOURCE / 'train.py'} was changed")


@pytest.fixture
def kept_by_dvc(project):
    """Return the project with predictions that DVC keeps."""
    pipeline = Path("dvc.yaml")
    pipeline.write_text(with_cache(pipeline.read_text(encoding="utf-8"), PREDICTIONS, True), encoding="utf-8")
    append(".gitignore", f"/{PREDICTIONS}\n")
    git("rm", "--cached", "--quiet", str(PREDICTIONS))
    renew()
    commit()
    return project


@pytest.mark.slow
def test_predictions_that_dvc_keeps_are_compared(kept_by_dvc, capsys):
    """The committed ones are in DVC's cache, by the committed dvc.lock; other ones are found."""
    assert str(PREDICTIONS) not in git("ls-files")
    verify()
    assert f"{METRICS} and {PREDICTIONS} are the committed ones (" in capsys.readouterr().out
    committed = stored(str(PREDICTIONS))
    edit_predictions(1, lambda text: text + "0")
    renew()
    (line,) = failures()
    assert line.startswith(f"{PREDICTIONS} is not the committed one (row ")
    committed.unlink()
    (line,) = failures()
    assert line.startswith(f"{PREDICTIONS} of commit HEAD is neither in Git, nor in DVC's cache, nor in its remote (")


@pytest.mark.slow
def test_a_clone_without_predictions_passes(kept_by_dvc, tmp_path, monkeypatch, capsys):
    """As with all that DVC has not fetched."""
    git("clone", "--quiet", str(kept_by_dvc), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    verify()
    said = capsys.readouterr().out
    assert f"{METRICS} is the committed one\n" in said
    assert f"{PREDICTIONS} (`dvc pull`" in said


@pytest.mark.slow
def test_a_stage_that_did_not_follow_is_found_without_data(project, tmp_path, monkeypatch):
    """dvc.lock itself shows that a stage read an output that was made anew since."""
    content = read_lock()
    for entry in content["stages"]["train"]["outs"]:
        entry["md5"] = "0" * 32
    LOCK.write_text(yaml.safe_dump(content), encoding="utf-8")
    commit()
    git("clone", "--quiet", str(project), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert f"{MODEL} was made anew, and stage evaluate has not run since: {RENEW}" in failures()


@pytest.mark.parametrize("header", ["row,label,p_a,p_b", "row,label,prediction"])
def test_tables_of_predictions_are_compared(header):
    """Rows, labels and columns are the same, numbers nearly; of a regression in units of the labels' spread."""
    width = header.count(",") - 1
    text = "\n".join([header, *(f"{row},{row * 1000},{','.join(['0.5'] * width)}" for row in range(10))])
    table = results.table(text)
    far = "0.6" if width == 2 else "1.5"
    assert results.table_difference(table, table) == ""
    assert results.table_difference(results.table(text.replace("0.5", "0.50001", 1)), table) == ""
    assert "row 2: `p" in results.table_difference(results.table(text.replace("0.5", far, 1)), table)
    assert "9 rows instead of 10" in results.table_difference(results.table(text.rpartition("\n")[0]), table)
    assert "label" in results.table_difference(results.table(text.replace("9000", "9001")), table)
    assert "other columns" in results.table_difference(results.table(text.replace("label,p", "label,q")), table)


def test_metrics_are_compared():
    """A probability's metric may differ by 1e-4, one with a unit by 1e-4 of itself, a count not at all."""
    assert results.metrics_difference({"a": 0.5}, {"a": 0.50009}, 0.0) == ""
    assert results.metrics_difference({"a": 0.5}, {"a": 0.502}, 0.0) == "a is 0.5, committed is 0.502"
    assert results.metrics_difference({"rmse": 50_000.0}, {"rmse": 50_001.0}, 9e4) == ""
    assert "rmse" in results.metrics_difference({"rmse": 50_000.0}, {"rmse": 50_010.0}, 9e4)
    assert "rmse" in results.metrics_difference({"rmse": 3e-6}, {"rmse": 2e-6}, 1e-5)
    assert results.metrics_difference({"rmse": 1e-15}, {"rmse": 2e-15}, 1.0) == ""
    assert "rows" in results.metrics_difference({"rows": 10}, {"rows": 11}, 0.0)
    assert results.metrics_difference({"a": 1.0, "b": 1.0}, {"a": 1.0}, 0.0) == "b is here, and not committed"
    assert results.metrics_difference({"a": 1.0}, {"a": 1.0, "b": 1.0}, 0.0) == "b is committed, and not here"


def test_a_stage_that_is_gone_does_not_matter():
    """`dvc repro` leaves the entry of a stage that dvc.yaml no longer has; it can be in one lock only."""
    stage = {"cmd": "x", "deps": [{"path": "a", "md5": "1"}], "params": {"p.yaml": {"b": {"c": 1}}}}
    assert list(lock.differences({"one": stage}, {"one": stage, "gone": stage}, [])) == []
    ((name, line),) = lock.differences({"one": stage, "new": stage}, {"one": stage}, [])
    assert name == "dvc.yaml:new" and "stage new is not in the committed dvc.lock" in line


def test_parts_of_an_output_are_no_source():
    """A dependency inside of an output, or around one, is made by a stage."""
    assert lock.is_product("models/bundle/model.onnx", ["models/bundle"])
    assert lock.is_product("models", ["models/bundle"])
    assert not lock.is_product("models/bundle.txt", ["models/bundle"])
