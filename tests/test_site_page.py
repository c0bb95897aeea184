"""A person reads the life of a model in a browser: on a phone, in the dark, with a keyboard, on paper.

Needs Chromium or Chrome on PATH, and is skipped without.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import barriers
from playwright.sync_api import Browser
from test_watching_page import FAINT, OPEN, opening, written

pytestmark = pytest.mark.slow

WRITE = """
import contextlib
from pathlib import Path
import pytest, registry_cases
from life_cases import Life
with pytest.MonkeyPatch.context() as patch:
    registry_cases.calm(patch)
    life = Life(Path("life"))
    life.git("remote", "add", "origin", "https://github.com/o/r")
    life.do("site", str(Path("lived").absolute()))
    empty = registry_cases.Model(Path("empty"))
    empty.commit()
    empty.do("site", str(Path("fresh").absolute()))
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], browser: Browser) -> Path:
    """Write the sites of a model that has lived and of one that has not; nothing is trained for them."""
    return written(tmp_path_factory.mktemp("sites"), WRITE, environment)


@pytest.fixture
def visit(browser: Browser, sites: Path) -> Iterator[Any]:
    """Return what opens a site; nothing else may be asked for, and nothing complained of."""
    errors = list[str]()
    with opening(browser, sites, errors) as visit:
        yield lambda name, *how, **more: visit(f"{name}/index", *how, **more)
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("name", ["lived", "fresh"])
def test_every_screen_shows_it(visit: Any, name: str, width: int, scheme: str) -> None:
    """Nothing has to be scrolled sideways, every text stands out, axe-core finds nothing."""
    page = visit(name, width, scheme)
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT) == []
    assert barriers(page) == []


def test_barriers_are_seen(visit: Any) -> None:
    """A picture that says nothing to those who cannot see it, planted."""
    page = visit("fresh")
    page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    (found,) = barriers(page)
    assert found.startswith("image-alt")


def test_what_serves_is_seen_at_once(visit: Any) -> None:
    """On a phone it is on the first screen."""
    box = visit("lived", 375).get_by_role("heading", name="prod: v1.0.0").bounding_box()
    assert box and box["y"] + box["height"] < 800


def test_time_is_drawn(visit: Any) -> None:
    """Each version is a dot within the picture, in the order of time; what serves has a bar that ends on the right."""
    page = visit("lived")
    lane = page.locator("#time svg.lane").first.bounding_box()
    places = [dot.bounding_box() for dot in page.locator("#time .dot").all()]
    assert len(places) == 3 and [box["x"] for box in places] == sorted(box["x"] for box in places)
    assert all(lane["x"] - 5 <= box["x"] <= lane["x"] + lane["width"] for box in places)
    assert all(lane["y"] - 5 <= box["y"] <= lane["y"] + lane["height"] for box in places)
    serves = page.locator("#time .serves").first.bounding_box()
    assert serves["width"] > 0 and abs(serves["x"] + serves["width"] - lane["x"] - lane["width"]) < 5


def test_a_phone_breaks_no_day_and_cuts_no_name(visit: Any) -> None:
    """A day or an interval is on one line; the name of a version is within what served, or is not there."""
    page = visit("lived", 375)
    page.evaluate(OPEN)
    assert {box["height"] < 26 for box in map(_box, page.locator("time, td .soft").all())} == {True}
    bars, names = (page.locator(f"#time {kind}").all() for kind in (".lane rect[height='22']", ".name"))
    shown = [box for box in map(_box, names) if box["width"]]
    assert shown and all(any(_within(box, bar) for bar in map(_box, bars)) for box in shown)


def _box(found: Any) -> dict[str, float]:
    return found.bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}


def _within(box: dict[str, float], bar: dict[str, float]) -> bool:
    same = abs(box["y"] - bar["y"]) < bar["height"]
    return same and bar["x"] <= box["x"] and box["x"] + box["width"] <= bar["x"] + bar["width"]


def test_a_link_to_a_version_opens_it(visit: Any) -> None:
    """With the keyboard: the first stop skips to the page; a version that is folded is shown by a link to it."""
    page = visit("lived")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    table = page.get_by_role("region", name="Metrics of v1.1.0")
    assert not table.is_visible()
    page.get_by_role("table", name="Versions, the newest first").get_by_role("link", name="v1.1.0").focus()
    page.keyboard.press("Enter")
    table.wait_for(state="visible")


def test_it_prints(visit: Any, tmp_path: Path) -> None:
    """On paper it is dark on white, though the screen was dark, and nothing is cut off."""
    page = visit("lived", 718, scheme="dark")  # A4 at 96 pixels an inch, without margins of 1 cm
    page.evaluate(OPEN)
    page.emulate_media(media="print")
    assert (
        page.evaluate("[...document.querySelectorAll('.wide')].filter(it => it.scrollWidth > it.clientWidth).length")
        == 0
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(FAINT) == []
    page.pdf(path=tmp_path / "life.pdf", format="A4")
    assert (tmp_path / "life.pdf").read_bytes().startswith(b"%PDF")
