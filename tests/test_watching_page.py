"""A person reads what watching found in a browser: on a phone, in the dark, with a keyboard, on paper.

Needs Chromium or Chrome on PATH, and is skipped without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import LIBRARY, ROOT, barriers, run
from playwright.sync_api import Browser, ConsoleMessage, Page

pytestmark = pytest.mark.slow

WRITE = """
from pathlib import Path
from monitor_cases import CASES
from gitmodel.monitor import page
for name, make in CASES.items():
    Path(name.replace(", ", "-") + ".html").write_text(page.html(make()), encoding="utf-8", newline="\\n")
"""
FAINT = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (channel) => channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  const bright = ([r, g, b]) => 0.2126 * light(r / 255) + 0.7152 * light(g / 255) + 0.0722 * light(b / 255);
  const behind = (node) => {
    const color = parts(getComputedStyle(node).backgroundColor);
    return color.length === 3 || color[3] === 1 ? color : behind(node.parentElement);
  };
  const found = [];
  for (const node of document.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || node.closest("svg") || !node.getClientRects().length) continue;
    const both = [bright(parts(getComputedStyle(node).color)), bright(behind(node))].sort((a, b) => b - a);
    const contrast = (both[0] + 0.05) / (both[1] + 0.05);
    if (contrast < 4.5) found.push(`${node.tagName} ${node.className} ${contrast.toFixed(2)}`);
  }
  return [...new Set(found)];
}"""
OPEN = "() => document.querySelectorAll('details').forEach((details) => { details.open = true; })"
LOOKS = ["alert-binary", "quiet", "hostile", "stopped"]


def written(folder: Path, script: str, environment: dict[str, str]) -> Path:
    """Run a script in a folder that writes pages into it, with the cases of the library's tests; return the folder."""
    paths = f"{LIBRARY}:{ROOT / 'tests/gitmodel'}"
    run(["python", "-c", script], folder, **{**environment, "PYTHONPATH": paths})
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], browser: Browser) -> Path:
    """Write the pages of made-up results; nothing is trained for them."""
    return written(tmp_path_factory.mktemp("watched"), WRITE, environment)


@pytest.fixture
def errors() -> list[str]:
    """Return what browsers complain of in a test."""
    return []


@contextmanager
def opening(browser: Browser, folder: Path, errors: list[str]) -> Iterator[Any]:
    """Give a function that opens a page of a folder, without JavaScript of its own, and notes what it asks for."""
    contexts = []

    def visit(name: str, width: int = 1280, scheme: Any = "light") -> Page:
        size: Any = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()

        def complain(message: ConsoleMessage) -> None:
            errors.append(message.text)

        page.on("console", complain)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        address = (folder / f"{name}.html").as_uri()
        page.on(
            "request", lambda request: errors.append(request.url) if request.url not in (address, "data:,") else None
        )
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def visit(browser: Browser, pages: Path, errors: list[str]) -> Iterator[Any]:
    """Return what opens a page of made-up results."""
    with opening(browser, pages, errors) as visit:
        yield visit


OTHERS = [pytest.param(*screen, marks=pytest.mark.long) for screen in ((360, "dark"), (1280, "light"))]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), *OTHERS])
@pytest.mark.parametrize("name", LOOKS)
def test_every_screen_shows_it(visit: Any, errors: list[str], name: str, width: int, scheme: str) -> None:
    """Nothing has to be scrolled sideways, every text stands out, axe-core finds nothing, nothing is loaded."""
    page = visit(name, width, scheme)
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT) == []
    assert barriers(page) == []
    assert errors == []


def test_what_changed_is_seen_at_once(visit: Any) -> None:
    """On a phone verdict and first change are within two screens; each picture has a size."""
    page = visit("alert-binary", 360)
    top = page.locator(".change").first.bounding_box()
    assert top and top["y"] < 1600
    boxes = [svg.bounding_box() for svg in page.locator("#changed > .cards svg").all()]
    assert all(box and box["width"] > 40 and box["height"] > 10 for box in boxes)
    assert len(boxes) > 20


def test_what_is_now_is_seen_on_a_phone(visit: Any) -> None:
    """Metrics and gaps between groups show it without being scrolled sideways."""
    page = visit("alert-binary", 360)
    heads = page.locator("#quality th, #bias th").get_by_text("now", exact=True).all()
    boxes = [head.bounding_box() for head in heads]
    assert len(boxes) == 3 and all(box and box["x"] + box["width"] <= 340 for box in boxes)


def test_a_keyboard_is_enough(visit: Any) -> None:
    """The first stop skips to the report, links lead to the parts, what is folded opens."""
    page = visit("alert-binary")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.get_by_role("link", name="Quality").focus()
    page.keyboard.press("Enter")
    assert abs(page.evaluate("document.querySelector('#quality').getBoundingClientRect().top")) < 100
    page.locator("#all summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("table", name="comparisons").is_visible()


def test_it_prints(visit: Any) -> None:
    """On paper it is dark on white, though the screen was dark."""
    page = visit("alert-binary", scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(FAINT) == []
