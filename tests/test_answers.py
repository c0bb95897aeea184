"""Bad answers are refused before anything is written: one plain line each, nothing left behind."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import BIN, DEFAULTS, ROOT, Bake, run
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

Refuse = Callable[..., str]

REFUSED = {
    "empty name": ({"project_name": ""}, "project_name: '' is empty or has no letter; write a name"),
    "name without a letter": ({"project_name": "?!"}, "project_name: '?!' is empty or has no letter; write a name"),
    "name of spaces": ({"project_name": "  "}, "project_name: '  ' is empty or has no letter; write a name"),
    "name with a double quote": ({"project_name": 'a "b"'}, 'project_name: \'a "b"\' holds ", which shells'),
    "name with a backslash": ({"project_name": "a\\b"}, "project_name: 'a\\\\b' holds \\, which shells"),
    "name with a backtick": ({"project_name": "a `b`"}, "project_name: 'a `b`' holds `, which shells"),
    "name with a dollar": ({"project_name": "a $b"}, "project_name: 'a $b' holds $, which shells"),
    "name with a tag": ({"project_name": "a <b>"}, "project_name: 'a <b>' holds < >, which shells"),
    "long name": ({"project_name": "a" * 101, "project_slug": "a"}, "project_name: is longer than 100 characters"),
    "empty author": ({"author_name": ""}, "author_name: '' is empty or has no letter; write a name"),
    "author with a bracket": ({"author_name": "A <a@b.c>"}, "author_name: 'A <a@b.c>' holds < >"),
    "author with a quote": ({"author_name": 'A "B" C'}, 'author_name: \'A "B" C\' holds "'),
    "empty slug": ({"project_slug": ""}, "project_slug: '' is not usable"),
    "slug of a space": ({"project_slug": " "}, "project_slug: ' ' is not usable"),
    "slug with a digit first": ({"project_slug": "2fast"}, "project_slug: '2fast' is not usable"),
    "slug with a space": ({"project_slug": "a b"}, "project_slug: 'a b' is not usable"),
    "slug with a dot": ({"project_slug": "a.b"}, "project_slug: 'a.b' is not usable"),
    "slug in capitals": ({"project_slug": "Model-A"}, "project_slug: 'Model-A' is not usable"),
    "slug with a path": ({"project_slug": "a/b"}, "project_slug: 'a/b' is not usable"),
    "slug with a Windows path": ({"project_slug": "a\\b"}, "project_slug: 'a\\\\b' is not usable"),
    "slug that climbs": ({"project_slug": "../b"}, "project_slug: '../b' is not usable"),
    "slug that is the parent": ({"project_slug": ".."}, "project_slug: '..' is not usable"),
    "slug that is here": ({"project_slug": "."}, "project_slug: '.' is not usable"),
    "slug with a quote": ({"project_slug": "a'b"}, 'project_slug: "a\'b" is not usable'),
    "slug with a command": ({"project_slug": "a;b"}, "project_slug: 'a;b' is not usable"),
    "slug with a substitution": ({"project_slug": "a$(b)"}, "project_slug: 'a$(b)' is not usable"),
    "slug like an option": ({"project_slug": "-rf"}, "project_slug: '-rf' is not usable"),
    "long slug": ({"project_slug": "a" * 61}, "project_slug: 'aaaaaaaa"),
    "slug of a dependency": ({"project_slug": "scikit-learn"}, "'scikit-learn' is a package that the project itself"),
    "slug of a Windows device": ({"project_slug": "nul"}, "project_slug: 'nul' is a device on Windows"),
    "package with a hyphen": ({"package_name": "a-b"}, "package_name: 'a-b' is not usable as a Python package"),
    "package with a digit first": ({"package_name": "2x"}, "package_name: '2x' is not usable as a Python package"),
    "empty package": ({"package_name": ""}, "package_name: '' is not usable as a Python package"),
    "package with a path": ({"package_name": "a/b"}, "package_name: 'a/b' is not usable as a Python package"),
    "package that climbs": ({"package_name": "../b"}, "package_name: '../b' is not usable as a Python package"),
    "package that is a keyword": ({"package_name": "class"}, "package_name: 'class' is a keyword of Python"),
    "package that is a soft keyword": ({"package_name": "match"}, "package_name: 'match' is a keyword of Python"),
    "package of the standard library": ({"package_name": "json"}, "'json' is a module of Python's standard library"),
    "package of a dependency": ({"package_name": "pandas"}, "'pandas' is a package that the project itself uses"),
    "package of another dependency": ({"package_name": "sklearn"}, "'sklearn' is a package that the project itself"),
    "package of the library": ({"package_name": "gitmodel"}, "'gitmodel' is a package that the project itself uses"),
    "package of a folder": ({"package_name": "tests"}, "package_name: 'tests' is a folder of the project"),
    "description in two lines": ({"description": "a\nb"}, "description: holds a line break or an invisible"),
    "description that turns around": ({"description": "a\u202eb"}, "description: holds a line break or an invisible"),
    "author with a mark that nobody sees": (
        {"author_name": "a\u200bb"},
        "author_name: holds a line break or an invisible",
    ),
    "description with a control": ({"description": "a\x1b[2Jb"}, "description: holds a line break or an invisible"),
    "description with code": ({"description": "a %} b"}, "description: holds '%}', which the template would take as"),
    "no e-mail": ({"author_email": "someone"}, "author_email: 'someone' is not an e-mail address; write one like"),
    "e-mail with a space": ({"author_email": "a b@c.de"}, "author_email: 'a b@c.de' is not an e-mail address"),
    "e-mail with a quote": ({"author_email": 'a"@b.de'}, "author_email: 'a\"@b.de' is not an e-mail address"),
    "owner with a slash": ({"github_owner": "a/b"}, "github_owner: 'a/b' is not a GitHub account"),
    "owner with an @": ({"github_owner": "@me"}, "github_owner: '@me' is not a GitHub account"),
    "group on GitLab with an @": (
        {"github_owner": "@me", "ci": "gitlab"},
        "github_owner: '@me' is no group or user on",
    ),
    "group on GitLab with a gap": (
        {"github_owner": "a//b", "ci": "gitlab"},
        "github_owner: 'a//b' is no group or user on",
    ),
    "empty owner": ({"github_owner": ""}, "github_owner: '' is not a GitHub account"),
    "unknown scheme": ({"dvc_remote": "ftp://a/b"}, "dvc_remote: ftp:// is not a scheme it knows; use s3:// gs://"),
    "unencrypted address": ({"dvc_remote": "http://a/b"}, "dvc_remote: http:// is not a scheme it knows"),
    "remote without a bucket": ({"dvc_remote": "s3://"}, "dvc_remote: 's3://' names no bucket or host"),
    "remote with a password": ({"dvc_remote": "https://me:pw@a.de"}, "dvc_remote: holds a password, which Git"),
    "remote with a line break": ({"dvc_remote": "/a\nb"}, "dvc_remote: holds a line break or an invisible"),
    "remote with a comment": ({"dvc_remote": "s3://a/#b"}, "dvc_remote: 's3://a/#b' holds '#'; write a plain path"),
    "relative remote": ({"dvc_remote": "store"}, "dvc_remote: 'store' is a relative path; write the absolute path"),
    "remote in the home folder": ({"dvc_remote": "~/store"}, "dvc_remote: '~/store' is a relative path"),
    "remote that climbs": ({"dvc_remote": "/tmp/../x"}, "dvc_remote: '/tmp/../x' is a relative path"),
    "target not in the sample": ({"target_column": "price"}, "target_column: 'price' is not in the sample; name one"),
    "group not in the sample": ({"group_column": "who"}, "group_column: 'who' is not in the sample; name one"),
    "group that is the target": ({"group_column": "income_over_50k"}, "group_column: 'income_over_50k' is the target"),
    "empty target": ({"target_column": ""}, "target_column: is empty; name the column to predict"),
    "missing table": ({"data_path": "no.csv"}, "data_path: there is no file 'no.csv'; check the path"),
    "folder as table": ({"data_path": "."}, "data_path: '.' is not a file; name the table itself"),
}


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Return a function that expects a refusal that leaves nothing behind, and returns its plain lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "out").mkdir()

    def generate(**answers: str) -> str:
        seen = sorted(tmp_path.rglob("*"))
        with pytest.raises(FailedHookException):
            cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir="out", extra_context=answers)
        assert sorted(tmp_path.rglob("*")) == seen
        return "\n".join(line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))

    return generate


@pytest.mark.parametrize(("answers", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_answer_is_refused(refuse: Refuse, answers: dict[str, str], message: str) -> None:
    """The line names the answer, what is wrong and the remedy."""
    lines = refuse(**answers)
    assert message in lines
    assert all("; " in line for line in lines.splitlines() if "holds a line break" not in line)


def test_all_problems_are_listed(refuse: Refuse) -> None:
    """Nobody has to try again for each of several mistakes."""
    lines = refuse(project_name="?", package_name="json", author_email="x", github_owner="-", dvc_remote="x")
    names = [line.split()[1] for line in lines.splitlines()]
    assert names == ["project_name:", "package_name:", "author_email:", "github_owner:", "dvc_remote:"]


@pytest.mark.parametrize("key", [key for key, value in DEFAULTS.items() if isinstance(value, list) and key[0] != "_"])
def test_unknown_choice_is_refused(tmp_path: Path, key: str) -> None:
    """Choices are those of the list; cookiecutter itself says so."""
    command = [str(BIN / "cookiecutter"), str(ROOT), "--no-input", "-o", str(tmp_path), f"{key}=other"]
    result = run(command, tmp_path, check=False)
    assert result.returncode != 0
    assert f"other provided for choice variable {key}" in result.stderr
    assert not list(tmp_path.iterdir())


def test_remote_below_a_file_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A local remote must be a folder, or become one."""
    (tmp_path / "file").write_text("x")
    assert f"{tmp_path}/file is a file; choose another path" in refuse(dvc_remote=f"{tmp_path}/file/store")


def test_remote_without_permission_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A local remote must be writable."""
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    (tmp_path / "locked").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    assert "cannot be written; choose another path" in refuse(dvc_remote=f"{tmp_path}/locked/store")


TABLES = {
    "empty": ("t.csv", b"", "a", "data_path: 't.csv' is empty; name a table with rows"),
    "header only": ("t.csv", b"a,b\n", "a", "data_path: t.csv has no rows below its header; name a table with rows"),
    "unknown kind": ("t.sav", b"$FL2", "a", "data_path: 't.sav' is of an unknown kind; convert it to .csv, .tsv"),
    "target left out": ("t.csv", b"a,b\n1,2\n", "", "target_column: is empty; name the column of t.csv to predict"),
    "target missing": ("t.csv", b"a,b\n1,2\n", "c", "'c' is not a column of t.csv; name one of its columns: a, b"),
    "target in another case": ("t.csv", b"a,b\n1,2\n", "A", "'A' is not a column of t.csv"),
    "target in the rows only": ("t.csv", b"a,b\nc,2\n", "c", "'c' is not a column of t.csv"),
    "part of a name": ("t.csv", b"price,b\n1,2\n", "pri", "'pri' is not a column of t.csv"),
    "no Parquet": ("t.parquet", b"a,b\n1,2\n", "a", "data_path: t.parquet is not a Parquet file, or is cut short"),
    "cut Parquet": ("t.parquet", b"PAR1\xff\0\0\0PAR1", "a", "data_path: t.parquet is not a Parquet file, or is cut"),
    "target not in Parquet": ("t.parquet", b"PAR1..b..\5\0\0\0PAR1", "a", "'a' is not a column of t.parquet"),
}


@pytest.mark.parametrize(("name", "content", "target", "message"), TABLES.values(), ids=TABLES)
def test_bad_table_is_refused(
    refuse: Refuse, tmp_path: Path, name: str, content: bytes, target: str, message: str
) -> None:
    """The table and its target are looked at before anything is written."""
    (tmp_path / name).write_bytes(content)
    assert message in refuse(data_path=name, target_column=target)


@pytest.mark.parametrize(("name", "content"), [("t.csv", b"a,b\n1,2\n"), ("t.parquet", b"PAR1..b..\5\0\0\0PAR1")])
def test_group_that_is_no_column_is_refused(refuse: Refuse, tmp_path: Path, name: str, content: bytes) -> None:
    """The message names the answer that is wrong."""
    (tmp_path / name).write_bytes(content)
    message = refuse(data_path=name, target_column="b", group_column="who")
    assert f"group_column: 'who' is not a column of {name}" in message


def test_group_is_kept_for_the_schema(bake: Bake, tmp_path: Path) -> None:
    """`make init` finds it beside the target, whatever its name."""
    (tmp_path / "t.csv").write_text('a,"who ""is"" it",b\n1,2,3\n')
    project = bake(data_path=str(tmp_path / "t.csv"), target_column="b", group_column='who "is" it')
    content = yaml.safe_load((project.path / "schema.yaml").read_text())
    assert content == {"table": "data/raw.csv", "target": "b", "group": 'who "is" it'}


def test_unreadable_table_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A table without permission is named as such."""
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    (tmp_path / "t.csv").touch(mode=0)
    assert "cannot be read (Permission denied); check its permissions" in refuse(data_path="t.csv", target_column="a")


def test_pipe_is_not_a_table(refuse: Refuse, tmp_path: Path) -> None:
    """Nothing waits for a pipe that never ends."""
    os.mkfifo(tmp_path / "t.csv")
    assert "'t.csv' is not a file" in refuse(data_path="t.csv", target_column="a")


ACCEPTED = {
    "semicolons": (b"a;b\n1;2\n", "b"),
    "tabs": (b"a\tb\n1\t2\n", "b"),
    "pipes": (b"a|b\n1|2\n", "b"),
    "one column": (b"b\n1\n", "b"),
    "quoted header": (b'"a, x","b ""q"""\n1,2\n', 'b "q"'),
    "blank lines first": (b"\n\na,b\n1,2\n", "b"),
    "Windows line ends": (b"a,b\r\n1,2\r\n", "b"),
    "UTF-8": ("a,größe 🐟\n1,2\n".encode(), "größe 🐟"),
    "UTF-8 with a mark": ("b,größe\n1,2\n".encode("utf-8-sig"), "b"),
    "UTF-16": ("a,größe\n1,2\n".encode("utf-16"), "größe"),
    "UTF-16 without a mark": ("a,größe\n1,2\n".encode("utf-16-le"), "größe"),
    "Latin-1": ("a,größe\n1,2\n".encode("latin-1"), "größe"),
    "spaces around": (b"a , b\n1,2\n", "b"),
    "keyword": (b"a,class\n1,2\n", "class"),
    "braces": (b"a,{b}\n1,2\n", "{b}"),
    "cut in a character": (b"a,b\n" + "ä".encode() * 600_000, "b"),
}


@pytest.mark.parametrize(("content", "target"), ACCEPTED.values(), ids=ACCEPTED)
def test_table_is_put_in_place(bake: Bake, tmp_path: Path, content: bytes, target: str) -> None:
    """The person's table lands byte for byte where the schema says, and the sample stays away."""
    table = tmp_path / "t.csv"
    table.write_bytes(content)
    project = bake(data_path=str(table), target_column=target)
    assert (project.path / "data/raw.csv").read_bytes() == content
    assert [path.name for path in (project.path / "data").iterdir()] == ["raw.csv"]


@pytest.mark.parametrize("start", ["caller", "output", "home"])
def test_relative_table_is_found(tmp_path: Path, start: str) -> None:
    """A relative path starts where cookiecutter was called or at the output folder; ~ is the home folder."""
    folders = {name: tmp_path / name for name in ("caller", "output", "home")}
    for folder in folders.values():
        folder.mkdir()
    (folders[start] / "t.csv").write_text("a,b\n1,2\n")
    given = "~/t.csv" if start == "home" else "t.csv"
    words = ["--no-input", "--default-config", "-o", str(folders["output"]), f"data_path={given}", "target_column=b"]
    run([str(BIN / "cookiecutter"), str(ROOT), *words], folders["caller"], HOME=str(folders["home"]))
    assert (folders["output"] / "income-model/data/raw.csv").read_text() == "a,b\n1,2\n"
