"""The template's own repository: its forms are sound, its versions agree, what its pages for people name is there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import BIN, LIBRARY, ROOT

FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
CITATION = ROOT / "CITATION.cff"
SCHEMAS = {"vendor.github-issue-forms": FORMS, "vendor.citation-file-format": [CITATION]}
HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d|not tagged yet)$", re.MULTILINE)


def fits(schema: str, *paths: Path) -> bool:
    """Say whether files fit a schema of check-jsonschema."""
    program = [str(BIN / "check-jsonschema"), "--builtin-schema", schema]
    return subprocess.run([*program, *map(str, paths)], capture_output=True).returncode == 0


@pytest.mark.parametrize("schema", SCHEMAS)
def test_forms_and_citation_fit_their_schemas(schema: str) -> None:
    """GitHub shows them, and programs read them."""
    assert SCHEMAS[schema]
    assert fits(schema, *SCHEMAS[schema])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_damaged_form_is_found(schema: str, tmp_path: Path) -> None:
    """Each top-level key that is a list matters."""
    for path in SCHEMAS[schema]:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        damaged = tmp_path / path.name
        damaged.write_text(yaml.safe_dump(content | {"body": "none", "authors": "none"}))
        assert not fits(schema, damaged)


def test_forms_ask_nothing_twice() -> None:
    """GitHub refuses a form with two equal identifiers or labels, and the schema does not say so."""
    for path in FORMS:
        asked = [field for field in yaml.safe_load(path.read_text(encoding="utf-8"))["body"] if "id" in field]
        for found in ([field["id"] for field in asked], [field["attributes"]["label"] for field in asked]):
            assert len(set(found)) == len(found) > 0, path.name


def test_the_version_is_one() -> None:
    """Of the package, the citation and the newest heading of the CHANGELOG; headings go down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = yaml.safe_load(CITATION.read_text(encoding="utf-8"))["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [found[1] for found in HEADING.finditer(changelog)]
    assert versions == re.findall(r"^## \[(\d.*?)\]", changelog, re.MULTILINE), "a heading has no date"
    assert [project, citation] == [versions[0]] * 2
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert sorted(set(numbers), reverse=True) == numbers
    assert "not tagged yet" not in [found[2] for found in HEADING.finditer(changelog)][1:]


def test_the_library_is_no_newer_than_the_template() -> None:
    """Its version grows with a release."""
    library = (LIBRARY / "gitmodel/VERSION").read_text(encoding="utf-8").strip()
    newest = HEADING.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert newest
    assert tuple(map(int, library.split("."))) <= tuple(map(int, newest[1].split(".")))


def test_owned_paths_exist() -> None:
    """Each pattern of CODEOWNERS covers a file, also while it names nobody and is commented out."""
    lines = (ROOT / ".github/CODEOWNERS").read_text(encoding="utf-8").splitlines()
    patterns = [found[1] for line in lines if (found := re.match(r"#?([*/]\S*) @", line))]
    assert len(patterns) > 1
    assert [pattern for pattern in patterns if not any(ROOT.glob(pattern.strip("/")))] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/maintaining.md"])
def test_links_of_the_pages_lead_somewhere(name: str) -> None:
    """Within the repository."""
    page = ROOT / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("{{cookiecutter.project_slug}}/docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_row_is_apart_from_its_table(page: Path) -> None:
    """After an empty line a row starts a table, which takes a line of dashes; without one it is shown as typed."""
    lines = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL).splitlines()
    starts = [(row, ruler) for before, row, ruler in zip(lines, lines[1:], lines[2:], strict=False) if not before]
    assert [row for row, ruler in starts if row.startswith("|") and not re.fullmatch(r"\|[\s:|-]+\|", ruler)] == []


def test_images_are_fixed_by_digests() -> None:
    """Those that GitLab's jobs run in, and beside; a tag may point to another image tomorrow."""
    room = ROOT / "{{cookiecutter.project_slug}}"
    texts = [path.read_text(encoding="utf-8") for path in (room / ".gitlab-ci.yml", *room.glob(".gitlab/ci/*.yml"))]
    images = [found for text in texts for found in re.findall(r'(?:image: |name: ")([\w.-]+:[^"\n]+)', text)]
    assert len(images) > 2 and [image for image in images if "@" not in image] == []
