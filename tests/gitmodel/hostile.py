"""Texts that want to be more than text, and what tells that they are: for terminals, Markdown and HTML."""

import re
from collections.abc import Iterable
from html.parser import HTMLParser

HOSTILE = {
    "command": "x\n::error::owned",
    "output": "x\r::set-output name=a::b",
    "group": "##[group]x",
    "escape": "x\x1b[31m\x1b]0;t\x07",
    "bell": "x\x07\x08",
    "control": "x\x9b31m\x85y",
    "override": "x\u202ey",
    "isolate": "x\u2066y\u2069",
    "nul": "x\x00y",
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "link": "[x](javascript:alert(1)) ![x](http://e.org/p)",
    "bar": "x|y||",
    "backticks": "x` ``y``` ",
    "mention": "@octo-team please",
    "number": "#1 GH-2 a/b#3",
    "marker": "<!-- report of monitor.yml -->",
    "formula": "=cmd()",
    "nothing": "x\u200by\ufeff\u2060",
    "heading": "# x\n\n- [ ] y\n---\n> z",
    "emoji": ":tada: :+1:",
    "long": "long " * 4_000,
}
ORDINARY = [
    "Größe in €, straße",
    "价格 面積 가격 葛\U000e0100飾",
    "السعر مي\u200cخواهم Preis",  # noqa: RUF001
    "क्\u200dष नमस्ते",
    "👨\u200d👩\u200d👧 ❤\ufe0f 1\ufe0f\u20e3 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "e\u0301 ½ … — ±",
    "a::b c:d 10:30:00",
]
SEEN_ALREADY = "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"


def hidden(text: str, layout: str = "") -> list[str]:
    """Return the characters that nobody sees, apart from those of the layout."""
    return [repr(mark) for mark in re.findall(SEEN_ALREADY, text) if mark not in layout]


def faults_of_terminal(text: str) -> list[str]:
    """Return the characters that a terminal obeys, and the lines that the log of Actions does."""
    return hidden(text) + re.findall(r"(?m)^\s*::.*|.*##\[.*", text)


def faults_of_markdown(text: str) -> list[str]:
    """Return hidden characters and marks of a hostile text in Markdown; outside of code all are entities."""
    plain = re.sub(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)", "", text)  # code shows what it holds
    marks = r"<script|<img|<!--|\]\((?:javascript|http://e)|@octo|(?<![&\w])#1|GH-2|:tada:|\|\||^::|^# x"
    return faults_of_terminal(text) + re.findall(f"(?m){marks}", plain)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.comments = set(), [], [], []

    def handle_starttag(self, tag, attrs):
        """Keep names and values."""
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        """Keep texts."""
        self.texts.append(data)

    def handle_comment(self, data):
        """Keep comments."""
        self.comments.append(data)


def parsed(text: str) -> _Page:
    """Return the parts of a page."""
    page = _Page()
    page.feed(text)
    page.close()
    return page


def faults_of_html(text: str, tags: Iterable[str] = (), attributes: Iterable[str] = ()) -> list[str]:
    """Return hidden characters, and what a hostile text became: tags, handlers, comments, addresses.

    Without `tags` all are allowed but scripts in the body and pictures of others.
    """
    page = parsed(text)
    found = hidden("".join(page.texts), layout="\t")
    found += [f"<{tag}>" for tag in page.tags if tags and tag not in tags]
    found += [name for name, _ in page.attributes if name.startswith("on") or (attributes and name not in attributes)]
    found += [str(value) for name, value in page.attributes if name in ("src", "href") and "script:" in str(value)]
    return found + [
        part for part in page.comments + page.texts * ("script" in tags) if "octo" in part or "report of" in part
    ]


__all__ = ["HOSTILE", "ORDINARY", "faults_of_html", "faults_of_markdown", "faults_of_terminal", "hidden"]
