"""A small stand-in for GitHub's API, for gh: issues, pull requests, comments, labels, rulesets, releases, workflows.

What a repository only tells of itself (settings, people, secrets) is a table of answers, which tests change.

gh speaks plain HTTP to it over a Unix socket, which `http_unix_socket` in its configuration names.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "acme/income-model"
BOT = {"login": "github-actions[bot]", "type": "Bot"}
PAGE = 2  # few enough for a second page of comments


class Refusal(NamedTuple):
    """An answer that is none: its status and message."""

    status: int
    message: str


def person(login: str) -> dict[str, Any]:
    """Return a collaborator who may push."""
    return {"login": login, "type": "User", "permissions": {"pull": True, "push": True, "admin": False}}


def answers() -> dict[str, Any]:
    """Return what a repository of one person says of itself, by the end of its address."""
    owner = {"login": "acme", "type": "Organization"}
    about = {"full_name": REPOSITORY, "default_branch": "main", "owner": owner, "allow_auto_merge": False}
    return {
        "": about | {"html_url": f"https://github.com/{REPOSITORY}"},
        "/users/acme": owner,
        "/users/octo-team": {"login": "octo-team", "type": "User"},
        "collaborators": [person("octo-team")],
        "codeowners/errors": {"errors": []},
        "actions/permissions": {"enabled": True, "allowed_actions": "all"},
        "actions/permissions/workflow": {"can_approve_pull_request_reviews": True},
        **{f"actions/{name}": {"secrets": []} for name in ("secrets", "organization-secrets")},
        **{f"actions/{name}": {"variables": []} for name in ("variables", "organization-variables")},
        "actions/workflows": {"workflows": []},
        "actions/runners": {"runners": []},
    }


class Hub(ThreadingMixIn, UnixStreamServer):
    """The state of the repository, and the server that shows it."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        """Listen on a socket."""
        super().__init__(str(socket), Answer)
        self.pulls: dict[int, dict[str, Any]] = {}
        self.issues: dict[int, dict[str, Any]] = {}
        self.started: list[dict[str, Any]] = []  # workflows that were asked to run
        self.merges: list[dict[str, Any]] = []  # what gh asked for: automatically, or at once
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.timeline: dict[int, list[dict[str, Any]]] = {}
        self.labels: list[dict[str, Any]] = []
        self.rulesets: list[dict[str, Any]] = []
        self.releases: list[dict[str, Any]] = []
        self.contents: list[bytes] = []  # of the assets of all releases, by their number
        self.objects: dict[str, Any] = {}  # trees and commits that were made over the API
        self.heads: dict[str, str] = {}  # branch -> commit
        self.requests: list[str] = []
        self.answers = answers()

    def comment(self, number: int, user: dict[str, str], body: str) -> dict[str, Any]:
        """Add a comment to a pull request."""
        comments = self.comments.setdefault(number, [])
        identity = 1 + sum(map(len, self.comments.values()))
        comments.append({"id": identity, "user": user, "body": body})
        return comments[-1]

    def answer(self, method: str, path: str, query: dict[str, str], sent: Any) -> Any:
        """Return what the API answers, or None for an address it does not know."""
        said = self.answers.get(re.sub(f"^/repos/{REPOSITORY}/?", "", path))
        if isinstance(said, Refusal) or (said is not None and method == "GET"):
            return said
        kind, _, rest = path.removeprefix(f"/repos/{REPOSITORY}/").partition("/")
        numbers = [int(number) for number in re.findall(r"\d+", rest)]
        match method, kind, re.sub(r"\d+", "N", rest):
            case "GET", "pulls", "":
                return [pull for pull in self.pulls.values() if _listed(pull, query)]
            case "GET", "pulls", "N":
                return self.pulls[numbers[0]]
            case "POST", "pulls", "":
                head = {"ref": sent["head"], "repo": {"owner": {"login": REPOSITORY.partition("/")[0]}}}
                number = 1 + len(self.pulls)
                made = {"number": number, "state": "open", "head": head, "base": {"ref": sent["base"]}, "labels": []}
                self.pulls[number] = sent | made
                return self.pulls[number]
            case "PATCH", "pulls", "N":
                self.pulls[numbers[0]].update(sent)
                return self.pulls[numbers[0]]
            case "POST", "git", "trees" | "commits":
                sha = f"{len(self.objects):040}"
                self.objects[sha] = sent
                return {"sha": sha}
            case "POST", "git", "refs":
                self.heads[sent["ref"].removeprefix("refs/heads/")] = sent["sha"]
                return sent
            case "PATCH", "git", _ if rest.removeprefix("refs/heads/") in self.heads:
                self.heads[rest.removeprefix("refs/heads/")] = sent["sha"]
                return sent
            case "GET", "issues", "N/timeline":
                return self.timeline.get(numbers[0], [])
            case "GET", "issues", "N/comments":
                return self.comments.get(numbers[0], [])
            case "POST", "issues", "N/comments":
                return self.comment(numbers[0], BOT, sent["body"])
            case "PATCH", "issues", "comments/N":
                (found,) = [it for all_ in self.comments.values() for it in all_ if it["id"] == numbers[0]]
                found.update(sent)
                return found
            case "POST", "labels", "":
                self.labels.append(sent)
                return sent
            case "GET", "labels", _ if rest:
                return next((label for label in self.labels if label["name"] == rest), None)
            case "GET", "rules", "branches/main":
                return self.rules_of_main()
            case "GET", "rulesets", "N":
                return self.rulesets[numbers[0] - 1]
            case "GET", "rulesets", "":
                return self.rulesets
            case "POST", "rulesets", "":
                self.rulesets.append(sent | {"id": 1 + len(self.rulesets)})
                return self.rulesets[-1]
            case "PUT", "rulesets", "N":
                self.rulesets[numbers[0] - 1] = sent | {"id": numbers[0]}
                return sent
            case "POST", "actions", _ if rest.endswith("/dispatches"):
                self.started.append({"workflow": rest.split("/")[1]} | sent)
                return {}
        if path == "/graphql":
            return self.answer_merge(sent)
        if kind == "issues":
            return self.answer_issue(method, rest.split("/"), query, sent)
        return self.answer_release(method, f"{kind}/{rest}", query, sent)

    def rules_of_main(self) -> list[dict[str, Any]]:
        """Return the rules that are in force for the branch main."""
        active = [it for it in self.rulesets if (it["target"], it["enforcement"]) == ("branch", "active")]
        return [rule | {"ruleset_id": ruleset["id"]} for ruleset in active for rule in ruleset["rules"]]

    def answer_issue(self, method: str, path: list[str], query: dict[str, str], sent: Any) -> Any:
        """Return what the API answers about issues, and about the labels of pull requests, or None."""
        match method, path:
            case "GET", [""]:
                return [
                    issue
                    for issue in self.issues.values()
                    if issue["state"] == query.get("state", "open")
                    and {query["labels"]} <= {label["name"] for label in issue["labels"]}
                ]
            case "POST", [""]:
                labels = [{"name": name} for name in sent.get("labels", ())]
                number = 1001 + len(self.issues)
                self.issues[number] = sent | {"number": number, "state": "open", "user": BOT, "labels": labels}
                return self.issues[number]
            case "PATCH", [number]:
                self.issues[int(number)].update(sent)
                return self.issues[int(number)]
            case "POST", [number, "labels"]:
                labels = self.pulls[int(number)]["labels"]
                labels += [{"name": name} for name in sent["labels"] if {"name": name} not in labels]
                return labels
            case "DELETE", [number, "labels", name]:
                if {"name": name} not in self.pulls[int(number)]["labels"]:
                    return None
                self.pulls[int(number)]["labels"].remove({"name": name})
                return self.pulls[int(number)]["labels"]
        return None

    def answer_merge(self, sent: Any) -> Any:
        """Return what GraphQL answers to `gh pr merge`, for a repository whose checks are not through yet."""
        query, variables = sent["query"], sent.get("variables", {})
        if "__type" in query:  # what this GitHub knows
            names = [{"name": name} for name in ("isInMergeQueue", "isMergeQueueEnabled")]
            return {"data": {kind: {"fields": names} for kind in re.findall(r"(\w+): ?__type", query)}}
        if query.startswith("mutation"):
            self.merges.append({"automatic": "enablePullRequestAutoMerge" in query} | variables["input"])
            return {"data": {}}
        pull = self.pulls[int(variables["pr_number"])]
        found = {"id": f"PR_{pull['number']}", "number": pull["number"], "state": "OPEN", "title": pull["title"]}
        found |= {"mergeStateStatus": "BLOCKED", "baseRefName": "main", "headRefName": pull["head"]["ref"]}
        found |= {"headRepositoryOwner": {"login": "acme"}, "isMergeQueueEnabled": False, "isInMergeQueue": False}
        return {"data": {"repository": {"pullRequest": found}}}

    def answer_release(self, method: str, path: str, query: dict[str, str], sent: Any) -> Any:
        """Return what the API answers about releases, or None."""
        home = f"https://api.github.com/repos/{REPOSITORY}/releases"
        match method, path.split("/")[1:]:
            case "POST", [""]:
                url = f"{home}/{len(self.releases)}"
                made = {"url": url, "upload_url": f"{url}/assets{{?name}}", "html_url": url, "assets": []}
                self.releases.append(sent | made | {"id": len(self.releases)})
                return self.releases[-1]
            case "POST", [number, "assets"]:
                self.contents.append(sent)
                asset = {"name": query["name"], "url": f"{home}/assets/{len(self.contents) - 1}", "size": len(sent)}
                self.releases[int(number)]["assets"].append(asset | {"state": "uploaded"})
                return asset
            case "PATCH", [number]:
                self.releases[int(number)].update(sent)
                return self.releases[int(number)]
            case "GET", ["tags", tag]:
                published = [it for it in self.releases if not it.get("draft")]
                return next((it for it in published if it["tag_name"] == unquote(tag)), None)
            case "GET", ["assets", number]:
                return self.contents[int(number)]
        return None

    def proposed(self, branch: str) -> dict[str, str]:
        """Return what the last commit of a branch, made over the API, changes: path -> content."""
        tree = self.objects[self.objects[self.heads[branch]]["tree"]]
        return {entry["path"]: entry["content"] for entry in tree["tree"]}

    def assets(self, tag: str) -> dict[str, bytes]:
        """Return the assets of a published release by their names."""
        (found,) = [it for it in self.releases if it["tag_name"] == tag and not it.get("draft")]
        return {asset["name"]: self.contents[int(asset["url"].rpartition("/")[2])] for asset in found["assets"]}

    def replace(self, tag: str, name: str, content: bytes) -> None:
        """Change an asset behind everybody's back."""
        (found,) = [it for it in self.releases if it["tag_name"] == tag]
        (url,) = [asset["url"] for asset in found["assets"] if asset["name"] == name]
        self.contents[int(url.rpartition("/")[2])] = content


def _listed(pull: dict[str, Any], query: dict[str, str]) -> bool:
    owner, _, branch = query["head"].partition(":")
    head = (pull["head"]["repo"]["owner"]["login"], pull["head"]["ref"])
    return (pull["state"], pull["base"]["ref"], *head) == (query["state"], query["base"], owner, branch)


class Answer(BaseHTTPRequestHandler):
    """One request, answered in JSON; lists come in pages."""

    server: Hub

    def handle_any(self) -> None:
        """Answer a request of any method."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        sent: Any = self.body()
        if not url.path.endswith("/assets"):
            sent = json.loads(sent or "null")
        self.server.requests.append(f"{self.command} {url.path}")
        found = self.server.answer(self.command.replace("HEAD", "GET"), url.path, query, sent)
        if found is None:
            found = Refusal(404, "Not Found")
        refusal = found if isinstance(found, Refusal) else None
        self.send_response(refusal.status if refusal else 200)
        if isinstance(found, list):
            page = int(query.get("page", 1))
            if len(found) > page * PAGE:
                self.send_header("Link", f'<https://api.github.com{url.path}?page={page + 1}>; rel="next"')
            found = found[(page - 1) * PAGE : page * PAGE]
        body = (
            found
            if isinstance(found, bytes)
            else json.dumps({"message": refusal.message} if refusal else found).encode()
        )
        self.send_header("Content-Type", "application/octet-stream" if isinstance(found, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        """Return what was sent: of a known length, or in pieces, as gh sends what it reads from stdin."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(pieces)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def address_string(self) -> str:
        """Return a name for the client, which has no address."""
        return "gh"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def serve(folder: Path) -> Iterator[tuple[Hub, dict[str, str]]]:
    """Run the API; yield it and the variables with which gh uses it."""
    socket = folder / "api"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text(f"http_unix_socket: {socket}\n")
    with Hub(socket) as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub, {"GH_CONFIG_DIR": str(folder), "GH_TOKEN": "none", "GH_REPO": REPOSITORY}
        finally:
            hub.shutdown()
            thread.join()
