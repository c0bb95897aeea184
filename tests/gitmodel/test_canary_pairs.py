"""Where the bundles of both are at hand, a canary and the main model are compared on the same rows."""

import contextlib
import json
import re
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from math import erfc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.base.project import BUNDLE, RULES, SCHEMA, TEST, TRAIN, UserError
from gitmodel.bundle.bundle import Bundle, digest
from gitmodel.canary import bundles, compare, paired, pairs
from gitmodel.canary.answers import Answers
from gitmodel.canary.compare import errors, latency
from gitmodel.canary.looks import GO, STOP, WAIT, judge
from gitmodel.cli import main as model
from gitmodel.contract.origin import OtherCode
from gitmodel.contract.schema import Column
from gitmodel.contract.table import rows as typed_rows
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import package, train
from test_canary import SCHEMA as CONTRACT
from test_canary import START

MARGINS = {"log_loss": 0.01, "accuracy": 0.01}
ERROR, SHARE = 0.05, 0.2


def worlds(count, seed, noise=0.0, refused=0.0, labelled=1.0):
    """Return what main and canary answered of `count` requests, and what both say of all of them.

    Both err by noise of their own, the canary by more; labels are there for the first of the requests.
    """
    random = np.random.default_rng(seed)
    logit, theirs = random.normal(0, 2, count), random.random(count) < SHARE
    truth = (random.random(count) < 1 / (1 + np.exp(-logit))).astype(int)
    truth[int(labelled * count) :] = -1
    chances = [1 / (1 + np.exp(-logit - size * random.normal(size=count))) for size in (0.35, 0.35 + noise)]
    predicted = [np.stack([1 - chance, chance], axis=1) for chance in chances]
    failed = theirs & (random.random(count) < refused)
    time = np.datetime64("2026-11-01") + np.arange(count).astype("timedelta64[s]")
    took = np.where(failed, np.nan, random.lognormal(1, 0.5, count))

    def of(role, rows, said):
        answered = np.flatnonzero(~failed[rows])
        told = rows[answered]
        requests = role, role, time[rows], failed[rows], took[rows], answered
        return Answers(*requests, said[told], said[told].argmax(axis=1), truth[told])

    everything = np.flatnonzero(~failed)
    both = of("main", everything, predicted[0]), of("canary", everything, predicted[1])
    return of("main", np.flatnonzero(~theirs), predicted[0]), of("canary", np.flatnonzero(theirs), predicted[1]), both


def judged(count, seed, labels=True, alone=False, **changes):
    """Return the judgement of a canary, on pairs or `alone`."""
    main, canary, both = worlds(count, seed, **changes)
    way, extra = (compare, ()) if alone else (paired, both)
    known = (
        way.metrics(CONTRACT, BUILT_IN["binary"], MARGINS)
        if labels
        else [("predictions", way.predictions(CONTRACT, 0.1))]
    )
    compared = {"errors": (errors(0.01), False), "latency": (latency(3.0), False)}
    return judge(main, canary, compared | {name: (each, labels, *extra) for name, each in known}, ERROR)


def verdicts(repeat, count=8_200, **changes):
    """Return what is said of so many canaries, that answer a fifth of the requests."""
    return [judged(count, seed, **changes).verdict for seed in range(repeat)]


def test_an_equal_canary_goes_as_soon_as_one_may():
    """After 1,600 of its requests; without pairs the same requests tell nothing."""
    found = [judged(8_200, seed) for seed in range(6)]
    assert [each.verdict for each in found].count(GO) >= 4
    assert {each.requests for each in found if each.verdict == GO} == {1_600}
    assert verdicts(2, alone=True) == [WAIT] * 2


def test_an_equal_canary_is_seldom_stopped():
    """Whether there are labels or not: at most 5 % of all."""
    assert verdicts(30, 3_300).count(STOP) <= 4
    assert verdicts(20, 3_300, labels=False).count(STOP) <= 2


def test_a_worse_canary_is_stopped():
    """Sooner than it could go on: with labels a canary of more noise, without labels one of far more."""
    found = [judged(8_200, seed, noise=0.6) for seed in range(6)]
    assert [each.verdict for each in found] == [STOP] * 6 and np.median([each.requests for each in found]) < 800
    assert verdicts(4, labels=False, noise=6.0) == [STOP] * 4


def test_a_canary_two_margins_worse_does_not_go_on():
    """Its log loss is: some are stopped, the others wait."""
    noise = 0.28
    _, _, both = worlds(200_000, 0, noise=noise)
    before, now = (BUILT_IN["binary"]["log_loss"].value(Scored(a.truth, a.predicted, CONTRACT)) for a in both)
    assert now - before == pytest.approx(2 * MARGINS["log_loss"], rel=0.15)
    assert verdicts(10, noise=noise).count(GO) <= 1


def test_a_canary_that_fails_is_stopped_whatever_the_pairs_say():
    """It is as good on the rows that it answers."""
    found = judged(4_000, 0, refused=0.1)
    assert found.verdict == STOP and found.looks["errors"].verdict == STOP
    assert {found.looks[name].verdict for name in MARGINS if found.looks[name]} <= {WAIT, GO}


def test_labels_that_come_late_are_waited_for():
    """Without labels nothing is said of the metrics; what some labels decide, more of them do not undo."""
    assert judged(8_200, 3, labelled=0.0).looks["log_loss"] is None
    found = [judged(8_200, 3, labelled=share) for share in (0.01, 0.1, 0.5, 1.0)]
    assert (found[0].verdict, found[1].verdict, found[-1].verdict) == (WAIT, WAIT, GO)
    assert found[2].verdict == WAIT or found[2].requests == found[3].requests
    worse = [judged(8_200, 1, noise=0.6, labelled=share) for share in (0.01, 0.4, 1.0)]
    assert worse[0].verdict == WAIT and worse[1].verdict == STOP
    assert (worse[1].verdict, worse[1].requests) == (worse[2].verdict, worse[2].requests)


def test_rows_of_one_request_are_drawn_together():
    """Ten copies of a row in one request tell no more than the row."""
    _, _, both = worlds(2_000, 0)
    of_rows = ("request", "predicted", "decided", "truth")
    ten = [replace(each, **{name: np.repeat(getattr(each, name), 10, axis=0) for name in of_rows}) for each in both]
    (_, found), _ = paired.metrics(CONTRACT, BUILT_IN["binary"], MARGINS)
    assert found(*ten).error == pytest.approx(found(*both).error, rel=0.15)
    found = paired.predictions(CONTRACT, 0.1)
    assert found(*ten).p == pytest.approx(found(*both).p, rel=0.01)


def test_the_same_predictions_are_not_apart():
    """Nothing is worse, and chance is no explanation that is needed."""
    _, _, (main, _) = worlds(2_000, 0)
    metrics = dict(paired.metrics(CONTRACT, BUILT_IN["binary"], MARGINS))
    for found in (paired.predictions(CONTRACT, 0.1), metrics["accuracy"]):
        assert (found(main, main).worse, found(main, main).p) == (0, 1)


def test_two_cells_are_mcnemars():
    """The statistic of two classes is (b - c)^2 / (b + c)."""
    expected = erfc(((30 - 12) ** 2 / 42 / 2) ** 0.5)
    assert paired.homogeneity(np.array([[100.0, 30], [12, 80]])) == pytest.approx(expected)
    assert paired.homogeneity(np.diag([10.0, 20, 30])) == 1


# Bundles and logs


@pytest.fixture(scope="module")
def made(workspace, contract, tmp_path_factory):
    """Return a project with a bundle of it, one of the same model by another name, and one that learned nonsense."""
    folder = tmp_path_factory.mktemp("canaries") / "project"
    shutil.copytree(workspace, folder)
    written = yaml.safe_load((folder / SCHEMA).read_text(encoding="utf-8"))
    written["logged"] = sorted(contract.unlogged)
    (folder / SCHEMA).write_text(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), encoding="utf-8")
    known = pd.read_parquet(folder / TRAIN)
    with contextlib.chdir(folder):
        package.main()
        renamed(BUNDLE, Path("models/same"))
        mixed = known[contract.target].sample(frac=1, random_state=0).to_numpy()
        known.assign(**{contract.target: mixed}).to_parquet(TRAIN)
        shutil.move(BUNDLE, "models/kept")
        train.main()
        package.main()
        shutil.move(BUNDLE, "models/nonsense")
        shutil.move("models/kept", BUNDLE)
    return folder


def renamed(bundle, target):
    """Copy a bundle under another name, which gives it another digest."""
    shutil.copytree(bundle, target)
    path = target / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(manifest | {"name": "another"}), encoding="utf-8")


@pytest.fixture
def work(made, tmp_path, monkeypatch, capsys):
    """Return what judges a canary by a log of it, in a copy of that project with margins, with labels."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(pairs, "ROWS", 700)
    bundle = Bundle.load(BUNDLE)
    name = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}[bundle.schema.task]
    rules = yaml.safe_load(Path(RULES).read_text(encoding="utf-8"))
    frame = pd.read_parquet(TEST).head(200)
    spread = 1.0 if bundle.classes else float(frame[bundle.schema.target].std())
    rules["gate"]["margins"] = {name: 0.05 * spread}
    Path(RULES).write_text(yaml.safe_dump(rules), encoding="utf-8")

    def run(canary, *words, requests=3_000, spoil=lambda line: line, labels=True):
        answered(bundle, Path("models", canary), frame, requests, spoil)
        more = ["--label-file", "labels.csv"] if labels else []
        monkeypatch.setattr(sys, "argv", ["model", "canary", "log", "--json", "found.json", *more, *words])
        with pytest.raises(SystemExit) as ended:
            model()
        return ended.value.code, capsys.readouterr(), json.loads(Path("found.json").read_text("utf-8")), name

    return run


def answered(bundle, canary, frame, requests, spoil):
    """Write the log of so many requests, half of them answered by the canary, and the labels of all."""
    schema, arrays = bundle.schema, typed_rows(frame)
    served = {"main": (bundle, digest(BUNDLE)), "canary": (Bundle.load(canary), digest(canary))}
    told = {role: said(each, arrays) for role, (each, _) in served.items()}
    cells, lines, labels = logged_cells(schema, arrays), [], []
    for number in range(requests):
        role, row = ("main", "canary")[number % 2], (number // 2) % len(frame)
        time = f"{(START + timedelta(seconds=number)).isoformat(timespec='milliseconds')[:-6]}Z"
        known = {"id": f"r{number}", "row_number": 0, "role": role, "version": role, "digest": served[role][1]}
        lines.append(spoil({**known, "time": time, "latency_ms": 2.0, "row": cells[row], **told[role][row]}))
        labels.append((f"r{number}", frame[schema.target].iloc[row]))
    shutil.rmtree("log", ignore_errors=True)
    Path("log").mkdir()
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    Path("log/predictions-2026-11-01.jsonl").write_text(text, encoding="utf-8")
    reading = schema.reading
    pd.DataFrame(labels, columns=["id", "label"]).to_csv(
        "labels.csv", index=False, sep=reading.separator, decimal=reading.decimal, encoding=reading.encoding
    )


def said(bundle, arrays):
    """Return what the service logs of each row's prediction."""
    predicted = bundle.predict(arrays).astype(float)
    if not bundle.classes:
        return [{"prediction": value} for value in predicted.tolist()]
    return [
        {"label": label, "probabilities": dict(zip(bundle.classes, row, strict=True))}
        for label, row in zip(bundle.labels(predicted), predicted.tolist(), strict=True)
    ]


def logged_cells(schema, arrays):
    """Return typed rows as the log has them."""
    kinds = {"boolean": bool, "datetime": lambda value: f"{value}Z", "number": float, "integer": int}
    named = [(name, kinds.get(schema.columns[name].type, str)) for name in schema.features()]

    def cell(value, kind):
        return None if value is None or value != value else kind(value)

    rows = range(len(arrays[named[0][0]]))
    return [{name: cell(arrays[name][row], kind) for name, kind in named} for row in rows]


def test_bundles_in_models_are_found_and_rows_paired(work):
    """Both say the same of every row: the canary goes on, with nothing worse."""
    status, told, found, name = work("same", requests=3_300)
    assert (status, found["verdict"], found["paired"]) == (0, GO, [name]), told
    assert found["comparisons"][name]["worse"] == 0 and found["comparisons"][name]["requests"] >= 1_600
    assert "paired: both bundles predicted 3,299 rows of both logs" in told.out and "requests of both" in told.out


def test_a_canary_that_learned_nonsense_is_stopped(work, bundle):
    """By its metric, on the same rows; without labels by what it predicts, or it waits."""
    test, guess = bundle.manifest["metrics"]["test"], bundle.manifest["metrics"]["baseline"]["trivial"]
    loss = "log_loss" if bundle.classes else "rmse"
    if test[loss] > guess[loss]:
        pytest.skip("the model of this table is no better than nonsense")
    status, told, found, name = work("nonsense")
    assert (status, found["verdict"]) == (1, STOP) and f"Stop: {name}" in told.out
    assert found["comparisons"][name]["worse"] > 0
    _, told, found, _ = work("nonsense", labels=False)
    assert found["paired"] == ["predictions"]


def test_a_named_bundle_is_taken(work):
    """Also from elsewhere; one alone is not enough, and says what is missing."""
    shutil.move("models/same", "elsewhere")
    shutil.copytree("elsewhere", "models/same")
    work("same")
    shutil.rmtree("models/same")
    shutil.copytree("elsewhere", "../same")

    def canary(*words):
        return pairs.paired([Path("log")], answers(), None, [*map(Path, words)], 1e-4)

    def answers():
        both = [digest(BUNDLE), digest(Path("../same"))]
        return [replace(each, digest=named) for each, named in zip(worlds(300, 0)[:2], both, strict=True)]

    assert canary("../same").answers and not canary().answers
    (note,) = canary().notes
    assert "the bundle of canary is not here: bring it with `model checkout VERSION`" in note and "not paired" in note


def test_without_bundles_it_goes_on_unpaired(work):
    """It says so, and compares the answers of both as two samples."""
    shutil.copytree("models/same", "gone")

    def spoil(line):
        return line | ({"digest": "sha256:gone"} if line["role"] == "canary" else {})

    status, told, found, _ = work("same", spoil=spoil)
    assert status in (0, 3) and found["paired"] == [] and "the bundle of canary is not here" in told.out


def test_a_log_of_other_answers_is_not_paired(work):
    """What the bundle gives again is not what was logged: something else answered."""

    def spoil(line):
        if "prediction" in line:
            return line | {"prediction": line["prediction"] * 2 + 1}
        turned = dict(zip(line["probabilities"], reversed(line["probabilities"].values()), strict=True))
        return line | {"probabilities": turned}

    _, told, found, _ = work("same", spoil=spoil)
    assert found["paired"] == [] and "with another answer than its bundle gives" in told.out


def test_columns_that_the_log_leaves_out_are_named(work, contract):
    """They cannot be scored again: `logged:` says whether the log may hold them."""
    first = contract.features()[0]
    left = replace(contract, sensitive=(first,), logged=())
    with pytest.raises(UserError, match=f"leaves out .*{re.escape(first)}.* name them under `logged:`"):
        pairs.require_alike(left, left)
    columns = {**contract.columns, first: Column("text")}
    with pytest.raises(UserError, match="read other columns"):
        pairs.require_alike(replace(contract, columns=columns, sensitive=()), replace(contract, sensitive=()))


def test_a_named_bundle_without_its_code_is_refused(work, monkeypatch):
    """In one line, as elsewhere; one that was found by itself is left aside."""

    def refuse(kind, directory):
        raise OtherCode(f"{directory} was made with other feature code")

    work("same")
    both = [replace(each, digest=digest(BUNDLE)) for each in worlds(300, 0)[:2]]
    monkeypatch.setattr(bundles.own, "opened", refuse)
    with pytest.raises(UserError, match="other feature code"):
        pairs.paired([Path("log")], both, None, [BUNDLE], 1e-4)
    (note,) = pairs.paired([Path("log")], both, None, [], 1e-4).notes
    assert "cannot predict here" in note and "not paired" in note


def test_what_a_bundle_cannot_predict_is_left_out(work, monkeypatch):
    """Rows for which one of the two has no finite answer are no pairs, and are counted."""
    work("same")
    given = pairs.predictions

    def some(arrays, failed, bundle):
        found = given(arrays, failed, bundle).astype(float)
        found[:5] = np.nan if bundle.manifest["name"] == "another" else found[:5]
        return found

    monkeypatch.setattr(pairs, "predictions", some)
    _, told, found, _ = work("same", requests=600)
    assert found["paired"] and "both bundles predicted 594 rows" in told.out
    assert "the bundle of canary cannot predict them: 5 rows" in told.out
