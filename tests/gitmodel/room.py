"""A user's room for tests: a project folder with the modules of a user's package, each room with a name of its own."""

import itertools
import sys
from textwrap import dedent

_numbers = itertools.count()


class Room:
    """A folder that holds pyproject.toml and src/<package>/; `write` gives it modules."""

    def __init__(self, folder, **modules):
        """Write the modules (name -> code)."""
        self.folder, self.package = folder, f"room_{next(_numbers)}"
        self.source = folder / "src" / self.package
        self.source.mkdir(parents=True)
        pyproject = f'[tool.gitmodel]\npackage = "{self.package}"\n'
        (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
        for name, code in modules.items():
            self.write(name, code)

    def write(self, name, code):
        """Write a module, and forget the former one."""
        (self.source / f"{name}.py").write_text(dedent(code), encoding="utf-8")
        self.forget()

    def edit(self, name, before, after):
        """Replace a text that a module has."""
        code = (self.source / f"{name}.py").read_text(encoding="utf-8")
        assert before in code
        self.write(name, code.replace(before, after))

    def forget(self):
        """Let Python import the modules from their files again."""
        for name in [name for name in sys.modules if name.split(".")[0] == self.package]:
            del sys.modules[name]
