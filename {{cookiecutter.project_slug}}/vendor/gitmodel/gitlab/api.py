"""GitLab's REST API, of the project that a pipeline runs in, or else that Git's remote names."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.git.programs import call

CONFIG = Path(".gitlab-ci.yml")  # a project that GitLab checks has it
TOKENS = {"MODEL_TOKEN": "PRIVATE-TOKEN", "GITLAB_TOKEN": "PRIVATE-TOKEN", "CI_JOB_TOKEN": "JOB-TOKEN"}
SECONDS = 60
MOST = 100  # rows of a page


class Refused(UserError):
    """GitLab does not do what was asked: its status, and its own words."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status, and say both."""
        super().__init__(f"GitLab refused ({message}, HTTP {status}): look at the token's role and scope")
        self.status = status


class SameHost(HTTPRedirectHandler):
    """Follows no redirect with the token: packages may lie in another store, which asks for none."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> Request | None:
        """Return the request to the new place, without the token if that is elsewhere."""
        request: Request = args[0]
        again = super().redirect_request(*args, **kwargs)
        if again and urlsplit(again.full_url).netloc != urlsplit(request.full_url).netloc:
            for name in set(TOKENS.values()):
                again.remove_header(name.capitalize())
        return again


@dataclass(frozen=True)
class Project:
    """A project on GitLab: where its API is, and who asks."""

    address: str
    headers: dict[str, str]

    def ask(self, method: str, path: str, content: object = None) -> Any:
        """Return what the API answers; Refused if it does not do it."""
        body = None if content is None else json.dumps(content).encode()
        answer, _ = self._open(method, path, body, {"Content-Type": "application/json"})
        return parse_json(answer) if answer else None

    def found(self, path: str) -> Any:
        """Return what the API answers; None if there is no such thing."""
        try:
            return self.ask("GET", path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def rows(self, path: str) -> Iterator[Any]:
        """Yield the rows of a list, page by page."""
        page = "1"
        while page:
            joint = "&" if "?" in path else "?"
            answer, headers = self._open("GET", f"{path}{joint}per_page={MOST}&page={page}")
            yield from parse_json(answer)
            page = headers.get("X-Next-Page", "")

    def upload(self, path: str, file: Path) -> None:
        """Put a file there."""
        self._open("PUT", path, file.read_bytes(), {"Content-Type": "application/octet-stream"})

    def download(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return self._open("GET", path)[0]

    def _open(
        self, method: str, path: str, body: bytes | None = None, more: dict[str, str] | None = None
    ) -> tuple[bytes, Any]:
        address = f"{self.address}/{path}".removesuffix("/")
        request = Request(address, body, {**self.headers, **(more or {})}, method=method)
        try:
            with build_opener(SameHost).open(request, timeout=SECONDS) as answer:
                return answer.read(), answer.headers
        except HTTPError as error:
            raise Refused(error.code, _words(error.read())) from None
        except (URLError, OSError) as error:
            reason = one_line(getattr(error, "reason", error))
            raise UserError(f"GitLab cannot be asked ({reason}): look at the network, then try again") from None


def _words(answer: bytes) -> str:
    """Return what GitLab says of a refusal."""
    try:
        told = json.loads(answer)
        return one_line(told.get("message") or told.get("error") or "no reason given")[:200]
    except (ValueError, AttributeError):
        return "no reason given"


def opened() -> Project:
    """Return the project of this pipeline, or of the remote `origin`; UserError if nothing says which it is."""
    api, number = os.environ.get("CI_API_V4_URL"), os.environ.get("CI_PROJECT_ID")
    if not (api and number):
        api, number = _of_remote(call("git", "remote", "get-url", "origin").stdout.strip())
    return Project(f"{api}/projects/{number}", _credentials())


def _of_remote(url: str) -> tuple[str, str]:
    """Return the API and the project of the address of a remote."""
    found = re.fullmatch(r"(?:(https?)://|ssh://)?(?:[^@/]*@)?([^/:]+(?::\d+)?)[:/](\S+?)(?:\.git)?/?", url)
    if not found:
        raise UserError("Git's remote `origin` is no project on GitLab: `git remote add origin ADDRESS`")
    scheme, host, path = found.groups()
    host = host if scheme else host.partition(":")[0]  # the port is that of SSH
    return f"{scheme or 'https'}://{host}/api/v4", quote(path, safe="")


def _credentials() -> dict[str, str]:
    """Return the header for the first token that there is."""
    return next(({header: os.environ[name]} for name, header in TOKENS.items() if os.environ.get(name)), {})


def on_gitlab() -> bool:
    """Tell whether this project is one that GitLab checks."""
    return CONFIG.exists()
