"""What a page is made of: its shell, sections, tables, and texts that mean nothing but themselves.

Nothing is loaded, no script runs: the policy of a page allows its own style, and nothing else.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from gitmodel.base import outlet
from gitmodel.base.markdown import CODE

SHELL = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
STYLE = re.findall(r"<style>(.*?)</style>", SHELL, re.DOTALL)[0]
MORE = "/* more */"  # in the style: what a page has beyond the common one
PLACES = re.compile(f"<!-- (?:title|policy|head|body) -->|{re.escape(MORE)}")


def document(name: str, body: str, head: str = "", style: str = "") -> str:
    """Return a whole page called `name`, a text; all else is HTML, and `style` is CSS beyond the common one."""
    digest = b64encode(sha256(STYLE.replace(MORE, style).encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    parts = {"title": text(name), "policy": policy, "head": head, "body": body}
    filled = {f"<!-- {place} -->": content for place, content in parts.items()} | {MORE: style}
    return PLACES.sub(lambda found: filled[found[0]], SHELL)


def text(value: object, most: int = 200) -> str:
    """Return any text as HTML that means nothing but itself, and not too long."""
    return outlet.html(outlet.short(str(value), most))


def prose(sentence: str) -> str:
    """Return a sentence as HTML; what it has between backticks is code."""
    return CODE.sub(r"<code>\1</code>", text(sentence, 1_000))


def section(name: str, heading: str, content: str) -> str:
    """Return a section with a heading; nothing where there is nothing to say."""
    if not content:
        return ""
    head = f'<section class="card" id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{heading}</h2>'
    return f"{head}{content}</section>"


def wide(head: str, rows: str, caption: str) -> str:
    """Return a table that can be moved sideways where the screen is narrow; all but `caption` is HTML."""
    head = head.replace("<th>", '<th scope="col">')
    table = f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}">{table}</div>'


def cells(*contents: str) -> str:
    """Return cells of a row, of HTML."""
    return "".join(f"<td>{content}</td>" for content in contents)


def facts(known: dict[str, str]) -> str:
    """Return names, which are texts, with what they stand for, which is HTML."""
    lines = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in known.items())
    return f'<dl class="facts">{lines}</dl>'
