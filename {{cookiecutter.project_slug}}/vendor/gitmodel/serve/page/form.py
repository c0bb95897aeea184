"""The form in which a person fills one row: a field for each column, as its type asks for."""

from collections.abc import Iterable
from typing import Any

from gitmodel.contract.schema import Column, Schema
from gitmodel.serve.page.html import exactly, plain_number, text

MOST_OPTIONS = 60  # of a select; above it, a field that completes what is typed
FIELDS_WITHOUT_SEARCH = 24


def extent(column: Column) -> str:
    """Return the range of a column as people say it, or nothing."""
    low, high = (None if bound is None else _grouped(bound) for bound in (column.min, column.max))
    if low is None or high is None:
        return f"from {low}" if low is not None else f"up to {high}" if high is not None else ""
    return f"{low} to {high}"


def form(schema: Schema, profile: dict[str, Any], example: dict[str, Any]) -> str:
    """Return the form: a labelled field for each column that the model learns from, filled with the example."""
    names = schema.features()
    fields = "\n".join(
        field(f"f{position}", name, schema.columns[name], profile["columns"].get(name, {}), example.get(name))
        for position, name in enumerate(names)
    )
    search = '<input id="find" type="search" placeholder="Find a column" aria-label="Find a column">'
    return f"""<form class="card" id="try" novalidate autocomplete="off">
<div class="title"><h2>Try it</h2>{search if len(names) > FIELDS_WITHOUT_SEARCH else ""}</div>
<noscript><p class="notice">This form needs JavaScript. The <a href="docs">documentation</a> does not.</p></noscript>
<div class="fields">{fields}</div>
<div class="actions"><button class="main" id="predict">Predict</button>
<button type="reset">Reset to the example</button></div>
</form>"""


def field(key: str, name: str, column: Column, known: dict[str, Any], value: Any) -> str:
    """Return one labelled field; `known` is the column's part of the profile, `value` its example."""
    marks = f'id="{key}" data-column="{exactly(name)}" data-type="{column.type}"'
    marks += f' aria-describedby="{key}-hint {key}-problem"' + ("" if column.nullable else ' aria-required="true"')
    control = {
        "number": _number_field,
        "integer": _number_field,
        "boolean": _choice_field,
        "category": _choice_field,
        "datetime": _date_field,
        "text": _text_field,
    }[column.type](marks, column, known, value)
    return f"""<div><label for="{key}">{text(name)}</label>{control}
<span class="hint" id="{key}-hint">{text(_hint(column, known))}</span>
<span class="problem" id="{key}-problem"></span></div>"""


def _number_field(marks: str, column: Column, known: dict[str, Any], value: Any) -> str:
    bounds = "".join(
        f' {name}="{plain_number(bound)}"'
        for name, bound in (("min", column.min), ("max", column.max))
        if bound is not None
    )
    shown = "" if value is None else plain_number(value)
    step, mode = ("1", "numeric") if column.type == "integer" else ("any", "decimal")
    mode = "text" if column.min is None or column.min < 0 else mode  # keypads of phones may lack a minus
    return f'<input {marks} type="number" step="{step}" inputmode="{mode}"{bounds} value="{shown}">'


def _choice_field(marks: str, column: Column, known: dict[str, Any], value: Any) -> str:
    if column.type == "boolean":
        return _select(marks, ("true", "false"), column.nullable, None if value is None else str(value).lower())
    if column.values and len(column.values) <= MOST_OPTIONS:
        return _select(marks, column.values, column.nullable, value)
    key = marks.partition('"')[2].partition('"')[0]
    options = "".join(f'<option value="{exactly(option)}"></option>' for option in _suggested(column, known))
    shown = "" if value is None else exactly(value)
    box = f'<input {marks}{_empty(column)} type="text" list="{key}-values" value="{shown}">'
    return f'{box}<datalist id="{key}-values">{options}</datalist>'


def _select(marks: str, values: Iterable[str], nullable: bool, chosen: str | None) -> str:
    empty = '<option data-null value="">(empty)</option>' if nullable else ""
    options = (f'<option value="{exactly(v)}"{" selected" * (v == chosen)}>{text(v)}</option>' for v in values)
    return f"<select {marks}>{empty}{''.join(options)}</select>"


def _date_field(marks: str, column: Column, known: dict[str, Any], value: Any) -> str:
    days = all(edge == int(edge) for edge in known.get("days", {}).get("edges", []))
    shown = "" if value is None else str(value).replace(" ", "T")[: 10 if days else 19]
    shown += "T00:00:00" * (not days and len(shown) == 10)
    kind = 'type="date"' if days else 'type="datetime-local" step="1"'
    return f'<input {marks} {kind} value="{text(shown)}">'


def _text_field(marks: str, column: Column, known: dict[str, Any], value: Any) -> str:
    return f'<textarea {marks}{_empty(column)} rows="2">\n{"" if value is None else exactly(value)}</textarea>'


def _empty(column: Column) -> str:
    """Return the mark of a field that, left empty, means an empty text: it may not be missing, and any text will do."""
    return "" if column.nullable or column.values else ' data-empty="text"'


def _suggested(column: Column, known: dict[str, Any]) -> Iterable[str]:
    """Return the values that a field completes: the allowed ones, else the frequent ones unless they name people."""
    return column.values or (() if column.personal else sorted(known.get("counts", {})))


def _hint(column: Column, known: dict[str, Any]) -> str:
    kinds = {"integer": "whole number", "number": "number", "boolean": "true or false", "text": "text"}
    what = ", ".join(filter(None, [kinds.get(column.type, ""), extent(column)]))
    if column.type == "category" and not (column.values and len(column.values) <= MOST_OPTIONS):
        what = f"one of {len(column.values):,} values" if column.values else "any value"
    return ", ".join(filter(None, [what, "may be empty" if column.nullable else ""]))


def _grouped(value: float) -> str:
    return f"{int(value):,}" if plain_number(value).lstrip("-").isdigit() else plain_number(value)
