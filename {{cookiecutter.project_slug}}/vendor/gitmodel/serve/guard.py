"""What every request passes: the bearer token, and the count of answers. Plain ASGI, because it is quick."""

import hmac
import time

from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitmodel.serve import page
from gitmodel.serve.checks import refusal
from gitmodel.serve.metrics import Metrics

OPEN = ("/ping", "/v2/health/live")  # an orchestrator asks them without a token
NOT_ALLOWED = "send one of the server's tokens (header Authorization: Bearer TOKEN)"


class Guard:
    """Lets through who has a token, and counts what was answered."""

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...], metrics: Metrics) -> None:
        """Guard `app`; without tokens everybody passes."""
        self.app, self.metrics = app, metrics
        self.tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 401."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
                message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            if not self.tokens or scope["path"] in OPEN or self._knows(scope):
                await self.app(scope, receive, sending)
            else:
                await _refuse(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.request(route, status, time.perf_counter() - started)
        return None

    def _knows(self, scope: Scope) -> bool:
        """Tell whether the request has one of the tokens; how long that takes says nothing about them."""
        given = _token(dict(scope["headers"]).get(b"authorization", b""))
        return any([hmac.compare_digest(given, token) for token in self.tokens])


def _token(header: bytes) -> bytes:
    scheme, _, given = header.partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else b""


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 401: to a browser with a page that asks for the token."""
    headers = {"www-authenticate": "Bearer"}
    if b"text/html" in dict(scope["headers"]).get(b"accept", b""):
        headers["content-security-policy"] = page.CSP
        return await HTMLResponse(page.sign_in(), 401, headers)(scope, receive, send)
    told = {"error": NOT_ALLOWED} if scope["path"].startswith("/v2") else {}
    return await JSONResponse({**told, **refusal(401, NOT_ALLOWED).body()}, 401, headers)(scope, receive, send)
