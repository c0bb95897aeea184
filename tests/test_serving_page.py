"""A person tries a model in a browser: fills the form, reads the prediction; two tables that are hard to show.

Needs Chromium or Chrome on PATH, and is skipped without.
"""

import contextlib
import csv
import json
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, BakedProject, bake_into, barriers, plain_environment, quicken
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

pytestmark = pytest.mark.slow

EVIL = "</script><img src=x onerror=alert(1)>"
PREDICT = """
import json, sys
import numpy as np
from gitmodel.bundle.bundle import Bundle
bundle, row = Bundle.load(), json.load(sys.stdin)
def typed(value, kind):
    if kind in ("category", "text"):
        return np.array([value], dtype=object)
    if kind == "datetime":
        return np.array([value or "NaT"], dtype="datetime64[us]")
    return np.array([np.nan if value is None else float(value)])
columns = {name: typed(row[name], bundle.schema.columns[name].type) for name in bundle.schema.features()}
(found,) = bundle.predict(columns)
print(json.dumps(dict(zip(bundle.classes, map(float, found))) if bundle.classes else float(found)))
"""


def make_table(path: Path, task: str) -> None:
    """Write a table of 220 columns whose names, values and classes mean something to HTML, JavaScript or JSON."""
    draw = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = [make_row(draw, position, task) for position in range(600)]
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def make_row(draw: random.Random, position: int, task: str) -> dict[str, object]:
    """Return one row; the target depends on two of its columns."""
    number, answer = round(draw.gauss(0, 1), 3), draw.choice(["yes", "no"])
    row: dict[str, object] = {
        EVIL: draw.choice(["<b>x</b>", "a & b", 'it\'s "q"']),
        "__proto__": number,
        "elements": draw.randint(-5, 50),
        "größe 🐟": answer if position % 7 else "",
        "day": f"20{draw.randint(10, 20)}-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}",
        "moment": f"2020-03-0{draw.randint(1, 9)}T{draw.randint(10, 20)}:1{draw.randint(0, 9)}:00",
        "note": " ".join(draw.choices("big small red green blue 'old' new fast slow <i>kind</i>".split(), k=9)),
        "city": f"city {position % 100}",
        "`a`: b": draw.randint(0, 9),
        **{f"x{column}": round(draw.gauss(column, 1), 2) for column in range(210)},
    }
    score = number + (answer == "yes") + draw.gauss(0, 0.3)
    classes = "<u>high</u>" if score > 1 else "__proto__" if score > 0 else "constructor"
    return {**row, "goal": round(1000 * score, 1) if task == "number" else classes}


@dataclass
class Served:
    """A project whose model is served at `url`, and the row that is filled in at first."""

    project: BakedProject
    environment: dict[str, str]
    task: str = ""
    url: str = ""

    def predict(self, row: dict[str, Any]) -> Any:
        """Return what the bundle says without any service: probabilities by class, or a number."""
        command = ["python", "-c", PREDICT]
        environment = plain_environment(**self.environment)
        return json.loads(
            subprocess.run(
                command,
                cwd=self.project.path,
                env=environment,
                input=json.dumps(row),
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )

    @contextlib.contextmanager
    def serving(self, **changes: str) -> Iterator[str]:
        """Serve the bundle while the block runs, and give its address."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = ["python", "-m", "gitmodel.cli", "serve", "--port", str(port)]
        environment = plain_environment(**self.environment, **changes)
        process = subprocess.Popen(command, cwd=self.project.path, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/v2/health/live", process)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the service answers; fail if it ends or takes a minute."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        assert process.poll() is None, "the service ended"
        time.sleep(0.2)
    pytest.fail("the service does not answer")


@pytest.fixture(scope="module", params=["classes", "number"])
def served(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    browser: Browser,  # first: nothing is trained where there is none
) -> Iterator[Served]:
    """Train on a hard table, serve the bundle without a token."""
    folder = tmp_path_factory.mktemp(request.param)
    table = folder / "table.csv"
    make_table(table, request.param)
    project = bake_into(folder, project_name="Odd", data_path=str(table), target_column="goal")
    settings = {**environment, "PYTHONPATH": f"{project.path}/src:{project.path}/vendor"}
    quicken(project, {**QUICK, "importance_rows: 2000": "importance_rows: 50"})
    adopt = ["python", "-m", "gitmodel.cli", "adopt", str(table), "--target", "goal"]
    project.run(adopt, **settings)
    project.run("git init --quiet", **settings)
    project.run("dvc repro --quiet", **settings)
    found = Served(project, settings, request.param)
    with found.serving() as found.url:
        yield found


@dataclass
class Visit:
    """What a page did while it was open."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch the page."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        self.errors += [message.text] if message.type == "error" else []

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        self.sent += [json.loads(request.post_data)] if request.post_data else []

    @property
    def row(self) -> dict[str, Any]:
        """The row that was sent last."""
        (row,) = self.sent[-1]["rows"]
        return dict(row)

    def box(self, column: str) -> Any:
        """Return the field of a column, found by its label as a screen reader finds it."""
        return self.page.get_by_label(column, exact=True)

    def predict(self) -> None:
        """Press the button and wait for the answer."""
        with self.page.expect_response("**/predict"):
            self.page.get_by_role("button", name="Predict").click()
        self.page.wait_for_selector("#predict:not([aria-busy])")


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    """Open the page of the served model."""
    page = browser.new_page()
    visit = Visit(page)
    page.goto(served.url)
    yield visit
    page.close()


def shown(page: Page) -> Any:
    """Return the prediction as the page draws it: probabilities by class, or the number."""
    bars = page.locator("#drawing .bars li").all()
    if not bars:
        return float(page.locator("#verdict data").get_attribute("value") or "nan")
    return {bar.locator("span").inner_text(): float(bar.locator("data").get_attribute("value") or "") for bar in bars}


def test_a_person_reads_the_prediction_of_the_bundle(visit: Visit, served: Served) -> None:
    """What is filled in is what is sent, and what is drawn is what the bundle predicts; nothing goes elsewhere."""
    visit.box(EVIL).select_option("a & b")
    visit.box("__proto__").fill("1.25")
    visit.box("elements").fill("-3")
    visit.box("größe 🐟").select_option(label="(empty)")
    visit.box("day").fill("2015-06-07")
    visit.box("moment").fill("2020-03-04T15:16:17")
    visit.box("note").fill("fast <i>kind</i>\nslow")
    visit.box("city").fill("city 7")
    visit.predict()
    typed = {EVIL: "a & b", "__proto__": 1.25, "elements": -3, "größe 🐟": None, "city": "city 7"}
    typed |= {"day": "2015-06-07", "moment": "2020-03-04T15:16:17", "note": "fast <i>kind</i>\nslow"}
    assert {name: visit.row[name] for name in typed} == typed
    assert len(visit.row) == 219
    assert shown(visit.page) == pytest.approx(served.predict(visit.row), rel=1e-6)
    assert visit.page.locator("img, script:not(head script)").count() == 0
    assert visit.errors == []
    assert all(url.startswith(served.url) for url in visit.requests if not url.startswith("data:"))


def test_what_moved_the_prediction_is_drawn(visit: Visit) -> None:
    """The largest contributions of the answer, with their signs; names of columns are texts."""
    visit.predict()
    answer = json.loads(visit.page.locator("#exchange pre + pre").text_content() or "")
    parts = answer["predictions"][0]["explanation"]["contributions"]
    drawn = visit.page.locator("#reasons .bars li").all()
    found = [(bar.locator("span").inner_text(), bar.locator("data").get_attribute("value")) for bar in drawn]
    largest = sorted((name for name in parts if parts[name]), key=lambda name: -abs(parts[name]))[:10]
    assert largest and [name for name, _ in found] == largest
    assert [float(value or "nan") for _, value in found] == [parts[name] for name in largest]
    lowered = [name for bar, (name, _) in zip(drawn, found, strict=True) if bar.locator(".down").count()]
    assert lowered == [name for name in largest if parts[name] < 0]
    assert visit.errors == []


def test_the_example_is_predicted_with_the_keyboard_alone(visit: Visit, served: Served) -> None:
    """Enter in a field is enough; what was said is announced."""
    visit.box("elements").focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#verdict strong")
    assert shown(visit.page) == pytest.approx(served.predict(visit.row), rel=1e-6)
    assert visit.page.get_by_role("status").inner_text()
    assert visit.errors == []


def test_what_breaks_the_contract_is_told_at_its_field(visit: Visit) -> None:
    """The rule stands under the field, which has the focus; mended, it is gone."""
    visit.box("`a`: b").fill("1000000")
    visit.predict()
    box = visit.box("`a`: b")
    assert box.get_attribute("aria-invalid") == "true"
    assert "max" in visit.page.locator(f"#{box.get_attribute('id')}-problem").inner_text()
    assert box.evaluate("box => box === document.activeElement")
    assert "One value" in visit.page.get_by_role("status").inner_text()
    box.fill("5")
    visit.predict()
    assert box.get_attribute("aria-invalid") == "false"
    assert visit.page.locator("#verdict.bad").count() == 0


def test_a_number_of_no_meaning_is_not_sent(visit: Visit) -> None:
    """Half a number is told before it is sent: the browser would send nothing in its place."""
    visit.box("x1").fill("")
    visit.page.keyboard.type("-")
    visit.page.keyboard.press("Enter")
    assert visit.box("x1").get_attribute("aria-invalid") == "true"
    assert visit.sent == []


def test_a_column_of_many_is_found(visit: Visit) -> None:
    """The search leaves the fields whose names hold what is typed."""
    visit.page.get_by_label("Find a column").fill("X20")
    assert visit.page.locator(".fields > div:visible").count() == 11  # x20, x200 to x209
    visit.predict()
    assert len(visit.row) == 219


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "light"), (1280, "dark"), pytest.param(360, "dark", marks=pytest.mark.long)]
)
def test_no_screen_is_too_small(browser: Browser, served: Served, width: int, scheme: Any) -> None:
    """Nothing has to be scrolled sideways, axe-core finds nothing; the prediction comes into view."""
    page = browser.new_page(viewport={"width": width, "height": 640}, color_scheme=scheme)
    for path in ("", "docs"):
        page.goto(served.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert barriers(page) == []
    page.goto(served.url)
    visit = Visit(page)
    visit.predict()
    page.wait_for_timeout(300)
    top = page.locator("#verdict").bounding_box()
    assert top and 0 <= top["y"] < 640
    assert barriers(page) == []
    page.close()


def test_the_policy_stops_what_is_injected(visit: Visit) -> None:
    """Were some text to become HTML after all, its script would not run."""
    visit.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.ran = 1\">')"
    )
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in visit.errors)


def test_documentation_is_read_without_javascript(browser: Browser, served: Served) -> None:
    """The person's own columns stand there, as text."""
    context = browser.new_context(java_script_enabled=False)
    visit = Visit(context.new_page())
    visit.page.goto(served.url + "docs")
    texts = visit.page.inner_text("main")
    assert {EVIL, "größe 🐟", "x209", "curl", "/predict"} <= {
        word for word in (EVIL, "größe 🐟", "x209", "curl", "/predict") if word in texts
    }
    assert visit.page.locator("img, script").count() == 0
    assert visit.errors == []
    assert all(url.startswith(served.url) for url in visit.requests if not url.startswith("data:"))
    context.close()


def test_a_token_is_asked_for_and_kept_in_memory_only(browser: Browser, served: Served) -> None:
    """A wrong token is told; with the right one page, prediction and links work, and nothing is stored."""
    if served.task != "classes":
        pytest.skip("the same for every table")
    with served.serving(MODEL_TOKENS="wrong-one right-one") as url:
        context = browser.new_context()
        page = context.new_page()
        assert (response := page.goto(url)) and response.status == 401
        assert page.locator("#try").count() == 0
        page.get_by_label("Token").fill("other")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("This token is not accepted.").wait_for()
        page.get_by_label("Token").fill("right-one")
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector("#try")
        visit = Visit(page)
        visit.predict()
        assert shown(page) == pytest.approx(served.predict(visit.row), rel=1e-6)
        page.get_by_role("link", name="Documentation").click()
        page.get_by_role("heading", name="Routes").wait_for()
        page.go_back()
        page.wait_for_selector("#try")
        assert visit.errors == []
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert context.cookies() == []
        assert not any("right-one" in address for address in visit.requests)
        page.reload()
        page.wait_for_selector("#sign-in")
        context.close()
