"""The whole life of a model is lived through for real, and docs/tour.md is what that prints today."""

import re
from pathlib import Path

import pytest
from conftest import BIN, ROOT, run

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"```console\n\$ (.*?)\n(.*?)```", re.DOTALL)
VARIES = re.compile(r"[0-9a-f]{12,}|\b[0-9a-f]{7,9}\b|[-+]?\d[\d,.:]*(e-\d+)?")  # hashes, times, figures of a processor


def answers(page: str) -> list[tuple[str, str]]:
    """Return the commands of a transcript with what they print, but for figures and for what `make init` installs."""
    shown = [(command, re.sub(r"\s+", " ", VARIES.sub("0", output))) for command, output in BLOCK.findall(page)]
    return [(command, "" if command == "make init" else output) for command, output in shown]


def test_the_tour_ends_well_and_the_page_shows_it(environment: dict[str, str], tmp_path: Path) -> None:
    """Every step from the table to retirement works, the bad change is blocked, and the page in docs is true."""
    programs, page = Path(environment["WARM_ENV"]) / "bin", tmp_path / "tour.md"
    run([str(BIN / "python"), "tour.py", str(tmp_path / "t"), "--programs", str(programs), "--output", str(page)], ROOT)
    expected, made = (answers(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/tour.md", page))
    assert [command for command, _ in expected] == [command for command, _ in made]
    assert expected == made, "run `make tour`, read what changed in docs/tour.md, and commit it"
