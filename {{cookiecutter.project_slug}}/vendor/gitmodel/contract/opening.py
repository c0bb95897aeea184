"""A text file as pyarrow can read it: UTF-8 block by block, from the line with the names of the columns on."""

import codecs
import io
import re
from functools import cache
from pathlib import Path
from typing import cast

from gitmodel.base.project import SCHEMA, UserError
from gitmodel.contract.formats import Opened
from gitmodel.contract.schema import Reading

BLOCK = 1 << 20
ABOVE = re.compile(rb"[ \t]*(?:\r\n|\n|\r)")  # a line without anything above the header
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)")
SEP = re.compile(rb'"?sep=(.)"?[;,\t| ]*(?:\r\n|\n|\r)', re.IGNORECASE)  # what Excel reads, and some programs write


class TextFile(io.RawIOBase):
    """A text file, read once. UserError for a byte that is none of its encoding, and for NUL.

    `above` is how many lines stood above the header, `separator` what a line `sep=;` among them names, `comments` how
    many lines were left out as comments, `lines` how many were given, `quoted` whether a quote is in them, and
    `escapes` one after a backslash.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        """Open the file; nothing is read yet."""
        super().__init__()
        self.path, self.encoding = path, reading.encoding
        self.above = self.comments = self._breaks = 0
        self.separator: str | None = None
        self.quoted = self.escapes = False
        self._skip, self._comment = reading.skip, reading.comment.encode()
        self._file = Opened(path, reading.sheet)
        self._decoder = decoder(self.encoding)
        self._decoded = self._begun = self._ended = self._open = False
        self._ready = self._held = self._last = b""

    @property
    def last(self) -> str:
        """The last line that was given; the start of one that is too long for a block is cut off."""
        data = self._last.rstrip(b"\r\n")
        return data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 :].decode(errors="ignore")

    @property
    def lines(self) -> int:
        """How many lines were given so far; one without an end counts, too."""
        return self._breaks + self._open

    def readable(self) -> bool:
        """Tell that this is for reading."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read into a buffer, for Python's own readers."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes of UTF-8, or all; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        while not (self._ready or self._ended):
            self._ready = self._next(max(size, BLOCK))
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _next(self, size: int) -> bytes:
        raw = self._file.read(size)
        self._ended = not raw
        data = self._held + self._utf8(raw)
        self._held = b"\r" if data.endswith(b"\r") and raw else b""  # the next byte may belong to the same line end
        data = data.removesuffix(self._held)
        if b"\0" in data:
            line, column = self._place(data, data.index(b"\0"))
            raise UserError(f"{self.path}, line {line:,}, column {column:,}: a NUL, which no text holds: mend the cell")
        if not self._begun:
            data, self._begun = self._from_header(data), True
        if self._comment:
            data = self._without_comments(data)
        return self._counted(data)

    def _utf8(self, raw: bytes) -> bytes:
        """Return bytes of the file as UTF-8."""
        if not self._decoded and ascii_based(self.encoding) and raw.isascii():
            return raw
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self._not_text(error) from None
        self._decoded = bool(self._decoder.getstate()[0])  # half a letter is waiting for the rest
        return text.removeprefix("\ufeff").encode() if not self._begun else text.encode()

    def _not_text(self, error: UnicodeDecodeError) -> UserError:
        good = error.object[: error.start].decode(self._decoder_name(error), "ignore").encode()
        line, column = self._place(good, len(good))
        if self._ended or error.reason.startswith(("unexpected end", "truncated")):
            return UserError(f"{self.path} ends within a letter (line {line:,}): it was cut off; copy it again")
        bad = error.object[error.start]
        return UserError(
            f"{self.path}, line {line:,}, column {column:,}: byte 0x{bad:02X} is no {self.encoding} as the rest is:"
            f" mend that cell, or name the encoding of the whole file as `encoding:` under `reading:` in {SCHEMA}"
        )

    def _decoder_name(self, error: UnicodeDecodeError) -> str:
        return error.encoding if error.encoding != "charmap" else self.encoding

    def _place(self, data: bytes, position: int) -> tuple[int, int]:
        """Return line and column, from 1, of a position in the data that comes next."""
        before = data[:position]
        start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
        return self.above + self.comments + self._breaks + breaks(before) + 1, len(before[start:].decode()) + 1

    def _from_header(self, data: bytes) -> bytes:
        """Return the data from the header on, and remember what stood above it."""
        start = 0
        for _ in range(self._skip):
            if found := LINE.match(data, start):
                start, self.above = found.end(), self.above + 1
        while found := ABOVE.match(data, start) or SEP.match(data, start):
            if found.re is SEP:
                self.separator = found[1].decode()
            start, self.above = found.end(), self.above + 1
        return data[start:]

    def _without_comments(self, data: bytes) -> bytes:
        """Return whole lines without those that begin with the mark of comments; the rest waits."""
        end = len(data) if self._ended else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        data, self._held = data[:end], data[end:] + self._held
        pattern = rb"(?m)(?:\A|(?<=[\r\n]))" + re.escape(self._comment) + rb"[^\r\n]*(?:\r\n|\n|\r|\Z)"
        data, count = re.subn(pattern, b"", data)
        self.comments += count
        return data

    def _counted(self, data: bytes) -> bytes:
        if data:
            self._breaks += breaks(data)
            self._open = not data.endswith((b"\n", b"\r"))
            self.quoted = self.quoted or (b'"' in data and not self._file.form)
            self.escapes = self.escapes or (self.quoted and b'\\"' in data)
            self._last = data
        return data


def breaks(data: bytes) -> int:
    """Return how many lines end in the data, in any of the three ways."""
    return data.count(b"\n") + (data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0)


def decoder(encoding: str) -> codecs.IncrementalDecoder:
    """Return what decodes text bit by bit; UserError if there is no such encoding. A mark at the start is kept."""
    try:
        "".encode(encoding)  # no codec for other things than text
        return codecs.getincrementaldecoder("utf-8" if codecs.lookup(encoding).name == "utf-8-sig" else encoding)()
    except LookupError:
        raise UserError(
            f"`encoding: {encoding}` in {SCHEMA} is none that Python knows: write utf-8 or cp1252"
        ) from None


@cache
def ascii_based(encoding: str) -> bool:
    """Tell whether bytes below 128 are ASCII whatever comes before them ended in a whole letter."""
    try:
        return bytes(range(128)).decode(encoding) == bytes(range(128)).decode("ascii")
    except UnicodeError:
        return False


def open_lines(file: TextFile) -> io.TextIOWrapper:
    """Return the lines of a text file with their ends, from the header on."""
    return io.TextIOWrapper(io.BufferedReader(cast(io.RawIOBase, file), BLOCK), encoding="utf-8", newline="")
