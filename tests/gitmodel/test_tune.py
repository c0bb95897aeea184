"""`model tune`: parameters are sought on training rows alone, nothing tried is lost, the best goes into params.yaml."""

import os
import shutil

import numpy as np
import pytest
import yaml
from conftest import room
from gitmodel.base.project import PARAMS, SCHEMA, TEST, TRAIN, UserError
from gitmodel.contract.schema import load
from gitmodel.metrics.builtin import BUILT_IN, LOSS
from gitmodel.pipeline import train, validation
from gitmodel.tune import command, search, spaces, trials
from gitmodel.tune.trials import TRIALS

QUICK = {"model": "linear", "folds": 3, "stop_early": False, "linear": {"C": 1e-3, "alpha": 1e3}}


@pytest.fixture
def project(sample, workspace, tmp_path, monkeypatch):
    """Work in a project with training rows, whose linear model is far too simple; a read of the test rows hangs."""
    monkeypatch.chdir(room(sample, tmp_path))
    for path in (SCHEMA, TRAIN):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(workspace / path, path)
    os.mkfifo(TEST)
    text = PARAMS.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    content["train"] |= QUICK
    PARAMS.write_text("# a comment that stays\n" + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture
def likes_one(monkeypatch):
    """Let a trial lose the more, the farther its C is from 1, whatever the table."""

    def losses(self, model, given):
        yield from [abs(np.log10(given["C"])) + fold / 100 for fold in range(len(self.parts))]

    monkeypatch.setattr(search.Search, "_losses", losses)


def train_section():
    """Return `train:` of params.yaml."""
    return yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["train"]


def test_the_best_goes_into_params(project, likes_one, capsys):
    """The first trial is what params.yaml says; the winner is better, comments stay, and the score is written."""
    before = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    best = command.tune(most=5)
    tried = trials.read(best.of)
    assert tried[0].given == QUICK["linear"] and len(tried) == 5
    assert best.loss == min(trial.loss for trial in tried if not trial.given_up) < tried[0].loss
    after = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    assert after["train"]["linear"] == best.given
    after["train"]["linear"] = before["train"]["linear"]
    assert after == before
    text = PARAMS.read_text(encoding="utf-8")
    assert text.startswith("# a comment that stays\n")
    assert f"by `model tune`: {LOSS[yaml.safe_load(SCHEMA.read_text())['task']]}" in text
    assert "trial 5 of 5: linear" in capsys.readouterr().out


def test_of_several_models_the_first_is_tuned_and_stays_one_of_them(project, likes_one):
    """`model: auto` is not given up for one of its models; one that is named and not in it is chosen alone."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    content["train"] |= {"model": "auto", "auto": {"models": ["linear", "random_forest"]}}
    PARAMS.write_text(yaml.safe_dump(content), encoding="utf-8")
    best = command.tune(most=3)
    assert best.model == "linear" and best.given != QUICK["linear"]
    assert (train_section()["model"], train_section()["linear"]) == ("auto", best.given)
    content["train"]["auto"]["models"] = ["random_forest"]
    PARAMS.write_text(yaml.safe_dump(content), encoding="utf-8")
    command.tune(most=3, models=["linear"])
    assert train_section()["model"] == "linear"


def test_a_trial_is_measured_as_validation_is(project):
    """What params.yaml has gets the loss that `validation` has of it, also where the folds say when boosting stops."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    boosting = {"max_iter": 30, "learning_rate": 0.5, "max_leaf_nodes": 8}
    content["train"] |= {"model": "gradient_boosting", "stop_early": True, "gradient_boosting": boosting}
    PARAMS.write_text(yaml.safe_dump(content), encoding="utf-8")
    train.main()
    schema = load()
    loss = LOSS[schema.task]
    found = validation.measured(validation.read(schema), {loss: BUILT_IN[schema.task][loss]})
    best = command.tune(most=2)
    first, second = trials.read(best.of)
    assert first.loss == pytest.approx(found[loss], rel=1e-5)
    assert second.given["max_iter"] >= boosting["max_iter"]
    content["train"]["stop_early"] = False
    PARAMS.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert command.tune(most=1).of != best.of  # those trials say nothing here


def test_an_unknown_model_is_named(project):
    """It is no question of where to look for its parameters."""
    with pytest.raises(UserError, match="--model extra_tree: did you mean `extra_trees`"):
        command.tune(most=1, models=["extra_tree"])


def test_a_search_goes_on_where_it_was(project, monkeypatch, capsys):
    """Ctrl-C loses nothing that was tried, and the same command tries nothing twice: the end is the same."""
    tried, number = search.Search.tried, iter(range(9))

    def interrupted(self, *args):
        if next(number) == 2:
            raise KeyboardInterrupt
        return tried(self, *args)

    monkeypatch.setattr(search.Search, "tried", interrupted)
    command.tune(most=4)
    assert len(TRIALS.read_text(encoding="utf-8").splitlines()) == 3
    assert "stopped; what was tried is kept" in capsys.readouterr().out
    monkeypatch.setattr(search.Search, "tried", tried)
    resumed = [trial.parameters for trial in trials.read(command.tune(most=4).of)]
    assert "2 trials from before" in capsys.readouterr().out
    TRIALS.unlink()
    section = train_section()
    PARAMS.write_text(yaml.safe_dump({**yaml.safe_load(PARAMS.read_text()), "train": section | QUICK}))
    assert sorted(trial.parameters for trial in trials.read(command.tune(most=4).of)) == sorted(set(resumed))[:4]


def test_trials_on_other_rows_say_nothing(project):
    """After new rows the search begins anew."""
    first = command.tune(most=2)
    frame = __import__("pandas").read_parquet(TRAIN)
    frame.iloc[: len(frame) * 9 // 10].to_parquet(TRAIN, index=False)
    assert trials.read(first.of) and command.tune(most=2).of != first.of


def test_what_cannot_win_is_given_up():
    """A trial that is surely worse on the first folds is not measured on the others; one that may win is."""
    parts = [(np.arange(2), np.arange(2))] * 5
    found = search.Search(None, {}, None, parts, best=[0.20, 0.21, 0.19, 0.20, 0.20])
    assert found._hopeless([0.30, 0.31])
    assert not found._hopeless([0.30])
    assert not found._hopeless([0.21, 0.20])
    assert not found._hopeless([0.30, 0.22])


@pytest.mark.parametrize("name", spaces.SPACES)
def test_what_is_drawn_is_the_same_for_the_same_seed(name, user_room):
    """Whatever was tried before; other trials and seeds draw others, and YAML holds what is drawn."""
    found = [spaces.drawn(name, number, seed) for number, seed in ((1, 0), (1, 0), (2, 0), (1, 1))]
    assert found[0] == found[1] != found[2] != found[3]
    assert yaml.safe_load(yaml.safe_dump(found[0])) == found[0]


def test_own_estimators_bring_their_space(user_room):
    """SPACES in train.py says where to look; without, the message says what to write."""
    user_room.write("train", "SPACES = {'mine': {'depth': [1, 2]}, 'odd': {'depth': 3}}")
    assert spaces.drawn("mine", 1, 0)["depth"] in (1, 2)
    with pytest.raises(UserError, match=r"add SPACES = \{'other': \{\.\.\.\}\} to train\.py"):
        spaces.space_of("other")
    with pytest.raises(UserError, match=r"SPACES\['odd'\] in train\.py"):
        spaces.drawn("odd", 1, 0)


def test_without_training_rows_nothing_is_sought(project):
    """The message names the command that makes them."""
    TRAIN.unlink()
    with pytest.raises(UserError, match=r"data/train\.parquet is missing: run `dvc repro prepare`"):
        command.tune(most=1)


def test_a_damaged_list_of_trials_is_named(project):
    """Nothing is sought, and nothing is overwritten."""
    TRIALS.parent.mkdir(exist_ok=True)
    for damaged in ("", "trial,of\n1,x\n", "trial,of\n1,x,y,z\n"):
        TRIALS.write_text(damaged)
        with pytest.raises(UserError, match=r"reports/trials\.csv is damaged"):
            command.tune(most=1)
        assert TRIALS.read_text() == damaged
