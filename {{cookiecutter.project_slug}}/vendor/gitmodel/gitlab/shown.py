"""Reports as GitLab shows them: what comes from data or people calls nobody, loads nothing and commands nothing."""

import re

MOST = 60_000  # characters of a note
MORE = 1_000_000  # bytes that are read
HIDDEN = "\u200b"
DISARMED = (  # what means something to GitLab -> the same with an invisible space in it
    (re.compile(r"<(?!/?(?:details|summary)>)"), f"<{HIDDEN}"),
    (re.compile(r"!\["), f"!{HIDDEN}["),
    (re.compile(r"@"), f"@{HIDDEN}"),
    (re.compile(r"(?m)^(\s*)/"), rf"\1{HIDDEN}/"),  # a quick action, such as /merge
)


def shown(report: bytes) -> str:
    """Return a report as a text that means nothing but itself."""
    text = report[:MORE].decode("utf-8", "replace").replace("\r", "\n")
    for pattern, instead in DISARMED:
        text = pattern.sub(instead, text)
    return text[:MOST]


def as_code(text: str, most: int = 50) -> str:
    """Return lines of a log as code: nothing in it is rendered."""
    return "\n".join(f"    {line[:300]}" for line in text.replace("\r", "\n").splitlines()[:most])
