"""Every rendered project is whole: nothing left over, everything parses, nothing to format, no file too many."""

import ast
import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import BIN, DEFAULTS, LIBRARY, ROOT, Bake, BakedProject, bake_into, run
from packaging.requirements import Requirement

# The answers that are chosen from a list, and those whose kind changes what is generated.
TABLES = {"sample": None, "csv": b"a,b\n1,2\n", "tsv": b"a\tb\n1\t2\n", "parquet": b"PAR1..b..\5\0\0\0PAR1"}
OPTIONS: dict[str, list[str]] = {
    **{key: value for key, value in DEFAULTS.items() if isinstance(value, list) and not key.startswith("_")},
    "dvc_remote": ["", "/tmp/store", "s3://bucket/a", "gs://bucket", "azure://box/a", "ssh://host/a", "https://host/a"],
    "table": list(TABLES),
}


def pairwise(options: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """Yield few combinations in which every two values of different options meet."""
    keys = list(options)
    rows = [dict(zip(keys, values, strict=True)) for values in itertools.product(*options.values())]
    missing = {pair for row in rows for pair in itertools.combinations(row.items(), 2)}
    while missing:
        best = max(rows, key=lambda row: len(missing.intersection(itertools.combinations(row.items(), 2))))
        missing.difference_update(itertools.combinations(best.items(), 2))
        yield best


COMBINATIONS = {
    " ".join(value.partition("://")[0] or "none" for value in row.values()).replace("/tmp/store", "path"): row
    for row in pairwise(OPTIONS)
}


@pytest.fixture(scope="module", params=COMBINATIONS.values(), ids=list(COMBINATIONS))
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return one combination of answers."""
    row: dict[str, str] = request.param
    return row


@pytest.fixture(scope="module")
def project(answers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate the project of one combination."""
    folder = tmp_path_factory.mktemp("table")
    given = {key: value for key, value in answers.items() if key != "table"}
    if content := TABLES[answers["table"]]:
        table = folder / f"t.{answers['table']}"
        table.write_bytes(content)
        given |= {"data_path": str(table), "target_column": "b"}
    return bake_into(tmp_path_factory.mktemp("baked"), **given)


DELIMITERS = re.compile(r"\{[{%#]")
ANSWERS = re.compile(r"cookiecutter\s*[.\[]|\{%-?\s*(if|else|endif|for|set)\b")


@cache
def copied_patterns() -> tuple[str, ...]:
    """Return the patterns of files that are copied as they are."""
    return tuple(DEFAULTS["_copy_without_render"])


def leftovers(project: BakedProject) -> list[str]:
    """Return each place where something of the template is left."""
    found = [name for name in project.files() if re.search(r"[{}]", name)]
    for name in sorted(project.files()):
        if name.endswith(".parquet"):
            continue
        copied = any(fnmatch(name, pattern) for pattern in copied_patterns())  # as cookiecutter does
        pattern = ANSWERS if copied else DELIMITERS
        for number, line in enumerate(project.read(name).splitlines(), start=1):
            if pattern.search(line) or ANSWERS.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


def test_nothing_of_the_template_is_left(project: BakedProject) -> None:
    """No delimiter and no answer's name stands in a path or a file."""
    assert leftovers(project) == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate a project from the defaults, which each test leaves as it was."""
    return bake_into(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("fault", ["{{ cookiecutter.x }}", "{% if x %}", "${{ cookiecutter.x }}", "{# x #}", "{{x"])
@pytest.mark.parametrize("name", ["Makefile", "pyproject.toml", "dvc.yaml", "README.md"])
def test_leftover_is_found(plain: BakedProject, name: str, fault: str) -> None:
    """The check above catches a planted delimiter."""
    before = plain.read(name)
    plain.write(name, f"x = 1\n# {fault}\n")
    try:
        assert leftovers(plain) == [f"{name}:2: # {fault}"]
    finally:
        plain.write(name, before)


def test_leftover_in_copied_file_is_found(bake: Bake) -> None:
    """The check above catches an answer in a file that is copied as it is."""
    project = bake()
    project.write(f"src/{project.package}/x.py", "x = '{{ cookiecutter.y }}'\ny = f'{{}}'\n")
    assert leftovers(project) == [f"src/{project.package}/x.py:1: x = '{{{{ cookiecutter.y }}}}'"]


def reference(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    """Return the words of GitLab's own tag."""
    return loader.construct_sequence(node)


yaml.SafeLoader.add_constructor("!reference", reference)


@cache
def parse(suffix: str, text: str) -> None:
    """Parse a text by the kind of its file, once: most files are the same in all projects. Other kinds are text."""
    if suffix in (".yaml", ".yml"):
        list(yaml.safe_load_all(text))
    elif suffix == ".toml":
        tomllib.loads(text)
    elif suffix in (".json", ".ipynb"):
        json.loads(text)
    elif suffix == ".py":
        ast.parse(text)


def parse_all(project: BakedProject) -> None:
    """Parse every file that is text."""
    for name in project.files():
        if not name.endswith(".parquet"):
            parse(Path(name).suffix, project.read(name))


def test_every_file_parses(project: BakedProject) -> None:
    """YAML, TOML, JSON, notebooks and Python can be read."""
    parse_all(project)


def test_nothing_to_format(project: BakedProject) -> None:
    """The project's own formatter and linter have nothing to say."""
    project.run([str(BIN / "ruff"), "format", "--no-cache", "--check", "."])
    project.run([str(BIN / "ruff"), "check", "--no-cache", "."])


def test_names_are_legal_on_windows(project: BakedProject) -> None:
    """Every path can be checked out on Windows."""
    devices = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
    for name in project.files():
        assert len(name) < 120
        for part in name.split("/"):
            assert not re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', part), name
            assert not devices.match(part), name
    assert len({name.lower() for name in project.files()}) == len(project.files())


def test_files_end_with_one_line_break(project: BakedProject) -> None:
    """The hooks of the first commit find nothing, whatever the answers."""
    texts = {name for name in project.files() if not name.startswith(("data/", "vendor/"))}
    assert sorted(name for name in texts if re.search(r"[^\n]\Z|\n\n\Z", project.read(name))) == []


def test_line_ends_are_lf(project: BakedProject) -> None:
    """No file of the template holds a carriage return."""
    for name in project.files():
        assert b"\r" not in (project.path / name).read_bytes(), name


def listed_files(answers: dict[str, str]) -> set[str]:
    """Return the files that tests/files.txt lists for these answers."""
    listed: set[str] = set()
    section = "always"
    sections = (f"table {answers['table']}", f"deploy {answers['deploy_target']}", f"ci {answers['ci']}")
    for line in (ROOT / "tests/files.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            section = line[2:]
        elif line and section in ("always", *sections):
            listed.add(line)
    return listed


def test_files_are_those_listed(project: BakedProject, answers: dict[str, str]) -> None:
    """A project holds exactly the files listed for its answers."""
    names = {name.replace(f"src/{project.package}/", "src/PACKAGE/") for name in project.files()}
    assert listed_files(answers) == {name for name in names if not name.startswith("vendor/")}


def test_library_is_that_of_the_template(project: BakedProject) -> None:
    """The library is copied whole, to the byte."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", str(LIBRARY)], ROOT).stdout
    paths = [ROOT / name for name in filter(None, listed.split("\0")) if (ROOT / name).exists()]
    expected = {f"vendor/{path.relative_to(LIBRARY).as_posix()}": path.read_bytes() for path in paths}
    listed = "vendor/gitmodel/FILES.sha256"  # written with the project
    vendor = {name for name in project.files() - {listed} if name.startswith("vendor/")}
    assert expected == {name: (project.path / name).read_bytes() for name in vendor}


MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FILE = 60, 350, 80
ROOM = ("evaluate", "features", "package", "prepare", "train")


def inherited(project: BakedProject) -> list[str]:
    """Return the files that a user gets to know: without the library, the data and the results."""
    return sorted(name for name in project.files() if name.partition("/")[0] not in ("vendor", "data", "reports"))


def lines_of_the_room(project: BakedProject) -> dict[str, int]:
    """Return the number of lines of each Python file below src/, by its name there."""
    paths = (project.path / "src").rglob("*.py")
    return {
        path.relative_to(project.path / "src").as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
    }


def test_few_files_are_inherited(plain: BakedProject) -> None:
    """A default project is a matter of an afternoon."""
    assert len(inherited(plain)) <= MOST_FILES


def test_the_room_is_five_short_files(plain: BakedProject) -> None:
    """Below src/ lie the five files to edit, each of a page or two, and no other Python."""
    lines = lines_of_the_room(plain)
    assert {f"{plain.package}/{name}.py" for name in ROOM} == set(lines)
    assert sum(lines.values()) < MOST_LINES
    assert {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FILE} == {}


def test_what_grows_is_seen(bake: Bake) -> None:
    """The counts above see a file too many and a line too many."""
    project = bake()
    before, lines = len(inherited(project)), sum(lines_of_the_room(project).values())
    (project.path / f"src/{project.package}/more").mkdir()
    project.write(f"src/{project.package}/more/x.py", "x = 1\n" * 81)
    assert before + 1 == len(inherited(project))
    assert lines + 81 == sum(lines_of_the_room(project).values())
    assert f"{project.package}/more/x.py" in lines_of_the_room(project)


def test_remote_is_configured(project: BakedProject, answers: dict[str, str]) -> None:
    """DVC's configuration names the remote as answered, and analytics are off."""
    config = project.read(".dvc/config")
    assert "analytics = false" in config
    assert [line.split(" = ")[1] for line in config.splitlines() if "url" in line] == [
        remote for remote in [answers["dvc_remote"]] if remote
    ]


def test_lock_holds_what_is_asked_for(project: BakedProject) -> None:
    """Every dependency is locked to a version in its range, with hashes and without an address."""
    config = tomllib.loads(project.read("pyproject.toml"))
    groups = config["dependency-groups"]
    versions = check_lock(project, "requirements.txt", config["project"]["dependencies"] + groups["install"])
    tools = check_lock(project, "requirements-dev.txt", groups["dev"])
    assert {name: versions[name] for name in versions.keys() & tools} == {
        name: tools[name] for name in versions.keys() & tools
    }
    assert not {"mypy", "pre-commit", "pytest", "ruff"} & versions.keys()


def check_lock(project: BakedProject, name: str, wanted: list[str]) -> dict[str, str]:
    """Check that a lock holds what is wanted; return its versions."""
    lock = project.read(name)
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, flags=re.MULTILINE))
    assert "://" not in lock
    assert "--index" not in lock
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[requirement.name]), requirement
    blocks = re.split(r"\n(?=\S)", lock)
    assert all("--hash=sha256:" in block for block in blocks)
    names = [re.split("==", block)[0] for block in blocks]
    assert names == sorted(set(names))
    return versions


EXTRAS = {"s3": "dvc-s3", "gs": "dvc-gs", "azure": "dvc-azure", "ssh": "dvc-ssh"}


def test_remote_brings_its_package(project: BakedProject, answers: dict[str, str]) -> None:
    """DVC's extra for the remote's scheme is a dependency, and no other extra is."""
    scheme = answers["dvc_remote"].partition("://")[0]
    present = {name for name in EXTRAS.values() if f"\n{name}==" in project.read("requirements.txt")}
    assert present == {EXTRAS[scheme]} if scheme in EXTRAS else present == set()


def test_versions_are_the_same_for_all_answers(bake: Bake) -> None:
    """Projects with different remotes differ only in the packages of the remote."""
    locks = [set(bake(dvc_remote=remote).read("requirements.txt").splitlines()) for remote in OPTIONS["dvc_remote"]]
    for lock in locks:
        assert {line for line in locks[0] if "==" in line} <= lock


HARMLESS = {
    "double quotes": 'Predicts "churn", and "why"',
    "quote at the end": 'Predicts "churn"',
    "triple quotes": "a ''' b \"\"\" c",
    "apostrophe": "Anna's model; it's hers",
    "backslash": r"C:\new\table \x41 \u0041 \N{DASH} \\",
    "backslash at the end": "ends with \\",
    "shell": "$HOME `id` $(id) ; rm -rf / && echo > x | cat & !! ~ *",
    "make": "$(shell id) $@ $$ %.o: #x",
    "YAML": "- key: value # no comment, [a, {b: c}] & *d !!python/none | > @ %",
    "YAML document": "--- a: b",
    "TOML": '[table] a = "b" # c',
    "Markdown": "# *bold* _it_ [a](b) ![c](d) `code` | cell | <!-- x --> ***",
    "HTML": "<script>alert('x')</script> &amp; <b>",
    "format": "{0} {name} {} %s %(x)s $x ${x}",
    "emoji": "🐟 👩‍🔬 naïve Zürich",
    "other scripts": "预测收入 доход الدخل हिन्दी",
    "long": "word " * 100 + "end",
    "number": "1e3",
    "null": "null",
    "yes": "yes",
    "empty": "",
    "spaces": "  a  b  ",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_harmless_description_works_everywhere(bake: Bake, text: str) -> None:
    """What is harmless in a description arrives unchanged and breaks no file."""
    project = bake(description=text)
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["description"] == text
    parse_all(project)


NAMES = {
    "apostrophe": "O'Brien & Sons",
    "accents": "Žofie Nováková",
    "other script": "山田 太郎",
    "comma": "Team A, Dept. B (C)",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_harmless_name_works_everywhere(bake: Bake, name: str) -> None:
    """Names of people and projects in any script arrive unchanged."""
    project = bake(project_name=name, project_slug="model-a", author_name=name)
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["authors"][0]["name"] == name
    assert f"Copyright (c) {name}" in project.read("LICENSE")
    parse_all(project)


TARGETS = ['b "q"', "it's", "a: b", "# c", "größe 🐟", "{b}", "back\\slash", "class", "1", "null", "yes", "x" * 300]


@pytest.mark.parametrize("target", TARGETS)
def test_any_target_arrives_in_the_schema(bake: Bake, tmp_path: Path, target: str) -> None:
    """The target's name stands in schema.yaml as it is in the table."""
    quoted = target.replace('"', '""')
    (tmp_path / "t.csv").write_text(f'a,"{quoted}"\n1,2\n', encoding="utf-8")
    project = bake(data_path=str(tmp_path / "t.csv"), target_column=target)
    assert yaml.safe_load(project.read("schema.yaml")) == {"table": "data/raw.csv", "target": target}


def test_other_target_of_the_sample_starts_with_a_stub(bake: Bake) -> None:
    """Another column of the sample can be the target; its schema is inferred by `make init`."""
    project = bake(target_column="sex")
    assert yaml.safe_load(project.read("schema.yaml")) == {"table": "data/raw.csv", "target": "sex"}
    assert "data/SOURCE.md" in project.files()


LICENSES = {"MIT": "MIT License", "Apache-2.0": "Apache License", "BSD-3-Clause": "BSD 3-Clause", "Proprietary": "All"}


@pytest.mark.parametrize("name", DEFAULTS["license"])
def test_license_is_the_one_answered(bake: Bake, name: str) -> None:
    """LICENSE and pyproject.toml name the same licence, without a year that changes by itself."""
    project = bake(license=name)
    text = project.read("LICENSE")
    assert LICENSES[name].lower() in text.lower()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    declared = tomllib.loads(project.read("pyproject.toml"))["project"]["license"]
    assert declared == ("LicenseRef-Proprietary" if name == "Proprietary" else name)


def chosen_by_test_rows(text: str) -> list[str]:
    """Return the lines that compare models and do not name `validation`, which is what to choose by."""
    compared = [line for line in text.splitlines() if re.search(r"dvc (exp show|metrics (show|diff))", line)]
    return [line for line in compared if "validation" not in line]


def test_nobody_is_told_to_choose_by_test_rows(plain: BakedProject) -> None:
    """Where a page compares models, it names `validation`; a page that does not is found."""
    pages = [name for name in plain.files() if name.endswith((".md", ".ipynb", "params.yaml")) and "vendor" not in name]
    for text in [*map(plain.read, pages), *(path.read_text(encoding="utf-8") for path in ROOT.glob("*.md"))]:
        assert chosen_by_test_rows(text) == []
    assert chosen_by_test_rows("| `dvc metrics diff` | what is better? |")
