"""What people edited in schema.yaml: `model adopt` asks before it replaces that, and keeps it beside."""

import re
import shutil
from difflib import unified_diff
from hashlib import sha256
from itertools import count
from pathlib import Path

from gitmodel.adopt.schema_file import schema_text
from gitmodel.base.files import read_text
from gitmodel.base.project import SCHEMA, UserError, read_yaml
from gitmodel.base.writing import Change
from gitmodel.contract.schema import Schema

MOST_LINES = 40  # of the difference
SIGNATURE = "# As `model adopt` wrote it: {}. It asks before it replaces what somebody edited.\n"
SIGNED = re.compile("^" + SIGNATURE.format("[0-9a-f]*"), re.MULTILINE)


def require_unedited(schema: Schema) -> None:
    """Raise UserError, with the difference, if somebody edited the schema.yaml of the same table and target."""
    before = read_text(SCHEMA) if SCHEMA.exists() else ""
    body = unsigned(before)
    if body == before or is_ours(before):  # without its line nobody can tell
        return
    content = read_yaml(SCHEMA)
    names = {name for key in ("columns", "ignored") for name in content.get(key) or {}}
    if content.get("target") != schema.target or not names <= {*schema.columns, *schema.ignored}:
        return
    texts = (body.splitlines(), schema_text(schema).splitlines())
    changed = [f"  {line}" for line in [*unified_diff(*texts, n=0, lineterm="")][2:] if not line.startswith("@@")]
    if not changed:
        return
    raise UserError(
        f"{SCHEMA} was edited since `model adopt` wrote it, and these lines would change: correct it by hand, or give"
        f" `--force`, which keeps it as {SCHEMA}.bak",
        *most_of(changed, MOST_LINES),
    )


def keep_edits(text: str, change: Change) -> list[str]:
    """Copy a schema.yaml that says something else than `text` to schema.yaml.bak: a person may have edited it."""
    before = SCHEMA.read_bytes() if SCHEMA.exists() else b""
    if before == text.encode() or b"\ncolumns:" not in before or is_ours(before.decode(errors="replace")):
        return []
    backup = backup_of(before)
    if not backup.exists():
        shutil.copyfile(SCHEMA, change.draft(backup))
    return [f"the schema.yaml that was here is now {backup}: copy your edits from it, then delete it"]


def backup_of(content: bytes) -> Path:
    """Return the first schema.yaml.bak, .bak2, ... that holds this content already, or is not there yet."""
    names = (SCHEMA.with_suffix(f".yaml.bak{number if number > 1 else ''}") for number in count(1))
    return next(path for path in names if not path.exists() or path.read_bytes() == content)


def signed(text: str) -> str:
    """Return the text with one line more, the third, that tells whether somebody edited it since."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:2], SIGNATURE.format(sha256(text.encode()).hexdigest()[:12]), *lines[2:]])


def unsigned(text: str) -> str:
    """Return the text without that line."""
    return SIGNED.sub("", text)


def is_ours(text: str) -> bool:
    """Tell whether a text is as `signed` returned it."""
    return unsigned(text) != text == signed(unsigned(text))


def most_of(lines: list[str], most: int) -> list[str]:
    """Return lines; of too many the first ones, and how many more there are."""
    return lines if len(lines) <= most else [*lines[: most - 1], f"  ... and {len(lines) - most + 1} more"]
