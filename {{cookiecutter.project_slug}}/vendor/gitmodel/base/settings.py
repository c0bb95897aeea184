"""Settings: every section of params.yaml and rules.yaml is read here, and what is wrong with one is named.

A section is a frozen dataclass. The types of its fields are checked by pydantic, without guessing; the description of a
type says what may be given, and ends the message.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from gitmodel.base.project import PARAMS, UserError, read_yaml

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
MOVED = {
    **dict.fromkeys(("gate", "monitor", "retrain", "registry"), "rules.yaml"),
    "package": "rules.yaml, section `model:`",
    "card": "card.md",
}

Share = Annotated[float, Field(gt=0, lt=1, description="a share between 0 and 1, such as 0.25")]
MaybeShare = Annotated[
    float | None, Field(ge=0, lt=1, description="a share from 0 on and below 1, such as 0.02, or null")
]
Confidence = Annotated[float, Field(gt=0.5, lt=1, description="a number between 0.5 and 1, such as 0.95")]
AboveZero = Annotated[float, Field(gt=0, description="a number above 0")]
FromZero = Annotated[float, Field(ge=0, description="a number from 0 on")]
Count = Annotated[int, Field(ge=1, description="a whole number from 1 on")]
Folds = Annotated[int, Field(ge=0, le=100, description="a number of parts such as 5, or 0 for no validation")]
FEWEST_FOLDS = 2  # to learn from some rows, and to see on others what it brings
Seed = Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 on")]
Switch = Annotated[bool, Field(description="true or false")]
Texts = Annotated[list[str], Field(min_length=1, description="a list of names, such as [linear, random_forest]")]
Text = Annotated[str, Field(min_length=1, description="a text in quotes")]
Mark = Annotated[str, Field(max_length=1, pattern=r"^[\x01-\x7f]*$", description="one letter in quotes, or none")]

Kind = TypeVar("Kind")


def read_params() -> dict[str, Any]:
    """Return params.yaml; UserError if it holds what belongs elsewhere."""
    content = read_yaml(PARAMS)
    for name in content:
        if name in MOVED:
            raise UserError(f"{PARAMS} has a section `{name}:`, which belongs in {MOVED[name]}: move it there")
    return content


def read_stage(kind: type[Kind], section: str) -> Kind:
    """Return one section of params.yaml."""
    return parse(kind, read_params(), section, str(PARAMS))


def parse(kind: type[Kind], content: Mapping[str, Any], section: str, where: str) -> Kind:
    """Return one section of a file's content; what has a default may be left out. UserError names what is wrong."""
    if content.get(section) is None and not any(_required(kind)):
        return kind()
    return build(kind, mapping(content, section, where), f"{section}.", where)


def mapping(content: Mapping[str, Any], section: str, where: str) -> dict[str, Any]:
    """Return the settings in a section that must be there."""
    found = content.get(section)
    if found is None:
        raise UserError(f"{where} has no section `{section}:`: restore it with Git")
    if not isinstance(found, dict):
        raise UserError(f"`{section}:` in {where} must hold `setting: value` lines")
    return found


def build(kind: type[Kind], content: Mapping[str, Any], prefix: str, where: str) -> Kind:
    """Return settings as a dataclass; UserError names key, value and remedy. `prefix` stands before each key."""
    names = [field.name for field in fields(kind) if field.init]  # type: ignore[arg-type]
    for name in content:
        if name not in names:
            raise UserError(f"{prefix}{name} in {where} is no setting: {meant(name, names)}")
    for name in _required(kind):
        if name not in content:
            raise UserError(f"{where} has no {prefix}{name}: add it, or restore it with Git")
    types = _types(kind)  # type: ignore[arg-type]
    return kind(**{name: _valid(types.get(name), value, f"{prefix}{name}", where) for name, value in content.items()})


def meant(name: object, known: Iterable[str]) -> str:
    """Return the name that may have been meant, or else all that are known, as the end of a message."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, 1)
    return f"did you mean `{close[0]}`?" if close else f"choose from {', '.join(names)}"


def flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a.b` -> value for every value of nested mappings."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, values


def _required(kind: type[Any]) -> Iterator[str]:
    return (each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING)


@cache
def _types(kind: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """Return the type of each field; a dataclass in one is built by itself."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: TypeAdapter(hint, config=STRICT) for name, hint in hints.items() if not is_dataclass(hint)}


def _valid(kind: TypeAdapter[Any] | None, value: Any, name: str, where: str) -> Any:
    """Return the value of a setting as its type has it."""
    if kind is None:
        return value
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        for part in error.errors()[0]["loc"]:
            if isinstance(part, str) and isinstance(value, dict):
                name, value = f"{name}.{part}", value[part]
        expected = kind.json_schema().get("description")
        raise UserError(f"{name} in {where} is {repr(value)[:60]}: give {expected}") from None
