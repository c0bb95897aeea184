"""Where a commit, a file or a tag can be looked at: the address of a forge, from the address of the remote."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from gitmodel.git.programs import call

HOSTS = {"github": "github", "gitlab": "gitlab", "codeberg": "gitea", "gitea": "gitea", "forgejo": "gitea"}
PATHS = {  # kind -> where a commit, a file and a tag are
    "github": ("commit/{commit}", "blob/{commit}/{path}", "releases/tag/{tag}"),
    "gitlab": ("-/commit/{commit}", "-/blob/{commit}/{path}", "-/tags/{tag}"),
    "gitea": ("commit/{commit}", "src/commit/{commit}/{path}", "src/tag/{tag}"),
}
HOST = r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
OWNER = r"(?P<path>[\w~-][\w.~-]*(?:/[\w~-][\w.~-]*)+)/?"
ADDRESSES = (  # without the name and the password that may stand in front of the host
    re.compile(rf"https?://(?:[^@/]*@)?{HOST}(?P<port>:\d+)?/{OWNER}", re.IGNORECASE),
    re.compile(rf"ssh://(?:[^@/]*@)?{HOST}(?::\d+)?/{OWNER}", re.IGNORECASE),
    re.compile(rf"(?:[^@/:]*@)?{HOST}:{OWNER}", re.IGNORECASE),
)


@dataclass(frozen=True)
class Forge:
    """Makes addresses; empty ones where the remote is on no forge that is known."""

    web: str = ""
    kind: str = ""
    folder: str = ""  # of the project in its repository, with a slash at its end

    def commit(self, commit: str) -> str:
        """Return where a commit is shown."""
        return self._address(0, commit=commit)

    def file(self, commit: str, path: str) -> str:
        """Return where a file of a commit is shown."""
        return self._address(1, commit=commit, path=quote(f"{self.folder}{path}"))

    def tag(self, tag: str) -> str:
        """Return where a tag is shown."""
        return self._address(2, tag=quote(tag, safe=""))

    def _address(self, place: int, **parts: str) -> str:
        return f"{self.web}/{PATHS[self.kind][place].format(**parts)}" if self.web else ""


def here() -> Forge:
    """Return the forge of this repository's remote: `origin`, or else the first."""
    lines = call("git", "config", "--get-regexp", r"^remote\..*\.url$").stdout.splitlines()
    remotes = dict(line.split(" ", 1) for line in lines if " " in line)
    url = remotes.get("remote.origin.url") or next(iter(remotes.values()), "")
    return of(url, call("git", "rev-parse", "--show-prefix").stdout.strip())


def of(url: str, folder: str = "") -> Forge:
    """Return the forge of the address of a remote."""
    found = next(filter(None, (pattern.fullmatch(url) for pattern in ADDRESSES)), None)
    if not found:
        return Forge()
    host = found["host"].lower()
    kind = next((kind for name, kind in HOSTS.items() if name in host.split(".")), "")
    port = found.groupdict().get("port") or ""
    return Forge(f"https://{host}{port}/{found['path'].removesuffix('.git')}", kind, folder) if kind else Forge()
