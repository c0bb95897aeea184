"""The life of a model as Git tells it: the facts, and `model log`."""

import contextlib
import csv
import json
import re
from dataclasses import replace
from itertools import pairwise

import life_cases
import pytest
from gitmodel.base.project import METRICS, RULES
from gitmodel.gate.ledger import objects
from gitmodel.log import forge, line, overridden, read, watched
from gitmodel.log.facts import Measured, schema
from gitmodel.log.models import said_by
from gitmodel.versions import tags
from jsonschema import Draft202012Validator
from life_cases import EVIL, PATIENT, SECRETS, Life, calm  # noqa: F401
from registry_cases import Model


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """Return a model that has lived."""
    return Life(tmp_path_factory.mktemp("life") / "a b")


@pytest.fixture(scope="module")
def facts(life):
    """Return what Git knows of it."""
    with contextlib.chdir(life.folder):
        return read.read()


def test_versions_have_their_evidence(facts):
    """Metrics with intervals as far as they are known, the verdict, the data, what was said, what came before."""
    first, worse, last = facts.versions
    assert [first.name, worse.name, last.name] == ["v1.0.0", "v1.1.0", "v2.0.0"]
    assert [first.before, worse.before, last.before] == ["", "v1.0.0", "v1.1.0"]
    assert first.metrics["roc_auc"].low is None and first.rows == {}
    found = last.metrics["roc_auc"]
    assert found.low == pytest.approx(found.value - 0.0196, abs=1e-5) and found.high <= 1
    assert worse.gate == "regression" and worse.accepted.startswith("the law") and worse.against == "v1.0.0"
    assert (worse.data, last.data) == ("a" * 32, "b" * 32) and last.rows == {"train": 50, "test": 60}
    assert (first.stages, worse.stages, last.stages) == (["prod"], [], ["staging"])
    assert worse.retired and worse.retired.reason.startswith("worse")
    assert any("data: data/raw.csv holds other rows" in line for line in last.said)


def test_periods_say_what_served_when(facts):
    """Of each stage; what serves now is open."""
    prod = [(period.version, period.end is None) for period in facts.periods if period.stage == "prod"]
    assert prod == [("v1.0.0", False), ("v1.1.0", False), ("v1.0.0", True)]
    assert [(period.stage, period.version) for period in facts.serving] == [("staging", "v2.0.0"), ("prod", "v1.0.0")]
    actions = [decision.action for decision in facts.decisions]
    assert actions.count("register") == 3 and actions.count("promote") == 3
    assert [actions.count(name) for name in ("rollback", "retire")] == [1, 1]


def test_models_are_those_of_the_main_line(facts, life):
    """A commit that changes no result brings no model; the version is at the model that it is of."""
    assert [(model.version, model.by) for model in facts.models] == [
        ("v1.0.0", "Ann"),
        ("", facts.models[1].by),
        ("v1.1.0", "Bob"),
        ("v2.0.0", "Ann"),
    ]
    assert all(model.headline for model in facts.models) and facts.metric == "roc_auc"
    assert life.git("rev-parse", "main") == facts.models[-1].commit


def test_the_table_has_versions(facts):
    """A change of rows, and columns that came."""
    before, after = facts.tables
    assert (before.data, after.data) == ("a" * 32, "b" * 32)
    assert (before.added, after.gone) == ([], []) and len(after.added) == 1


def test_what_was_overridden_is_listed(facts):
    """Accepted versions and merges, looser rules: by whom, why, and what became of them."""
    found = {(override.kind, re.split("[: ]", override.what)[0]): override for override in facts.overridden}
    registered = found["registered", "v1.1.0"]
    assert registered.why.startswith("the law") and registered.became.startswith("was retired on 2025-")
    merged = found["merged", "a"]
    assert merged.why.startswith("the board asked") and merged.became.startswith("in v1.1.0, which was retired")
    margin, gap = (found["rule", f"gate.{name}"] for name in ("margins.log_loss", "gap"))
    assert margin.became.startswith("taken back on 2025-") and gap.became == "in force"
    assert margin.why == merged.why and len(facts.overridden) == 5  # what is commented out accepts nothing


def test_before_the_first_model_nobody_can_loosen_a_rule(life):
    """The sample's rules and schema go when a table of one's own comes: nothing was judged by them."""
    with contextlib.chdir(life.folder), objects() as reader:
        states = line.main_line(line.Contents(reader))
        loosened = [pair for pair in pairwise(states) if [*overridden.rules(pair)]]
        assert loosened
        for before, after in loosened:
            assert not [*overridden.rules([replace(before, blobs=before.blobs | {METRICS: ""}), after])]


def test_batches_are_those_of_the_branch(facts):
    """With the version that was watched, and what is beyond its limit."""
    quiet, alarm = facts.batches
    assert (quiet.name, quiet.verdict, quiet.alerts, quiet.version) == ("june.csv", "quiet", [], "")
    assert alarm.version == "v1.0.0" and alarm.beyond == {"drift": 1, "bias": 1, "quality": 1}
    assert alarm.alerts[0] == "drift: distance of mail" and alarm.loss == 0.03


@pytest.mark.parametrize(
    ("batch", "name"),
    [
        ("/home/ann/customers/july.csv", "july.csv"),
        ("C:\\Users\\ann\\july.csv", "july.csv"),
        ("s3://ann-private/predictions/", "predictions"),
        ("data/july.csv", "data/july.csv"),
        ("/", "/"),
    ],
)
def test_folders_of_a_machine_are_left_out(batch, name):
    """The page is public, perhaps: neither who watched nor a bucket is named; a path in the repository is."""
    assert watched.name_of(batch) == name


def test_a_batch_names_the_commit_that_holds_it(facts, life):
    """The history is in a branch of its own."""
    assert {batch.commit for batch in facts.batches} == {life.git("rev-parse", "monitoring").strip()}


def test_people_are_left_out(facts):
    """Groups of sensitive columns, values of personal ones and addresses are in no fact; gaps and other groups are."""
    text = json.dumps(facts.as_json())
    for secret in (*SECRETS, PATIENT, "@example.com"):
        assert secret not in text
    assert facts.hidden == ["mail", "sex"]
    version = facts.versions[-1]
    assert set(version.groups) == {"region"} and version.gaps["sex"]["accuracy"] == pytest.approx(0.2)


def test_what_a_tag_says_of_groups_of_people_is_left_out():
    """The gate names the group that got worse, and rows; a group of a column that is not about people may be named."""
    text = "accuracy for sex = f is worse by 0.1\naccuracy for region = north is worse by 0.1\nwhy"
    text += "\n- must_pass.csv, row 7 (Ann): must be yes, is no (0.2)"
    tag = tags.Tag("m@v1.0.0", "c" * 40, 1, "Ann", "", "Register", f"{text}\n\nReason: why", "o", version="v1.0.0")
    said = said_by(tags.Version(tag), {"sex"}, "must_pass.csv")
    assert said == ["- for a group of sex", "accuracy for region = north is worse by 0.1", "- about must_pass.csv"]


def test_the_json_keeps_its_schema(facts, life):
    """`model log --json` is what the schema says, and each field is described there or named by itself."""
    described = schema()
    Draft202012Validator.check_schema(described)
    told = json.loads(life.do("log", "--json"))
    Draft202012Validator(described).validate(told)
    assert told == json.loads(json.dumps(facts.as_json()))
    with pytest.raises(Exception, match="is not of type"):
        Draft202012Validator(described).validate({**told, "versions": "none"})
    assert described["$defs"]["Version"]["properties"]["gate"]["description"].startswith("The verdict")


def test_the_log_is_a_table(life):
    """The newest first, with its interval as a line."""
    lines = life.do("log").splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["v2.0.0", "v1.1.0", "-", "v1.0.0"]
    assert "roc_auc (95 % interval)" in lines[0]
    assert "-o-" in lines[1] and lines[4].split("|")[1].strip() == "o"
    assert "\x1b" not in life.do("log") and "\u202e" not in life.do("log")


def test_the_log_lists_what_was_overridden(life):
    """Each with who, why and what became of it."""
    said = life.do("log", "--overridden")
    assert said.count("why: ") == 5 and "now: in force" in said and "my-model" not in said
    assert "gate.gap: 0.05 -> 0.2" in said


def test_the_log_is_a_table_for_dvc_plots(life):
    """One line a model; the first has no interval."""
    life.do("log", "--csv", "models.csv")
    rows = list(csv.DictReader((life.folder / "models.csv").open(encoding="utf-8")))
    assert [row["version"] for row in rows] == ["v1.0.0", "", "v1.1.0", "v2.0.0"]
    assert rows[0]["low"] == "" and float(rows[-1]["low"]) < float(rows[-1]["roc_auc"]) < float(rows[-1]["high"])
    assert "cannot be written" in life.refused("log", "--csv", "models.csv/x.csv")
    (life.folder / "models.csv").unlink()


def test_a_damaged_file_in_the_past_is_said(life, tmp_path):
    """Metrics that cannot be read are left out with a word, and so is a history; the rest is shown."""
    life.git("clone", "--quiet", str(life.folder), str(tmp_path / "clone"))
    copied = Life.__new__(Life)
    copied.__dict__ = {**life.__dict__, "folder": tmp_path / "clone"}
    copied.write_text(METRICS, "{")
    copied.write_text(life_cases.WATCHED, "no json\n")
    copied.by("Bob", "Damaged")
    status, out, err = copied.model("log")
    assert status == 0 and out.count("v2.0.0") == 1
    assert f"cannot be read: 1 version of {METRICS}" in err and "line 1 is damaged" in err


def test_nothing_yet_is_said(tmp_path):
    """Without results, and without a commit."""
    empty = Model(tmp_path / "empty")
    assert "there is no commit here" in empty.refused("log")
    (empty.folder / METRICS).unlink()
    empty.commit()
    assert "no results are committed here" in empty.refused("log")
    assert "Nothing was decided against the rules" in empty.do("log", "--overridden")
    (empty.folder / RULES).write_text("gate: {}\n", encoding="utf-8")
    assert "rules.yaml" in empty.refused("log")


ADDRESSES = {
    "git@github.com:o/r.git": ("https://github.com/o/r", "commit/"),
    "https://user:secret@github.com/o/r.git": ("https://github.com/o/r", "commit/"),
    "ssh://git@gitlab.example.com:2222/group/sub/r.git": ("https://gitlab.example.com/group/sub/r", "-/commit/"),
    "https://codeberg.org/o/r/": ("https://codeberg.org/o/r", "commit/"),
    "https://gitlab.com:8443/o/r": ("https://gitlab.com:8443/o/r", "-/commit/"),
    "/srv/git/r.git": ("", ""),
    "../hub": ("", ""),
    "C:/Users/a/r": ("", ""),
    "https://example.com/o/r": ("", ""),
    "https://github.com/o/r?x=<script>": ("", ""),
    "https://github.com.evil.org:x/o/r": ("", ""),
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_a_forge_is_known_by_its_remote(url):
    """Its address has no password; of other places there is none."""
    web, commit = ADDRESSES[url]
    found = forge.of(url, "sub/")
    assert found.web == web and "secret" not in found.web
    assert found.commit("abc") == (f"{web}/{commit}abc" if web else "")
    assert found.file("abc", "a b.md").endswith("/abc/sub/a%20b.md" if web else "")
    assert found.tag("m#prod!#1").endswith("m%23prod%21%231" if web else "")


def test_intervals_stay_within_the_limits_of_a_metric():
    """No share is above 1."""
    measure = read.Measure("roc_auc", {"roc_auc": (0.0, 1.0)})
    state = type("State", (), {"metrics": {"spread": {"roc_auc": 0.01}}})
    assert measure.all_of(state, {"roc_auc": 0.995}) == {"roc_auc": Measured(0.995, 0.9754, 1.0)}


def test_malice_stays_text(life):
    """What a terminal could obey is spelled out, in each way to ask."""
    for words in (["log"], ["log", "--overridden"], ["log", "--json"]):
        assert "\x1b" not in life.do(*words)
    assert EVIL.split()[0] in life.do("log", "--overridden")
