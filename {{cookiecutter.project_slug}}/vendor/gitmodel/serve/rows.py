"""What a row of a request looks like: its model and its description from the schema, an example from the profile."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, cast

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from gitmodel.contract.schema import ID, Column, Schema

Row = dict[str, Any]
EXACT = 2**53  # whole numbers up to here are the same in float64
JSON_TYPES = {"boolean": "boolean", "number": "number", "integer": "integer"}  # the others are strings


def known(schema: Schema) -> dict[str, Column]:
    """Return the columns that a row may have: all but the target, and the id."""
    return {**({schema.id: ID} if schema.id else {}), **schema.unlabelled().columns}


def row_type(schema: Schema, loose: bool = False) -> Any:
    """Return the TypedDict of a row, which names every column as the table does.

    Types are strict: "3" is no number, nor is true. The loose one needs no column, and knows no ranges and values.
    """
    fields = {}
    for name, column in known(schema).items():
        kind, needed = _kind(column, loose), column.feature and not column.nullable
        described: Any = Annotated[kind if needed and not loose else kind | None, WithJsonSchema(describe(column))]
        fields[name] = described if needed and not loose else NotRequired[described]
    row: Any = cast(Any, TypedDict)("Row", fields)
    row.__pydantic_config__ = ConfigDict(extra="forbid")
    return row


def moment(text: str) -> np.datetime64:
    """Return a point in time, ISO 8601, as datetime64[us] in UTC; without an offset it is UTC already."""
    found = datetime.fromisoformat(text)
    offset = found.utcoffset() or timedelta(0)
    return cast(np.datetime64, np.datetime64(found.replace(tzinfo=None), "us") - np.timedelta64(offset, "us"))


def describe(column: Column) -> dict[str, Any]:
    """Return the JSON schema of a value."""
    kind = JSON_TYPES.get(column.type, "string")
    described: dict[str, Any] = {"type": [kind, "null"] if column.nullable or not column.feature else kind}
    if column.type == "datetime":
        described |= {"format": "date-time", "description": "ISO 8601; UTC where it names no offset"}
    if column.min is not None and math.isfinite(column.min):
        described["minimum"] = column.min
    if column.max is not None and math.isfinite(column.max):
        described["maximum"] = column.max
    if column.values is not None:
        described["enum"] = [*column.values, *([None] if isinstance(described["type"], list) else [])]
    return described


def request_schema(schema: Schema, profile: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a row, with an example.

    Where the schema answers rows that break a range or a value, and flags them, those are told but not demanded.
    """
    described: dict[str, Any] = TypeAdapter(row_type(schema)).json_schema()
    properties = {name: {**part, **_told(part, schema)} for name, part in described["properties"].items()}
    if schema.violations == "flag":
        for part in properties.values():
            for key in ("minimum", "maximum", "enum"):
                part.pop(key, None)
    return {**described, "properties": properties, "examples": [example(schema, profile)]}


def example(schema: Schema, profile: dict[str, Any]) -> Row:
    """Return a row that keeps the contract, made of the middle or the most frequent value of each column."""
    return {name: _example(schema.columns[name], profile["columns"][name]) for name in schema.features()}


def _kind(column: Column, loose: bool) -> Any:
    if column.values is not None and not loose:
        return Literal[column.values]
    if column.type in ("number", "integer"):
        return _number(column, loose)
    if column.type == "boolean":
        return Annotated[bool, Strict()]
    return Annotated[str, Strict(), AfterValidator(moment if column.type == "datetime" else _whole_text)]


def _number(column: Column, loose: bool) -> Any:
    if loose:
        return Annotated[float, Field(strict=True, allow_inf_nan=False)]
    if column.type == "number":
        return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=column.min, le=column.max)]
    low, high = (-EXACT if column.min is None else column.min), (EXACT if column.max is None else column.max)
    limits = Field(strict=True, ge=math.ceil(max(low, -EXACT)), le=math.floor(min(high, EXACT)))
    spelled_out = Annotated[int, BeforeValidator(_whole), limits]  # tried where it is no plain integer
    return Annotated[Annotated[int, limits] | spelled_out, Field(union_mode="left_to_right")]


def _whole_text(text: str) -> str:
    """Return a text; ValueError if it holds half of a surrogate pair, which JSON can spell and nothing can encode."""
    text.encode()
    return text


def _whole(value: object) -> object:
    """Return 3 for 3.0, which is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told(part: dict[str, Any], schema: Schema) -> dict[str, str]:
    """Return what is said of ranges and values where they are not demanded."""
    if schema.violations != "flag" or not {"minimum", "maximum", "enum"} & part.keys():
        return {}
    words = {"minimum": "from", "maximum": "to", "enum": "one of"}
    rules = ", ".join(f"{word} {part[key]}" for key, word in words.items() if key in part)
    return {
        "description": f"{part.get('description', '')} The contract: {rules}; others are answered and flagged".strip()
    }


def _example(column: Column, profile: dict[str, Any]) -> Any:
    if column.type in ("number", "integer"):
        middle = _median(profile)
        low, high = column.min, column.max
        middle = max(middle, low) if low is not None else middle
        middle = min(middle, high) if high is not None else middle
        return round(middle) if column.type == "integer" else middle
    if column.type == "datetime":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=math.floor(_median(profile["days"])))).strftime(
            "%Y-%m-%d"
        )
    if column.type == "text":
        return None if column.nullable else ""
    frequent = max(profile["counts"], key=profile["counts"].get, default=None)
    if column.type == "boolean":
        return frequent == "true" if frequent or not column.nullable else None
    return frequent if frequent is not None or column.nullable else (column.values or ("",))[0]


def _median(numbers: dict[str, Any]) -> float:
    """Return the upper edge of the bin that holds the middle value."""
    edges, counts = numbers["edges"], numbers["counts"]
    if not edges:
        return 0.0
    middle = int(np.searchsorted(np.cumsum(counts), sum(counts) / 2))
    return float(edges[min(middle, len(edges) - 1)])
