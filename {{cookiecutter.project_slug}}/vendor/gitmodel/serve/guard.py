"""What every request passes: the bearer token, and the count of answers. Plain ASGI, because it is quick."""

import hmac
import time

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitmodel.serve import page
from gitmodel.serve.attempts import Attempts
from gitmodel.serve.checks import refusal
from gitmodel.serve.metrics import Metrics

OPEN = ("/ping", "/health", "/v2/health/live")  # an orchestrator asks them without a token
NOT_ALLOWED = "send one of the server's tokens (header Authorization: Bearer TOKEN)"


class Guard:
    """Lets through who has a token, and counts what was answered."""

    def __init__(
        self, app: ASGIApp, tokens: tuple[str, ...], metrics: Metrics, root: str = "", attempts: Attempts | None = None
    ) -> None:
        """Guard `app`, which a proxy shows under the path `root`; without tokens everybody passes."""
        self.app, self.metrics, self.attempts, self.root = app, metrics, attempts or Attempts(), root
        self.tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 401, or with 429 after too many wrong tokens."""
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

        if self.root and f"{scope['path']}/".startswith(f"{self.root}/"):
            scope["root_path"] = self.root
            if scope["path"] == self.root:  # the links of the page are relative to a path that ends in /
                return await RedirectResponse(f"{self.root}/")(scope, receive, send)
        try:
            if not self.tokens or route_of(scope) in OPEN or self._knows(scope):
                await self.app(scope, receive, sending)
            else:
                await self._refuse(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            if "ended" not in scope:
                self.metrics.request(route, status, time.perf_counter() - started)
        return None

    def _knows(self, scope: Scope) -> bool:
        """Tell whether the request has one of the tokens; how long that takes says nothing about them."""
        given, address = _token(dict(scope["headers"]).get(b"authorization", b"")), _address(scope)
        matches = [number for number, token in enumerate(self.tokens) if hmac.compare_digest(given, token)]
        if self.attempts.wait(address):
            matches = [number for number in matches if number in self.attempts.known(address)]
        for number in matches:
            self.attempts.right(address, number)
        return bool(matches)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or 429 to an address that has tried too often; no token at all is no try."""
        if not _token(dict(scope["headers"]).get(b"authorization", b"")):
            return await _tell(401, NOT_ALLOWED, {"www-authenticate": "Bearer"})(scope, receive, send)
        seconds = self.attempts.wait(_address(scope))
        if not seconds:
            self.attempts.wrong(_address(scope))
        self.metrics.wrong_token(429 if seconds else 401)
        if seconds:
            rule = f"too many wrong tokens came from this address: wait {seconds} seconds"
            return await _tell(429, rule, {"retry-after": str(seconds)})(scope, receive, send)
        return await _tell(401, NOT_ALLOWED, {"www-authenticate": "Bearer"})(scope, receive, send)


def _token(header: bytes) -> bytes:
    scheme, _, given = header.partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else b""


def route_of(scope: Scope) -> str:
    """Return the path of a request, without that under which a proxy shows the service."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _tell(status: int, rule: str, headers: dict[str, str]) -> ASGIApp:
    """Return what answers with an error: to a browser without a token with a page that asks for one."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if status == 401 and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
            policy = {"content-security-policy": page.CSP}
            return await HTMLResponse(page.sign_in(), status, {**headers, **policy})(scope, receive, send)
        told = {"error": rule} if route_of(scope).startswith("/v2") else {}
        return await JSONResponse({**told, **refusal(status, rule).body()}, status, headers)(scope, receive, send)

    return answer
