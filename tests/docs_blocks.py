"""The code blocks of Markdown pages: what kind each is, the commands in it, and how its code gets into a project."""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from conftest import DEFAULTS, ROOT, BakedProject

BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n\n?)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FILE = re.compile(r"([\w./-]+\.(?:py|yaml|md|toml))(?:: (\w+))?")
NOT_RUN = "not run: "
STATUS = re.compile(r"#.*exit status (\d)")
HELPS = """
import contextlib, io, json, sys
from dvc.cli.parser import get_main_parser
from gitmodel import cli
found = {}
def walk(parser, names):
    found[" ".join(names)] = parser.format_help()
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, other in action.choices.items():
                walk(other, [*names, name])
walk(get_main_parser(), ["dvc"])
for name in cli.COMMANDS:
    sys.argv[1:] = [name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        cli.main()
    found[f"model {name}"] = said.getvalue()
print(json.dumps(found))
"""
PICTURES = ("flowchart", "gitGraph", "gantt", "sequenceDiagram", "stateDiagram")
PROGRAMS = ("model", "dvc", "make", "git", "cookiecutter")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, line, language and text, and the comment before it."""

    page: str
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.page}:{self.line}"

    @cached_property
    def kind(self) -> str:
        """Return what it is: file, picture, transcript, tree, shell or not run; ValueError if it is none of them."""
        if self.comment.startswith(NOT_RUN) and self.comment.removeprefix(NOT_RUN).strip():
            return "not run"
        if FILE.fullmatch(self.comment) or (self.language == "python" and self.text.startswith("# src/")):
            return "file"
        if self.language == "mermaid" and self.text.startswith(PICTURES):
            return "picture"
        if not self.comment and self.language in ("", "sh"):
            return "transcript" if self.text.startswith("$ ") else "tree" if "|-- " in self.text else "shell"
        raise ValueError(f"{self}: a block of no kind that a test runs; say why in `<!-- not run: why -->`")

    @cached_property
    def commands(self) -> list["Command"]:
        """Return the commands of the shell in it."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        joined = re.sub(r"\|\n\s*", "| ", joined)
        return [Command.parse(line) for line in joined.splitlines() if line.strip()]

    @cached_property
    def files(self) -> list[tuple[str, str, str]]:
        """Return for each file that it holds code of: name, section of a YAML file or empty, code."""
        if match := FILE.fullmatch(self.comment):
            return [(match[1], match[2] or "", self.text)]
        parts = re.split(r"^# src/\w+/(\w+\.py)\n", self.text, flags=re.MULTILINE)[1:]
        return [(name, "", code) for name, code in zip(parts[::2], parts[1::2], strict=True)]


@dataclass(frozen=True)
class Command:
    """A line for the shell, and the exit status that its comment says; 0 if it says none."""

    line: str
    status: int = 0

    @classmethod
    def parse(cls, line: str) -> "Command":
        """Take the comment apart."""
        match = STATUS.search(line)
        return cls(re.sub(r"\s+#.*|^#.*", "", line).strip(), int(match[1]) if match else 0)

    def words(self) -> Iterator[list[str]]:
        """Yield the words of each command in the line."""
        for part in re.split(r"&&|\|\||[|;]", self.line):
            try:
                words = shlex.split(part)
            except ValueError:  # a quote that spans parts
                words = part.split()
            if words:
                yield words


def blocks(page: str, text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(page, text.count("\n", 0, match.start(3)), match[2], match[3], match[1] or "")
        for match in BLOCK.finditer(text)
    ]


def spans(page: str, text: str) -> list[Block]:
    """Return what stands between backticks in the prose and is a command, as blocks of one line."""
    prose = BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [
        Block(page, prose.count("\n", 0, match.start()) + 1, "", match[1].replace("\\|", "|"), NOT_RUN + "prose")
        for match in SPAN.finditer(prose)
        if match[1].split()[0] in PROGRAMS and len(match[1].split()) > 1
    ]


@dataclass
class Names:
    """The commands, options, targets and answers that exist; `helps` holds the help of each command."""

    makefiles: str
    helps: dict[str, str]

    @classmethod
    def of(cls, project: BakedProject, environment: dict[str, str], makefiles: str) -> "Names":
        """Ask the programs of a project."""
        return cls(makefiles, json.loads(project.run(["python", "-c", HELPS], **environment).stdout))

    def unknown(self, block: Block) -> list[str]:
        """Return what the commands of a block name and does not exist."""
        commands = [words for command in block.commands for words in command.words()]
        return [f"{block}: {name}" for words in commands for name in self.missing(words)]

    def missing(self, words: list[str]) -> list[str]:
        """Return what one command names and does not exist."""
        program, *rest = words
        if program == "make":
            targets = [word for word in rest if re.fullmatch(r"[a-z]+", word)]
            return [f"make {word}" for word in targets if not re.search(rf"^{word}\b.*:", self.makefiles, re.MULTILINE)]
        if program == "cookiecutter":
            answers = [word.partition("=")[0] for word in rest if re.match(r"\w+=", word)]
            return [f"the answer {name}" for name in answers if name not in DEFAULTS]
        return self.missing_options(program, rest) if program in PROGRAMS else []

    def missing_options(self, program: str, rest: list[str]) -> list[str]:
        """Return the subcommand or the options of model, dvc or git that its help does not know."""
        for known in (2, 1):
            command = " ".join([program, *rest[:known]])
            if text := git_help(rest[0]) if program == "git" and known == 1 else self.helps.get(command):
                options = [word.partition("=")[0] for word in rest[known:] if re.match(r"--?[a-zA-Z]", word)]
                return [f"{command} {option}" for option in options if not says(text, option)]
        return [command]


@cache
def git_help(command: str) -> str:
    """Return the usage of a command of Git; empty if there is no such command."""
    made = subprocess.run(["git", command, "-h"], cwd=ROOT, capture_output=True, text=True)
    return made.stdout + made.stderr if made.returncode == 129 else ""


def says(text: str, option: str) -> bool:
    """Tell whether a help text names an option, `--[no-]option` included."""
    return bool(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text.replace("[no-]", "")))


def tree_paths(text: str) -> Iterator[str]:
    """Yield the paths that a drawn tree names, its first folder left out."""
    folders: list[str] = []
    for line in text.splitlines()[1:]:
        indent, names = re.fullmatch(r"([| `]*)(?:\|--|`--) ([^\s,]+(?:, [^\s,]+)*).*", line).groups()  # type: ignore[union-attr]
        depth = len(indent) // 4
        folders = folders[:depth]
        for name in names.split(", "):
            yield "/".join([*folders, name.rstrip("/")])
        folders.append(names.rstrip("/"))


def put(project: BakedProject, block: Block) -> None:
    """Write the code of a block into the files of a project that it is for."""
    for name, section, code in block.files:
        path = project.path / (name if "/" in name or section else f"src/{project.package}/{name}")
        former = path.read_text(encoding="utf-8") if path.exists() else ""
        if section:
            path.write_text(with_settings(former, section, code), encoding="utf-8")
        else:
            path.write_text(with_code(former, code), encoding="utf-8")


def with_settings(former: str, section: str, code: str) -> str:
    """Return a YAML file with more settings in a section."""
    content = yaml.safe_load(former)
    content[section] = content[section] or {}
    merge(content[section], yaml.safe_load(code))
    return yaml.safe_dump(content, sort_keys=False)


def merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Add settings, section by section."""
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = value


def with_code(former: str, code: str) -> str:
    """Return a module with more code: imports first, a definition in the place of the former one of its name."""
    imports: list[str] = []
    rest: list[str] = []
    for node in ast.parse(code).body:
        (imports if isinstance(node, ast.Import | ast.ImportFrom) else rest).append(source(code, node))
    text = with_imports(former, imports)
    for piece in rest:
        text = with_definition(text, piece)
    return text


def with_imports(text: str, imports: list[str]) -> str:
    """Return a module with more imports, behind its own."""
    tree = ast.parse(text).body
    ends = [node.end_lineno or 0 for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
    docstring = [node.end_lineno or 0 for node in tree[:1] if isinstance(node, ast.Expr)]
    lines, at = text.splitlines(), max([*ends, *docstring], default=0)
    return "\n".join([*lines[:at], *imports, *lines[at:]]) + "\n"


def with_definition(text: str, piece: str) -> str:
    """Return a module with a definition in the place of the former one of its name; values and new ones at the end."""
    lines, (new,) = text.splitlines(), ast.parse(piece).body
    former = [node for node in ast.parse(text).body if defined(new) and defined(node) == defined(new)]
    in_place = former and not isinstance(new, ast.Assign | ast.AnnAssign)
    for node in former:
        lines[first_line(node) - 1 : node.end_lineno] = piece.splitlines() if in_place else []
    return "\n".join(lines if in_place else [*lines, "", "", piece]) + "\n"


def defined(node: ast.stmt) -> str:
    """Return the name that a statement defines; empty if it defines none."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return next((target.id for target in targets if isinstance(target, ast.Name)), "")


def first_line(node: ast.stmt) -> int:
    """Return the line at which a statement begins, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(item.lineno for item in decorators)])


def source(code: str, node: ast.stmt) -> str:
    """Return the lines of a statement."""
    return "\n".join(code.splitlines()[first_line(node) - 1 : node.end_lineno])


def promised(block: Block, what: str) -> list[str]:
    """Return the names that the code of a block promises: its features, estimators, metrics or files."""
    patterns = {
        "features": ("features.py", r'"(\w+)": '),
        "estimators": ("train.py", r'^ESTIMATORS\["(\w+)"\]'),
        "metrics": ("evaluate.py", r"Metric\((\w+)"),
        "files": ("package.py", r'folder / "([\w.]+)"'),
    }
    file, pattern = patterns[what]
    texts = [code for name, _, code in block.files if name == file]
    return [name for text in texts for name in re.findall(pattern, text, re.MULTILINE)]


def results(project: BakedProject) -> dict[str, set[str]]:
    """Return what a run of the stages shows by name: features, metrics and files of the bundle."""
    manifest = json.loads(project.read("models/bundle/manifest.json"))
    importance = project.read("reports/plots/importance.csv").splitlines()
    return {
        "features": {cell for line in importance for cell in line.split(",")},
        "metrics": set(json.loads(project.read("reports/metrics.json"))["test"]),
        "files": set(manifest["files"]),
        "estimators": {manifest["params"]["train"]["model"]},
    }


def page(path: Path, root: Path) -> tuple[str, str]:
    """Return the name and the text of a page."""
    return path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
