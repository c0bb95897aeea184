"""The registry: versions, what serves where, and who decided it, in Git's tags alone."""

import contextlib
import copy
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
import registry_cases
from gate_cases import NAME, stand_in
from gitmodel.base.project import BUNDLE, CARD
from gitmodel.bundle import bundle
from gitmodel.git import snapshot as former
from gitmodel.git.cache import object_path
from gitmodel.registry import assets, write
from gitmodel.verify import command as verify
from gitmodel.versions import tags
from registry_cases import MINUTE, START, Model

COMMIT = "^{" + "commit}"  # of a tag


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Be quick, and apart from whoever runs this."""
    registry_cases.calm(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a repository with a model that is committed, and no version; for copies."""
    made = Model(tmp_path_factory.mktemp("model") / "a b")
    made.commit()
    return made


@pytest.fixture
def model(made, tmp_path):
    """Return a repository with a model that is committed, and no version."""
    copied = copy.deepcopy(made)
    copied.folder = Path(shutil.copytree(made.folder, tmp_path / "a b"))
    return copied


@pytest.fixture
def shared(model, tmp_path):
    """Return two clones of a bare repository, with one version."""
    model.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "hub"))
    model.git("remote", "add", "origin", str(tmp_path / "hub"))
    model.do("register", "--push")
    model.git("push", "--quiet", "origin", "main")
    return model, Model.clone(model, tmp_path / "other")


# Registering


def test_the_first_version_carries_its_evidence(model):
    """The tag is annotated, on the commit, and Git itself reads the fields at its end."""
    assert "Register a-model v1.0.0 (tag a-model@v1.0.0)" in model.do("register", "--reason", "try $(it)\nDigest: none")
    assert model.git("cat-file", "-t", f"{NAME}@v1.0.0") == "tag"
    assert model.git("rev-parse", "HEAD") == model.git("rev-parse", f"{NAME}@v1.0.0{COMMIT}")
    message = model.git("tag", "--list", "--format=%(contents)", f"{NAME}@v1.0.0")
    run = subprocess.run(["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True)
    fields = dict(line.split(": ", 1) for line in run.stdout.splitlines())
    assert bundle.digest(model.folder / BUNDLE) == fields["Digest"]
    assert (fields["Version"], fields["Gate"]) == ("v1.0.0", "nothing serves yet")
    assert fields["Reason"] == "try $(it) Digest: none"
    assert json.loads(fields["Metrics"])["roc_auc"] > 0.5
    assert model.status()["versions"][0]["digest"] == fields["Digest"]


CHANGES = {
    "nothing": (lambda model: None, "v1.0.1"),
    "code": (lambda model: model.inputs.update({"src/a/train.py": "2"}), "v1.0.1"),
    "words": (lambda model: model.inputs.update({"card.md": "2"}), "v1.0.1"),
    "words of before": (lambda model: model.params.update(card={"summary": "better"}), "v1.0.1"),
    "rule": (lambda model: model.rules["model"].update(tolerance=0.5), "v1.0.1"),
    "parameter": (lambda model: model.params["train"].update(seed=1), "v1.1.0"),
    "data": (lambda model: model.inputs.update({"data/raw.csv": "2"}), "v1.1.0"),
    "features": (lambda model: model.inputs.update({"src/a/features.py": "2"}), "v1.1.0"),
    "column": (lambda model: model.contract["columns"].update(z={"type": "number"}), "v2.0.0"),
    "range": (lambda model: model.contract["columns"]["x"].update(max=99), "v2.0.0"),
    "positive class": (lambda model: model.contract.update(positive="no"), "v2.0.0"),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_the_next_version_follows_from_what_changed(model, change, expected):
    """Schema or target: major; data, features, parameters: minor; else patch."""
    model.do("register")
    change(model)
    if "z" in model.contract["columns"]:
        model.frame["z"] = 0.0
    assert expected == model.version()


def test_what_is_not_sound_is_not_registered(model, monkeypatch):
    """Each refusal is one line and leaves no tag."""
    model.write_text(Path("new file.txt"), "x")
    assert "new file.txt is not committed" in model.refused("register")
    (model.folder / "new file.txt").unlink()
    monkeypatch.undo()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert "DVC" in model.refused("register")  # `model verify` itself: this is no DVC repository
    monkeypatch.setattr(verify, "check", lambda: [])
    stand_in(monkeypatch)
    model.beats_trivial = False
    model.pack()
    assert "no better than guessing" in model.refused("register")
    shutil.rmtree(model.folder / BUNDLE)
    assert "manifest.json is missing" in model.refused("register")


def test_a_version_is_one_commit_and_exists_once(model):
    """GTO cannot tell two versions of one commit apart."""
    model.do("register", "1.5.0")
    assert "v1.5.0 already" in model.do("register")
    assert "has no second version" in model.refused("register", "v1.6.0")
    model.write()
    model.commit()
    assert "v1.5.0 exists" in model.refused("register", "v1.5.0")


def test_a_worse_model_is_registered_for_a_reason_only(model):
    """The gate compares with what serves in the last stage; the tag keeps verdict and reason."""
    model.rules["gate"]["margins"] = {"log_loss": 0.01}
    model.write(0.2)
    model.commit()
    model.do("promote", model.do("register").split()[2], "prod")
    model.write(3.0)
    model.commit()
    said = model.refused("register")
    assert "against v1.0.0, which serves as prod: The model is worse: " in said and len(said) < 400
    assert f"`model gate --base '{NAME}#prod#1'` tells more" in said
    assert "--accept needs a reason" in model.refused("register", "--accept", " ")
    model.do("register", "v3.0.0", "--accept", "the <law> asks for it")
    fields = tags_of(model).versions["v3.0.0"].tag.fields
    accepted = "the <law> asks for it"
    assert ("regression", "v1.0.0", accepted) == tuple(fields[k] for k in ("Gate", "Against", "Accepted"))
    assert model.do("changelog").count(accepted) == 1  # as it was written; in a file it must not be HTML
    model.do("changelog", "--output", "changes.md")
    assert "the &#60;law&#62; asks for it" in (model.folder / "changes.md").read_text(encoding="utf-8")


def tags_of(model):
    """Return the registry as the code reads it."""
    before = Path.cwd()
    try:
        os.chdir(model.folder)
        return tags.read(NAME)
    finally:
        os.chdir(before)


# Stages


def test_a_roll_back_goes_back_and_further_back(model):
    """It undoes promotions one by one, never a roll back, and skips what was retired."""
    for _ in range(3):
        model.do("promote", model.version(), "prod")
    assert model.serving() == {"prod": "v1.0.2"}
    model.do("rollback", "prod")
    model.do("rollback", "prod", "--reason", "still bad")
    assert model.serving() == {"prod": "v1.0.0"}
    assert "nothing to go back to served as prod before" in model.refused("rollback", "prod")
    model.do("rollback", "prod", "--to", "v1.0.2")
    model.do("retire", "v1.0.0")
    assert "retired by Ann" in model.refused("rollback", "prod", "--to", "v1.0.0")
    assert "nothing to go back to served as prod before" in model.refused("rollback", "prod")
    history = model.do("history", "prod").splitlines()
    assert [line.split()[0] for line in history[1:]] == ["v1.0.2", "v1.0.0", "v1.0.1", "v1.0.2", "v1.0.1", "v1.0.0"]
    assert "rollback: still bad" in history[2] and " now " in history[1]


def test_a_version_that_never_served_is_no_way_back(model):
    """That would be a promotion, with its rules."""
    model.do("promote", model.version(), "prod")
    other = model.version()
    assert f"{other} has never served as prod" in model.refused("rollback", "prod", "--to", other)


def test_a_retired_version_stays_retired(model):
    """It may not serve when it is retired, and cannot serve again."""
    first, second = model.version(), model.version()
    model.do("promote", first, "prod")
    assert "serves as prod" in model.refused("retire", first)
    model.do("promote", second, "prod")
    model.do("retire", first, "--reason", "wrong data")
    assert "is retired already" in model.do("retire", first)
    assert "was retired by Ann" in model.refused("promote", first, "staging")
    assert "(wrong data)" in model.refused("checkout", first)
    assert model.status()["versions"][0]["retired"]["reason"] == "wrong data"
    model.tag(f"{NAME}#prod#9", f"{NAME}@{first}{COMMIT}")
    assert {"prod": second} == model.serving()


def test_what_people_read(model):
    """Tables of what serves and of all versions; times, names, metrics."""
    assert "no version of a-model is registered" in model.refused("status")
    version = model.version()
    model.do("promote", version, "staging", "--reason", "try | it")
    said = model.do("status")
    assert "staging  v1.0.0" in said and "prod     -" in said and "roc_auc 0." in said and "Ann" in said
    assert "nothing has served as prod" in model.refused("history", "prod")
    assert "## v1.0.0 (2025-06-15)" in model.do("changelog", "--output", "changes.md") + (
        model.folder / "changes.md"
    ).read_text(encoding="utf-8")


def test_promoting_twice_says_so(model):
    """The same wish again changes nothing."""
    version = model.version()
    model.do("promote", version, "prod")
    before = model.refs()
    assert "serves as prod already" in model.do("promote", version.removeprefix("v"), "prod")
    assert before == model.refs()


def test_the_rules_of_promotion_hold(model):
    """Order of stages, a second person, stages that exist."""
    model.rules["registry"] = {"stages": ["try", "prod"], "in_order": True, "two_person": ["prod"]}
    version = model.version()
    assert "'staging' is no stage: try, prod are" in model.refused("promote", version, "staging")
    assert "has not been in try" in model.refused("promote", version, "prod")
    model.do("promote", version, "try")
    assert "another person has to promote" in model.refused("promote", version, "prod")
    model.tag(f"{NAME}#prod#7")  # by hand, by Ann again: where it is deployed from, the rule holds too
    assert "another person has to promote" in model.refused("checkout", "prod")
    model.tag(f"{NAME}#prod!#8")
    model.person = "Bob"
    model.do("promote", version, "prod")
    model.do("checkout", "prod")


WRONG = [[], {"stage": ["a"]}, {"stages": []}, {"stages": ["a b"]}, {"stages": "a"}, {"two_person": ["x"]}]


@pytest.mark.parametrize("section", WRONG, ids=str)
def test_rules_that_make_no_sense_are_named(model, section):
    """The line says which."""
    model.write_yaml("rules.yaml", {**model.rules, "registry": section})
    assert "registry" in model.refused("promote", "v1.0.0", "prod")


# Names


HOSTILE = ["", " ", "-x", "--help=x", "a b", "a/b", "..", "a..b", "v1~1", "v1^", "$(touch x)", "a\nb", "@{0}", "é", "*"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_before_git_sees_them(model, name, monkeypatch):
    """Neither versions, stages nor models may be called so."""
    version = model.version()
    seen = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: seen.append(command) or real(command, **options))
    for words in (["promote", "--", name, "prod"], ["promote", "--", version, name], ["rollback", "--", name]):
        model.refused(*words)
    for command in ("retire", "checkout", "history"):
        model.refused(command, "--", name)
    model.refused("register", "--", name)
    model.refused("rollback", "prod", f"--to={name}")
    model.rules["model"]["name"] = name
    model.write_yaml("rules.yaml", model.rules)
    model.refused("status")
    asked = [word for command in seen for word in command[1:]]
    assert not [word for word in asked if name.strip() and name in word and name not in ("*", "..", " ")]
    assert not (model.folder / "x").exists()


def test_names_of_other_refs_do_not_confuse(model):
    """Branches that are called as tags, tags of other models, lightweight tags, tags of tags, odd ones."""
    version = model.version()
    model.do("promote", version, "prod")
    before = model.status()
    model.git("branch", f"{NAME}@{version}")
    model.git("branch", f"{NAME}#prod#1")
    for name in (f"{NAME}#prod#8", f"{NAME}@v7.0.0", f"{NAME}@v1", f"{NAME}@v1.0", f"{NAME}#", f"{NAME}@v9.0.0/x"):
        model.git("tag", name)
    for name in (f"{NAME}2@v8.0.0", f"x-{NAME}@v8.0.0", f"x={NAME}#prod#99", f"{NAME}@v01.0.0"):
        model.tag(name)
    model.tag(f"{NAME}#prod#12", f"refs/tags/{NAME}@{version}")  # a tag of a tag
    assert before == model.status()
    assert version in model.do("promote", version, "staging")
    model.write()
    model.commit()
    assert f"the tag {NAME}@v9.0.0 cannot be written" in model.refused("register", "v9.0.0")
    assert f"the tag {NAME}@v7.0.0 cannot be written" in model.refused("register", "v7.0.0")


# Time


def test_a_clock_that_is_behind_writes_nothing(model):
    """The newest tag decides, so that an older one would change nothing, silently."""
    version = model.version()
    model.now -= 10 * MINUTE
    assert "this machine's clock says" in model.refused("promote", version, "prod")


def test_two_decisions_in_one_second_wait_for_each_other(model, monkeypatch):
    """Git counts seconds."""
    version = model.version()
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        os.environ["GIT_COMMITTER_DATE"] = f"{model.now + seconds} +0000"

    monkeypatch.setattr(write.time, "sleep", sleep)
    model.now -= MINUTE
    model.do("promote", version, "prod")
    assert waited == [1]
    assert model.now + 1 == tags_of(model).stages["prod"].time


def test_nobody_in_particular_decides_nothing(model, monkeypatch):
    """Git must know who acts."""
    version = model.version()
    monkeypatch.setattr(Model, "model", Model.__mro__[1].model)
    for name in ("DATE", "NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    assert "Git does not know who you are" in model.refused("promote", version, "prod")


# Other clones


def test_a_push_sends_what_was_not_sent(shared):
    """A promotion without the version that it promotes would be of no use to others."""
    model, other = shared
    model.version()
    assert "in this clone only" in model.do("promote", "v1.0.1", "staging")
    model.do("promote", "v1.0.1", "prod", "--push")
    assert "v1.0.1" in other.do("promote", "v1.0.1", "prod", "--push")
    assert other.serving() == {"staging": "v1.0.1", "prod": "v1.0.1"}
    assert tags_of(model).tags == tags_of(other).tags


RACES = {
    "same promotion": (["promote", "v1.0.0", "prod"], ["promote", "v1.0.0", "prod"]),
    "one version twice": (["register", "v2.0.0"], ["register", "v2.0.0"]),
    "one commit twice": (["register", "v2.0.0"], ["register", "v3.0.0"]),
    "promoted and retired": (["promote", "v1.0.0", "prod"], ["retire", "v1.0.0"]),
    "two stages": (["promote", "v1.0.0", "staging"], ["promote", "v1.0.0", "prod"]),
}


@pytest.mark.parametrize(("first", "second"), RACES.values(), ids=RACES)
def test_of_two_at_once_one_wins(shared, monkeypatch, first, second):
    """The other one is told who came first, and left as it was, but for the winner's tag."""
    model, other = shared
    model.write()
    model.commit()
    model.git("push", "--quiet", "origin", "main")
    other.git("pull", "--quiet", "--no-tags")
    make, entered = write.make, []

    def slowly(draft, seconds):
        if not entered:
            entered.append(draft)
            model.now = other.now
            model.do(*first, "--push")
        return make(draft, seconds)

    monkeypatch.setattr(write, "make", slowly)
    before = set(other.refs().splitlines())
    status, out, err = other.model(*second, "--push")
    assert (status, out, err.count("\n")) == (1, "", 1) and "came first: nothing was written" in err and "by Ann" in err
    (gained,) = set(other.refs().splitlines()) - before
    assert gained in model.refs()
    assert tags_of(model).tags == tags_of(other).tags
    hub = other.git("ls-remote", "--tags", "--refs", "origin")
    assert len(tags_of(model).tags) == len(hub.splitlines())


def test_what_was_decided_without_knowing_the_others_is_not_sent(shared):
    """Two clones that promote, register or retire without telling each other."""
    model, other = shared
    model.do("promote", "v1.0.0", "prod")
    other.do("promote", "v1.0.0", "prod", "--push")
    assert f"git tag --delete '{NAME}#prod#1'" in model.refused("rollback", "prod", "--push")
    model.git("tag", "--delete", f"{NAME}#prod#1")
    assert "serves as prod already" in model.do("promote", "v1.0.0", "prod", "--push")
    model.version()
    other.do("promote", "v1.0.0", "staging", "--push")
    assert f"git tag --delete '{NAME}@v1.0.1'" in model.refused("promote", "v1.0.1", "prod", "--push")
    model.tag(f"{NAME}@v3.0.0")
    assert "v1.0.1 and v3.0.0 are one commit" in model.refused("promote", "v1.0.1", "prod")


def test_a_roll_back_that_another_made_is_not_made_twice(shared):
    """Two people answer one alarm: the second goes no further back; what somebody else promoted is said first."""
    model, other = shared
    for person in (model, other):
        person.do("promote", "v1.0.0", "prod", "--push")
    for _ in range(2):
        model.do("promote", model.version(), "prod", "--push")
    other.now = model.now
    status, _, err = other.model("rollback", "prod", "--push")
    assert status == 1 and "v1.0.2 serves as prod, which this clone did not know" in err and "by Ann" in err
    model.now = other.now
    model.do("rollback", "prod", "--push")
    other.now = model.now
    assert "prod went back to v1.0.1 already" in other.do("rollback", "prod", "--push")
    other.do("rollback", "prod", "--push")
    assert other.serving() == {"prod": "v1.0.0"}


def test_a_remote_that_is_not_there_is_named(shared):
    """By name, and by address."""
    model, _ = shared
    assert "there is no remote ''" in model.refused("promote", "v1.0.0", "prod", "--push", "")
    assert "there is no remote 'x y'" in model.refused("promote", "v1.0.0", "prod", "--push", "x y")
    model.git("remote", "set-url", "origin", "/no/such place")
    assert "the remote origin cannot be read" in model.refused("promote", "v1.0.0", "prod", "--push")


@pytest.mark.parametrize("options", [["--depth=1"], ["--no-tags"]], ids=["shallow", "without tags"])
def test_a_clone_without_history_knows_that_it_is_one(shared, tmp_path, options):
    """It neither says that there is no version nor counts from one again; with --push it fetches first."""
    model, _ = shared
    model.git("remote", "set-url", "origin", (tmp_path / "hub").as_uri())
    model.write()
    model.commit()
    model.git("push", "--quiet", "origin", "main")
    clone = Model.clone(model, tmp_path / "part", *options)
    assert "this clone is shallow or has no tags" in clone.refused("status")
    assert "versions may be missing" in clone.refused("register")
    assert "v1.0.1" in clone.do("register", "--push")
    clone.git("tag", "--delete", f"{NAME}@v1.0.0")
    for words in (["status"], ["changelog"]):
        status, out, err = clone.model(*words)
        assert status == 0 and "v1.0.1" in out and "versions may be missing" in err


# Signatures


@pytest.fixture
def keys(tmp_path, model):
    """Give Ann and Bob an SSH key each, and Git the list of both; return their files by name."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not here")
    files = {name: tmp_path / name for name in ("Ann", "Bob", "Eve")}
    for name, file in files.items():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True)
    known = [f"{name}@example.com {files[name].with_suffix('.pub').read_text()}" for name in ("Ann", "Bob")]
    (tmp_path / "signers").write_text("".join(known))
    model.git("config", "gpg.format", "ssh")
    model.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "signers"))
    return files


def test_signatures_are_made_and_asked_for(model, keys):
    """With a key Git signs; where signatures are required, neither strangers nor unsigned tags count."""
    model.rules["registry"] = {"require_signed_tags": True, "two_person": ["prod"]}
    unsigned = model.write() or model.commit()
    assert "no signature that can be trusted" in model.refused("register")
    model.tag(f"{NAME}@v0.1.0", unsigned)
    assert "no signature that can be trusted" in model.refused("promote", "v0.1.0", "prod")
    model.git("config", "user.signingKey", str(keys["Eve"]))
    model.write()
    model.commit()
    assert "no signature that can be trusted" in model.refused("register")
    model.git("config", "user.signingKey", str(keys["Ann"]))
    version = model.do("register", "v1.0.0").split()[2]
    assert "BEGIN SSH SIGNATURE" in model.git("cat-file", "tag", f"{NAME}@{version}")
    assert tags_of(model).versions[version].digest.startswith("sha256:")
    model.person = "Bob"  # the name changes, the key does not
    assert "another person has to promote" in model.refused("promote", version, "prod")
    model.git("config", "user.signingKey", str(keys["Bob"]))
    model.do("promote", version, "prod")
    model.do("checkout", "prod")


def test_what_was_not_signed_is_marked_and_can_be_done_anew(model, keys):
    """Signatures asked for later: status and history say what counts no more, refusals say what to do."""
    version = model.version()
    model.do("promote", version, "prod")
    assert "not signed" not in model.do("status") + model.do("history", "prod")
    model.rules["registry"] = {"require_signed_tags": True}
    model.git("config", "user.signingKey", str(keys["Ann"]))
    signed = model.version()
    assert "then register that, signed, as a new version" in model.refused("checkout", version)
    for said in (model.do("status"), model.do("history", "prod")):
        assert f"{version} (not signed)" in said and "not signed: counts no more" in said
    (line,) = [line for line in model.do("status").splitlines() if line.startswith(signed)]
    assert "not signed" not in line
    model.tag(f"{NAME}#prod#7", f"{NAME}@{signed}{COMMIT}")
    assert f"the tag {NAME}#prod#7 has no signature" in model.refused("checkout", "prod")
    assert "promote a version to prod anew" in model.refused("checkout", "prod")
    model.do("promote", signed, "prod")  # once more, since the one by hand does not count
    model.do("checkout", "prod")


# Bundles


def test_a_version_is_checked_out_and_proven(model):
    """A bundle that is not the registered one is not handed out."""
    version = model.version()
    assert "models/v1.0.0 holds v1.0.0 from the work tree" in model.do("checkout", version)
    assert "holds v1.0.0 already" in model.do("checkout", version)
    (model.folder / "models" / version / "model.onnx").write_text("tampered", encoding="utf-8")
    assert "holds v1.0.0 from the work tree" in model.do("checkout", "1.0.0")
    assert "nothing serves as prod" in model.refused("checkout", "prod")
    (model.folder / "other/inner").mkdir(parents=True)
    assert "other exists and holds no bundle" in model.refused("checkout", version, "--output", "other")


# Releases


GH = """#!/bin/sh
# gh release download TAG --pattern FILE --dir DIR
test -f "$RELEASES/$5" || { echo "release not found" >&2; exit 1; }
cp "$RELEASES/$5" "$7"
"""


@pytest.fixture
def published(model, tmp_path, monkeypatch):
    """Return the folder from which a stand-in for gh takes releases; the card is that of the bundle."""
    for name in ("bin", "releases"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/gh").write_text(GH, encoding="utf-8")
    (tmp_path / "bin/gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RELEASES", str(tmp_path / "releases"))
    return tmp_path / "releases"


def released(model, published, version):
    """Write the files of a release where the stand-in finds them; return the packed bundle."""
    model.do("release", version, "--output", "../out")
    archive = published / f"{NAME}-{version.rpartition('@')[2]}.tar"
    shutil.copy(model.folder.parent / "out" / archive.name, archive)
    return archive


def carded(model):
    """Commit another version with a model card, and register it; return its name."""
    model.write()
    card = f"---\nlicense: mit\n---\n# A card\n\n![roc](plots/roc.svg)\n\n{bundle.digest(model.folder / BUNDLE)}\n"
    model.write_text(CARD, card)
    model.commit()
    return model.do("register").split()[2]


def test_a_release_is_the_registered_bundle_and_the_same_each_time(model, published):
    """The archive knows no clock; what people read is what the tag says, then the card without what needs files."""
    version = carded(model)
    first = released(model, published, version).read_bytes()
    os.utime(model.folder / BUNDLE / "manifest.json", (0, START))
    assert first == released(model, published, f"{NAME}@{version}").read_bytes()
    notes = (model.folder.parent / "out/notes.md").read_text(encoding="utf-8")
    assert "Registered by Ann." in notes and "# A card" in notes
    assert "license:" not in notes and "plots/" not in notes
    model.write_text(Path("own/file.txt"), "mine")
    assert "own exists and holds no release" in model.refused("release", version, "--output", "own")


def test_a_card_of_another_bundle_is_not_released(model):
    """The text of a release is about its bundle."""
    version = model.version()
    assert "has no reports/MODEL_CARD.md" in model.refused("release", version)
    model.write_text(CARD, "# A card")
    version = model.version()
    assert "is that of another bundle" in model.refused("release", version)
    assert not (model.folder / "dist").exists()


def test_a_bundle_comes_from_its_release_where_nothing_else_has_it(model, published):
    """Neither the work tree nor DVC has it any more."""
    version = carded(model)
    released(model, published, version)
    model.version()
    said = model.do("checkout", version)
    assert f"models/{version} holds {version} from its release" in said


@pytest.mark.parametrize("fault", ["another bundle", "a changed file", "no archive", "a file elsewhere", "a link"])
def test_a_changed_release_is_refused(model, published, fault, tmp_path, monkeypatch):
    """Whoever can change a release cannot change what the tag says of it; nothing is written outside the folder."""
    (tmp_path / "inner/most").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "inner/most"))
    version = carded(model)
    archive = released(model, published, version)
    if fault == "another bundle":
        archive.write_bytes(released(model, published, carded(model)).read_bytes())
    elif fault == "a changed file":
        archive.write_bytes(archive.read_bytes().replace(b"model.onnx 2", b"model.onnx 3"))
    elif fault == "no archive":
        archive.write_bytes(b"no archive")
    else:
        with tarfile.open(archive, "w") as files:
            entry = tarfile.TarInfo("bundle/manifest.json" if fault == "a link" else "bundle/../../../escaped")
            if fault == "a link":
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            files.addfile(entry)
    model.refused("checkout", version, "--release", "--output", "there")
    assert not (model.folder / "there").exists()
    assert list(tmp_path.rglob("escaped")) == []


def test_without_gh_a_release_is_one_line(model, monkeypatch):
    """It says what is missing and how to go on without."""
    version = model.version()
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    assert "fetched by gh, which is not installed: install it" in model.refused("checkout", version, "--release")


def test_damaged_objects_of_a_bundle_are_deleted_from_the_cache(model):
    """DVC would take them for whole ones, fetch them from nowhere and make them anew never; what is whole stays."""
    files = {hashlib.md5(text, usedforsecurity=False).hexdigest(): text for text in (b"one", b"two")}
    listing = json.dumps([{"relpath": text.decode(), "md5": name} for name, text in files.items()]).encode()
    top = hashlib.md5(listing, usedforsecurity=False).hexdigest()
    for name, content in {**files, f"{top}.dir": listing}.items():
        path = object_path(model.folder / ".dvc/cache/files/md5", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    whole, damaged = (object_path(model.folder / ".dvc/cache/files/md5", name) for name in files)
    damaged.write_bytes(b"twp")
    outs = [{"path": BUNDLE.as_posix(), "md5": f"{top}.dir"}, {"path": "models/model.skops", "md5": "0" * 32}]
    model.write_yaml("there/dvc.lock", {"stages": {"package": {"outs": outs}}})
    with contextlib.chdir(model.folder):
        former.drop_damaged(Path("there"))
    assert whole.exists() and not damaged.exists()


def test_a_failed_run_is_explained_by_what_its_stage_said():
    """DVC's own last line names the stage and nothing else."""
    said = "WARNING: x\nTraceback\nerror: data/raw.csv has no rows\n"
    output = f"{said}ERROR: failed to reproduce 'prepare': failed to run: python -m x, exited with 1\n"
    assert former.cause(output) == "failed to reproduce 'prepare': error: data/raw.csv has no rows"
    assert former.cause("") == "no reason given"


def test_a_release_that_is_not_there_is_named(model, published):
    """Only the release is asked, although the work tree has the bundle."""
    version = model.version()
    assert "release not found" in model.refused("checkout", version, "--release")
    assert version in model.do("checkout", version)


def test_a_tag_is_checked_out_while_it_counts(model):
    """The tag that started a deployment must be the newest of its stage, and its version not retired."""
    first = model.version()
    model.do("promote", first, "prod")
    assert f"holds {first}" in model.do("checkout", f"{NAME}#prod#1")
    second = model.version()
    assert f"holds {second}" in model.do("checkout", f"{NAME}@{second}")
    model.do("promote", second, "prod")
    assert f"{NAME}#prod#2 ({second}) does" in model.refused("checkout", f"{NAME}#prod#1")
    model.do("retire", first, "--reason", "wrong labels")
    assert "was retired by Ann" in model.refused("checkout", f"{NAME}#prod#1")
    assert "wrong labels" in model.refused("checkout", f"{NAME}@{first}!")
    model.tag(f"{NAME}#prod#3", f"{NAME}@{first}{COMMIT}")  # by hand: it counts for nothing
    assert "was retired by Ann" in model.refused("checkout", f"{NAME}#prod#3")
    for name in (f"{NAME}#prod#4", f"{NAME}@v9.9.9", "other@v1.0.0", "--x#y", f"{NAME}#prod#2\n"):
        assert "is no tag of a-model here" in model.refused("checkout", "--", name)


# GTO


def test_gto_says_the_same(model):
    """Versions, stages, retirements and histories, also of tags that others wrote by hand."""
    from gto import api

    def agree():
        ours, repo = tags_of(model), str(model.folder)
        shown = api.show(repo, NAME)
        active = {version.name for version in ours.versions.values() if not version.retired}
        assert active == {found["version"] for found in shown if not found["discovered"]}
        stages = {stage["stage"]: found["version"] for found in shown for stage in found["stages"]}
        assert {stage: ours.version_of(tag) for stage, tag in ours.stages.items()} == stages
        assert [tag.name for tag in ours.tags] == [event["ref"] for event in api.history(repo, NAME, ascending=True)]
        newest = ours.tags[-1]
        (event,) = api.check_ref(repo, f"refs/tags/{newest.name}")
        assert (newest.commit, newest.by) == (event.commit_hexsha, event.author)
        assert newest.time == event.created_at.timestamp()

    first, second = model.version(), model.version()
    for words in (["promote", first, "prod"], ["promote", second, "prod"], ["promote", second, "staging"]):
        model.do(*words)
        agree()
    model.do("rollback", "prod")
    agree()
    model.tag(f"{NAME}#staging!#9", f"{NAME}@{second}{COMMIT}")
    agree()
    model.do("retire", second)
    agree()
    model.tag(f"{NAME}#prod#12", f"{NAME}@{second}{COMMIT}")  # a retired version serves nowhere
    agree()
    model.tag(f"{NAME}#prod!#13", f"{NAME}@{first}{COMMIT}")
    agree()
    assert model.serving() == {} and model.now > START


def test_a_draft_keeps_its_fields_apart():
    """No text that people write can pose as a field."""
    fields = {"Digest": "true\nGate: pass", "No": ""}
    draft = write.Draft("x@v1.0.0", "0" * 40, "Subject", "text\nDigest: no", fields)
    assert draft.message == "Subject\n\ntext\nDigest: no\n\nDigest: true Gate: pass\n"
