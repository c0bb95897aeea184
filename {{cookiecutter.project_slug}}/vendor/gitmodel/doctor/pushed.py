"""Whether what is here is on GitHub, and in DVC's remote."""

from collections.abc import Iterator
from typing import Any

from gitmodel.base.project import LOCK
from gitmodel.doctor.findings import Unknown
from gitmodel.doctor.forge import Forge
from gitmodel.doctor.owners import COVERED
from gitmodel.doctor.protection import MAIN
from gitmodel.git.programs import call, committed
from gitmodel.verify import lock, storage
from gitmodel.verify.storage import remote_of, repository


def git_remote(forge: Forge) -> Iterator[str]:
    """Yield a fault if Git does not know where to push."""
    if not call("git", "remote").stdout.strip():
        yield f"Git has no remote: `git remote add origin {forge.about['html_url']}`"


def main_is_pushed(forge: Forge) -> Iterator[str]:
    """Yield a fault if GitHub's main is not ours, or what judges is not committed."""
    if forge.about["default_branch"] != MAIN:
        problem = f"GitHub's default branch is not {MAIN}, which the workflows watch"
        yield f"{problem}: `gh repo edit --default-branch {MAIN}`"
    changed = call("git", "status", "--porcelain", "--", *COVERED).stdout.splitlines()
    if changed:
        yield f"{changed[0][3:]} is not committed, nor pushed: `git status` shows all"
    branch = forge.found(f"branches/{MAIN}")
    if branch is None:
        yield f"GitHub has no branch {MAIN}: `git push --set-upstream origin {MAIN}`"
        return
    here = call("git", "rev-parse", "--quiet", "--verify", f"refs/heads/{MAIN}").stdout.strip()
    if not here:
        raise Unknown(f"this clone has no branch {MAIN}: `git switch {MAIN}`, then run this again")
    there = branch["commit"]["sha"]
    if call("git", "merge-base", "--is-ancestor", here, there).returncode:
        if call("git", "cat-file", "-e", there).returncode:
            raise Unknown(f"{MAIN} on GitHub is not the one here: `git pull`, then run this again")
        yield f"{MAIN} here has commits that GitHub has not: push them (once the rules are on, as a pull request)"


def dvc_is_pushed(forge: Forge) -> Iterator[str]:
    """Yield a fault for each output that is not in DVC's remote, or if there is none for a table outside of Git."""
    with repository() as repo:
        if remote_of(repo):
            text = committed(LOCK)
            locked = lock.products(lock.parse(text, str(LOCK), lock.RENEW)) if text else {}
            for name, fault in storage.losses(repo, storage.outputs(repo), locked, []):
                if name == storage.REMOTE_CONFIG:
                    raise Unknown(fault)
                yield fault
        elif found := pointers():
            problem = f"{found[0]} is under DVC, which has no remote"
            yield f"{problem}: `dvc remote add --default storage ADDRESS`, then `dvc push`"


def pointers() -> list[str]:
    """Return the files in Git that stand for files that DVC keeps."""
    return [name for name in call("git", "ls-files", "-z", "*.dvc").stdout.split("\0") if name]


def dvc_remote() -> dict[str, Any]:
    """Return the settings of the remote that DVC pushes to; empty if there is none."""
    with repository() as repo:
        return dict(repo.config["remote"].get(remote_of(repo), {}))
