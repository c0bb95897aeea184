"""The OpenAPI description of the routes: the columns of this model, and every answer that there is."""

from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from gitmodel.metrics.decision import MOST_LIKELY
from gitmodel.serve.body import BINARY, CSV, JSON
from gitmodel.serve.guard import OPEN
from gitmodel.serve.inference import DTYPES, LONGEST_ID, metadata
from gitmodel.serve.rows import example, request_schema
from gitmodel.serve.service import MOST_EXPLAINED, Service

Json = dict[str, Any]
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
FLAGS = {"type": "array", "items": TEXT, "description": "the rules of the contract that the row breaks"}
WHY = "Shapley values: `base_value` and `contributions` add up to `value`, the probability of `class` or the prediction"
PROBLEM = {
    "type": "object",
    "required": ["row", "column", "rule", "type"],
    "properties": {
        "row": {"type": ["integer", "null"], "description": "position in the request, from 0; null: the whole request"},
        "column": {"type": ["string", "null"]},
        "rule": TEXT,
        "type": {"type": ["string", "null"], "description": "JSON type of the value, or `absent`"},
    },
}
PROBLEMS = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "array", "items": PROBLEM},
        "problems": {"type": "integer", "description": "how many there are, where `detail` has the first ones only"},
        "rows": {"type": "array", "items": {"type": "integer"}, "description": "then: every row that has some"},
        "error": {**TEXT, "description": "the same in short, where the Open Inference Protocol is spoken"},
    },
}
SWITCH = {"type": ["boolean", "null"], "description": f"say why, too: of {MOST_EXPLAINED} rows at most"}
PARAMETERS = {"properties": {"explain": SWITCH}}
ERRORS = {
    401: "a token is needed",
    404: "there is no such model",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is of another type",
    422: "rows or body break a rule: every row is judged, each problem names its row",
    500: "the server failed",
    503: "too many explanations are being made: ask again",
}
TITLES = {
    "/predict": "Predict rows",
    "/invocations": "Predict rows, for clients of MLflow and SageMaker",
    "/ping": "Is it alive? For SageMaker",
    "/health": "Is it alive? For MLflow",
    "/version": "Which version serves? For MLflow",
    "/v2": "What serves (Open Inference Protocol)",
    "/v2/health/live": "Is it alive?",
    "/v2/health/ready": "Can it predict? And can the log be written: predictions go on without it",
    "/v2/models/{name}": "Inputs and outputs",
    "/v2/models/{name}/ready": "Can this model predict?",
    "/v2/models/{name}/infer": "Predict columns",
    "/model": "Which model is served: manifest and card",
    "/metrics": "What Prometheus reads",
    "/openapi.json": "This description",
    "/": "A page to try the model on",
    "/docs": "This description, as a page",
}


class Description:
    """Describes routes by their path."""

    def __init__(self, service: Service, guarded: bool) -> None:
        """Make the schemas of this service's model."""
        self.model, self.guarded, self.most_rows = service.main, guarded, service.checker.most_rows
        schema, profile = self.model.bundle.schema, self.model.profile
        self.row, self.example = request_schema(schema, profile), example(schema, profile)

    def of(self, path: str) -> Json:
        """Return what FastAPI is told about a route."""
        plain = path.replace("/versions/{version}", "")
        bodies = {"/predict": self._predict, "/invocations": self._invocations, "/v2/models/{name}/infer": self._infer}
        body, answer = bodies[plain]() if plain in bodies else ({}, {"type": "object"})
        names = [name for name in ("name", "version") if f"{{{name}}}" in path]
        values = {"name": self.model.name, "version": self.model.version}
        extra: Json = {"parameters": [_parameter(name, values[name]) for name in names]} if names else {}
        if body:
            extra["requestBody"] = {"required": True, "content": body}
        responses: dict[int | str, Json] = {200: {"description": "OK", "content": _content(plain, answer)}}
        statuses = [
            *([401] if self.guarded else []),
            *([404] if names else []),
            *([408, 413, 415, 422, 503] if body else []),
            500,
        ]
        for status in statuses:
            responses[status] = {
                "description": ERRORS[status],
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Problems"}}},
            }
        if self.guarded and path in OPEN:
            extra["security"] = []
        return {
            "summary": TITLES[plain],
            "responses": responses,
            "openapi_extra": extra,
            "response_class": PlainTextResponse
            if path == "/metrics"
            else HTMLResponse
            if path in ("/", "/docs")
            else JSONResponse,
        }

    def complete(self, described: Json) -> Json:
        """Add what the routes refer to: the row, the problems, the token."""
        components: Json = described.setdefault("components", {})
        components["schemas"] = {**components.get("schemas", {}), "Row": self.row, "Problems": PROBLEMS}
        if self.guarded:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            described["security"] = [{"token": []}]
        return described

    def _rows(self) -> Json:
        return {
            "type": "array",
            "minItems": 1,
            "maxItems": self.most_rows,
            "items": {"$ref": "#/components/schemas/Row"},
        }

    def _predict(self) -> tuple[Json, Json]:
        rows = {"rows": [self.example]}
        few = {  # no more rows can be explained at once
            "if": {"properties": {"explain": {"const": True}}, "required": ["explain"]},
            "then": {"properties": {"rows": {"maxItems": MOST_EXPLAINED}}},
        }
        asked = {**_object({"rows": self._rows()}, {"explain": SWITCH}, True), **few}
        body = {JSON: {"schema": asked, "example": rows}}
        prediction = _object({**self._prediction()}, {"flags": FLAGS, "explanation": self._explanation()})
        told = {"id": TEXT, "model": TEXT, "version": TEXT, "predictions": {"type": "array", "items": prediction}}
        return body, _object(told)

    def _invocations(self) -> tuple[Json, Json]:
        columns = {name: {"type": "array"} for name in self.row["properties"]}
        inputs = {"type": "object", "additionalProperties": False, "properties": columns}
        cells = {"type": "array", "items": {"type": "array"}}
        split = _object(
            {"columns": {"type": "array", "items": TEXT}, "data": cells}, {"index": {"type": "array"}}, True
        )
        forms = {"dataframe_split": split, "dataframe_records": self._rows(), "instances": self._rows()}
        forms["inputs"] = {"anyOf": [inputs, self._rows()]}
        schemas = [
            _object({form: schema}, {"params": PARAMETERS, "signature_name": {}}, True)
            for form, schema in forms.items()
        ]
        text = {"schema": {**TEXT, "description": "a header line, then a row a line"}}
        body = {JSON: {"schema": {"anyOf": schemas}, "example": {"dataframe_records": [self.example]}}, CSV: text}
        parts = self._prediction()
        said = parts.get("label") or parts["prediction"]
        told = {"predictions": {"type": "array", "items": said}, "id": TEXT, "model": TEXT, "version": TEXT}
        for name in [name for name in ("probabilities", "classes", "low", "high") if name in parts]:
            told[name] = {"type": "array", "items": parts[name]}
        why = {"type": "array", "items": self._explanation()}
        return body, _object(told, {"flags": {"type": "object", "additionalProperties": FLAGS}, "explanations": why})

    def _infer(self) -> tuple[Json, Json]:
        """Describe tensors; how long they are and what their values may be says the row."""
        names = {"type": "string", "enum": [*self.row["properties"]]}
        shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
        kinds = {"type": "string", "enum": [*DTYPES]}
        tensor = _object(
            {"name": names, "shape": shape, "datatype": kinds}, {"data": {"type": "array"}, "parameters": {}}
        )
        wanted = {"type": "array", "items": _object({"name": TEXT}, {"parameters": {"type": "object"}})}
        more = {
            "id": {**TEXT, "maxLength": LONGEST_ID},
            "parameters": {"type": "object", **PARAMETERS},
            "outputs": wanted,
        }
        tensors = [
            {key: tensor[key] for key in ("name", "datatype")}
            | {"shape": [1, 1], "data": [self.example[tensor["name"]]]}
            for tensor in metadata(self.model)["inputs"]
        ]
        body = {"schema": _object({"inputs": {"type": "array", "items": tensor, "minItems": 1}}, more)}
        told = {"name": TEXT, "shape": shape, "datatype": TEXT}
        outputs = {
            "type": "array",
            "items": _object(told, {"data": {"type": "array"}, "parameters": {"type": "object"}}),
        }
        return {
            JSON: {**body, "example": {"inputs": tensors}},
            BINARY: {"schema": {**TEXT, "format": "binary"}},
        }, _object(
            {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": outputs},
            {"parameters": {"type": "object"}},
        )

    def _explanation(self) -> Json:
        """Describe why one row has its prediction."""
        classes, columns = self.model.bundle.classes, self.model.bundle.schema.features()
        named = {"class": {"type": "string", "enum": [*classes]}} if classes else {}
        parts = _object(dict.fromkeys(columns, NUMBER), closed=True)
        numbers = {"value": NUMBER, "base_value": NUMBER, "contributions": parts, "standard_error": NUMBER}
        return {**_object({**named, **numbers}), "description": WHY}

    def _prediction(self) -> Json:
        classes = self.model.bundle.classes
        made = self.model.bundle.interval
        said = {"description": made.told(self.model.bundle.schema)} if made else {}
        if not classes:
            return {"prediction": NUMBER, **({"low": NUMBER | said, "high": NUMBER | said} if made else {})}
        share = {"type": "number", "minimum": 0, "maximum": 1.000001}  # softmax in float32 ends a little above 1
        label: Json = {"type": "string", "enum": [*classes]}
        if (decision := self.model.bundle.decision) != MOST_LIKELY:
            label["description"] = decision.told(self.model.bundle.schema)
        told: Json = {"label": label, "probabilities": _object(dict.fromkeys(classes, share), closed=True)}
        names = {"type": "array", "items": {"type": "string", "enum": [*classes]}, "minItems": 1, "uniqueItems": True}
        return told | ({"classes": names | said} if made else {})


def _content(path: str, answer: Json) -> Json:
    if path in ("/", "/docs"):
        return {"text/html": {"schema": TEXT}}
    if path == "/metrics":
        return {"text/plain": {"schema": TEXT}}
    binary = {BINARY: {"schema": {**TEXT, "format": "binary"}}} if path.endswith("/infer") else {}
    return {JSON: {"schema": answer}, **binary}


def _object(needed: Json, more: Json | None = None, closed: bool = False) -> Json:
    described: Json = {"type": "object", "required": [*needed], "properties": {**needed, **(more or {})}}
    return {**described, "additionalProperties": False} if closed else described


def _parameter(name: str, value: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": TEXT, "example": value}
