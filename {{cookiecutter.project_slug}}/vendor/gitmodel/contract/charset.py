# ruff: noqa: RUF001 (letters of many alphabets stand here as what they are)
"""How a text file is encoded: by its mark, by its bytes, or else by which alphabet makes words of them.

One byte a letter fits nearly any bytes, so an encoding that decodes is not the right one. Here a word must be spelt in
the letters of one language, and in a usual case. charset-normalizer read half of the tests' tables wrong (see there).
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from gitmodel.base.project import SCHEMA, UserError
from gitmodel.contract.formats import WORKBOOK, Opened

BLOCK = 1 << 24
MOST_LINES = 2_000  # with letters beyond ASCII, that are looked at
STRAY = 0.2  # of the lines beyond ASCII are UTF-8: a file in another encoding has hardly any by chance
SURE, FEW, LESS_SURE = 0.25, 6, 0.75  # what a second encoding must cost more, if it gives another text; of few words
NO_WORDS = 2.0  # an encoding under which there are signs only
DOUBTFUL = 4.0  # a fifth of the words or so is of no language
MARKS = (  # at the start of a file; the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
ENCODINGS = {  # in the order in which those that give the same text are named -> what it costs to be rare today
    "cp1252": 0.0,
    "cp1250": 0.0,
    "cp1251": 0.0,
    "cp1253": 0.0,
    "cp1254": 0.0,
    "cp1255": 0.0,
    "cp1256": 0.0,
    "cp1257": 1.0,
    "iso8859-2": 0.3,
    "iso8859-15": 1.0,
    "iso8859-5": 0.3,
    "koi8-r": 0.0,
    "koi8-u": 0.2,
    "mac-roman": 0.5,
    "mac-cyrillic": 0.5,
    "cp850": 1.0,
    "cp852": 1.0,
    "cp866": 0.2,
    "cp932": 0.0,
    "euc-jp": 0.0,
    "gb18030": 0.0,
    "big5": 0.0,
    "cp949": 0.0,
}
LANGUAGES = tuple(
    map(
        frozenset,
        (
            "",  # English, and signs alone
            "äöüß",
            "àâæçéèêëîïôœùûüÿ",
            "áéíñóúü",
            "àèéìíòóù",
            "ãáâàçéêíóôõú",
            "àçèéíïòóúü",
            "åäöé",
            "æøåé",
            "áðéíóúýþæö",
            "áéëïíóöúü",
            "ąćęłńóśźż",
            "áčďéěíňóřšťúůýž",
            "áäčďéíĺľňóôŕšťúýž",
            "áéíóöőúüű",
            "čćđšž",
            "ăâîșțşţ",
            "çğıiöşüâîû\u0307",
            "āčēģīķļņšūž",
            "ąčęėįšųūž",
            "õäöüšž",
            "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
            "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
            "абвгдежзийклмнопрстуфхцчшщъьюя",
            "абвгдђежзијклљмнњопрстћуфхцчџш",
            "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
            "אבגדהוזחטיכךלמםנןסעפףצץקרשת",
            "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةى",
        ),
    )
)
NEVER = re.compile(  # Polish writes nie for ńe; ñ is for a vowel; Slovak ĺ and ŕ, and Czech ě and ř, have neighbours
    "[ńśćź][aeiouyąęó]|ñ(?![aeiouáéíóúü])|ă[aoeăé]|(?<![bcčdďfghjkľmnňpsštťvzž])[ĺŕ]|[ĺŕ](?![bcčdďfghjkmnňpsštťvzž])"
    "|(?<![bpvmfdtnw])ě|[bcdfghjklmnpqstvwxz]ř(?![^\\W_])|ď[eiěéí]"
)
AROUND = "„“”‘’‚«»¿¡…–—、。「」（）・，：；！？\u00a0\u202f\u3000"  # of words
SIGNS = frozenset(AROUND + "€£¥§°©®™•·ºª²³¹½¼¾±×÷µ→％～")
OFTEN = tuple(
    map(frozenset, ("оеаинтсрвлкмді", "αοιεστνηρκόάίέύ", "יוהאלמרתבנש", "اليمنورتبهةد"))
)  # most letters of a text
FINAL = frozenset("ךםןףץ")  # of Hebrew, at the end of words only
WORD = re.compile(r"(?:[^\W\d_]|'|[^\x00-\x7f])+")  # letters, and the signs that touch them
SHORT = frozenset("s t d m re ve ll l qu c j n o da dell nell sull un all".split())  # beside the apostrophe
COMMON = {  # the lead bytes of the characters that most texts are made of
    "cp932": (0x82, 0x97),
    "euc-jp": (0xA4, 0xCF),
    "gb18030": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "cp949": (0xB0, 0xC8),
}


def encoding_of(path: Path, known: str = "", wish: str = "") -> str:
    """Find out how a text file is encoded; `known` is taken where it fits and no byte says otherwise.

    Where several encodings give different texts, `wish` decides, or a UserError names them.
    """
    with Opened(path) as file:
        if file.form == WORKBOOK:
            return "utf-8"
        start = file.read(1 << 12)
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return encoding
    if 0 in start and (wide := _without_mark(path, start)):
        return wide
    lines = _lines_beyond_ascii(path)
    valid = sum(map(_is_utf8, lines))
    if valid == len(lines) or valid > STRAY * len(lines):
        return "utf-8"  # a byte that is none is refused when it is read, with its line
    if known and _decodes(b"\n".join(lines), known) and not known.lower().startswith("utf"):
        return known
    return likeliest(lines, path, wish)


def likeliest(lines: list[bytes], path: Path, wish: str = "") -> str:
    """Return the encoding under which lines are words, `wish` if several are, and differ; UserError without one."""
    text = b"\n".join(lines)
    costs = {encoding: cost for encoding in ENCODINGS if (cost := _cost(text, encoding)) is not None}
    ranked = sorted(costs, key=lambda encoding: costs[encoding])
    if ranked and costs[ranked[0]] < DOUBTFUL:
        best = _decoded(text, ranked[0])
        limit = costs[ranked[0]] + (SURE if len(_words(best)) >= FEW else LESS_SURE)
        near = [name for name in ranked if costs[name] < limit and _decoded(text, name) != best]
        near = list({_decoded(text, name): name for name in reversed(near)}.values())[::-1]
        if not near:
            return min((name for name in ranked if _decoded(text, name) == best), key=list(ENCODINGS).index)
        ranked = [ranked[0], *near]
    if not wish.lower().startswith("utf") and wish and _decodes(text, wish):
        return wish
    shown = "; ".join(f"{name} ({_example(_decoded(text, name))})" for name in ranked[:3])
    raise UserError(
        f"{path} is not UTF-8, and its encoding is not sure{f': perhaps {shown}' if shown else ''}; convert it to"
        f" UTF-8, or name it as `reading: {{encoding: {ranked[0] if ranked else 'cp1252'}}}` in {SCHEMA}"
    )


def _cost(text: bytes, encoding: str) -> float | None:
    """Return how unlikely an encoding is for a text: by words of no language, and by languages; None if impossible."""
    try:
        words = _words(_decoded(text, encoding))
    except UnicodeDecodeError:
        return None
    if encoding in COMMON:
        return _cost_of_characters(text, encoding, words)
    explained = {word: _languages(word) for word in words}
    strange = sum(not found for found in explained.values()) / max(len(words), 1)
    cost = 10 * strange + _fewest([found for found in explained.values() if found]) + ENCODINGS[encoding] + _rare(words)
    return cost + NO_WORDS * (not words and encoding != "cp1252")


def _words(text: str) -> Counter[str]:
    """Return the words with letters beyond ASCII, with signs that touch them but belong around words left out."""
    words = Counter(found.strip(AROUND + "'") for found in WORD.findall(text))
    return Counter({word: count for word, count in words.items() if not (word.isascii() or set(word) <= SIGNS)})


def _languages(word: str) -> frozenset[int]:
    """Return the languages in whose letters a word is spelt; none if its case is no usual one."""
    first, _, last = word.replace("’", "'").partition("'")
    if "’" in word and last and not ({first.lower(), last.lower()} & SHORT):
        return frozenset()
    if any(letter.isupper() and not letter.isascii() for letter in word[1:]) and any(map(str.islower, word)):
        return frozenset()
    if FINAL & set(word[:-1]):
        return frozenset()
    letters = {letter for letter in word.lower() if not letter.isascii() and letter != "’"}
    mixed = any(letter.isascii() and letter.isalpha() for letter in word) and any(
        letter > "\u036f" for letter in letters
    )
    if mixed or NEVER.search(word.lower()):
        return frozenset()
    return frozenset(number for number, known in enumerate(LANGUAGES) if letters <= known)


def _fewest(explained: list[frozenset[int]]) -> float:
    """Return what as many languages cost as are enough for all words, the most frequent first."""
    count = 0
    while explained:
        best = Counter(number for found in explained for number in found).most_common(1)[0][0]
        explained = [found for found in explained if best not in found]
        count += best > 0
    return (1 + count) / 2 if count else 0.0


def _rare(words: Counter[str]) -> float:
    """Return what it costs that most letters of another alphabet than ours are rare ones of it."""
    letters = [letter for word in words for letter in word.lower() if "\u0370" <= letter <= "\u06ff"]
    often = max((sum(letter in alphabet for letter in letters) for alphabet in OFTEN), default=0)
    return 3.0 if often < 0.55 * len(letters) else 0.0


def _cost_of_characters(text: bytes, encoding: str, words: Counter[str]) -> float:
    """Return how unlikely an encoding of Chinese, Japanese or Korean is."""
    letters = "".join(words)
    east = [letter for letter in letters if letter > "\u2e7f"]
    if not east:
        return 9.0
    low, high = COMMON[encoding]
    common = sum(low <= letter.encode(encoding)[0] <= high for letter in east) / len(east)
    hangul, kana = (sum(a <= letter <= b for letter in east) for a, b in (("가", "힣"), ("ぁ", "ヿ")))
    half = sum("\uff61" <= letter <= "\uff9f" for letter in east)
    mixed = sum(any("a" <= letter <= "z" for letter in word) for word in words) / len(words)
    others = sum(not letter.isascii() and letter <= "\u2e7f" for letter in letters) / len(letters)
    cost = 1 + 10 * (half / len(east) + mixed + others) + 5 * (1 - common)
    if encoding == "cp949":
        return cost + 5 * (1 - hangul / len(east)) - 0.5 * (len(east) > 12)
    return cost + (kana > 0 and encoding in ("gb18030", "big5")) - 0.5 * (kana > 0 and encoding in ("cp932", "euc-jp"))


def _example(text: str) -> str:
    words = [word for word in WORD.findall(text) if not word.isascii() and len(word) > 1]
    return repr(words[0][:20]) if words else "signs"


def _lines_beyond_ascii(path: Path) -> list[bytes]:
    """Return lines that hold bytes beyond ASCII, the first of many; none if a whole block of them is UTF-8."""
    lines: dict[bytes, None] = {}
    for block in _blocks(path):
        if not block.isascii():
            if _is_utf8(block):
                return []
            lines.update(dict.fromkeys(line for line in block.splitlines() if not line.isascii()))
        if len(lines) > MOST_LINES:
            break
    return list(lines)[:MOST_LINES]


def _blocks(path: Path) -> Iterator[bytes]:
    """Read a file in blocks of whole lines."""
    with Opened(path) as file:
        while block := file.read(BLOCK):
            yield block + file.readline(BLOCK)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        _decoded(data, encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _decoded(data: bytes, encoding: str) -> str:
    """Return text; half a letter at the end is left out: a file that was cut off is refused when it is read."""
    return codecs.getincrementaldecoder(encoding)().decode(data)


def _without_mark(path: Path, start: bytes) -> str:
    """Return which UTF-16 a file without a mark is; empty if it is another text with a NUL. UserError if it is none."""
    usual: Callable[[str], float] = lambda text: sum(letter in ",;\t|\n\r0123456789. " for letter in text)  # noqa: E731
    scores = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        text = start[: len(start) // 2 * 2].decode(encoding, "replace")
        if "\0" not in text and text.count("\ufffd") <= 1:
            scores[encoding] = usual(text) / len(text)
    if scores and max(scores.values()) > 0.05:
        return max(scores, key=lambda encoding: scores[encoding])
    controls = sum(byte < 9 or 13 < byte < 32 for byte in start)
    if controls > 0.02 * len(start) or b"\n" not in start.replace(b"\r", b"\n"):
        raise UserError(f"{path} is a binary file, not a table: export it as CSV or Parquet")
    return ""
