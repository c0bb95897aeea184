"""The page and the documentation: a field for each type, every text inert, nothing from elsewhere, hashes that fit."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.bundle import PROFILE, Bundle
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics.decision import Decision
from gitmodel.metrics.interval import Interval
from gitmodel.serve import page
from gitmodel.serve.page.form import FIELDS_WITHOUT_SEARCH, MOST_OPTIONS, field, form
from gitmodel.serve.page.html import document, plain_number
from gitmodel.serve.page.reference import named, sample
from gitmodel.serve.rows import example

EVIL = "</script><img src=x onerror=alert(1)>"
HARD = [EVIL, "a & b", "\"q\" 'p'", "&lt;b&gt;", "\u2028", "line\nline\r\nline", "__proto__", "größe 🐟", "` $x"]
MANY = tuple(f"value {position}" for position in range(1_000))
OPENAPI = {
    "info": {"title": f"model {EVIL}", "version": "1"},
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Row": {
                "type": "object",
                "required": [EVIL],
                "examples": [{EVIL: "it's", "age": 5}],
                "properties": {
                    EVIL: {"type": "string", "enum": [EVIL, *MANY], "description": EVIL},
                    "age": {"type": ["integer", "null"], "minimum": 0, "maximum": 1_000_000},
                },
            },
            "Rows": {
                "type": "object",
                "properties": {"rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
            },
        },
    },
    "security": [{"token": []}],
    "paths": {
        "/predict": {
            "post": {
                "summary": EVIL,
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rows"}}}},
                "responses": {"200": {"description": EVIL, "content": {"application/json": {"example": {"a": EVIL}}}}},
            }
        },
        "/live": {"get": {"security": [], "parameters": [{"name": EVIL, "in": "query"}], "responses": {}}},
    },
}


class Elements(HTMLParser):
    """The elements of a document as a browser's parser sees them: (tag, attributes), and the text in each tag."""

    def __init__(self, html):
        """Parse."""
        super().__init__()
        self.found, self.texts, self.open = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.open = tag
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Note a text."""
        self.texts.append((self.open, data))

    def all(self, *tags):
        """Return the attributes of each element of these kinds."""
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def served(workspace):
    """Return this project's bundle."""
    return Bundle.load(workspace / BUNDLE)


@pytest.fixture(scope="module")
def profile(workspace):
    """Return what the bundle knows of each column."""
    return json.loads((workspace / BUNDLE / PROFILE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(served, profile):
    """Return the page of this project's bundle."""
    card = "---\na: b\n---\n# Card &#95;of&#95; <b>it</b>"
    return page.home(served, "v1.2.0", "sha256:1234", profile, example(served.schema, profile), card)


def one_field(column, known=None, value=None, name="name"):
    """Return the elements of one field, and the control among them."""
    elements = Elements(field("f0", name, column, known or {}, value))
    return elements, elements.all("input", "select", "textarea")[0]


def test_every_feature_has_a_field(made, contract):
    """A labelled field for each column that is learned from, in the order of the schema, and none for the target."""
    elements = Elements(made)
    controls = [control for control in elements.all("input", "select", "textarea") if "data-column" in control]
    assert contract.features() == [control["data-column"] for control in controls]
    assert [control["id"] for control in controls] == [label["for"] for label in elements.all("label")]
    described = {control["id"] for _, control in elements.found if "id" in control}
    assert all(set(control["aria-describedby"].split()) <= described for control in controls)


def test_the_page_says_what_it_serves(made, served):
    """Version, digest, the metrics of the model beside those of both baselines, and the card."""
    texts = [text for _, text in Elements(made).texts]
    assert {"v1.2.0", "sha256:1234", "model", "trivial", "linear", "# Card _of_ <b>it</b>"} <= set(texts)
    assert len(re.findall("<td>", made)) == 3 * len(served.manifest["metrics"]["test"])


def test_what_predictions_are_drawn_against_is_there(made, served):
    """The shares of the classes, or the range of the predictions."""
    (drawing,) = [attributes for attributes in Elements(made).all("div") if attributes.get("id") == "drawing"]
    if served.classes:
        shares = json.loads(drawing["data-shares"])
        assert set(shares) <= set(served.classes) and 0 < sum(shares.values()) < 1.0001
    else:
        known = json.loads(drawing["data-range"])
        assert known["min"] <= known["edges"][0] <= known["edges"][-1] <= known["max"]


def test_a_number_has_its_range():
    """Whole numbers step by one, others do not; bounds are those of the schema."""
    _, whole = one_field(Column("integer", min=0, max=1_000_000), value=5)
    assert tuple(whole[k] for k in ("type", "step", "min", "max", "value")) == ("number", "1", "0", "1000000", "5")
    _, other = one_field(Column("number", min=-0.5), value=0.25)
    assert tuple(other[k] for k in ("type", "step", "min", "value")) == ("number", "any", "-0.5", "0.25")
    assert "max" not in other


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (5.0, "5"), (-0.25, "-0.25"), (1e6, "1000000"), (1e300, "1e+300")]
)
def test_a_number_has_no_needless_digits(value, text):
    """As a person would write it."""
    assert text == plain_number(value)


def test_values_are_options_and_empty_is_one_where_allowed():
    """A select holds each value, the example chosen; the empty choice is marked, so that "" can be a value too."""
    elements, control = one_field(Column("category", nullable=True, values=("", *HARD)), value=HARD[0])
    options = elements.all("option")
    assert ["", "", *HARD] == [option["value"] for option in options]
    assert ["data-null" in option for option in options] == [True, *[False] * (len(HARD) + 1)]
    assert [HARD[0]] == [option["value"] for option in options if "selected" in option]
    assert "aria-required" not in control
    assert "data-null" not in field("f0", "x", Column("category", values=("a",)), {}, None)


def test_a_boolean_is_a_select():
    """True, false, and empty where the schema allows it."""
    elements, _ = one_field(Column("boolean", nullable=True), value=False)
    assert [(option["value"], "selected" in option) for option in elements.all("option")] == [
        ("", False),
        ("true", False),
        ("false", True),
    ]


@pytest.mark.parametrize("count", [MOST_OPTIONS, MOST_OPTIONS + 1, 1_000])
def test_many_values_are_completed_as_one_types(count):
    """A select of a thousand options is no help."""
    elements, control = one_field(Column("category", values=MANY[:count]), value="value 3")
    assert (count > MOST_OPTIONS) == ("list" in control)
    assert count == len(elements.all("option"))
    if "list" in control:
        assert [{"id": control["list"]}] == elements.all("datalist")


def test_known_values_are_offered_unless_they_name_people():
    """Where the schema names no values, the frequent ones of the profile are offered."""
    known = {"counts": {"b": 20, "a": 10}}
    offered, _ = one_field(Column("category"), known)
    personal, _ = one_field(Column("category", personal=True), known)
    assert tuple([option["value"] for option in e.all("option")] for e in (offered, personal)) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("edges", "kind", "value"), [([1.0], "date", "2020-05-01"), ([1.5], "datetime-local", "2020-05-01T00:00:00")]
)
def test_days_are_dates_and_others_have_a_time(edges, kind, value):
    """The profile tells whether the times of day matter."""
    _, control = one_field(Column("datetime"), {"days": {"edges": edges}}, "2020-05-01")
    assert (kind, value) == (control["type"], control["value"])


def test_text_keeps_its_lines():
    """A text may be long, begin with a line end, and be empty where it may not be missing."""
    assert one_field(Column("text"))[1]["data-empty"] == "text"
    assert ">\n&#10;a &lt;b&gt;</textarea>" in field(
        "f0", "name", Column("text"), {}, "\na <b>"
    )  # HTML drops the first
    assert "data-empty" not in one_field(Column("text", nullable=True))[1]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("category"), True),
        (Column("category", nullable=True), False),
        (Column("category", values=MANY), False),
        (Column("number"), False),
    ],
)
def test_left_empty_it_is_an_empty_text_where_any_text_will_do(column, expected):
    """Elsewhere it is missing: so the example of a category whose values are all rare can be sent as it is."""
    assert expected == ("data-empty" in one_field(column)[1])


@pytest.mark.parametrize(
    "column", [Column("text"), Column("integer"), Column("boolean"), Column("category", values=(EVIL,))]
)
@pytest.mark.parametrize("name", HARD)
def test_any_name_is_a_text(column, name):
    """What a column is called is its label and nothing else."""
    elements, control = one_field(column, name=name)
    assert name == control["data-column"]
    assert {"img", "script", "b"}.isdisjoint(tag for tag, _ in elements.found)


def test_any_bundle_is_inert(served):
    """Names, classes, version, digest and card that are HTML stay text, on the whole page."""
    columns = {EVIL: Column("category", values=(EVIL, "b")), "goal": Column("category", values=tuple(HARD))}
    known = {"rows": 10, "missing": 0, "counts": dict.fromkeys(HARD, 1), "other": {}}
    metrics = {"test": {EVIL: 1.0}, "baseline": {EVIL: {EVIL: 1.0}}}
    bundle = SimpleNamespace(
        schema=Schema("t", "goal", "multiclass", columns),
        manifest={**served.manifest, "name": EVIL, "metrics": metrics},
        decision=Decision(threshold=0.5),
        interval=Interval(0.9, 0.2, 100, 100.0),
    )
    profile = {"columns": {EVIL: known, "goal": known}}
    elements = Elements(page.home(bundle, EVIL, EVIL, profile, {EVIL: EVIL}, EVIL))
    assert elements.all("img") == []
    assert len(elements.all("script")) == 1
    (drawing,) = [attributes for attributes in elements.all("div") if attributes.get("id") == "drawing"]
    assert set(HARD) == set(json.loads(drawing["data-shares"]))


def test_two_hundred_columns_can_be_searched():
    """A wide table has a field that finds columns; a narrow one is spared it."""
    wide = replace(Schema("t", "x0", "regression", {}), columns={f"x{i}": Column("number") for i in range(200)})
    narrow = replace(wide, columns={f"x{i}": Column("number") for i in range(FIELDS_WITHOUT_SEARCH)})
    assert tuple('id="find"' in form(schema, {"columns": {}}, {}) for schema in (wide, narrow)) == (True, False)


@pytest.mark.parametrize("make", [page.sign_in, lambda: document("x", "y"), lambda: page.documentation(OPENAPI)])
def test_the_policy_lets_just_these_run(make):
    """The hashes in the header are those of the script and the style; nothing else could run."""
    html = make()
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        for content in re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL):
            digest = b64encode(sha256(content.encode()).digest()).decode()
            assert f"{directive} 'sha256-{digest}'" in page.CSP.split("; ")
    assert "default-src 'none'" in page.CSP and "unsafe" not in page.CSP
    elements = Elements(html)
    assert not [
        (tag, name)
        for tag, attributes in elements.found
        for name in attributes
        if name.startswith("on") or name == "style"
    ]


def test_nothing_comes_from_elsewhere(made):
    """No address of another origin, in page, style, script or documentation."""
    for html in (made, page.sign_in(), page.documentation(OPENAPI)):
        elements = Elements(html)
        addresses = [
            a[name] for _, a in elements.found for name in ("src", "href", "action", "srcset", "data") if name in a
        ]
        assert all(re.fullmatch(r"data:.*|#.*|(?!//)[\w./]+", address) for address in addresses)
        style_and_script = "".join(text for tag, text in elements.texts if tag in ("style", "script"))
        assert not re.search(r"https?:|//[a-z]|@import|url\(", style_and_script.replace("// ", ""))


def test_documentation_needs_no_script_and_is_inert():
    """Texts of the description are texts, whatever they hold."""
    elements = Elements(page.documentation(OPENAPI))
    assert elements.all("script", "img") == []
    anchors = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    assert {a["href"][1:] for a in elements.all("a") if a["href"].startswith("#")} <= anchors


def test_documentation_tells_columns():
    """Type, range, number of values, nullable and example of each column."""
    elements = Elements(page.documentation(OPENAPI))
    texts = [text for _, text in elements.texts]
    assert {"integer", "0 to 1000000", "1,001 values", "5", EVIL} <= set(texts)


def test_commands_are_taken_by_a_shell():
    """Quotes in an example do not end the quotes of the command; the token is sent where it is asked for."""
    shown = [text for tag, text in Elements(page.documentation(OPENAPI)).texts if tag == "pre"]
    (predict,) = [text for text in shown if "/predict" in text]
    assert "it'\\''s" in predict and "Authorization: Bearer $TOKEN" in predict
    (live,) = [text for text in shown if "/live" in text]
    assert "Authorization" not in live


def test_objects_without_a_name_are_told_once():
    """What stands in the description of a route gets a table of its own, by its title; equal ones share it."""
    row = {"type": "object", "title": "Row", "properties": {"age": {"type": "integer"}}}
    rows = {"type": "object", "properties": {"rows": {"type": "array", "items": row}}}
    media = {"content": {"application/json": {"schema": rows}}}
    paths = {f"/{name}": {"post": {"requestBody": media, "responses": {"200": media}}} for name in "ab"}
    found = named({"info": {}, "paths": paths})
    assert list(found["components"]["schemas"]) == [
        "Row",
        "Request of /a",
        "Answer of /a",
        "Request of /b",
        "Answer of /b",
    ]
    assert sample(found, {"$ref": "#/components/schemas/Answer of ~1a"}) == {"rows": [{"age": 0}]}


def test_an_example_is_made_where_there_is_none():
    """From the types, through references and choices; a schema that holds itself comes to an end."""
    loop = {
        "components": {"schemas": {"a": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/a"}}}}}
    }
    assert sample(loop, {"$ref": "#/components/schemas/a"})["b"]
    kinds = {"x": {"type": "integer"}, "y": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}
    assert sample({}, {"type": "object", "properties": kinds}) == {"x": 0, "y": True}
