"""What every page is made of: the shell with its script and style, and texts that mean nothing but themselves.

Everything is in the page, nothing is loaded from elsewhere, and no text of a table can become HTML: here it is escaped,
and page.html puts what the service answers into text nodes. The script and the style are the same for every bundle, so
their hashes in `CSP` let the browser run these and no others.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from gitmodel.base import outlet

SHELL = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
SCRIPT = re.compile(r'<script type="module">(.*?)</script>', re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def _hash(pattern: re.Pattern[str]) -> str:
    (content,) = pattern.findall(SHELL)
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


CSP = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_hash(SCRIPT)}",
        f"style-src {_hash(STYLE)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


def document(name: str, body: str, script: bool = True) -> str:
    """Return a whole HTML document around `body`, which is HTML; `name` is a text."""
    shell = SHELL if script else SCRIPT.sub("", SHELL)
    return shell.replace("<!-- title -->", text(name), 1).replace("<!-- body -->", body, 1)


def text(value: object) -> str:
    """Return any text as HTML that means nothing but itself, on one line."""
    return outlet.html(value)


def block(value: object) -> str:
    """Return lines of text as HTML that means nothing but itself, for <pre>."""
    return outlet.html(value, layout="\n\t")


def exactly(value: object) -> str:
    """Return a value as HTML that a script reads back as it was: of an attribute, or of a field."""
    return outlet.attribute(value)


def plain_number(value: float) -> str:
    """Return a number without needless digits: `5`, `0.25`, `1000000`."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
