"""The repository on GitHub, asked with gh: what it has, what it allows, and what it does not tell."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.git.programs import call, last_line

MOST = "per_page=100"  # rows of a page
NO_REPOSITORY = "unable to expand placeholder"  # what gh says where Git names none on GitHub


class CannotAsk(UserError):
    """Nothing can be asked: gh, a login or a repository on GitHub is missing (exit status 2)."""


class Refused(Exception):
    """GitHub does not answer one question: its status, and its own words."""

    def __init__(self, status: int, message: str) -> None:
        """Keep both."""
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message

    @property
    def is_of_the_plan(self) -> bool:
        """Tell whether the account would have to be upgraded."""
        return "upgrade" in self.message.lower()


@dataclass(frozen=True)
class Forge:
    """A repository: its name with its owner, and what GitHub tells about it as a whole. No question is asked twice."""

    name: str
    about: dict[str, Any]
    answers: dict[str, list[Any]] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        """Return the answer to one question; Refused if there is none."""
        return self._asked(f"repos/{self.name}/{path}")[0]

    def found(self, path: str) -> Any:
        """Return the answer to one question; None if there is no such thing. Whoever sees the repository sees it."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def rows(self, path: str, key: str = "") -> list[Any]:
        """Return all rows of a list, which may be one entry of each page."""
        pages = self._asked(f"repos/{self.name}/{path}{'&' if '?' in path else '?'}{MOST}", "--paginate")
        return [row for page in pages for row in (page[key] if key else page)]

    def send(self, method: str, path: str, content: object) -> None:
        """Change something; Refused if it may not be."""
        self.answers.clear()
        _ask("--method", method, f"repos/{self.name}/{path}", "--input", "-", stdin=json.dumps(content))

    def is_organisation(self, account: str) -> bool | None:
        """Tell whether an account is an organisation; None if there is no such account."""
        try:
            return bool(self._asked(f"users/{account}")[0]["type"] == "Organization")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    @property
    def belongs_to_an_organisation(self) -> bool:
        """Tell whether its owner is an organisation, which may share secrets, variables and runners."""
        return bool(self.about["owner"]["type"] == "Organization")

    @cached_property
    def maintainers(self) -> list[str]:
        """Return who may push: the people, in the order of their names."""
        people = [one for one in self.rows("collaborators") if one.get("type", "User") == "User"]
        return sorted(one["login"] for one in people if any(map(one["permissions"].get, ("push", "maintain", "admin"))))

    @cached_property
    def secrets(self) -> set[str]:
        """Return the names of the secrets that workflows see."""
        return set(self._shared("secrets"))

    @cached_property
    def variables(self) -> dict[str, str]:
        """Return name -> value of the variables that workflows see."""
        return self._shared("variables")

    def _asked(self, path: str, *words: str) -> list[Any]:
        if path not in self.answers:
            self.answers[path] = _ask(*words, path)
        return self.answers[path]

    def _shared(self, kind: str) -> dict[str, str]:
        places = [f"actions/organization-{kind}"] * self.belongs_to_an_organisation
        places.append(f"actions/{kind}")  # the last one counts
        return {row["name"]: row.get("value", "") for place in places for row in self.rows(place, kind)}


def opened() -> Forge:
    """Return the repository that Git's remotes (or GH_REPO) name; CannotAsk says what is missing."""
    if not shutil.which("gh"):
        raise CannotAsk("needs gh; install it (https://cli.github.com) and try again")
    if call("gh", "auth", "token").returncode:
        raise CannotAsk("gh is not logged in; run: gh auth login")
    try:
        about = _ask("repos/{owner}/{repo}")[0]
    except Refused as error:
        if error.status == 401:
            raise CannotAsk(f"GitHub does not take the login of gh ({error}): run: gh auth login") from None
        remedy = "compare `git remote --verbose` with the account in `gh auth status`"
        raise CannotAsk(f"GitHub does not show this repository ({error}): {remedy}") from None
    return Forge(about["full_name"], about)


def _ask(*words: str, stdin: str | None = None) -> list[Any]:
    """Return what the API answers, page by page; Refused if it does not, CannotAsk if it cannot be reached."""
    result = call("gh", "api", *words, stdin=stdin, GH_PROMPT_DISABLED="1")
    if result.returncode == 0:
        return list(_documents(result.stdout))
    if refusal := re.search(r"^gh: (.*) \(HTTP (\d+)\)", result.stderr, flags=re.MULTILINE | re.DOTALL):
        raise Refused(int(refusal[2]), one_line(refusal[1]))
    reason = one_line(last_line(result.stderr))
    if NO_REPOSITORY in reason:
        remedy = "run `gh repo create --source . --push`, or `git remote add origin ADDRESS`"
        raise CannotAsk(f"no remote of Git is a repository on GitHub: {remedy}")
    raise CannotAsk(f"GitHub cannot be asked ({reason}): look at the network and at `gh auth status`, then try again")


def _documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents in a text: some versions of gh write the pages one after the other."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()
