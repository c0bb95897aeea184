"""`/invocations`, as clients of MLflow and SageMaker call it.

JSON with `instances`, `inputs`, `dataframe_records` or `dataframe_split`, or CSV with a header; the answer has
`predictions`, the labels or numbers, for classes `probabilities`, and `explanations` if `"params": {"explain": true}`
asks for them. A bundle with an interval adds `low` and `high`, or the sets `classes`.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gitmodel.serve.body import CSV, Asked, encoded, media_type, parse, read_csv, respond, switch
from gitmodel.serve.checks import refusal
from gitmodel.serve.rows import Row
from gitmodel.serve.service import Answer, Call, Service

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
EXTRA = {"params", "signature_name"}  # what such clients may add


def invoke(service: Service, request: Request, body: bytes, call: Call) -> Asked:
    """Read what one request asks."""
    content = None if media_type(request) == CSV else parse(body)
    rows = read_csv(body, service.main.bundle.schema) if content is None else read_rows(content)
    return Asked(rows, explained((content or {}).get("params")), call, _told)


def _told(answer: Answer) -> Response:
    said = answer.predictions
    classes = answer.model.bundle.classes
    told = {
        "predictions": [row["label" if classes else "prediction"] for row in said],
        **({"probabilities": [row["probabilities"] for row in said]} if classes else {}),
        **answer.bounds,
        **({"explanations": [why.told() for why in answer.explanations]} if answer.explanations else {}),
        **({"flags": {str(row): flags for row, flags in answer.batch.flags.items()}} if answer.batch.flags else {}),
        "id": answer.id,
        "model": answer.model.name,
        "version": answer.model.version,
    }
    return respond(encoded(told))


def read_rows(content: dict[str, Any]) -> Any:
    """Return the rows of a JSON body in any of the forms."""
    forms = [form for form in FORMS if form in content]
    if len(forms) != 1 or content.keys() - {*forms, *EXTRA}:
        raise refusal(422, f"the body must have one of {', '.join(FORMS)}, and no other rows")
    found = content[forms[0]]
    if forms[0] == "dataframe_split":
        return _split(found)
    return from_columns(found) if forms[0] == "inputs" and isinstance(found, dict) else found


def explained(parameters: Any) -> bool:
    """Tell whether the parameters of a request ask for explanations; others are not looked at."""
    return isinstance(parameters, dict) and switch(parameters.get("explain"), "explain")


def from_columns(columns: dict[str, Any]) -> list[Row]:
    """Return the rows of equally long lists by name."""
    sizes = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise refusal(422, "each column must be a list, and all equally long")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _split(table: Any) -> list[Row]:
    if not isinstance(table, dict) or not {"columns", "data"} <= table.keys() <= {"columns", "data", "index"}:
        raise refusal(422, "dataframe_split must have `columns` and `data`, and at most `index` beside them")
    names, rows = table["columns"], table["data"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise refusal(422, "`columns` must be a list of names that differ")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        raise refusal(422, "`data` must be a list of rows, each as long as `columns`")
    return [dict(zip(names, row, strict=True)) for row in rows]
