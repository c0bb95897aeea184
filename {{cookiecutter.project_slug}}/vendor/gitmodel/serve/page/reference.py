"""`/docs`: the documentation of the service, made from its OpenAPI description. Plain HTML, no script."""

import itertools
from collections.abc import Container, Iterator
from typing import Any
from urllib.parse import quote

from gitmodel.base.outlet import json_text
from gitmodel.serve.page.html import block, document, plain_number, text

Part = dict[str, Any]
VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
VALUES_SHOWN = 8
BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "below",
    "minLength": "at least this long:",
    "maxLength": "at most this long:",
    "minItems": "at least this many:",
    "maxItems": "at most this many:",
}
LINE = 100
DEEPEST = 6  # a description may refer to itself


def documentation(openapi: Part) -> str:
    """Return the documentation of an OpenAPI description: routes with requests and answers, then what these hold."""
    openapi = named(openapi)
    info, schemas = openapi["info"], openapi["components"]["schemas"]
    routes = list(_routes(openapi))
    contents = "".join(
        f'<li><a href="#{_anchor(verb, path)}"><code>{verb.upper()} {text(path)}</code></a></li>'
        for verb, path, _ in routes
    )
    body = f"""<header><div><h1>{text(info["title"])}: documentation</h1>
<p class="lead">Version {text(info["version"])}. {text(info.get("summary", ""))}</p></div>
<nav aria-label="More"><a href="./">Try the model</a>
<a href="openapi.json">OpenAPI description</a></nav></header>
<main>{_paragraphs(info.get("description"))}
<section class="card"><h2>Before you try the commands</h2><pre tabindex="0">{block(_settings(openapi))}</pre></section>
<section class="card"><h2>Routes</h2><ul class="routes">{contents}</ul></section>
{"".join(_route(openapi, *route) for route in routes)}
{"".join(_table(name, schema) for name, schema in schemas.items())}</main>"""
    return document(f"{info['title']}: documentation", body, script=False)


def named(openapi: Part) -> Part:
    """Return the description with every object in `components`, and references to it in the places where it stood."""
    components = openapi.get("components", {})
    found = dict(components.get("schemas", {}))
    paths = {
        path: {verb: _named_operation(path, item[verb], found) for verb in VERBS if verb in item}
        for path, item in openapi["paths"].items()
    }
    return {**openapi, "paths": paths, "components": {**components, "schemas": found}}


def _named_operation(path: str, operation: Part, found: dict[str, Part]) -> Part:
    request = {
        key: _named_body(operation[key], f"Request of {path}", found) for key in operation if key == "requestBody"
    }
    answers = {
        status: _named_body(part, f"Answer of {path}", found) for status, part in operation.get("responses", {}).items()
    }
    return {**operation, **request, "responses": answers}


def _named_body(body: Part, name: str, found: dict[str, Part]) -> Part:
    media = {
        kind: {**part, **({"schema": _named_schema(part["schema"], name, found)} if "schema" in part else {})}
        for kind, part in body.get("content", {}).items()
    }
    return {**body, "content": media} if media else body


def _named_schema(schema: Part, name: str, found: dict[str, Part]) -> Part:
    """Return a reference to an object, kept in `found` under its title; of other schemas the same for their parts."""
    schema = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _named_schema(schema[key], name, found)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            schema[key] = [_named_schema(part, name, found) for part in schema[key]]
    if not schema.get("properties"):
        return schema
    schema["properties"] = {key: _named_schema(part, key, found) for key, part in schema["properties"].items()}
    title = str(schema.get("title", name))
    numbered = (f"{title} {count}" for count in itertools.count(2))
    title = next(kept for kept in itertools.chain([title], numbered) if found.get(kept, schema) == schema)
    found[title] = schema
    return {"$ref": "#/components/schemas/" + title.replace("~", "~0").replace("/", "~1")}


def sample(openapi: Part, schema: Part, depth: int = 0) -> Any:
    """Return a value that fits a JSON schema: its own example where it has one."""
    schema = _resolved(openapi, schema)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return sample(openapi, schema[name][0], depth + 1)
    if depth > DEEPEST:
        return None
    if schema.get("type") == "array":
        return [sample(openapi, schema.get("items", {}), depth + 1)]
    if schema.get("type") == "object":
        parts: Part = schema.get("properties", {})
        required: Container[str] = schema.get("required", parts)
        needed = [name for name in parts if name in required]
        return {name: sample(openapi, parts[name], depth + 1) for name in needed}
    return {"string": "...", "integer": 0, "number": 0.0, "boolean": True}.get(schema.get("type", ""))


def _routes(openapi: Part) -> Iterator[tuple[str, str, Part]]:
    for path, item in openapi["paths"].items():
        yield from ((verb, path, item[verb]) for verb in VERBS if verb in item)


def _route(openapi: Part, verb: str, path: str, operation: Part) -> str:
    parameters = [
        [text(part["name"]), text(part["in"]), _type(part.get("schema", {})), text(part.get("description", ""))]
        for part in (_resolved(openapi, part) for part in operation.get("parameters", []))
    ]
    answers = [
        [text(status), text(answer.get("description", "")), _contents(answer)]
        for status, answer in sorted(operation.get("responses", {}).items())
    ]
    body = _resolved(openapi, operation.get("requestBody", {}))
    return f"""<section class="card" id="{_anchor(verb, path)}"><h2 class="route">
<span class="verb">{verb.upper()}</span><code>{text(path)}</code><span>{text(operation.get("summary", ""))}</span></h2>
{_paragraphs(operation.get("description"))}
{_rows(["parameter", "in", "type", "meaning"], parameters) if parameters else ""}
{f"<p>Request: {_contents(body)}</p>" if body else ""}
<pre tabindex="0">{block(_curl(openapi, verb, path, operation))}</pre>
<h3>Answers</h3>{_rows(["status", "meaning", "content"], answers)}{_answer(openapi, operation)}</section>"""


def _settings(openapi: Part) -> str:
    """Return the lines of a shell that the commands rely on."""
    server = (openapi.get("servers") or [{}])[0].get("url", "")
    lines = [f"URL={_quoted(server if '://' in server else 'http://127.0.0.1:8000' + server)}  # where this service is"]
    guarded = "securitySchemes" in openapi.get("components", {})
    return "\n".join([*lines, *["TOKEN='...'  # yours"][: int(guarded)]])


def _answer(openapi: Part, operation: Part) -> str:
    """Return the example of a good answer, where the description has one."""
    good = _resolved(openapi, operation.get("responses", {}).get("200", {}))
    content = good.get("content", {}).get("application/json", {})
    if "example" not in content and not content.get("schema"):
        return ""
    value = content.get("example", sample(openapi, content.get("schema", {})))
    return f'<h3>Example of an answer</h3><pre tabindex="0">{block(_json(value))}</pre>' if value else ""


def _curl(openapi: Part, verb: str, path: str, operation: Part) -> str:
    """Return a command that a shell takes as it is."""
    for part in (_resolved(openapi, part) for part in operation.get("parameters", [])):
        path = path.replace(f"{{{part['name']}}}", quote(str(part.get("example", part["name"]))))
    words = ["curl", *([] if verb == "get" else ["-X", verb.upper()]), f'"$URL"{_quoted(path)}']
    if operation.get("security", openapi.get("security")):
        words += ["-H", '"Authorization: Bearer $TOKEN"']
    content = _resolved(openapi, operation.get("requestBody", {})).get("content", {})
    for kind, media in content.items():
        value = _media_example(openapi, media)
        data = value if isinstance(value, str) else _json(value)
        words += ["-H", _quoted(f"Content-Type: {kind}"), "--data-binary", _quoted(data)]
        break
    return " ".join(words)


def _media_example(openapi: Part, media: Part) -> Any:
    if "example" in media:
        return media["example"]
    for example in media.get("examples", {}).values():
        return _resolved(openapi, example).get("value")
    return sample(openapi, media.get("schema", {}))


def _table(name: str, schema: Part) -> str:
    """Return what an object holds, one line for each of its properties: the columns of the person's own table, say."""
    required, (examples, *_) = schema.get("required", []), schema.get("examples") or [{}]
    lines = [
        [
            text(key),
            _type(part),
            _range(part),
            _values(part),
            "yes" if _nullable(part) else "",
            "yes" if key in required else "",
            _example(part, examples, key),
            text(part.get("description", "")),
        ]
        for key, part in schema.get("properties", {}).items()
    ]
    head = ["name", "type", "range", "values", "nullable", "required", "example", "meaning"]
    content = _rows(head, lines, "columns") if lines else f"<p>{_type(schema)} {_values(schema)}</p>"
    return f"""<section class="card" id="{_identity(name)}"><h2>{text(name)}</h2>
{_paragraphs(schema.get("description"))}{content}</section>"""


def _rows(head: list[str], lines: list[list[str]], kind: str = "") -> str:
    """Return a table of cells, which are HTML; what is empty in every line is left out."""
    kept = [position for position in range(len(head)) if not position or any(line[position] for line in lines)]
    names = "".join(f'<th scope="col">{head[position]}</th>' for position in kept)
    body = "".join(
        f'<tr><th scope="row">{line[0]}</th>{"".join(f"<td>{line[position]}</td>" for position in kept[1:])}</tr>'
        for line in lines
    )
    return f"""<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{names}</tr></thead>
<tbody>{body}</tbody></table></div>"""


def _contents(part: Part) -> str:
    return "; ".join(
        f"{text(kind)} ({_type(media['schema'])})" if media.get("schema") else text(kind)
        for kind, media in part.get("content", {}).items()
    )


def _type(schema: Part) -> str:
    """Return a type in words, with a link to what it refers to."""
    if "$ref" in schema:
        name = _plain(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{_identity(name)}">{text(name)}</a>'
    kinds = [part for part in _alternatives(schema) if part.get("type") != "null"]
    if kinds != [schema]:
        return " or ".join(dict.fromkeys(_type(part) for part in kinds))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    kind = schema.get("type", "any")
    words = " or ".join(name for name in kind if name != "null") if isinstance(kind, list) else kind
    return text(f"{words} ({schema['format']})" if "format" in schema else words)


def _alternatives(schema: Part) -> list[Part]:
    """Return the schemas of which one holds."""
    return next((schema[name] for name in ("anyOf", "oneOf", "allOf") if name in schema), [schema])


def _nullable(schema: Part) -> bool:
    return any(part.get("type") == "null" or "null" in (part.get("type") or ()) for part in _alternatives(schema))


def _range(schema: Part) -> str:
    """Return the bounds of a number as people say them, and those of lengths."""
    found: Part = {}
    for part in [schema, *_alternatives(schema)]:
        found |= {name: plain_number(part[name]) for name in BOUNDS if name in part}
    if "minimum" in found and "maximum" in found:
        return f"{found['minimum']} to {found['maximum']}"
    return text(", ".join(f"{BOUNDS[name]} {value}" for name, value in found.items()))


def _values(schema: Part) -> str:
    """Return the allowed values; many of them folded."""
    parts = [schema, *_alternatives(schema), *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]
    values = next((p["enum"] for p in parts if "enum" in p), [p["const"] for p in parts if "const" in p])
    shown = [f"<code>{text(value)}</code>" for value in values if value is not None]
    if len(shown) <= VALUES_SHOWN:
        return ", ".join(shown)
    return f"<details><summary>{len(shown):,} values</summary>{', '.join(shown)}</details>"


def _example(schema: Part, whole: Any, key: str) -> str:
    """Return the example of a property: its own, or the one in the example of the whole object."""
    found = schema.get("examples") or [part[key] for part in [whole] if isinstance(part, dict) and key in part]
    return f"<code>{text(json_text(found[0]))}</code>" if found else ""


def _paragraphs(words: str | None) -> str:
    return "".join(f"<p>{text(part)}</p>" for part in (words or "").split("\n\n") if part.strip())


def _resolved(openapi: Part, part: Part) -> Part:
    """Return what `$ref` refers to, or the part itself."""
    if "$ref" not in part:
        return part
    found = openapi
    for key in part["$ref"].removeprefix("#/").split("/"):
        found = found[_plain(key)]
    return found


def _plain(key: str) -> str:
    """Return a key as it is, from how a JSON pointer spells it (RFC 6901)."""
    return key.replace("~1", "/").replace("~0", "~")


def _anchor(verb: str, path: str) -> str:
    return text(f"{verb}-{path.strip('/').replace('/', '-')}")


def _identity(name: str) -> str:
    return text(f"schema-{'-'.join(name.split())}")


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "'\\''") + "'"


def _json(value: Any, margin: str = "") -> str:
    """Return JSON of short lines, what is short on one."""
    flat = json_text(value)
    if not isinstance(value, dict | list) or len(margin) + len(flat) <= LINE:
        return flat
    inner = margin + "  "
    if isinstance(value, list):
        parts, (start, end) = [_json(item, inner) for item in value], "[]"
    else:
        parts = [f"{json_text(key)}: {_json(item, inner)}" for key, item in value.items()]
        start, end = "{}"
    return f"{start}\n" + ",\n".join(inner + part for part in parts) + f"\n{margin}{end}"
