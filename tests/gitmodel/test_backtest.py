"""`model backtest` tells a model that ages from one that does not, on tables made for it."""

import argparse
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import fast_params, room
from gitmodel.backtest import command as backtest
from gitmodel.backtest import report, timeline
from gitmodel.base.project import PARAMS, RULES, SCHEMA, UserError
from gitmodel.contract import schema
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored

CONTRACT = """
table: data/raw.csv
target: y
task: binary
positive: "yes"
identity: [when, a, b]
columns:
  when: {type: datetime, feature: false}
  a: {type: number}
  b: {type: number}
  "odd <✓> name": {type: category}
  y: {type: category, values: ["no", "yes"]}
"""
SLICES = 8


@pytest.fixture
def folder(sample, tmp_path, monkeypatch):
    """Work in an empty folder with the project's parameters, quick ones, and margins of the metrics of two classes."""
    params = fast_params(sample)
    room(sample, tmp_path)
    rules = {"gate": {"margins": {"log_loss": 0.005, "roc_auc": 0.005}}}
    params["train"] |= {"max_categories": 5}
    (tmp_path / "data").mkdir()
    (tmp_path / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    (tmp_path / RULES).write_text(yaml.safe_dump(rules), encoding="utf-8")
    (tmp_path / SCHEMA).write_text(CONTRACT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(rows=1_600, turn=0.0, seed=0):
    """Return rows over 720 days in which what decides the label turns from `a` towards `b`, by `turn` half circles."""
    random, time = np.random.default_rng(seed), np.linspace(0, 1, rows)
    a, b, noise = random.normal(size=(3, rows))
    signal = np.cos(np.pi * turn * time) * a + np.sin(np.pi * turn * time) * b + noise / 2
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta((time * 720).round(3), unit="D")
    columns = {"when": when, "a": a.round(6), "b": b.round(6), "odd <✓> name": random.choice(["x", "y"], rows)}
    return pd.DataFrame(columns | {"y": np.where(signal > 0, "yes", "no")})


def write(frame, contract=None, time="when"):
    """Write the table, and name its time."""
    frame.to_csv("data/raw.csv", index=False)
    changed = yaml.safe_load(CONTRACT) | (contract or {}) | ({"time": time} if time else {})
    with open(SCHEMA, "w", encoding="utf-8") as file:
        yaml.safe_dump(changed, file, sort_keys=False, allow_unicode=True)
    return schema.load()


def commit(message):
    """Commit everything."""
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", message]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_a_model_of_a_world_that_turns_ages(folder):
    """The older the model, the worse; the first age at which that is beyond the margin is named."""
    found = backtest.backtest(write(table(turn=0.8)), SLICES)
    losses = [row.loss for row in found.metrics[0].ages]
    assert found.verdict == backtest.AGES
    assert losses == sorted(losses) and losses[0] > 0.005
    assert f"a model that is {found.metrics[0].ages[0].time} old is worse" in found.sentence


def test_a_model_of_a_world_that_stays_does_not(folder):
    """Without a change there is no verdict that the model ages: neither for little data nor for much."""
    for rows in (800, 2_400):
        found = backtest.backtest(write(table(rows)), SLICES)
        assert found.verdict != backtest.AGES


def test_moods_of_the_world_are_no_age(folder):
    """Where each stretch of time has a mood of its own, one that suits older models less is no proof that they age."""
    verdicts = []
    for seed in range(4):
        random, frame = np.random.default_rng(seed), table(rows=1_600, seed=seed)
        mood = np.repeat(random.normal(size=16), 100)
        frame["y"] = np.where(frame["a"] * np.cos(mood) + frame["b"] * np.sin(mood) > 0, "yes", "no")
        verdicts.append(backtest.backtest(write(frame), SLICES).verdict)
    assert verdicts.count(backtest.AGES) <= 1  # 1 of 24 when it was measured; the noise of rows alone gave most of them


def test_rows_of_a_group_are_drawn_together(folder, monkeypatch):
    """Ten rows of one group with one label tell less than ten rows: the interval says so."""
    monkeypatch.setattr(backtest, "between_slices", lambda *_: 0.0)
    frame = table()
    one = frame.iloc[np.arange(len(frame)) // 10 * 10]
    frame[["a", "b"]] = one[["a", "b"]].to_numpy() + np.random.default_rng(0).normal(0, 1e-3, (len(frame), 2)).round(6)
    frame["y"], frame["odd <✓> name"] = one["y"].to_numpy(), [f"g{row // 10}" for row in range(len(frame))]
    named = {"name": "odd <✓> name", "type": "category"}
    columns = yaml.safe_load(CONTRACT)["columns"] | {named["name"]: {"type": named["type"], "feature": False}}

    def width(**contract):
        ages = backtest.backtest(write(frame, {"columns": columns, **contract}), SLICES).metrics[0].ages
        return np.median([age.high - age.low for age in ages])

    assert width(group=named["name"]) > 1.5 * width()


def test_noise_of_many_rows_is_that_of_their_groups():
    """Only some rows of a large slice are drawn: their groups are as many as before, and as uncertain."""
    random = np.random.default_rng(0)
    codes = np.repeat(np.arange(50), 400)
    truth, contract = (random.random(50) < 0.5)[codes].astype(int), schema.parse(yaml.safe_load(CONTRACT), SCHEMA)
    predicted = np.tile([0.4, 0.6], (len(codes), 1))
    scored = Scored(truth, predicted, contract)
    noise = [backtest.measured_with_noise(BUILT_IN["binary"]["accuracy"], scored, c)[1:].std() for c in (codes, None)]
    assert noise[0] == pytest.approx((0.25 / 50) ** 0.5, rel=0.2) and noise[1] == pytest.approx(0.0035, rel=0.2)


def test_age_is_not_a_smaller_training(folder):
    """Every model learns from the same number of rows, those just before its slice."""
    line = timeline.by_time(table(), write(table()), SLICES)
    assert [part.start - line.window for part in line.later] == [0, 200, 400, 600]
    assert line.table["when"].is_monotonic_increasing


def test_equal_times_stay_together(folder):
    """A moment is never both learned from and predicted."""
    frame = table()
    frame["when"] = frame["when"].dt.floor("30D")
    line = timeline.by_time(frame, write(frame), SLICES)
    for part in line.later:
        assert line.table["when"][part.start - 1] < line.table["when"][part.start]


def test_versions_of_the_table_give_the_order_where_there_is_no_time(folder):
    """The rows of each commit are a slice, also when the file is in another order; those of the work tree too."""
    frame = table(turn=0.8)
    for rows in (800, 1_000, 1_200, 1_400):
        contract = write(frame[:rows].sample(frac=1, random_state=rows), time=None)
        commit(f"{rows} rows")
    write(frame, time=None)
    found = backtest.backtest(contract, SLICES)
    assert [part.rows for part in found.slices] == [200, 200, 200, 200]
    assert found.slices[-1].name == "the work tree"
    assert found.trained_on == 800 and found.verdict == backtest.AGES
    assert found.metrics[0].ages[0].time == "1 version"


def test_a_table_that_dvc_keeps_is_read_from_its_cache(folder):
    """Older versions are found by their hash; one that is not here is fetched by the command that is named."""
    frame = table()
    for number, rows in enumerate((800, 1_200, 1_600)):
        contract = write(frame[:rows], time=None)
        digest = f"{number:032}"
        cached = folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes((folder / "data/raw.csv").read_bytes())
        (folder / "data/raw.csv.dvc").write_text(f"outs:\n- md5: '{digest}'\n  path: raw.csv\n")
        (folder / ".gitignore").write_text("/data/raw.csv\n/.dvc/\n")
        commit(f"{rows} rows")
    assert [part.rows for part in backtest.backtest(contract, SLICES).slices] == [400, 400]
    cached.unlink()
    with pytest.raises(UserError, match=r"dvc fetch --all-commits data/raw\.csv\.dvc"):
        backtest.backtest(contract, SLICES)


def test_the_reports_agree(folder, capsys):
    """Terminal, Markdown, JSON and picture say the same; names from data mean nothing in them."""
    write(table(turn=0.8))
    command(["--slices", "8", "--report", "out.md", "--json", "out.json", "--picture", "out.svg"])
    said, made = capsys.readouterr().out, json.loads((folder / "out.json").read_text())
    text = (folder / "out.md").read_text()
    assert made["verdict"] == "ages" and made["sentence"] in said
    assert "## The model ages" in text and f"{made['metrics'][0]['ages'][0]['loss']:+.3g}" in text
    assert "trained once, at the start" in (folder / "out.svg").read_text()
    ElementTree.parse(folder / "out.svg")


def test_every_field_of_the_json_is_documented(sample, folder):
    """docs/monitor.md names each key."""
    write(table(turn=0.8))
    found = backtest.as_json(backtest.backtest(schema.load(), SLICES))
    metric = found["metrics"][0]
    keys = [*found, *found["slices"][0], *metric, *metric["ages"][0]]
    text = (sample / "docs/monitor.md").read_text(encoding="utf-8")
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_what_cannot_be_measured_is_said_in_one_line(folder):
    """Too few slices, moments, versions or classes: cause and remedy."""
    write(table())
    with pytest.raises(UserError, match="--slices 3: give 4 or more"):
        command(["--slices", "3"])
    frame = table().assign(when=pd.Timestamp("2024-01-01"))
    with pytest.raises(UserError, match="splits the table into 1 slices"):
        backtest.backtest(write(frame), SLICES)
    write(table(), time=None)
    commit("the only version")
    with pytest.raises(UserError, match="has 1 version with 50 new rows or more"):
        backtest.backtest(schema.load(), SLICES)
    late = table()
    late.loc[:900, "y"] = "no"
    with pytest.raises(UserError, match="class 'yes' is in none of the rows before"):
        backtest.backtest(write(late), SLICES)


def test_numbers_age_too(folder):
    """A regression is measured by its own metrics, and a table without margins by the first metric of its task."""
    frame = table(turn=0.8)
    frame["y"] = np.where(frame["y"] == "yes", 1.5, -1.5) + frame["a"] / 9
    columns = yaml.safe_load(CONTRACT)["columns"] | {"y": {"type": "number"}}
    numeric = {"task": "regression", "positive": None, "columns": columns}
    found = backtest.backtest(write(frame, numeric), SLICES)
    assert found.metrics[0].metric == "rmse" and found.metrics[0].margin is None
    assert found.verdict == backtest.AGES and "RMSE" in report.in_short(found)
    found = backtest.backtest(write(frame.assign(y=frame["y"] * 1e5), numeric), SLICES)
    assert not re.search(r"\de\+", found.sentence + report.in_short(found) + report.markdown(found))


def command(arguments):
    """Run `model backtest` in this process."""
    parser = argparse.ArgumentParser(description="")
    backtest.add_arguments(parser)
    args = parser.parse_args(arguments)
    args.command(args)
