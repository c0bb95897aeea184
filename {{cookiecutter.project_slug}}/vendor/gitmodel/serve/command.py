"""`model serve`: the bundle over HTTP. A page at /, its documentation at /docs, predictions at /predict."""

import argparse
import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from gitmodel.base.project import BUNDLE, CARD, UserError, say, some_rows, warn
from gitmodel.serve.app import Settings, build
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.service import ServedModel, Service
from gitmodel.serve.signature import require_signed

LOG = Path("predictions")
CANARY_SHARE = 0.1
GOODBYE_SECONDS = 1  # after SIGTERM, that a client with an open connection has for another request
DRAIN_SECONDS = 30  # that what is in flight may still take after SIGTERM


class Server(uvicorn.Server):
    """A server that says goodbye: uvicorn closes a connection also when the next request is already on its way."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, end each of the others with an answer that says so, then those without a request."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        for _ in range(int(GOODBYE_SECONDS / 0.05)):
            if self.force_exit or not self.server_state.connections:
                break
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `model serve`."""

    def add(name: str, text: str, **options: object) -> None:
        default = " (default: %(default)s)" if options.get("default") else ""
        parser.add_argument(name, help=text + default, **options)  # type: ignore[arg-type]

    add("--bundle", "the bundle to serve", type=Path, default=BUNDLE)
    add("--version", "what to call it (default: $MODEL_VERSION, or the start of its digest)")
    add("--host", "the address to listen at, 0.0.0.0 for all", default="127.0.0.1")
    add("--port", "the port, 0 for any that is free", type=int, default=8000)
    add("--token-file", "who may ask: tokens, one a line (default: $MODEL_TOKENS, or everybody)", type=Path)
    add("--cors", "a web site whose pages may ask, https://...; several times for several", type=_site, action="append")
    add("--log", "folder of the prediction log", type=Path, default=LOG)
    add("--no-log", "keep no prediction log", action="store_true")
    add("--canary", "a second bundle, which answers a share of the requests", type=Path)
    add("--canary-share", f"that share (default: {CANARY_SHARE})", type=_share)
    add("--shadow", "a bundle that predicts too and is logged, but never answers", type=Path)
    add("--card", "the model card to show, if it is that of the bundle", type=Path, default=CARD)
    add("--public-key", "serve only what this key has signed (OpenSSF model signing)", type=Path)
    add("--signature", "its signature (default: beside the bundle, `<bundle>.sig`)", type=Path)
    add("--max-rows", "rows that a request may have", type=_positive, default=10_000)
    add("--max-bytes", "bytes that a request may have", type=_positive, default=10_000_000)
    add("--max-connections", "connections at a time, others get 503 (default: no limit)", type=_positive)
    add("--timeout", "seconds that a client may take for a body, or idle", type=_positive, default=30)
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C; what is in flight then is still answered, and logged."""
    tokens, service = read_tokens(args.token_file), make_service(args)
    main, listener = service.main, listen(args.host, args.port)
    settings = Settings(tokens, tuple(args.cors or ()), args.max_bytes, args.timeout, read_card(args.card, main.digest))
    host, port = listener.getsockname()[:2]
    served = " and ".join(f"{model.version} ({model.digest}){_role(model)}" for model in service.models)
    text = f"serving {main.name} {served} at http://{f'[{host}]' if ':' in host else host}:{port}/"
    app = build(service, settings, lambda: say(text))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=args.max_connections,
        timeout_keep_alive=args.timeout,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ws="none",
    )
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # uvicorn hands them on once it has ended: that is the end, not a failure
        signal.signal(number, _end)
    log = service.log
    if log and log.failure:
        warn(f"{log.failure}: until that is mended, predictions are answered but not logged (--no-log: on purpose)")
    Server(config).run(sockets=[listener])
    if log and log.lost:
        warn(f"{some_rows(log.lost)} answered, but not logged{f': {log.failure}' if log.failure else ''}")


def make_service(args: argparse.Namespace) -> Service:
    """Load the bundles; UserError if one is not intact, or they do not fit together."""
    if args.public_key:
        require_signed(args.bundle, args.public_key, args.signature)
        for directory in filter(None, (args.canary, args.shadow)):
            require_signed(directory, args.public_key)
    if args.canary_share is not None and not args.canary:
        raise UserError("--canary-share shares with nobody: name the second bundle with --canary DIR")
    main = ServedModel.load(args.bundle, "main", args.version or os.environ.get("MODEL_VERSION"))
    canary = ServedModel.load(args.canary, "canary") if args.canary else None
    shadow = ServedModel.load(args.shadow, "shadow") if args.shadow else None
    for model in filter(None, (canary, shadow)):
        model.require_like(main)
    log = None if args.no_log else PredictionLog(args.log)
    share = CANARY_SHARE if args.canary_share is None else args.canary_share
    return Service(main, canary=canary, share=share, shadow=shadow, log=log, most_rows=args.max_rows)


def read_tokens(path: Path | None) -> tuple[str, ...]:
    """Return the tokens of a file, or of MODEL_TOKENS; UserError if a file has none."""
    if path is None and "MODEL_TOKENS" not in os.environ:
        return ()
    source = path or "MODEL_TOKENS"
    try:
        tokens = (path.read_text(encoding="utf-8") if path else os.environ["MODEL_TOKENS"]).split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"{path} cannot be read ({reason}): write tokens into it, one a line") from None
    if not tokens or not all(token.isascii() for token in tokens):
        raise UserError(f"{source} must hold tokens, one a line, of letters, digits and marks")
    return tuple(tokens)


def read_card(path: Path, digest: str) -> str | None:
    """Return the model card, if it is there and is that of this bundle."""
    try:
        card = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return card if digest in card else None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; UserError if the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen at {host} port {port} ({reason}): choose another --port or --host") from None


def _role(model: ServedModel) -> str:
    return "" if model.role == "main" else f" as {model.role}"


def _end(number: int, frame: FrameType | None) -> None:
    """Do nothing: uvicorn has ended in good order, then hands the signal on."""


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _site(text: str) -> str:
    if not re.fullmatch(r"\*|https?://[^/\s]+", text):
        raise argparse.ArgumentTypeError("must be https://NAME, without a path or a / at its end")
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value
