"""Push with the project's token: the one in Git's configuration of a job may only read."""

import os
import re

from gitmodel.base.project import UserError
from gitmodel.git.programs import call, last_line

BOT, BOT_EMAIL = "model-bot", "model-bot@noreply.invalid"
HELPER = '!f() { echo username=token; echo "password=$MODEL_TOKEN"; }; f'


def push(reference: str, force: bool = False) -> None:
    """Push a commit to a branch; UserError if it does not arrive."""
    if not os.environ.get("MODEL_TOKEN"):
        raise UserError(
            "there is no MODEL_TOKEN to push with: docs/gitlab.md says which token it is, and where it goes"
        )
    url = call("git", "remote", "get-url", "origin").stdout.strip()
    address = re.sub(r"^(https?://)[^@/]*@", r"\1", url)
    helpers = ["-c", "credential.helper=", "-c", f"credential.helper={HELPER}"]
    result = call("git", *helpers, "push", "--quiet", *(["--force"] if force else []), address, reference)
    if result.returncode:
        raise UserError(f"{reference.rpartition('/')[2]} cannot be pushed: {last_line(result.stderr)}")
