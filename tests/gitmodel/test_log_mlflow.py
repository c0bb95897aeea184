"""`model log --mlflow DIR` writes runs that MLflow reads; read with MLflow itself where it is installed."""

import contextlib

import pytest
import yaml
from gitmodel.base.project import UserError
from gitmodel.log import mlflow
from gitmodel.log.read import read
from life_cases import Life, calm  # noqa: F401


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """Return a model that has lived, with its runs written twice."""
    life = Life(tmp_path_factory.mktemp("life") / "a b")
    for _ in range(2):
        life.do("log", "--mlflow", "runs")
    return life


@pytest.fixture(scope="module")
def facts(life):
    """Return what Git knows of it."""
    with contextlib.chdir(life.folder):
        return read()


def test_each_model_is_a_run(life, facts):
    """Named by its version, at its time, with its metrics and their intervals."""
    runs = sorted(path for path in (life.folder / "runs/0").iterdir() if path.is_dir())
    assert [path.name for path in runs] == sorted(model.commit[:32] for model in facts.models)
    for model in facts.models:
        place = life.folder / "runs/0" / model.commit[:32]
        meta = yaml.safe_load((place / "meta.yaml").read_text(encoding="utf-8"))
        assert (meta["run_name"], meta["start_time"]) == (model.version or model.commit[:9], 1000 * model.time)
        assert (place / "tags/mlflow.source.git.commit").read_text() == model.commit
        at, value, step = (place / f"metrics/{facts.metric}").read_text().split()
        assert (int(at), float(value), step) == (1000 * model.time, model.headline.value, "0")
        assert (place / f"metrics/{facts.metric}_low").exists() == bool(model.headline.interval)


def test_texts_of_people_are_texts(life):
    """One line each, also in YAML."""
    assert any("onerror" in path.read_text(encoding="utf-8") for path in (life.folder / "runs").rglob("mlflow.user"))
    for path in (life.folder / "runs").rglob("tags/*"):
        assert "\n" not in path.read_text(encoding="utf-8") and "\x1b" not in path.read_text(encoding="utf-8")


def test_another_folder_is_left_alone(life, facts, tmp_path):
    """One that holds no runs is refused, and so is a file."""
    (tmp_path / "mine.txt").touch()
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="holds no runs"):
            mlflow.write_runs(facts, place)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_mlflow_reads_them(life, facts, monkeypatch):
    """The same runs, metrics and tags, through its own client."""
    client = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = client.MlflowClient(tracking_uri=(life.folder / "runs").as_uri())
    assert store.get_experiment("0").name == facts.name
    found = {run.data.tags["mlflow.source.git.commit"]: run for run in store.search_runs(["0"])}
    assert set(found) == {model.commit for model in facts.models}
    for model in facts.models:
        run = found[model.commit]
        assert run.data.metrics[facts.metric] == model.headline.value
        assert (run.info.status, run.info.run_name) == ("FINISHED", model.version or model.commit[:9])
