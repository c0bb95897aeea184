"""The HTTP application: its routes, and what every request passes through."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from gitmodel.serve import description, page
from gitmodel.serve.body import BINARY, CSV, JSON, parse, read, respond, take
from gitmodel.serve.checks import Refused, refusal
from gitmodel.serve.guard import Guard
from gitmodel.serve.inference import error, infer, metadata
from gitmodel.serve.invocations import invoke
from gitmodel.serve.service import Call, Service

FAILED = refusal(500, "the server failed; its log says why")
AT_ONCE_BYTES = 16_384  # larger bodies are worked on in a thread, so that others need not wait
Handler = Callable[[Service, Request, bytes, Call], Response]


class Route(APIRoute):
    """A route whose endpoint takes the request as it came: FastAPI describes it, and parses nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


@dataclass(frozen=True)
class Settings:
    """What may be asked of the application, and by whom."""

    tokens: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_bytes: int = 10_000_000
    timeout: float = 30.0
    card: str | None = None


def build(service: Service, settings: Settings, ready: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the application; it calls `ready` when it starts, and closes the service when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready()
        yield
        await asyncio.to_thread(service.close)

    name, version = service.main.name, service.main.version
    app = FastAPI(title=name, version=version, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.route_class = Route
    texts = description.Description(service, bool(settings.tokens))
    _add_predictions(app, service, settings, texts)
    _add_health(app, service, texts)
    _add_pages(app, service, settings, texts)
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or texts.complete(plain())  # type: ignore[method-assign]
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Guard, tokens=settings.tokens, metrics=service.metrics)
    if settings.origins:
        methods, headers = ["GET", "POST"], ["Authorization", "Content-Type", "X-Request-Id", "X-Key"]
        app.add_middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=methods, allow_headers=headers)
    return app


def predict(service: Service, _: Request, body: bytes, call: Call) -> Response:
    """Answer `/predict`."""
    (rows,) = take(parse(body), "rows")
    answer = service.predict(rows, call)
    model, said = answer.model, answer.predictions
    return respond(to_json({"id": answer.id, "model": model.name, "version": model.version, "predictions": said}))


def _add_predictions(app: FastAPI, service: Service, settings: Settings, texts: description.Description) -> None:
    def add(path: str, handler: Handler, *types: str) -> None:
        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            _require_model(service, request)
            call = _call(request, started)
            try:
                body = await read(request, types, settings.max_bytes, settings.timeout)
                if len(body) <= AT_ONCE_BYTES:
                    response = handler(service, request, body, call)
                else:
                    response = await asyncio.to_thread(handler, service, request, body, call)
            except Exception as error:
                service.refuse(error if isinstance(error, Refused) else FAILED, call)
                raise
            response.raw_headers.append((b"x-request-id", call.id.encode()))
            return response

        app.add_api_route(path, answer, methods=["POST"], response_model=None, **texts.of(path))

    add("/predict", predict, JSON)
    add("/invocations", invoke, JSON, CSV)
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        add(path, infer, JSON, BINARY, "")


def _add_health(app: FastAPI, service: Service, texts: description.Description) -> None:
    def add(path: str, content: Callable[[], Any]) -> None:
        async def answer(request: Request) -> Response:
            _require_model(service, request)
            return respond(to_json(content()))

        app.add_api_route(path, answer, methods=["GET"], response_model=None, **texts.of(path))

    def readiness() -> dict[str, Any]:
        log = service.log
        return {"ready": True, "log": "off" if log is None else log.failure or "on"}

    main = service.main
    add("/ping", lambda: {"live": True})
    add("/v2/health/live", lambda: {"live": True})
    add("/v2/health/ready", readiness)
    add("/v2", lambda: {"name": "model serve", "version": main.version, "extensions": ["binary_tensor_data"]})
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        add(path, lambda: metadata(main))
        add(f"{path}/ready", lambda: {"name": main.name, "ready": True})


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

        app.add_api_route(path, answer, methods=["GET"], response_model=None, **texts.of(path))

    policy = {"content-security-policy": page.CSP}
    add("/model", lambda: respond(to_json(model())))
    add("/metrics", lambda: PlainTextResponse(service.metrics.text()))
    add("/openapi.json", lambda: respond(json.dumps(app.openapi()).encode()))
    add("/", lambda: HTMLResponse(home(), headers=policy))
    add("/docs", lambda: HTMLResponse(documentation(), headers=policy))


def _call(request: Request, started: float) -> Call:
    """Return what is known of a request; an id or key that is no short text is not taken over."""
    given, key = request.headers.get("x-request-id", ""), request.headers.get("x-key", "")
    call_id = given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else secrets.token_hex(16)
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
    told = {"error": error(refused)} if request.url.path.startswith("/v2") else {}
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
