"""Texts of data, files and people: in each kind of output they mean nothing but themselves, and all of them is seen."""

import ast
import csv
import io
import json
import re
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import gitmodel
import pytest
from gitmodel.base import outlet
from gitmodel.base.project import UserError, run, say, say_json, tell_error, warn
from hostile import HOSTILE, ORDINARY, faults_of_html, faults_of_markdown, faults_of_terminal

LIBRARY = Path(gitmodel.__file__).parent
OUTLETS = {"base/outlet.py", "base/project.py"}  # what prints, and what escapes
TO_PROGRAMS = {"git/own_code.py", "git/own_code_process.py", "adopt/schema_file.py"}  # each other, and YAML


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text):
    """Letters of any script, with what joins them, and emoji of several parts."""
    assert outlet.visible(text) == text == outlet.one_line(text) == outlet.spreadsheet(text)
    assert outlet.terminal(text) == text == json.loads(outlet.json_text(text))


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_dropped(name):
    """What is hidden is shown as Python spells it, so that two different names never look the same."""
    text = outlet.terminal(HOSTILE[name])
    assert faults_of_terminal(text) == []
    assert all(text != outlet.terminal(other) for key, other in HOSTILE.items() if key != name)
    assert len(text) >= len(HOSTILE[name])


def test_hidden_characters_are_spelled():
    """As in a string of Python; line ends too, where a text is one line."""
    assert outlet.one_line("a\n\t\x1b[1m\x07\x00\x9b\u202e\u2066\u200b\ufeff\udcff\U000e0041") == (
        r"a\n\t\x1b[1m\x07\x00\x9b\u202e\u2066\u200b\ufeff\udcff\U000e0041"
    )


@pytest.mark.parametrize(
    "parts", [["::error::x\n"], [" :", ":error::x\n"], ["#", "#", "[group]x\n"], ["x ##[group]x\n"]]
)
def test_a_stream_obeys_no_command(parts, monkeypatch):
    """Also where a command is written in parts."""
    written = io.StringIO()
    stream = outlet.Terminal(written)
    stream.writelines(["ordinary: 10::20\n", *parts])
    assert faults_of_terminal(written.getvalue()) == []
    assert written.getvalue().startswith("ordinary: 10::20\n") and "x\n" in written.getvalue()


def test_whoever_writes_is_shown(monkeypatch, capsys):
    """Prints and warnings of the user's code, of other packages, and errors of argparse."""
    outlet.install()
    outlet.install()
    assert not isinstance(sys.stdout.stream, outlet.Terminal)
    for text in HOSTILE.values():
        print(text)
        print(text, file=sys.stderr)
    said = capsys.readouterr()
    assert faults_of_terminal(said.out) + faults_of_terminal(said.err) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_told_is_as_many_lines_as_are_meant(name, capsys):
    """A line end in a name makes no line: nobody can add one that looks like ours."""
    text = HOSTILE[name]
    say(text, text)
    warn(text)
    tell_error(text)
    with pytest.raises(SystemExit) as ended:
        run(lambda: (_ for _ in ()).throw(UserError(text, f"  {text}")))
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert (said.out.count("\n"), said.err.count("\n")) == (2, 4)
    assert max(map(len, said.err.splitlines())) < 2 * outlet.MOST_LINE


@pytest.mark.parametrize("name", HOSTILE)
def test_json_means_the_same(name, capsys):
    """It is escaped as JSON escapes: no program reads anything else."""
    content = {HOSTILE[name]: [HOSTILE[name], 1.5]}
    say_json(content)
    text = capsys.readouterr().out
    assert json.loads(text) == content
    assert faults_of_terminal(text) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_is_text(name):
    """No mark, link, mention, number of an issue, comment or line."""
    shown = outlet.markdown(HOSTILE[name])
    assert "\n" not in shown
    assert faults_of_markdown(shown) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_html_is_text(name):
    """As text it is seen; as the value of an attribute it is exactly what it was."""
    shown = f'<p title="{outlet.html(HOSTILE[name])}">{outlet.html(HOSTILE[name])}</p>'
    assert faults_of_html(shown, {"p"}, {"title"}) == []
    value = outlet.attribute(HOSTILE[name])
    assert not set('"<>') & set(value)
    assert (
        unescape(re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), value)) == HOSTILE[name]
    )  # as browsers read it


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_is_xml(name):
    """Whatever a name holds."""
    picture = outlet.svg(f"<svg><text>{outlet.html(HOSTILE[name])}</text>\n<text>\x1b\x00\ufffe</text></svg>")
    assert ElementTree.fromstring(picture)[0].text == outlet.visible(HOSTILE[name])
    assert r"\x1b\x00\ufffe" in picture


@pytest.mark.parametrize(
    "cell", ["=cmd()", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "=cmd|' /C calc'!A0"]
)
def test_a_cell_is_no_formula(cell):
    """A spreadsheet shows it as text."""
    written = io.StringIO()
    csv.writer(written).writerow([outlet.spreadsheet(cell)])
    (row,) = csv.reader(io.StringIO(written.getvalue()))
    assert row[0].startswith("'")


@pytest.mark.parametrize("cell", ["-1.5", "+3", "-1,000.25", "-2e-05", ".5", "-.5", "3%", "-", "", "a=b", "x@y.org"])
def test_numbers_stay(cell):
    """And so does what only holds such a mark."""
    assert outlet.spreadsheet(cell) == cell


def bypasses(code: str) -> list[str]:
    """Return what a module writes past the outlets: prints, streams, escapes and JSON of its own."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            raw = name in ("json.dumps", "json.dump") and any(word.arg == "ensure_ascii" for word in node.keywords)
            if name == "print" or raw or re.fullmatch(r"(sys\.)?(stdout|stderr)\.write(lines)?", name):
                found.append(f"line {node.lineno}: {name}")
        elif isinstance(node, ast.ImportFrom) and node.module in ("html", "xml.sax.saxutils"):
            found += [f"line {node.lineno}: {alias.name}" for alias in node.names if "unescape" not in alias.name]
    return found


def test_no_module_goes_past_the_outlets():
    """What prints, escapes or writes JSON for people is in one place, so that no caller can forget it."""
    paths = {path.relative_to(LIBRARY).as_posix(): path for path in LIBRARY.rglob("*.py")}
    found = {name: bypasses(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    assert {name: lines for name, lines in found.items() if lines and name not in OUTLETS | TO_PROGRAMS} == {}
    planted = "import sys\nfrom html import escape\nprint(1)\nsys.stdout.write('')\njson.dumps(1, ensure_ascii=False)"
    assert len(bypasses(planted)) == 4


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_no_output_fails_for_what_a_terminal_cannot_show(encoding):
    """Letters that its encoding lacks are spelt out, half of a pair too; the others stay."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    outlet.Terminal(stream).write("price: купил \ud800\n")
    stream.flush()
    shown = "купил" if encoding == "utf-8" else "\\u043a\\u0443\\u043f\\u0438\\u043b"
    assert raw.getvalue().decode(encoding).startswith(f"price: {shown}")
