"""Who signed a tag, as far as Git can prove it: with GnuPG, or SSH keys that `gpg.ssh.allowedSignersFile` lists."""

import re

from gitmodel.base.project import UserError
from gitmodel.git.programs import call, last_line

KEY = re.compile(r"VALIDSIG ([0-9A-F]+)|key (SHA256:\S+)")


SIGN = "set user.signingKey and gpg.format, and gpg.ssh.allowedSignersFile to know others"


def signer(tag: str) -> str:
    """Return the key that signed a tag (the id of its object); empty unless signature and key are good."""
    return _verified(tag)[0]


def require_signed(tag: str, name: str, remedy: str = SIGN) -> str:
    """Return the key that signed a tag (the id of its object); UserError unless signature and key are good."""
    key, reason = _verified(tag)
    if not key:
        raise UserError(f"the tag {name} has no signature that can be trusted ({reason}): {remedy}")
    return key


def _verified(tag: str) -> tuple[str, str]:
    result = call("git", "verify-tag", "--raw", tag)
    found = KEY.search(result.stdout + result.stderr)
    if result.returncode or not found:
        return "", last_line(result.stderr)
    return found[1] or found[2], ""
