"""The HTTP application: its routes, and what every request passes through."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gitmodel.base.outlet import json_bytes
from gitmodel.serve import description, page
from gitmodel.serve.attempts import Attempts
from gitmodel.serve.body import BINARY, CSV, HUNG_UP, JSON, Asked, encoded, header, parse, read, respond, switch, take
from gitmodel.serve.checks import Refused, refusal
from gitmodel.serve.guard import Guard, route_of
from gitmodel.serve.inference import infer, metadata
from gitmodel.serve.invocations import invoke
from gitmodel.serve.service import Answer, Call, Service
from gitmodel.serve.spelled import FEW, Sent

FAILED = refusal(500, "the server failed; its log says why")
MAY_EXPLAIN = re.compile(rb'"explain"\s*:\s*true|\\u')  # a key may be spelled with escapes
AT_ONCE_BYTES = 16_384  # larger bodies are worked on in a thread, so that others need not wait
INFER = "/v2/models/{name}/infer"
Handler = Callable[[Service, Request, bytes, Call], Asked]


class Route(APIRoute):
    """A route whose endpoint takes the request as it came: FastAPI describes it, and parses nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


class Application(FastAPI):
    """FastAPI's application behind an `entry` of plain ASGI that every request passes."""

    entry: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the entry, all else to FastAPI."""
        await (self.entry if scope["type"] == "http" else super().__call__)(scope, receive, send)


class Shortcut:
    """Leads what is asked most to its endpoint without FastAPI's layers, which cost more than an answer."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, tuple[APIRoute, dict[str, str]]]) -> None:
        """Stand before `app`; `routes` are those of POST by path, with the parameters of the path."""
        self.app, self.routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on what goes the long way."""
        found = self.routes.get(route_of(scope)) if scope["method"] == "POST" else None
        if found is None:
            return await self.app(scope, receive, send)
        scope["route"], scope["path_params"] = found
        request = Request(scope, receive)
        try:
            response = await found[0].endpoint(request)
        except Refused as refused:
            response = await _refused(request, refused)
        except Exception as error:  # the server logs it
            await (await _failed(request, error))(scope, receive, send)
            raise
        return await response(scope, receive, send)


@dataclass(frozen=True)
class Settings:
    """What may be asked of the application, and by whom."""

    tokens: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_bytes: int = 10_000_000
    root: str = ""
    card: str | None = None
    attempts: Attempts | None = None


def build(service: Service, settings: Settings, ready: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the application; it calls `ready` when it starts, and closes the service when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready()
        yield
        await asyncio.to_thread(service.close)

    options: dict[str, Any] = dict.fromkeys(("docs_url", "redoc_url", "openapi_url"))
    if settings.root:
        options["servers"] = [{"url": settings.root}]
    app = Application(title=service.main.name, version=service.main.version, lifespan=lifespan, **options)
    app.router.route_class = Route
    app.router.redirect_slashes = False  # a redirect would go to the host that the client names
    texts = description.Description(service, bool(settings.tokens))
    _add_predictions(app, service, settings, texts)
    _add_health(app, service, texts)
    _add_pages(app, service, settings, texts)
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or texts.complete(plain())  # type: ignore[method-assign]
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    shortcut = Shortcut(partial(FastAPI.__call__, app), _shortcuts(app, service.main.name))
    app.entry = Guard(shortcut, settings.tokens, service.metrics, settings.root, settings.attempts)
    if settings.origins:
        methods, headers = ["GET", "POST"], ["Authorization", "Content-Type", "X-Request-Id", "X-Key"]
        shown = ["X-Request-Id", "Retry-After"]
        app.entry = CORSMiddleware(
            app.entry,
            allow_origins=settings.origins,
            allow_methods=methods,
            allow_headers=headers,
            expose_headers=shown,
        )
    return app


def predict(_: Service, __: Request, body: bytes, call: Call) -> Asked:
    """Read what `/predict` is asked."""
    rows, explain = take(parse(body), "rows", "explain")
    if isinstance(rows, list) and len(rows) > FEW:
        rows = Sent(rows, body)
    return Asked(rows, switch(explain, "explain"), call, told)


def told(answer: Answer) -> Response:
    """Return the answer of `/predict`."""
    model, said = answer.model, answer.said
    if answer.explanations:
        pairs = zip(answer.predictions, answer.explanations, strict=True)
        said = [to_json({**row, "explanation": why.told()}) for row, why in pairs]
    head = to_json({"id": answer.id, "model": model.name, "version": model.version})[:-1]
    return respond(json_bytes(b'%b,"predictions":[%b]}' % (head, b",".join(said))))


def _add_predictions(app: FastAPI, service: Service, settings: Settings, texts: description.Description) -> None:
    def add(path: str, handler: Handler, *types: str) -> None:
        def alone(request: Request, body: bytes, call: Call) -> Response:
            asked = handler(service, request, body, call)
            return asked.tell(service.predict(asked.rows, asked.call, asked.explain))

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            _require_model(service, request)
            call = _call(request, started)
            try:
                body = await read(request, types, settings.max_bytes)
                if (b'"explain"' in body or b"\\u" in body) and MAY_EXPLAIN.search(body):
                    response = await service.in_turn(alone, request, body, call)
                elif len(body) <= AT_ONCE_BYTES:
                    asked = handler(service, request, body, call)
                    response = asked.tell(await service.predict_together(asked.rows, asked.call))
                else:
                    response = await asyncio.to_thread(alone, request, body, call)
            except Exception as error:
                refused = error if isinstance(error, Refused) else FAILED
                if refused.status != HUNG_UP:
                    service.refuse(refused, call)
                raise
            response.raw_headers.append((b"x-request-id", call.id.encode()))
            return response

        app.add_api_route(path, answer, methods=["POST"], response_model=None, **texts.of(path))

    add("/predict", predict, JSON)
    add("/invocations", invoke, JSON, CSV)
    for path in (INFER, "/v2/models/{name}/versions/{version}/infer"):
        add(path, infer, JSON, BINARY, "")


def _shortcuts(app: FastAPI, name: str) -> dict[str, tuple[APIRoute, dict[str, str]]]:
    """Return the routes of predictions by path."""
    routes = {route.path: route for route in app.routes if isinstance(route, APIRoute)}
    infer = {"name": name}
    return {
        **{path: (routes[path], {}) for path in ("/predict", "/invocations")},
        INFER.format(**infer): (routes[INFER], infer),
    }


def _add_health(app: FastAPI, service: Service, texts: description.Description) -> None:
    def add(path: str, content: Callable[[], Any]) -> None:
        async def answer(request: Request) -> Response:
            _require_model(service, request)
            return respond(encoded(content()))

        _add_get(app, path, answer, texts)

    def readiness() -> dict[str, Any]:
        log = service.log
        return {"ready": True, "log": "off" if log is None else log.failure or "on"}

    main = service.main
    add("/ping", lambda: {"live": True})
    add("/health", lambda: {"live": True})
    add("/version", lambda: {"name": main.name, "version": main.version})
    add("/v2/health/live", lambda: {"live": True})
    add("/v2/health/ready", readiness)
    add("/v2", lambda: {"name": "model serve", "version": main.version, "extensions": ["binary_tensor_data"]})
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        add(path, lambda: metadata(main))
        add(f"{path}/ready", lambda: {"name": main.name, "ready": True})


def _add_get(app: FastAPI, path: str, answer: Callable[[Request], Any], texts: description.Description) -> None:
    """Add a route to read; HEAD asks for its headers alone, and the server leaves the body out."""
    app.add_api_route(path, answer, methods=["GET"], response_model=None, **texts.of(path))
    app.add_api_route(path, answer, methods=["HEAD"], response_model=None, include_in_schema=False)


def _add_pages(app: FastAPI, service: Service, settings: Settings, texts: description.Description) -> None:
    main = service.main

    @cache
    def home() -> str:
        return page.home(main.bundle, main.version, main.digest, main.profile, texts.example, settings.card)

    @cache
    def documentation() -> str:
        return page.documentation(app.openapi())

    def model() -> dict[str, Any]:
        served = [{"role": m.role, "version": m.version, "digest": m.digest} for m in service.models]
        told = {"name": main.name, "version": main.version, "digest": main.digest, "served": served}
        return {**told, "manifest": main.bundle.manifest, "card": settings.card}

    def add(path: str, content: Callable[[], Response]) -> None:
        async def answer(_: Request) -> Response:
            return content()

        _add_get(app, path, answer, texts)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(await asyncio.to_thread(service.metrics.text_of_all))

    policy = {"content-security-policy": page.CSP}
    _add_get(app, "/metrics", metrics, texts)
    add("/model", lambda: respond(encoded(model())))
    add("/openapi.json", lambda: respond(json.dumps(app.openapi()).encode()))
    add("/", lambda: HTMLResponse(home(), headers=policy))
    add("/docs", lambda: HTMLResponse(documentation(), headers=policy))


def _call(request: Request, started: float) -> Call:
    """Return what is known of a request; an id or key that is no short text is not taken over."""
    given, key = header(request, b"x-request-id"), header(request, b"x-key")
    call_id = given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else os.urandom(16).hex()
    return Call(call_id, key or call_id, started, request.path_params.get("version"))


def _require_model(service: Service, request: Request) -> None:
    asked, main = request.path_params, service.main
    if not asked:
        return
    if asked.get("name", main.name) != main.name:
        raise refusal(404, f"there is no such model: this is {main.name}")
    answering = [model.version for model in service.models if model.role != "shadow"]
    if asked.get("version", main.version) not in answering:
        raise refusal(404, f"there is no such version: this is {' and '.join(answering)}")


def _tell(request: Request, status: int, refused: Refused, headers: Any = None) -> Response:
    """Return an error in the form of the protocol that the client speaks."""
    told = {"error": refused.text} if route_of(request.scope).startswith("/v2") else {}
    if status == 503:
        headers = {**(headers or {}), "retry-after": "1"}
    return Response(json.dumps({**told, **refused.body()}), status, headers, JSON)


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return _tell(request, refused.status, refused)


async def _no_route(request: Request, found: Exception) -> Response:
    assert isinstance(found, HTTPException)
    rule = {404: "there is nothing here", 405: "this method is not allowed here"}.get(found.status_code, found.detail)
    return _tell(request, found.status_code, refusal(found.status_code, rule), found.headers)


async def _failed(request: Request, _: Exception) -> Response:
    return _tell(request, 500, FAILED)
