"""Who signed a tag, as far as Git can prove it: with GnuPG, or SSH keys that `gpg.ssh.allowedSignersFile` lists."""

import re

from ..programs import call, last_line
from ..project import UserError

KEY = re.compile(r"VALIDSIG ([0-9A-F]+)|key (SHA256:\S+)")


def require_signed(tag: str, name: str) -> str:
    """Return the key that signed a tag (the id of its object); UserError unless signature and key are good."""
    result = call("git", "verify-tag", "--raw", tag)
    found = KEY.search(result.stdout + result.stderr)
    if result.returncode or not found:
        raise UserError(
            f"the tag {name} has no signature that can be trusted ({last_line(result.stderr)}): set user.signingKey and"
            " gpg.format, and gpg.ssh.allowedSignersFile to know others, or registry.require_signed_tags to false"
        )
    return found[1] or found[2]
