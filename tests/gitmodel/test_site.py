"""The site of a project: whole, static, linked within itself, without people, and hostile texts are texts."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import page_cases
import pytest
from gitmodel.log import forge
from gitmodel.log.read import read
from gitmodel.site import page as site_page
from hostile import faults_of_html
from jsonschema import Draft202012Validator
from life_cases import PATIENT, SECRETS, Life, calm  # noqa: F401
from registry_cases import Model

FILES = {"index.html", "feed.xml", "model.json", "model.schema.json"}
PARTS = ("feed", "data", "schema")
ATOM = "{http://www.w3.org/2005/Atom}"
WEB = "https://github.com/o/r"


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """Return a model that has lived, in a repository on a forge."""
    life = Life(tmp_path_factory.mktemp("life") / "a b")
    life.git("remote", "add", "origin", f"https://ann:secret@{WEB.removeprefix('https://')}.git")
    return life


@pytest.fixture(scope="module")
def made(life):
    """Return the folder of its site."""
    life.do("site", "site")
    return life.folder / "site"


class Page(page_cases.Document):
    """A page of the site."""

    def all(self, name):
        """Return the values of an attribute."""
        return [attributes[name] for _, attributes in self.found if name in attributes]


@pytest.fixture(scope="module")
def page(made):
    """Return its page."""
    return Page((made / "index.html").read_text(encoding="utf-8"))


def test_the_site_is_four_files(made):
    """Nothing else is left, not even of a draft."""
    assert {path.name for path in made.iterdir()} == FILES
    assert {path.name for path in made.parent.glob(".model/*")} <= {"lock", ".gitignore"}


def test_all_sections_are_there(page):
    """In their order, and the menu leads to each."""
    sections = [attributes["id"] for tag, attributes in page.found if tag == "section"]
    assert sections == ["now", "versions", "time", "whom", "data", "overridden", "about"]
    assert [f"#{name}" for name in sections[:-1]] == [link for link in page.all("href") if link.startswith("#")][1:7]


def test_the_page_is_valid_html(made):
    """A strict parser finds nothing; and it sees what is planted."""
    html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed")
    text = (made / "index.html").read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse(text.replace("</main>", "</section></main>"))


def test_every_link_resolves(page, made):
    """Within the page to an element, beside it to a file, else to the forge."""
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    links = [link for link in page.all("href") if link != "data:,"]
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids, link
        elif "://" not in link:
            assert (made / link).is_file(), link
        else:
            assert link.startswith(f"{WEB}/") and "secret" not in link
    assert any(link.startswith(f"{WEB}/commit/") for link in links)
    assert f"{WEB}/releases/tag/a-model%40v1.1.0%21" in links
    assert any(link.endswith("/reports/MODEL_CARD.md") for link in links)


def test_nothing_is_loaded_and_no_script_runs(made, page):
    """The policy lets the style of the page apply, and nothing else."""
    (policy,) = [found["content"] for _, found in page.found if found.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not page.all("src") and not page.all("style") and not {tag for tag, _ in page.found} & {"script", "iframe"}
    assert "http" not in re.sub(rf"{WEB}|http-equiv", "", (made / "index.html").read_text(encoding="utf-8"))


def test_malice_stays_text(made, page):
    """In names, reasons, subjects, columns, groups and batches; a person reads it as it is."""
    for name in FILES:
        text = (made / name).read_text(encoding="utf-8")
        assert "\x1b" not in text and "\u202e" not in text
    assert faults_of_html((made / "index.html").read_text(encoding="utf-8")) == []
    assert page.text.count("<img src=x onerror=alert(1)>") >= 5 and "<!-- body -->" in page.text
    contents = [found.text for found in ElementTree.parse(made / "feed.xml").iter(f"{ATOM}content")]
    assert "{{x}}" in page.text and any("<img src=x" in text for text in contents)


def test_people_are_left_out(made, page):
    """Neither groups of a sensitive column, nor values of a personal one, nor addresses; their gaps are there."""
    for name in FILES:
        text = (made / name).read_text(encoding="utf-8")
        assert [secret for secret in (*SECRETS, PATIENT, "x@example.com") if secret in text] == []
    assert "About people" in page.text and "north" in page.text and "mail, sex" in page.text


def test_now_says_what_serves_and_how_it_is_doing(page):
    """The last stage first; since when, by whom, why; the last batch, the card."""
    now = page.text.partition("Overridden")[2].partition("Versions, the newest")[0]
    assert now.index("prod: v1.0.0") < now.index("staging: v2.0.0")
    assert "too many complaints" in now and "3 alarms" in now and "drift: distance of mail" in now
    assert "Nobody knows." in now and "No batch was watched with it" not in now.partition("staging")[0]


def test_a_version_that_serves_twice_is_described_once(life, monkeypatch):
    """In the last stage; the stage before says that it is the same."""
    monkeypatch.chdir(life.folder)
    facts = read()
    twice = [replace(period, version="v2.0.0") for period in facts.serving]
    shown = site_page.html(replace(facts, serving=twice), forge.here(), dict.fromkeys(PARTS, ""))
    now = shown.partition('id="versions"')[0]
    assert now.count("The same version as in prod.") == 1 and now.count(">MODEL_CARD.md<") == 1


def test_now_says_what_changed_last_and_proves_its_number(page):
    """Which direction is good, in which file the number stands, what changed since the version before."""
    now = page.text.partition("staging: v2.0.0")[2].partition("Versions, the newest")[0]
    assert "(higher is better, see metrics.json)" in now
    assert re.search(r"Changed\s*since v1.1.0: ", now) and "holds other rows" in now
    assert "From metrics.json. Gap:" in page.text and "whether it is beyond chance" in page.text


def test_each_batch_can_be_read(page, life):
    """Without a pointer to hover with: when, what, how many rows, what was beyond its limit, and where it is proven."""
    told = page.text.partition("Batches that were watched, the newest first")[2].partition("Decisions, the newest")[0]
    assert told.index("2025-08-01") < told.index("2025-07-01") and "june.csv" in told
    assert "drift: distance of mail" in told and "quality: ROC AUC" in told
    assert f"{WEB}/commit/{life.git('rev-parse', 'monitoring').strip()}" in page.all("href")


def test_versions_stand_beside_the_ones_before(page):
    """With the change in words, the verdict, and why it was accepted."""
    versions = page.text.partition("Versions, the newest first")[2].partition("Over time")[0]
    assert (
        "regression, accepted" in versions and "retired" in versions and " better" in versions and " worse" in versions
    )
    assert "the wider gap is right" in versions and "holds other rows" in versions
    assert "over the versions" in page.text
    assert page.all("id").count("v1.1.0") == 1


def test_what_a_rule_stopped_is_not_called_passed(life, monkeypatch):
    """The model itself may be no worse; but somebody accepted what the gate did not let pass."""
    monkeypatch.chdir(life.folder)
    facts = read()
    versions = [*facts.versions[:-1], replace(facts.versions[-1], gate="pass", accepted="the wider gap is right")]
    shown = site_page.html(replace(facts, versions=versions), forge.here(), dict.fromkeys(PARTS, ""))
    assert shown.count("stopped by a rule (the model: pass)") == 3 and "pass, accepted" not in shown


def test_a_first_version_has_no_past(life, monkeypatch):
    """Nothing is shown of versions before it."""
    monkeypatch.chdir(life.folder)
    facts = read()
    first = site_page.html(replace(facts, versions=facts.versions[-1:]), forge.here(), dict.fromkeys(PARTS, ""))
    assert "largest difference between groups" in first and "over the versions" not in first


def test_what_was_overridden_is_on_the_page(page):
    """With what became of it."""
    told = page.text.rpartition("Decisions against the rules")[2]
    for said in ("the board asked", "the law", "in force", "taken back on 2025-", "was retired on 2025-"):
        assert said in told


def test_the_feed_is_sound(made):
    """Each entry has its own id, a time, a title and a link; the newest comes first, and the feed is as new."""
    feed = ElementTree.parse(made / "feed.xml").getroot()
    entries = feed.findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(ids) == len(set(ids)) and all(found.startswith("urn:uuid:") for found in ids)
    times = [entry.findtext(f"{ATOM}updated") for entry in entries]
    assert times == sorted(times, reverse=True) and times[0] == feed.findtext(f"{ATOM}updated")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    titles = [entry.findtext(f"{ATOM}title") for entry in entries]
    assert "prod went back to v1.0.0" in titles and "v1.1.0 was retired" in titles
    assert sum(title.startswith("Overridden: ") for title in titles) == 5
    assert any(title.startswith("Watching july") and title.endswith("3 alarms") for title in titles)
    assert all(entry.find(f"{ATOM}link").get("href") for entry in entries)


def test_the_data_is_that_of_the_log(made, life):
    """One set of facts, which keeps its schema."""
    found = json.loads((made / "model.json").read_text(encoding="utf-8"))
    Draft202012Validator(json.loads((made / "model.schema.json").read_text(encoding="utf-8"))).validate(found)
    assert found == json.loads(life.do("log", "--json"))


def test_the_same_commit_gives_the_same_bytes(life, made):
    """A site is replaced by a newer one, whole."""
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    life.do("site", "site")
    assert before == {path.name: path.read_bytes() for path in made.iterdir()}


def test_another_folder_is_refused(life, tmp_path):
    """In one line, and what it holds stays; an empty one will do."""
    assert "holds something else than a site" in life.refused("site", "reports")
    assert "is a file" in life.refused("site", "rules.yaml")
    other = tmp_path / "other"
    other.mkdir()
    life.do("site", str(other))
    (other / "mine.txt").touch()
    assert "(mine.txt)" in life.refused("site", str(other))
    (other / "mine.txt").unlink()
    (other / "index.html").unlink()
    assert "holds something else" in life.refused("site", str(other))
    assert (life.folder / "reports/metrics.json").exists()


def test_a_site_that_cannot_be_written_leaves_the_former_one(life, made, monkeypatch):
    """Nothing is half there."""
    before = (made / "index.html").read_bytes()
    given = Path.write_text

    def full(path, *words, **options):
        if path.name == "model.json":
            raise OSError(28, "No space left on device")
        return given(path, *words, **options)

    monkeypatch.setattr(Path, "write_text", full)
    assert "no space is left on the disk" in life.refused("site", "site")
    monkeypatch.undo()
    assert {path.name for path in made.iterdir()} == FILES and (made / "index.html").read_bytes() == before


def test_without_a_version_it_says_what_to_do_first(tmp_path):
    """Before the first results, and before the first version; there is nothing to draw then."""
    fresh = Model(tmp_path / "fresh")
    fresh.write()
    assert "there is no commit here" in fresh.refused("site", "site")
    fresh.edit(Path(".gitignore"), lambda text: f"{text}/site\n")
    fresh.commit()
    fresh.do("site", "site")
    text = Page((fresh.folder / "site/index.html").read_text(encoding="utf-8")).text
    assert "There is no version yet" in text and "model register" in text and "make repro" not in text
    fresh.do("register")
    fresh.do("site", "site")
    page = Page((fresh.folder / "site/index.html").read_text(encoding="utf-8"))
    assert "No version serves" in page.text and "model promote" in page.text
    assert "https://" not in "".join(page.all("href"))  # on no forge
    (fresh.folder / "reports/metrics.json").unlink()
    empty = Model.__new__(Model)
    empty.__dict__ = {**fresh.__dict__, "folder": tmp_path / "empty"}
    empty.folder.mkdir()
    empty.git("init", "--quiet", "--initial-branch=main")
    empty.write_yaml(Path("rules.yaml"), fresh.rules)
    empty.commit()
    empty.do("site", "site")
    found = Page((empty.folder / "site/index.html").read_text(encoding="utf-8"))
    assert "make repro" in found.text and [name for name in found.all("id") if name == "time"] == []


def test_a_site_is_made_in_a_folder_of_a_larger_repository(life, tmp_path):
    """Files are looked up where the project lies in it."""
    life.git("clone", "--quiet", str(life.folder), str(tmp_path / "large"))
    inner = Life.__new__(Life)
    inner.__dict__ = {**life.__dict__, "folder": tmp_path / "large"}
    (inner.folder / "sub").mkdir()
    for name in ("reports", "rules.yaml", "schema.yaml", "params.yaml", "dvc.lock", "card.md"):
        os.rename(inner.folder / name, inner.folder / "sub" / name)
    inner.git("remote", "set-url", "origin", "git@github.com:o/r.git")
    inner.commit("moved")
    inner.folder = inner.folder / "sub"
    inner.do("site", "site")
    assert f"{WEB}/blob/" in (text := (inner.folder / "site/index.html").read_text(encoding="utf-8"))
    assert "/sub/reports/MODEL_CARD.md" in text and "/r/reports/" not in text
