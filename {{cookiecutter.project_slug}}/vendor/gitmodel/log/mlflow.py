"""The models of the main line as runs that `mlflow ui` shows, in MLflow's format of files, written without MLflow.

A folder of an experiment holds `meta.yaml` and a folder for each run, with one small file for each metric and tag.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, say, some
from gitmodel.base.writing import replacing_folder
from gitmodel.log.facts import Facts, Measured, Model

EXPERIMENT = "0"  # the number of the only one
META, TAGS, METRICS = "meta.yaml", "tags", "metrics"
FINISHED, LOCAL = 3, 4  # MLflow's numbers of a status and of a kind of source
UNKNOWN = "unknown"


def write_runs(facts: Facts, folder: Path) -> None:
    """Write each model as a run, in place of those that were there; UserError if the folder holds something else."""
    if folder.exists() and not (folder / EXPERIMENT / META).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and holds no runs: name another folder")
    versions = {version.commit: version.metrics for version in facts.versions}
    with replacing_folder(folder) as draft:
        (draft / EXPERIMENT).mkdir()
        write_meta(draft / EXPERIMENT, experiment(facts, folder))
        for model in facts.models:
            metrics = versions.get(model.commit) or ({facts.metric: model.headline} if model.headline else {})
            write_run(draft / EXPERIMENT / model.commit[:32], model, metrics, folder)
    remedy = f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {folder}"
    say(f"{folder}: {some(len(facts.models), 'run')}; see them with `{remedy}`")


def experiment(facts: Facts, folder: Path) -> dict[str, object]:
    """Return what MLflow knows of the experiment."""
    times = [1000 * model.time for model in facts.models] or [0]
    return {
        "artifact_location": (folder / EXPERIMENT).absolute().as_uri(),
        "creation_time": min(times),
        "experiment_id": EXPERIMENT,
        "last_update_time": max(times),
        "lifecycle_stage": "active",
        "name": facts.name,
    }


def write_run(place: Path, model: Model, metrics: dict[str, Measured], folder: Path) -> None:
    """Write a model as a run: its metrics with their intervals, and where it comes from as tags."""
    for name in (METRICS, TAGS, "params", "artifacts"):
        (place / name).mkdir(parents=True)
    at = 1000 * model.time
    for name, value in values(metrics):
        (place / METRICS / name).write_text(f"{at} {value!r} 0\n", encoding="utf-8")
    for name, text in tags(model).items():
        (place / TAGS / name).write_text(text, encoding="utf-8")
    run: dict[str, object] = {"artifact_uri": (folder / EXPERIMENT / place.name / "artifacts").absolute().as_uri()}
    run |= {"end_time": at, "start_time": at, "status": FINISHED, "source_type": LOCAL, "tags": []}
    run |= {"entry_point_name": "", "source_name": "", "source_version": "", "lifecycle_stage": "active"}
    run |= {"experiment_id": EXPERIMENT, "run_id": place.name, "run_uuid": place.name}
    run |= {"run_name": tags(model)["mlflow.runName"], "user_id": one_line(model.by) or UNKNOWN}
    write_meta(place, run)


def values(metrics: dict[str, Measured]) -> Iterator[tuple[str, float]]:
    """Yield each metric by a name that MLflow takes, with the ends of its interval."""
    for name, measured in metrics.items():
        yield name, measured.value
        for end, value in zip(("low", "high"), measured.interval or (), strict=False):
            yield f"{name}_{end}", value


def tags(model: Model) -> dict[str, str]:
    """Return what MLflow shows beside the metrics."""
    found = {
        "mlflow.runName": model.version or model.commit[:9],
        "mlflow.source.git.commit": model.commit,
        "mlflow.user": one_line(model.by),
        "mlflow.note.content": one_line(model.subject),
        "version": model.version,
        "data": model.data,
    }
    return {name: text for name, text in found.items() if text}


def write_meta(place: Path, content: Mapping[str, object]) -> None:
    """Write what describes a folder."""
    (place / META).write_text(yaml.safe_dump(dict(content), allow_unicode=True), encoding="utf-8")
