"""What watching found, told: a page, a report for issues, lines for a terminal, and a history of the runs."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import page_cases
import pytest
from gitmodel.base.markdown import prose
from gitmodel.base.outlet import visible
from gitmodel.base.project import UserError
from gitmodel.monitor import page, past_runs, report
from gitmodel.monitor.findings import DAYS, key
from gitmodel.monitor.result import as_json
from gitmodel.page import pictures
from monitor_cases import CASES, EVIL, NAMES, alert, drift, hostile, quiet, result, run, stopped, values, wide

NOW = datetime(2026, 11, 25, 7, 30, tzinfo=UTC)
TAGS = re.compile(
    r"html|head|title|style|meta|link|body|header|main|section|nav|div|p|span|b|small|strong|a|h[123]|ul|ol|li|details"
    r"|summary|table|caption|thead|tbody|tr|t[hd]|d[ldt]|pre|code|svg|rect|line|circle|polyline"
)


class Document(page_cases.Document):
    """A page of the monitor."""

    VOID = page_cases.Document.VOID | {"rect", "line", "circle", "polyline", "img"}

    def all(self, *tags):
        """Return the attributes of each element of these kinds."""
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Return each made-up result."""
    return CASES[request.param]()


@pytest.fixture(scope="module")
def made(case):
    """Return its page."""
    return page.html(case)


def plain(name):
    """Return the beginning of a text as a page shows it."""
    return visible(name[:60])


def test_the_page_is_whole_and_of_known_elements(made):
    """Each element is closed in its turn, and none came from data."""
    document = Document(made)
    assert [tag for tag, _ in document.found if not TAGS.fullmatch(tag)] == []
    assert not [name for _, attributes in document.found for name in attributes if name.startswith("on")]
    ids = [attributes["id"] for _, attributes in document.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_and_no_script_runs(made):
    """The policy lets the style in the page apply, and nothing else; no address leads elsewhere."""
    document = Document(made)
    assert document.all("script", "img", "iframe", "object", "embed", "form") == []
    assert all(re.fullmatch(r"#[a-z]+|data:,", a["href"]) for a in document.all("a", "link"))
    assert {"src", "srcset", "style", "action", "xlink:href"}.isdisjoint(n for _, a in document.found for n in a)
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    assert not re.search(r"url\(|@import|https?:", style)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in document.all("meta") if "http-equiv" in meta]
    assert f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy and "unsafe" not in policy


def test_every_comparison_is_named(case, made):
    """Also the quiet ones: in the table of everything each has a line."""
    shown = Document(made).text
    assert all(plain(finding.column) in shown and plain(finding.group) in shown for finding in case.findings)
    (table,) = re.findall(r'<details class="dense">.*?</details>', made, re.DOTALL) or [""]
    assert len(case.findings) == table.count('<tr class="')


def test_it_can_be_read_without_eyes_and_without_colour(made):
    """Tables have captions and headings, pictures names or neighbours that tell, signs a word beside their colour."""
    document = Document(made)
    assert len(document.all("table")) == len(document.all("caption"))
    assert all(attributes.get("scope") for attributes in document.all("th"))
    assert all(a.get("role") == "img" or a.get("aria-hidden") == "true" for a in document.all("svg"))
    assert len([a for a in document.all("svg") if a.get("role") == "img"]) == made.count("<title>") - 1
    assert len(document.all("h1")) == 1 and document.all("html")[0] == {"lang": "en"}
    anchors = {attributes["id"] for _, attributes in document.found if "id" in attributes}
    assert {a["href"][1:] for a in document.all("a")} <= anchors


def test_it_answers_in_order():
    """Verdict, what changed, for whom, quality, health, contract, since when, what to do."""
    parts = ["changed", "bias", "quality", "health", "contract", "since", "todo", "all", "reading", "facts"]
    assert parts == [section["id"] for section in Document(page.html(alert())).all("section")]


def test_strongest_changes_come_first():
    """A card for each alarm, the most times its limit first, with sentence, since when and remedy."""
    case = CASES["alert, binary"]()
    beyond, _, next_ = page.html(case).partition("What comes next, within its limit")
    cards = [re.findall(r'<li class="change"><h3>.*?</span></span>\s*(.*?) <small>', part) for part in (beyond, next_)]
    assert cards[0][:3] == ["industry", "age", "sex"] and cards[1][0] == "column 36"
    assert len(case.alerts) == len(cards[0])
    first = Document(page.html(case)).text
    assert "4.2% of the rows" in first and "since 2026-04-01 (batches/2026-04.csv), 8 runs" in first
    assert "age of the model" in first and "drift of class_of_worker" in first
    assert "Ask who delivers the table." in first and "model ingest FILE" in first and "model rollback prod" in first


def test_a_quiet_page_says_so_and_what_comes_closest():
    """Estimates are marked as such, and what would be known with labels is said."""
    shown = Document(page.html(quiet())).text
    assert "None of 25 comparisons is beyond its limit" in shown and "Closest to it" in shown
    assert "ROC AUC (estimate)" in shown and "hollow and dashed: an estimate" in shown
    assert "--labels COLUMN" in shown and "rollback" not in shown


def test_quality_without_margins_is_shown_and_said():
    """A metric that is held against nothing raises no alarm, and the page says how to change that."""
    case = result([replace(finding, limit=None, p=None) for finding in alert().findings if finding.part == "quality"])
    shown = Document(page.html(case)).text
    assert "no limit is set" in shown and "model margins" in shown and case.exit_status == 0


def test_what_may_be_chance_is_no_alarm_and_not_within():
    """A size over its limit that chance explains has a sign and a word of its own."""
    case = result([drift("x", 0.3, 0.4), drift("y", 0.01, 0.9)])
    shown = Document(page.html(case)).text
    assert "1 within limits, 1 may be chance" in shown and "△ may be chance" in shown
    assert case.exit_status == 0 and "⚠️ may be chance" in report.markdown(case)
    headline = "Quiet: beyond the limit in 1 of 2 comparisons, which chance explains"
    assert headline == report.in_short(case) and f"## ✅ {headline}\n" in report.markdown(case)
    assert "eyond the limit in 1 of 2 comparisons, which chance explains" in shown
    assert "Nothing is beyond" not in shown and "None of" not in shown


def test_dates_are_shown_as_dates():
    """In the tables of page and report; the numbers stay in the JSON."""
    dated = replace(drift("Signed up", 0.3, 0.0), value=20_777.4, before=20_078.3, unit=DAYS)
    case = result([dated])
    for told in (page.html(case), report.markdown(case), report.in_short(result([replace(dated, sentence="")]))):
        assert "2024-12-21" in told and "2026-11-20" in told and "20,078" not in told
    assert as_json(case)["findings"][0]["value"] == 20_777.4


def test_what_cannot_be_judged_is_said():
    """The reason stands in the verdict, and no alarm is claimed."""
    shown = Document(page.html(stopped())).text
    assert "Cannot judge" in shown and f"The batch has no column {EVIL}" in shown
    assert stopped().exit_status == 2 and "Alert" not in shown and "None" not in shown


def test_values_that_are_no_numbers_are_shown_as_none():
    """Infinite, NaN and unknown values break no page and no picture."""
    odd = replace(drift("x", 0.3, 0.0), value=float("nan"), before=float("inf"), low=float("nan"), high=1.0)
    odd = replace(odd, picture={"labels": ["a", "b"], "before": [float("nan"), 1.0], "now": [0.0, 0.0]})
    metric = replace(odd, part="quality", name="rmse", picture=None)
    case = result([odd, metric, replace(odd, size=float("inf")), replace(odd, limit=0.0), replace(odd, part="bias")])
    html = page.html(case)
    Document(html)
    assert not re.search(r'="-?(nan|inf)%?"', html)
    assert json.dumps(as_json(case), allow_nan=False)


@pytest.mark.parametrize(
    "labels", [["up to 17", "18 to 25", "26 to 40", "above 40", "(empty)"], ["a", "b", "c", "d", "e"]]
)
def test_ranges_are_drawn_in_their_order_and_values_as_a_list(labels):
    """Ranges as a histogram, values with their shares in words."""
    drawn = pictures.shares({"labels": labels, "before": [0.2] * 5, "now": [0.6, 0.1, 0.1, 0.1, 0.1]})
    assert (labels[0] == "a") == ("20 % → 60 %" in drawn)
    assert (labels[0] != "a") == ("histogram" in drawn)


def test_no_line_breaks_within_a_date():
    """Each word below a histogram keeps to one line."""
    drawn = pictures.shares(values(["up to 2019-01-05", *["2019-01-05 to 2020-01-05"] * 3], [0.25] * 4, [0.25] * 4))
    assert "<span>2019-01-05</span> <span>to</span> <span>2020-01-05</span>" in drawn


def test_many_values_are_told_by_those_that_changed_most():
    """The rest is one line, so that shares still add up."""
    now = [0.0] * 299 + [1.0]
    drawn = pictures.shares({"labels": [f"v{n}" for n in range(300)], "before": [1 / 300] * 300, "now": now})
    assert "v299" in drawn and "293 others" in drawn and drawn.count("<li>") == 8


def test_pages_and_reports_stay_small(case, made):
    """A page can be mailed, a report fits into an issue."""
    assert len(made) < 1_500_000
    assert len(report.markdown(case)) < 60_000
    assert len(report.in_short(case)) < 15_000


def test_a_report_that_would_be_too_long_leaves_parts_out():
    """Names of marks that Markdown writes in six characters each: what changed and what to do are still there."""
    case = result([drift(f"{place}{'|' * 200}", 0.3, 1e-9) for place in range(200)])
    text = report.markdown(case)
    assert 30_000 < len(text) < 60_000 and "parts are left out" in text
    assert "### What changed" in text and "### What to do" in text


def test_a_report_is_inert_markdown(case):
    """No line of data starts a heading, a fence, a mention or HTML; the elements are those of the report itself."""
    text = report.markdown(case)
    assert set(re.findall(r"</?[a-z]+", re.sub(r"`+[^`]*`+", "", text))) <= {
        *("<details", "</details", "<summary", "</summary"),
    }
    assert not re.search(r"(^|[^`])@everyone|https?://example", re.sub(r"`+[^`]*`+", "", text))
    assert {"## ", "###"} >= {line[:3] for line in text.splitlines() if line.startswith("#")}


def test_a_report_says_what_the_page_says():
    """Verdict, changes, what to do, and tables of every part."""
    text = report.markdown(CASES["alert, binary"]())
    assert text.startswith("## ❌ Alert: beyond the limit in 12 of 55 comparisons")
    assert "### What changed" in text and "### What to do" in text and "`model ingest FILE`" in text
    assert all(report.TITLES[part] in text for part in report.TITLES)
    assert "since 2026-04-01" in text


def test_columns_are_code_and_nothing_is_called_empty():
    """Also in what is to be done, where a name may hold a comma; without a history nothing is said of since when."""
    text = report.markdown(result([drift("a, b", 0.3, 0.0), drift("c", 0.3, 0.0)]))
    assert "`a, b`: the distribution moved" in text and "- `a, b`, `c`: Look at" in text
    assert "&#96;" not in text and "(empty)" not in text and "since" not in text
    quiet_again = replace(alert(), history=[run(quiet().findings, "2026-10-01T00:00:00Z")])
    assert "| - |" in report.markdown(quiet_again) and "(empty)" not in report.markdown(quiet_again)


@pytest.mark.parametrize("name", [*NAMES, "a``b", "`", " ` ", "```js", "$`x`$"])
def test_a_name_between_backticks_ends_no_code(name):
    """What stands outside of the pairs of backticks is escaped."""
    shown = prose(f"`{name}` is higher")
    assert not re.search(r"[`<>*\[\]|$\\@\n]", re.sub(r"`[^`]+`", "", shown))
    assert shown.endswith(" is higher") and shown.count("`") % 2 == 0


def test_lines_for_a_terminal_hold_nothing_that_it_obeys():
    """One line for each thing said, without control characters."""
    text = report.in_short(hostile())
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.startswith("Alert: ")


def test_a_history_is_read_as_it_was_written(tmp_path):
    """The same runs are the same bytes; where there is none, there are no runs."""
    path = tmp_path / "a folder" / "history.jsonl"
    assert past_runs.read(path) == []
    runs = past_runs.with_run([], hostile(), NOW)
    past_runs.write(path, runs)
    assert runs == past_runs.read(path)
    written = path.read_bytes()
    past_runs.write(path, past_runs.read(path))
    assert written == path.read_bytes() and b"\r" not in written and written.endswith(b"\n")


def test_a_line_of_the_history_is_small():
    """Of a wide table the strongest are kept, and long names are cut."""
    line = past_runs.line(wide(), NOW)
    assert len(json.dumps(line)) < 20_000
    assert len(line["alerts"]) == 100 and len(line["sizes"]) == 60
    assert len({key(drift("W" * 3_000, 1, 0.1)), key(drift("W" * 3_001, 1, 0.1))}) == 2
    assert all(len(key(drift(name, 1, 0.1))) < 300 for name in NAMES)


def test_keys_do_not_meet():
    """A slash in a name is no border between names."""
    first, second = drift("a/b", 1, 0.1), replace(drift("a", 1, 0.1), group="b")
    assert key(first) == "drift/distance/a%2Fb/" and key(second) == "drift/distance/a/b"


@pytest.mark.parametrize(
    "damage",
    [
        *("{", "[]", "null", "{}", "\x00", '{"batch": 1}', "[" * 100_000),
        '{"batch":"b","time":"yesterday","rows":1,"verdict":"quiet","alerts":[],"sizes":{}}',
        '{"batch":"b","time":"2026-01-01T00:00:00Z","rows":1,"verdict":"fine","alerts":[],"sizes":{}}',
        '{"batch":"b","time":"2026-01-01T00:00:00Z","rows":1,"verdict":"quiet","alerts":[1],"sizes":{}}',
        '{"batch":"b","time":"2026-01-01T00:00:00Z","rows":1,"verdict":"quiet","alerts":[],"sizes":{"a":"b"}}',
        '{"batch":"b","time":"2026-01-01T00:00:00Z","rows":true,"verdict":"quiet","alerts":[],"sizes":{}}',
        '{"batch":"b","time":"2026-01-01T00:00:00Z","rows":1,"verdict":"quiet","alerts":[],"sizes":{"a":NaN}}',
        "<<<<<<< HEAD",
    ],
)
def test_a_damaged_line_is_named(tmp_path, damage):
    """One line says where it is and what to do."""
    path = tmp_path / "history.jsonl"
    past_runs.write(path, past_runs.with_run([], quiet(), NOW))
    with path.open("a", encoding="utf-8") as file:
        file.write(damage + "\n")
    with pytest.raises(UserError, match=r"history.jsonl, line 2 is damaged: restore it with Git") as caught:
        past_runs.read(path)
    assert "\n" not in str(caught.value)


def test_a_history_of_other_bytes_is_refused(tmp_path):
    """What is no text is told in one line, too."""
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        past_runs.read(path)


def test_the_same_batch_has_one_line():
    """Watched again, also with labels, it takes the place of its line; other rows of the same name do not."""
    first = past_runs.with_run([], quiet(), NOW)
    labelled = result([f for f in quiet().findings if f.part != "quality"] + [drift("new", 0.01, 0.5)])
    again = past_runs.with_run(first, labelled, NOW + timedelta(hours=1))
    assert [line["time"] for line in again] == ["2026-11-25T08:30:00Z"]
    moved = result([replace(f, size=0.05) for f in quiet().findings if f.part == "drift"])
    assert len(past_runs.with_run(again, moved, NOW + timedelta(days=7))) == 2
    assert len(past_runs.with_run(again, replace(quiet(), batch={**quiet().batch, "rows": 5}), NOW)) == 2


def test_a_batch_is_no_earlier_batch_than_itself():
    """Watched again, it is not counted as a run in which the alert lasted already."""
    once = replace(alert(), history=past_runs.with_run([], alert(), NOW))
    assert "first run in the history" in Document(page.html(once)).text and "since 2026" not in report.markdown(once)
    twice = replace(alert(), history=[run(alert().findings, "2026-10-01T00:00:00Z"), *once.history])
    assert "since 2026-10-01 (data/earlier.csv), 2 runs" in Document(page.html(twice)).text


def test_the_newest_runs_are_kept():
    """As many as the setting says; times are in UTC."""
    case = replace(quiet(), settings={"history": 3})
    runs = [run(quiet().findings, f"2026-0{month}-01T00:00:00Z", f"b{month}") for month in range(1, 7)]
    kept = past_runs.with_run(runs, case, NOW.astimezone(timezone(timedelta(hours=5))))
    assert [line["batch"] for line in kept] == ["b5", "b6", "data/census_1995.csv"]
    assert kept[-1]["time"] == "2026-11-25T07:30:00Z"


def test_since_when_an_alert_lasts():
    """From the first run of the last unbroken series; runs that could not judge do not break it."""

    def line(day, verdict, *alerts):
        return {"batch": "b", "time": day, "rows": 1, "verdict": verdict, "alerts": list(alerts), "sizes": {}}

    runs = [line("1", "alert", "x"), line("2", "quiet"), line("3", "alert", "x"), line("4", "cannot judge")]
    runs += [line("5", "alert", "x", "y")]
    assert tuple((past_runs.since(runs, name) or {}).get("time") for name in "xyz") == ("3", "5", None)
    assert past_runs.since([*runs, line("6", "alert", "y")], "x") is None
    assert past_runs.since([], "x") is None


def test_a_result_for_machines_is_json(case):
    """Numbers without the last digits, every comparison with its key."""
    content = json.loads(json.dumps(as_json(case), allow_nan=False))
    assert [key(finding) for finding in case.findings] == [found["key"] for found in content["findings"]]
    assert content["exit_status"] == case.exit_status
