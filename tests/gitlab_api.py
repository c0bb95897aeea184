"""A small stand-in for GitLab's API: merge requests, notes, issues, packages, releases, settings."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN, JOB_TOKEN = "project-token", "job-token"
BOT, PROJECT = 7, 42  # the account of the token, and the project
PAGE = 2  # few enough for a second page
JOB_MAY = re.compile(r"packages/|releases")  # what GitLab lets the token of a job do


class Gitlab(ThreadingHTTPServer):
    """The state of the project, and the server that shows it."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port of this machine."""
        super().__init__(("127.0.0.1", 0), Answer)
        self.requests: dict[int, dict[str, Any]] = {}  # merge requests
        self.issues: dict[int, dict[str, Any]] = {}
        self.notes: dict[str, list[dict[str, Any]]] = {}  # of `merge_requests/1` or `issues/1`
        self.events: dict[int, list[dict[str, Any]]] = {}  # of labels
        self.pipelines: list[dict[str, Any]] = []
        self.merges: dict[int, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}
        self.releases: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, Any] = {"id": PROJECT, "ci_config_path": ""}
        self.named: dict[str, dict[str, Any]] = {}  # labels, protected branches and tags, by their address
        self.asked: list[str] = []

    @property
    def variables(self) -> dict[str, str]:
        """Return what a job knows of the server."""
        return {"CI_API_V4_URL": f"http://127.0.0.1:{self.server_port}/api/v4", "CI_PROJECT_ID": str(PROJECT)}

    def note(self, place: str, author: int, body: str) -> dict[str, Any]:
        """Add a note."""
        notes = self.notes.setdefault(place, [])
        notes.append({"id": 100 + sum(map(len, self.notes.values())), "author": {"id": author}, "body": body})
        return notes[-1]

    def answer(self, method: str, path: str, query: dict[str, str], sent: Any) -> Any:
        """Return what the API answers: None for what is not there, a number for a refusal."""
        if path == "user":
            return {"id": BOT}
        if path == "":
            self.settings |= sent or {}
            return self.settings
        kind, _, rest = path.partition("/")
        if kind in ("labels", "protected_branches", "protected_tags"):
            return self.answer_named(method, kind, rest, sent)
        if kind in ("packages", "releases", "pipeline"):
            return self.answer_published(method, path, sent)
        if found := re.fullmatch(r"((?:merge_requests|issues)/\d+)/notes(?:/(\d+))?", path):
            return self.answer_note(method, found[1], found[2], sent)
        if found := re.fullmatch(r"merge_requests/(\d+)/(\w+)", path):
            if found[2] == "resource_label_events":
                return self.events.get(int(found[1]), [])
            self.merges[int(found[1])] = sent
            return sent
        return self.answer_item(method, self.requests if kind == "merge_requests" else self.issues, rest, query, sent)

    def answer_named(self, method: str, kind: str, name: str, sent: Any) -> Any:
        """Return what the API answers about things with a name."""
        if method == "POST":
            address = f"{kind}/{sent['name']}"
            self.named[address] = sent
            if kind == "protected_branches":
                sent["push_access_levels"] = [{"access_level": sent["push_access_level"]}]
            return sent
        if method == "DELETE":
            return self.named.pop(f"{kind}/{name}", None)
        return self.named.get(f"{kind}/{name}")

    def answer_published(self, method: str, path: str, sent: Any) -> Any:
        """Return what the API answers about packages, releases and pipelines."""
        if path == "pipeline":
            self.pipelines.append(sent)
        elif path.startswith("packages/"):
            if method == "PUT":
                self.packages[path] = sent
            return self.packages.get(path)
        elif method == "GET":
            return self.releases.get(path.removeprefix("releases/"))
        else:
            self.releases.setdefault(sent["tag_name"], {}).update(sent)
        return sent

    def answer_note(self, method: str, place: str, number: str | None, sent: Any) -> Any:
        """Return what the API answers about notes: nobody edits those of somebody else."""
        if method == "GET":
            return self.notes.get(place, [])
        if method == "POST":
            return self.note(place, BOT, sent["body"])
        (found,) = [note for note in self.notes[place] if note["id"] == int(number or 0)]
        if found["author"]["id"] != BOT:
            return 403
        found.update(sent)
        return found

    def answer_item(
        self, method: str, items: dict[int, dict[str, Any]], number: str, query: dict[str, str], sent: Any
    ) -> Any:
        """Return what the API answers about merge requests or issues."""
        if method == "POST":
            iid = 1 + len(items)
            items[iid] = {"iid": iid, "state": "opened", "labels": [], **sent}
            return items[iid]
        if method == "GET" and not number:
            wanted = {key: query[key] for key in ("state", "source_branch", "target_branch") if key in query}
            return [item for item in items.values() if wanted.items() <= item.items()]
        item = items.get(int(number))
        if item is not None and method == "PUT":
            item.update(sent)
            item["state"] = "closed" if sent.get("state_event") == "close" else item["state"]
        return item


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Gitlab

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do(self) -> None:
        """Answer, page by page, whoever has a token that may ask."""
        address = urlsplit(self.path)
        path = unquote(address.path.removeprefix("/api/v4/").removeprefix(f"projects/{PROJECT}").strip("/"))
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        self.server.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = body if path.startswith("packages/") else json.loads(body) if body else None
        if not self.may(path):
            return self.send(401, {"message": "401 Unauthorized"})
        answer = self.server.answer(self.command, path, query, sent)
        if isinstance(answer, int) or answer is None:
            return self.send(answer or 404, {"message": f"{answer or 404} refused"})
        if isinstance(answer, list):
            page = int(query.get("page", 1))
            more = str(page + 1) if len(answer) > page * PAGE else ""
            return self.send(200, answer[(page - 1) * PAGE : page * PAGE], {"X-Next-Page": more})
        self.send(200, answer)

    do_GET = do_POST = do_PUT = do_DELETE = do

    def may(self, path: str) -> bool:
        """Tell whether the token may ask this."""
        job = self.headers.get("JOB-TOKEN") == JOB_TOKEN and JOB_MAY.match(path)
        return self.headers.get("PRIVATE-TOKEN") == TOKEN or bool(job)

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve() -> Iterator[Gitlab]:
    """Serve an empty project."""
    with Gitlab() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
