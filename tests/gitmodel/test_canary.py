"""A canary goes on, stops or waits, by what the log of the service says; how often somebody looks changes nothing."""

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from gitmodel.base.project import UserError
from gitmodel.canary import command
from gitmodel.canary.answers import Answers, read_answers
from gitmodel.canary.compare import errors, latency, metrics, predictions
from gitmodel.canary.looks import FIRST, GO, STOP, WAIT, judge, level_of, moments
from gitmodel.cli import main as model
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.decision import MOST_LIKELY
from gitmodel.monitor.labels import Labels

SCHEMA = Schema(
    "t.csv",
    "y",
    "binary",
    {"x": Column("number"), "y": Column("category", values=("no", "yes"))},
    identity=("x",),
    positive="yes",
)
START = datetime(2026, 11, 1, tzinfo=UTC)
MARGINS = {"accuracy": 0.02, "log_loss": 0.05}
ERROR = 0.05


def answers(role, count, random, wrong=0.0, refused=0.0, slower=1.0, moved=0.0):
    """Return the requests of a model whose labels are wrong for some rows, on average so many over an hour."""
    truth = random.integers(0, 2, count)
    said = np.where(random.random(count) < 0.1 + wrong, 1 - truth, truth)
    chance = np.clip(np.where(said == 1, 0.9, 0.1) + moved, 0.001, 0.999)
    failed = random.random(count) < refused
    moment = np.datetime64("2026-11-01") + np.sort(random.random(count) * 3.6e6).astype("timedelta64[ms]")
    told = np.flatnonzero(~failed)
    took = np.where(failed, np.nan, random.lognormal(1, 0.5, count) * slower)
    predicted = np.stack([1 - chance, chance], axis=1)[told]
    return Answers(role, f"sha256:{role}", moment, failed, took, told, predicted, predicted.argmax(axis=1), truth[told])


def compared(labelled=True):
    """Return what is compared, as the command does."""
    found = {"errors": (errors(0.01), False), "latency": (latency(3.0), False)}
    if not labelled:
        return {**found, "predictions": (predictions(SCHEMA, 0.1), False)}
    return found | {name: (each, True) for name, each in metrics(SCHEMA, BUILT_IN["binary"], MARGINS)}


def verdicts(repeat, count=3_200, labelled=True, **changes):
    """Return what is said of so many canaries, of four times as many requests to main."""
    found = []
    for seed in range(repeat):
        random = np.random.default_rng(seed)
        main, canary = answers("main", 4 * count, random), answers("canary", count, random, **changes)
        found.append(judge(main, canary, compared(labelled), ERROR).verdict)
    return found


def test_a_canary_that_is_as_good_goes_on():
    """With labels, and without them; none is stopped."""
    found = verdicts(5) + verdicts(5, labelled=False)
    assert set(found) <= {GO, WAIT} and found.count(GO) >= 8


@pytest.mark.parametrize(
    ("labelled", "change"),
    [(True, {"wrong": 0.06}), (False, {"refused": 0.05}), (False, {"slower": 9.0}), (False, {"moved": -0.2})],
)
def test_a_canary_that_is_worse_is_stopped(labelled, change):
    """By its metrics, its refused requests, its latency, or by how it predicts."""
    assert verdicts(4, labelled=labelled, **change).count(STOP) >= 3


def test_what_fails_altogether_is_stopped_at_the_first_look():
    """A hundred requests are enough."""
    random = np.random.default_rng(0)
    found = judge(answers("main", 900, random), answers("canary", FIRST, random, refused=1.0), compared(False), ERROR)
    assert (found.verdict, found.requests) == (STOP, FIRST)


def test_a_canary_two_margins_worse_does_not_go_on():
    """Nor is it always stopped: that takes more requests."""
    assert verdicts(12, 800, wrong=2 * MARGINS["accuracy"]).count(GO) <= 1


def test_too_few_requests_wait():
    """It says about how many more it takes; not a single look at less than a hundred."""
    random = np.random.default_rng(0)
    main, canary = answers("main", 5_000, random), answers("canary", 99, random)
    assert judge(main, canary, compared(), ERROR) == judge(main, canary, compared(), 0.5)
    found = judge(main, answers("canary", 150, random), compared(), ERROR)
    assert (found.verdict, found.requests) == (WAIT, 0)
    accuracy = found.looks["accuracy"]
    assert accuracy.requests == FIRST and 400 <= accuracy.more <= 20_000


def test_looking_every_day_changes_nothing():
    """What was said once is said at every later look, and nobody is told more for looking more often."""
    for seed, change in ((1, {}), (2, {"wrong": 0.06}), (3, {"refused": 0.04})):
        random = np.random.default_rng(seed)
        main, canary = answers("main", 4_000, random), answers("canary", 1_700, random, **change)
        last = judge(main, canary, compared(), ERROR)
        said = [judge(main, canary.until(canary.time[n - 1]), compared(), ERROR) for n in range(150, 1_700, 300)]
        first = next((each for each in said if each.verdict != WAIT), last)
        decided = said[said.index(first) :] if first in said else []
        assert all((each.verdict, each.requests) == (first.verdict, first.requests) for each in [*decided, last])


def test_all_looks_together_spend_no_more_than_the_error():
    """Their levels sum up to it."""
    assert 0.049 < sum(level_of(number, 0.05) for number in range(1, 1_000)) < 0.05


def test_labels_have_looks_of_their_own():
    """A request without a label does not count for a metric, and the others wait for nobody."""
    random = np.random.default_rng(0)
    canary = answers("canary", 1_000, random)
    canary.truth[: len(canary.truth) // 2] = -1
    assert (len(moments(canary, False)), len(moments(canary, True))) == (4, 3)


# The log, and the command


def record(role, number, second, digest="", **more):
    """Return a line of the log."""
    said = {"row": {"x": 1.0}, "label": "no", "probabilities": {"no": 0.9, "yes": 0.1}, "latency_ms": 2.0}
    known = {"id": f"{role}-{number}", "row_number": 0, "version": role, "digest": digest or f"sha256:{role}"}
    time = f"{(START + timedelta(seconds=second)).isoformat(timespec='milliseconds')[:-6]}Z"
    return {**known, "time": time, "role": role, **(said if "refused" not in more else {}), **more}


def write(folder, records):
    """Write a log."""
    folder.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in records)
    (folder / "predictions-2026-11-01.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_both_models_are_read_over_the_same_time(tmp_path):
    """From when both had been there; refused requests, several rows of a request, labels, and an older canary."""
    lines = [record("main", n, n) for n in range(20)] + [record("canary", n, 10 + n) for n in range(5)]
    lines += [record("canary", 99, 5, digest="sha256:older"), record("shadow", 1, 12)]
    lines += [record("canary", 5, 15, refused=[{"column": "x", "rule": "type"}], status=422)]
    lines += [record("canary", 6, 16), record("canary", 6, 16, row_number=1)]
    (tmp_path / "labels.csv").write_text("id,row_number,label\ncanary-6,1,yes\n", encoding="utf-8")
    main, canary = read_answers([write(tmp_path / "log", lines)], SCHEMA, Labels(tmp_path / "labels.csv", SCHEMA))
    assert (len(main), len(canary), canary.refused.sum(), len(canary.predicted)) == (10, 7, 1, 7)
    assert canary.truth.tolist() == [-1] * 6 + [1] and canary.request.tolist() == [0, 1, 2, 3, 4, 6, 6]
    assert (canary.digest, canary.version, np.isnan(canary.latency_ms).tolist()[5]) == ("sha256:canary", "canary", True)


def test_an_id_that_is_used_again_is_another_request(tmp_path):
    """Clients choose the ids."""
    lines = [record("main", 1, n) for n in range(3)] + [record("canary", 1, n) for n in range(4)]
    main, canary = read_answers([write(tmp_path / "log", lines)], SCHEMA, None)
    assert (len(main), len(canary)) == (3, 4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([record("main", 1, 1)], "no answer of a canary"),
        ([record("canary", 1, 1)], "no answer of a main"),
        ([record("main", 1, 1, digest="d"), record("canary", 1, 1, digest="d")], "the same bundle"),
        ([record("main", 1, 1, probabilities={"a": 1.0}), record("canary", 1, 1)], "name its --bundle"),
    ],
)
def test_a_log_that_cannot_be_compared_is_refused(tmp_path, lines, message):
    """In one line that says what to do."""
    with pytest.raises(UserError, match=message):
        read_answers([write(tmp_path / "log", lines)], SCHEMA, None)
    with pytest.raises(UserError, match="no prediction log"):
        read_answers([tmp_path / "nothing"], SCHEMA, None)


@pytest.fixture
def canary(tmp_path, monkeypatch, capsys):
    """Return what runs `model canary` beside a bundle of the schema, and gives status, lines and JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "contract_of", lambda path: (SCHEMA, MOST_LIKELY))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["model", "canary", *map(str, words), "--json", "found.json"])
        with pytest.raises(SystemExit) as ended:
            model()
        return ended.value.code, capsys.readouterr(), json.loads((tmp_path / "found.json").read_text("utf-8"))

    return run


def logged(folder, count, **failing):
    """Write the log of a service whose canary refuses every so many requests, `failing[refused_every]`."""
    every = failing.get("refused_every", 0)
    lines = [record("main", n, n) for n in range(2 * count)]
    lines += [
        record("canary", n, 2 * n, **({"refused": [], "status": 500} if every and n % every == 0 else {}))
        for n in range(count)
    ]
    return write(folder, lines)


def test_the_command_says_stop_go_and_wait(canary, tmp_path):
    """With exit status 1, 0 and 3, and what to do next."""
    status, said, found = canary(logged(tmp_path / "log", 800, refused_every=5))
    assert (status, found["verdict"], found["exit_status"]) == (1, STOP, 1)
    assert said.out.startswith("Stop: errors worse than the margin") and "serve without --canary" in said.out
    status, said, found = canary(logged(tmp_path / "log", 3_300))
    assert (status, found["verdict"], found["requests"]) == (0, GO, 1_600) and "model promote" in said.out
    status, said, found = canary(logged(tmp_path / "log", 150))
    assert (status, found["verdict"], found["requests"]) == (3, WAIT, 0)
    assert "more requests" in said.out and found["comparisons"]["errors"]["more"] == 1_500
    assert set(found["comparisons"]) == {"errors", "latency", "predictions"}
    assert found["canary"] == {"version": "canary", "digest": "sha256:canary", "requests": 150, "labelled": 0}


def test_what_cannot_be_judged_has_status_2(canary, tmp_path):
    """One line, no traceback; labels without a margin tell nothing."""
    status, said, found = canary(tmp_path / "nothing")
    assert (status, found["verdict"]) == (2, "cannot judge") and said.err.count("\n") == 1
    (tmp_path / "labels.csv").write_text("id,label\ncanary-1,yes\n", encoding="utf-8")
    status, said, found = canary(logged(tmp_path / "log", 150), "--label-file", tmp_path / "labels.csv")
    assert status == 2 and "model margins" in said.err
    (tmp_path / "labels.csv").write_text("id,label\ncanary-1,perhaps\n", encoding="utf-8")
    status, said, found = canary(tmp_path / "log", "--label-file", tmp_path / "labels.csv")
    assert status == 2 and "perhaps" in said.err
