r"""What data, files, tags and people say, as each kind of output shows it: a text never becomes a command or a mark.

Characters that nobody sees, or that turn the direction of what follows, are shown as Python spells them: `\x1b`,
`\u202e`. Letters of all scripts and emoji stay as they are. One function for each kind of output: `terminal` (also
the log of Actions), `markdown`, `html`, `svg`, `spreadsheet`, `json_text`; `one_line` is for a text within a line.
"""

import html as entities
import json
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

MOST_LINE = 4_000  # characters of a line on a terminal
JOINING = "\u0590-\u1fff\u2030-\ud7ff\uf900-\ufefe\U00010000-\U000dffff"  # scripts that join letters, and emoji
IDEOGRAPHS = "\u3400-\u9fff\U00020000-\U0003ffff"
FLAG = "\U0001f3f4[\U000e0030-\U000e007a]{2,6}\U000e007f"  # that of Scotland, say: the only use of such characters
HIDDEN = (
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]"
    "|[\ud800-\udfff\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
    f"|(?<![{JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{JOINING}])"
    "|(?<![0-9#*\xa9\xae\u0100-\ufdff\ufe10-\U000dffff])[\ufe00-\ufe0f]"
    f"|(?<![{IDEOGRAPHS}])[\U000e0100-\U000e01ef]"
)
UNSEEN = re.compile(f"({FLAG})|{HIDDEN}")
COMMAND = re.compile(r"(^\s*:):|(##)\[", re.MULTILINE)  # what the log of Actions obeys: `::error::` and `##[error]`
MARKS = re.compile(  # of Markdown: marks, links, and what starts a list or a heading
    r"(?P<again>[@#]|(?<=\bGH)-(?=\d)|:(?=[a-z+-][\w+-]*:))"  # names, numbers and emoji: GitHub reads them later
    r"|[\\`*\[\]{}<>|~$&]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|^[-+=]|^\d+[.)](?=\s|$)",
    re.IGNORECASE,
)
FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")  # https://owasp.org/www-community/attacks/CSV_Injection
SECRET = re.compile(
    r"((?:[?&;]|%3B)[^=&;?\s%]*(?:pass|pwd|secret|token|sig|credential|key)[^=&;?\s%]*(?:=|%3D))[^&;\s]*", re.IGNORECASE
)
NUMBER = re.compile(r"[-+]?(\d[\d,.]*|\.\d+)(e[-+]?\d+)?%?", re.IGNORECASE)


def visible(text: object, layout: str = "") -> str:
    """Return a text whose hidden characters are seen, apart from those of the layout."""
    return UNSEEN.sub(lambda found: found[0] if found[1] or found[0] in layout else _spelled(found[0]), str(text))


def one_line(text: object) -> str:
    r"""Return any text, or an error of several lines, as one line; a line end in it is seen as `\n`."""
    return " ".join(visible(str(part).strip()) for part in getattr(text, "lines", [text]))


def words(text: object) -> str:
    """Return the message of another program or library as one line: its line ends are no more than layout."""
    return visible(" ".join(str(text).split()))


def lines(texts: Iterable[object]) -> str:
    """Return lines, each of them one."""
    return "\n".join(visible(text) for text in texts)


def terminal(text: str, begun: str = "") -> str:
    """Return text for a terminal and for the log of Actions, after the beginning of its line."""
    return COMMAND.sub(_disarmed, begun + visible(text, layout="\n"))[len(begun) :]


def line(text: object) -> str:
    """Return one line of a terminal, not too long."""
    return short(visible(text), MOST_LINE)


def markdown(text: str) -> str:
    """Return a text as Markdown that means nothing but itself."""
    return MARKS.sub(_entities, visible(text))


def html(text: object, layout: str = "") -> str:
    """Return a text as HTML that means nothing but itself."""
    return entities.escape(visible(text, layout))


def attribute(value: object) -> str:
    """Return a value that a script reads from an attribute: exactly it, line ends and all."""
    return UNSEEN.sub(lambda found: _reference(found[0]), entities.escape(str(value)))


def svg(picture: str) -> str:
    """Return a whole picture without characters that XML forbids or that nobody sees."""
    return visible(picture, layout="\n")


def spreadsheet(cell: str) -> str:
    """Return a text as a cell of a CSV file for people: no spreadsheet takes it for a formula, numbers stay."""
    seen = terminal(cell)
    return f"'{seen}" if FORMULA.match(cell) and len(cell) > 1 and not NUMBER.fullmatch(cell) else seen


def json_text(content: object, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """Return JSON that people can read: it means the same, and what nobody sees is escaped. NaN is refused."""
    text = json.dumps(content, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    return seen_json(text)


def seen_json(text: str) -> str:
    """Return JSON in which hidden characters, and what the log of Actions obeys, are escaped."""
    escaped = UNSEEN.sub(lambda found: found[0] if found[1] or found[0] == "\n" else _in_json(found[0]), text)
    return escaped.replace("##[", "##\\u005b")


def json_bytes(text: bytes) -> bytes:
    """Return JSON as `json_text` writes it; quick where there is nothing to do."""
    if text.isascii() and b"\x7f" not in text and (b"#" not in text or b"##[" not in text):  # one byte is found sooner
        return text
    return seen_json(text.decode()).encode()


def without_passwords(text: str) -> str:
    """Return a command line for the eyes of others: what stands in an address where passwords do is not shown."""
    return re.sub(r"(://[^\s/@:]*:)[^\s@]*@", r"\1***@", SECRET.sub(r"\1***", text))


def short(text: str, most: int) -> str:
    """Return the beginning of a text that is too long."""
    return text if len(text) <= most else f"{text[:most]}..."


class Terminal:
    """A stream that shows whatever is written to it, by anybody, as `terminal` does."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self.stream, self._begun = stream, ""

    def write(self, text: str) -> int:
        """Write a part of a line, or several."""
        shown = terminal(text, self._begun)
        begun = (self._begun + shown).rpartition("\n")[2]
        self._begun = begun if not begun.strip(" :") else f"-{begun[-2:]}"
        self.stream.write(writable(shown, self.stream))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write each text."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        """Return all else of the stream; what goes to its `buffer` is data for a program."""
        return getattr(self.stream, name)


def writable(text: str, stream: TextIO) -> str:
    """Return text that a stream's encoding can hold: letters that it lacks are spelt out, by their numbers."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def untouched(stream: TextIO) -> TextIO:
    """Return what a stream writes to: for a bar that moves the cursor itself, and shows no text of others."""
    return stream.stream if isinstance(stream, Terminal) else stream


def install() -> None:
    """Let stdout and stderr of this process be such streams."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Terminal):
            setattr(sys, name, Terminal(stream))


def _spelled(mark: str) -> str:
    return mark.encode("unicode_escape").decode()


def _disarmed(found: re.Match[str]) -> str:
    return f"{found[1]}\\x3a" if found[1] else f"{found[2]}\\x5b"


def _entities(found: re.Match[str]) -> str:
    """Return entities for marks; a space of no width keeps from names and numbers what is read once more."""
    return "".join(f"&#{ord(mark)};" for mark in found[0]) + "&#8203;" * bool(found["again"])


def _reference(mark: str) -> str:
    """Return a character reference; HTML has none for NUL and for 0x80 to 0x9f, and there they mean nothing."""
    return mark if len(mark) > 1 or mark == "\x00" or "\x80" <= mark <= "\x9f" else f"&#{ord(mark)};"


def _in_json(mark: str) -> str:
    return json.dumps(mark)[1:-1] if ord(mark) != 0x7F else "\\u007f"
