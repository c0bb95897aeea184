"""`model serve`: the bundle over HTTP. A page at /, its documentation at /docs, predictions at /predict."""

import argparse
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from gitmodel.base.files import read_text
from gitmodel.base.machine import give_back_memory
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, CARD, UserError, say, some_rows, warn
from gitmodel.bundle.contents import Contents
from gitmodel.serve.app import Settings, build
from gitmodel.serve.attempts import Attempts
from gitmodel.serve.door import Door
from gitmodel.serve.limits import CONNECTIONS, Limits, affordable
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.server import Server, listeners
from gitmodel.serve.service import ServedModel, Service
from gitmodel.serve.signature import require_signed

if TYPE_CHECKING:
    from gitmodel.serve.workers import Line

LOG = Path("predictions")
CANARY_SHARE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `model serve`."""

    def add(name: str, text: str, **options: object) -> None:
        default = " (default: %(default)s)" if options.get("default") else ""
        parser.add_argument(name, help=text + default, **options)  # type: ignore[arg-type]

    add("--bundle", "the bundle to serve", type=Path, default=BUNDLE)
    add("--version", "what to call it (default: $MODEL_VERSION, or the start of its digest)")
    add("--host", "the address to listen at, :: for all of IPv4 and IPv6", default="127.0.0.1")
    add("--port", "the port, 0 for any that is free", type=int, default=8000)
    add("--workers", "processes that serve, with a model each (default: $MODEL_WORKERS, or 1)", type=_positive)
    add("--token-file", "who may ask: tokens, one a line (default: $MODEL_TOKENS, or everybody)", type=Path)
    add("--cors-origin", "a web site whose pages may ask, https://...; again for others", type=_site, action="append")
    add("--root-path", "the path under which a proxy shows the service, /models/one", type=_root)
    add("--proxy", "the address of a proxy whose X-Forwarded-For is believed; again for others", action="append")
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
    add(
        "--max-connections",
        "connections at a time, fewer where descriptors are short",
        type=_positive,
        default=CONNECTIONS,
    )
    add("--max-per-address", "connections of one address (default: half of them)", type=_positive)
    add("--timeout", "seconds that a client may take for a request, or be idle", type=_positive, default=30)
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C; what is in flight then is still answered, and logged."""
    args.workers = read_workers(args.workers)
    tokens, bundles, bounds = read_tokens(args.token_file), read_bundles(args), make_limits(args)
    listen = partial(listeners, args.host, args.port, bounds.connections * args.workers)
    serve = partial(serve_at, args, tokens, bundles, bounds)
    if args.workers == 1:
        return serve(listen)
    from gitmodel.serve.workers import Workers  # with all that several processes take

    listening = listen()
    return Workers(args.workers, partial(serve, lambda: listening), listening).run()


def serve_at(
    args: argparse.Namespace,
    tokens: tuple[str, ...],
    bundles: list[Contents],
    bounds: Limits,
    listen: Callable[[], list[socket.socket]],
    line: "Line | None" = None,
) -> None:
    """Serve in this process: alone, or as a worker, which has a line to its supervisor."""
    service, attempts = make_service(args, bundles), Attempts()
    door = Door(bounds, service.metrics, *([line.count] if line else []))
    if line:
        attempts = Attempts(workers=args.workers, tell=line.say_known)
        service.metrics.add_others = line.numbers
        line.listen(service.metrics.text, attempts.hear)
    listening, card = listen(), read_card(args.card, service.main.digest)
    options = args.max_bytes, args.root_path or "", card, attempts
    text = started(service, listening[0], args.workers)
    app = build(
        service,
        Settings(tokens, tuple(args.cors_origin or ()), *options),
        partial(line.say_ready if line else say, text),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn hands them on once it has ended: no failure
        signal.signal(number, _end)
    log = service.log
    if log and log.failure and (line is None or line.first):
        warn(f"{log.failure}: until that is mended, predictions are answered but not logged (--no-log: on purpose)")
    Server(app, door, line.is_least if line else None).run(sockets=listening)
    if log and log.lost:
        warn(f"{some_rows(log.lost)} answered, but not logged{f': {log.failure}' if log.failure else ''}")


def started(service: Service, listening: socket.socket, workers: int) -> str:
    """Return what is said once requests are answered: what is served, and in the end where."""
    host, port = listening.getsockname()[:2]
    served = " and ".join(f"{model.version} ({model.digest}){_role(model)}" for model in service.models)
    several = f" with {workers} workers" if workers > 1 else ""
    return f"serving {service.main.name} {served}{several} at http://{f'[{host}]' if ':' in host else host}:{port}/"


def read_workers(given: int | None) -> int:
    """Return how many processes are to serve: as given, or as $MODEL_WORKERS has it; UserError if that cannot be."""
    text = os.environ.get("MODEL_WORKERS", "").strip()
    if given is None and text and not (text.isdecimal() and int(text)):
        raise UserError(f"MODEL_WORKERS is {one_line(text)[:40]!r}: it must be a whole number, 1 or more")
    workers = given or int(text or 1)
    if workers > 1 and sys.platform == "win32":
        raise UserError(
            "--workers needs a system where a process can fork, which Windows is not: start a service for each port,"
            " behind a proxy"
        )
    return workers


def make_limits(args: argparse.Namespace) -> Limits:
    """Return how much each worker takes from whom: its share of the connections, as far as descriptors reach.

    Bodies are not shared out: each worker must be able to hold a whole one.
    """
    for name, given in (("--max-connections", args.max_connections), ("--max-per-address", args.max_per_address)):
        if given and given < args.workers:
            raise UserError(f"{name} {given} leaves none to some of {args.workers} workers: raise it, or start fewer")
    wanted = args.max_connections // args.workers
    most = affordable(wanted)
    if most < wanted and args.max_connections != CONNECTIONS:
        enough = most * args.workers
        warn(f"--max-connections {args.max_connections} is more than ulimit -n allows: {enough} will do")
    bodies = max(args.max_bytes * 3 // 2, Limits.body_bytes)
    of_one_address = (args.max_per_address or 0) // args.workers or max(most // 2, 1)
    return Limits(args.timeout, most, of_one_address, bodies, tuple(args.proxy or ()))


def read_bundles(args: argparse.Namespace) -> list[Contents]:
    """Return the files of each bundle that is named: main, canary, shadow; UserError if one is not intact."""
    if args.canary_share is not None and not args.canary:
        raise UserError("--canary-share shares with nobody: name the second bundle with --canary DIR")
    return [read_signed(folder, args) for folder in (args.bundle, args.canary, args.shadow) if folder]


def make_service(args: argparse.Namespace, bundles: list[Contents]) -> Service:
    """Load the bundles; UserError if they do not fit together."""
    main, *others = bundles
    roles = [role for role in ("canary", "shadow") if getattr(args, role)]
    loaded = {"main": ServedModel.of(main, "main", args.version or os.environ.get("MODEL_VERSION"))}
    loaded |= {role: ServedModel.of(contents, role) for role, contents in zip(roles, others, strict=True)}
    for role in roles:
        loaded[role].require_like(loaded["main"])
    give_back_memory()  # loading a graph takes several times what it needs afterwards
    log = None if args.no_log else PredictionLog(args.log)
    share = CANARY_SHARE if args.canary_share is None else args.canary_share
    return Service(**loaded, share=share, log=log, most_rows=args.max_rows)


def read_signed(directory: Path, args: argparse.Namespace) -> Contents:
    """Return the files of an intact bundle; UserError unless they are signed, where a key is given."""
    contents = Contents.read(directory)
    if args.public_key:
        require_signed(contents, args.public_key, args.signature if directory == args.bundle else None)
    return contents


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
        card = read_text(path)
    except (OSError, UnicodeDecodeError):
        return None
    return card if digest in card else None


def _role(model: ServedModel) -> str:
    return "" if model.role == "main" else f" as {model.role}"


def _end(number: int, frame: FrameType | None) -> None:
    """Do nothing: uvicorn has ended in good order, then hands the signal on."""


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _site(text: str) -> str:
    if not re.fullmatch(r"\*|https?://[^/\s]+", text):
        raise argparse.ArgumentTypeError("must be https://NAME, without a path or a / at its end")
    return text


def _root(text: str) -> str:
    if not re.fullmatch(r"(/[\w.~-]+)+", text, re.ASCII):
        raise argparse.ArgumentTypeError("must be /PATH, without a / at its end")
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value
