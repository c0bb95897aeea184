"""What the commands for people run: the tools of requirements-dev.txt, and uv."""

import shutil
from importlib.util import find_spec

from gitmodel.base.project import UserError
from gitmodel.git.programs import of_environment


def tool(module: str, *words: str) -> list[str]:
    """Return the command that runs a tool of this environment."""
    if not find_spec(module):
        raise UserError(f"{module} is not installed here: install requirements-dev.txt, as `make init` does")
    return of_environment(module, *words)


def uv(*words: str) -> list[str]:
    """Return the command that runs uv: of this environment, else from the path."""
    if find_spec("uv"):
        return of_environment("uv", *words)
    if found := shutil.which("uv"):
        return [found, *words]
    raise UserError("uv is not installed: `python -m pip install uv`, then run this again")
