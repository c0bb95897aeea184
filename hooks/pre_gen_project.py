"""Refuse bad answers before anything is written: one plain line for each, on stderr."""

import codecs
import csv
import io
import json
import keyword
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ANSWERS: dict[str, Any] = json.loads(r"""{{ cookiecutter | tojson }}""")
# `make update` sets it: the project has its table already, and a colleague may not have the file it came from.
UPDATING = os.environ.get("MODEL_TEMPLATE_UPDATE") == "1"

SCHEMES = ("s3", "gs", "azure", "ssh", "https")
TABLES = (".csv", ".tsv", ".txt", ".parquet")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".json", ".jsonl", ".ndjson", ".xlsx")  # what `make init` opens
SEPARATORS = ",;\t| "
HEADER_BYTES = 1_000_000  # enough for the header and the first row of any sane table
SAMPLE_COLUMNS = (
    "age education class_of_worker industry occupation marital_status household_summary sex race birth_country "
    "citizenship employment_status union_member employer_size weeks_worked capital_gains capital_losses dividends "
    "income_over_50k"
).split()

# Line breaks and controls break the files they land in; direction marks make them read as something else.
INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffe\uffff]|[\ud800-\udfff]"
)
JINJA = re.compile("[{][#%{]|[}%#][}]")

# Modules and packages that the project installs: a package of the same name would hide them, or be hidden.
INSTALLED = frozenset(
    """
    adlfs aiobotocore aiohappyeyeballs aiohttp aiohttp_retry aioitertools aiosignal amqp annotated_doc annotated_types
    antlr4 anyio appdirs argcomplete arrow ast_serialize asyncssh atpublic attr attrs azure bcrypt billiard botocore
    celery certifi cffi cfgv charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle colorama
    configobj contourpy cruft cryptography cycler dask dateutil decorator dictdiffer diskcache distlib distributed
    distro dotenv dpath duckdb dulwich dvc dvc_azure dvc_data dvc_gs dvc_http dvc_objects dvc_render dvc_s3 dvc_ssh
    dvc_studio_client dvc_task editables entrypoints fastapi fastjsonschema filelock flatbuffers flatten_dict flufl
    frozenlist fsspec funcy gcsfs git gitdb gitmodel gitpython google google_auth_oauthlib google_crc32c grandalf grpc
    grpc_status gto h11 hatch hatchling httptools hydra hydra_core identify idna images importlib_metadata iniconfig
    ipykernel isodate iterative_telemetry jinja2 jmespath joblib jsonschema jsonschema_specifications jupyter
    jupyter_client jupyter_core jupyterlab jwt kiwisolver knack kombu lazy_importer librt locket markdown_it markupsafe
    matplotlib mdurl ml_dtypes mpl_toolkits msal msal_extensions msgpack multidict mypy mypy_extensions mypyc narwhals
    nbclient nbformat nbstripout networkx nodeenv numpy oauthlib omegaconf onnx onnxmltools onnxruntime opentelemetry
    orjson packaging pandas partd pathspec pillow pip platformdirs pluggy pre_commit pre_commit_hooks prettytable
    prometheus_client prompt_toolkit propcache proto protobuf psutil psycopg public py pyarrow pyasn1 pyasn1_modules
    pycparser pydantic pydantic_core pydantic_settings pydevd_plugins pydot pygit2 pygments pygtrie pylab pyparsing
    pytest python_calamine python_discovery pyyaml referencing requests requests_oauthlib rich rpds ruamel ruff s3fs
    scikit_learn scipy scmrepo semver setuptools shellingham shortuuid shtab six skl2onnx sklearn skops smmap
    sortedcontainers sqlalchemy sqltrie sshfs starlette stdnum tabulate tblib threadpoolctl tlz tomlkit toolz tornado
    tqdm traitlets trove_classifiers typer typing_extensions typing_inspection tzdata tzlocal urllib3 uv uvicorn uvloop
    validate vine virtualenv voluptuous wcwidth wheel wrapt xgboost yaml yarl zc zict zipp zmq
    """.split()
)
PROJECT_FOLDERS = frozenset("data deploy docs models notebooks reports src tests vendor".split())
WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789")]
)

Problems = Iterator[str]


def check_text(answers: dict[str, Any]) -> Problems:
    """Refuse invisible characters and Jinja delimiters in any answer."""
    for name, value in answers.items():
        if name.startswith("_") or not isinstance(value, str):
            continue
        if INVISIBLE.search(value):
            yield f"{name}: holds a line break or an invisible character; write it as one plain line"
        if found := JINJA.search(value):
            yield f"{name}: holds {found[0]!r}, which the template would take as code; leave it out"


def check_names(answers: dict[str, Any]) -> Problems:
    """Refuse names that cannot stand in a title, a licence or a commit."""
    for name in ("project_name", "author_name"):
        value = answers[name]
        harmful = sorted(set(value) & set('"\\`$<>|;{}'))
        if not re.search(r"\w", value):
            yield f"{name}: {value!r} is empty or has no letter; write a name"
        elif len(value) > 100 or value != value.strip():
            yield f"{name}: is longer than 100 characters or has spaces around it; write it shorter"
        elif harmful:
            yield f"{name}: {value!r} holds {' '.join(harmful)}, which shells and files misread; leave it out"


def check_slug(answers: dict[str, Any]) -> Problems:
    """Refuse a slug that is no good name for a folder, a repository and a distribution."""
    slug = answers["__slug_answered"]  # cookiecutter.json replaces one that would lead into another folder
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", slug) or len(slug) > 60:
        yield (
            f"project_slug: {slug!r} is not usable as a folder and repository; write at most 60 of a-z, 0-9, - and _, "
            "beginning with a letter"
        )
    else:
        yield from check_taken("project_slug", slug)


def check_package(answers: dict[str, Any]) -> Problems:
    """Refuse a package name that Python cannot import."""
    package = answers["package_name"]
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", package) or len(package) > 60:
        yield (
            f"package_name: {package!r} is not usable as a Python package; write at most 60 of a-z, 0-9 and _, "
            "beginning with a letter"
        )
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        yield f"package_name: {package!r} is a keyword of Python; choose another name"
    else:
        yield from check_taken("package_name", package)


def check_taken(name: str, value: str) -> Problems:
    """Refuse a name that already means something else."""
    module = value.replace("-", "_")
    if module in sys.stdlib_module_names:
        yield f"{name}: {value!r} is a module of Python's standard library; choose another name"
    elif module in INSTALLED:
        yield f"{name}: {value!r} is a package that the project itself uses; choose another name"
    elif module in PROJECT_FOLDERS:
        yield f"{name}: {value!r} is a folder of the project; choose another name"
    elif module in WINDOWS_DEVICES:
        yield f"{name}: {value!r} is a device on Windows; choose another name"


def check_owner(answers: dict[str, Any]) -> Problems:
    """Refuse an address or an account that cannot exist."""
    email, owner = answers["author_email"], answers["github_owner"]
    if not re.fullmatch(r"[\w.+%'-]+@[\w-]+(\.[\w-]+)+", email):
        yield f"author_email: {email!r} is not an e-mail address; write one like name@example.com"
    if answers["ci"] == "gitlab":
        if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", owner, re.ASCII) or len(owner) > 255:
            yield f"github_owner: {owner!r} is no group or user on GitLab; write its path alone, without address or @"
    elif not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", owner) or len(owner) > 39:
        yield f"github_owner: {owner!r} is not a GitHub account; write its name alone, without address or @"


def check_remote(answers: dict[str, Any]) -> Problems:
    """Refuse a remote that DVC could not use."""
    remote = answers["dvc_remote"]
    scheme, separator, rest = remote.partition("://")
    if not remote:
        return
    if harmful := sorted(set(remote) & set("\"'\\`$<>|;{},#?*&" + (" " if separator else ""))):
        yield f"dvc_remote: {remote!r} holds {' '.join(map(repr, harmful))}; write a plain path or address"
    elif not separator:
        yield from check_folder(remote)
    elif scheme not in SCHEMES:
        known = " ".join(f"{known}://" for known in SCHEMES)
        yield f"dvc_remote: {scheme}:// is not a scheme it knows; use {known} or an absolute path"
    elif not rest.strip("/"):
        yield f"dvc_remote: {remote!r} names no bucket or host; write one, as in {scheme}://name/folder"
    elif ":" in urlsplit(remote).netloc.rpartition("@")[0]:
        yield "dvc_remote: holds a password, which Git would publish; leave it out (dvc remote modify --local keeps it)"


def check_folder(remote: str) -> Problems:
    """Refuse a local remote that cannot be written."""
    folder = Path(remote)
    if not folder.is_absolute() or ".." in folder.parts or remote != remote.strip():
        yield f"dvc_remote: {remote!r} is a relative path; write the absolute path of a folder, or scheme://..."
        return
    if UPDATING:
        return
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        yield f"dvc_remote: {remote!r} cannot be a folder, {existing} is a file; choose another path"
    elif not os.access(existing, os.W_OK):
        yield f"dvc_remote: {remote!r} cannot be written; choose another path or change the permissions of {existing}"


def check_table(answers: dict[str, Any]) -> Problems:
    """Refuse a table that cannot be read, and a target or a group that is not one of its columns."""
    given, target = answers["data_path"], answers["target_column"]
    named = {name: answers[name] for name in ("target_column", "group_column") if answers[name]}
    if not given and not target:
        yield "target_column: is empty; name the column to predict"
    elif len(set(named.values())) < len(named):
        yield f"group_column: {target!r} is the target; name what the rows belong to, or leave it empty"
    elif not given:
        for answer, column in named.items():
            if column not in SAMPLE_COLUMNS:
                yield f"{answer}: {column!r} is not in the sample; name one of: {', '.join(SAMPLE_COLUMNS)}"
    elif not UPDATING:
        table = find_table(given)
        problem = unreadable(table, given)
        if problem:
            yield f"data_path: {problem}"
        elif not target:
            yield f"target_column: is empty; name the column of {table.name} to predict"
        elif table.suffix.lower() in PACKED:
            return
        elif table.suffix.lower() == ".parquet":
            yield from check_parquet(table, named)
        else:
            yield from check_csv(table, named)


def find_table(given: str) -> Path:
    """Return the table's path, which may start at the home folder, the caller's folder or the output folder."""
    path = Path(given).expanduser()
    starts = (os.environ.get("PWD", "."), Path.cwd().parent)
    candidates = [Path(start, path) for start in starts]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def unreadable(table: Path, given: str) -> str:
    """Say why the table cannot be used, or nothing."""
    if not table.exists():
        return f"there is no file {given!r}; check the path (looked for {table})"
    if not table.is_file():
        return f"{given!r} is not a file; name the table itself"
    if table.suffix.lower() not in TABLES + PACKED:
        return f"{given!r} is of an unknown kind; convert it to {', '.join(TABLES)}"
    try:
        with table.open("rb") as file:
            return "" if file.read(1) else f"{given!r} is empty; name a table with rows"
    except OSError as error:
        return f"{given!r} cannot be read ({error.strerror}); check its permissions"


def check_csv(table: Path, named: dict[str, str]) -> Problems:
    """Refuse a CSV file without rows, or whose header lacks a column that an answer names."""
    with table.open("rb") as file:
        text = decode(file.read(HEADER_BYTES))
    try:
        heads = [read_head(text, separator) for separator in SEPARATORS]
    except csv.Error as error:
        yield f"data_path: {table.name} is not a CSV file ({error}); save it as one"
        return
    names = max((head[0] for head in heads if head), key=len, default=[])
    if not any(len(head) > 1 for head in heads):
        yield f"data_path: {table.name} has no rows below its header; name a table with rows"
        return
    for answer, column in named.items():
        if not any(column in (name, name.strip()) for head in heads for name in head[0]):
            yield not_a_column(answer, column, table, names)


def decode(start: bytes) -> str:
    """Read the start of a text file as UTF-8, UTF-16 or else Latin-1."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start[: len(start) // 2 * 2].decode("utf-16", "replace")
    for step, encoding in ((slice(1, 200, 2), "utf-16-le"), (slice(0, 200, 2), "utf-16-be")):
        if len(start) > 3 and not any(start[step]):
            return start[: len(start) // 2 * 2].decode(encoding, "replace")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        return start.decode("latin-1")


def read_head(text: str, separator: str) -> list[list[str]]:
    """Return the header and the first row, if there are any, when the text is split this way."""
    csv.field_size_limit(HEADER_BYTES)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    full = (row for row in rows if any(cell.strip() for cell in row))
    return [row for row, _ in zip(full, range(2), strict=False)]


def check_parquet(table: Path, named: dict[str, str]) -> Problems:
    """Refuse a Parquet file whose footer lacks the name of a column that an answer names."""
    with table.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, os.SEEK_END)
        file.seek(-min(size, 8), os.SEEK_END)
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if start != b"PAR1" or tail[4:] != b"PAR1" or length > size - 12:
            yield f"data_path: {table.name} is not a Parquet file, or is cut short; write it again"
            return
        file.seek(-8 - length, os.SEEK_END)
        footer = file.read(length)
    for answer, column in named.items():
        if column.encode() not in footer:
            yield not_a_column(answer, column, table, [])


def not_a_column(answer: str, column: str, table: Path, names: list[str]) -> str:
    """Say which columns there are instead."""
    shown = ", ".join(" ".join(name.split()) for name in names[:20]) + (", ..." if len(names) > 20 else "")
    return f"{answer}: {column!r} is not a column of {table.name}; name one of its columns" + (
        f": {shown}" if shown else ""
    )


VALIDATORS = (
    check_text,
    check_names,
    check_slug,
    check_package,
    check_owner,
    check_remote,
    check_table,
)


def main() -> int:
    """Print what is wrong with the answers."""
    problems = [problem for validator in VALIDATORS for problem in validator(ANSWERS)]
    for problem in problems:
        line = INVISIBLE.sub("?", f"error: {problem}") + "\n"
        sys.stderr.write(line.encode(sys.stderr.encoding, "backslashreplace").decode(sys.stderr.encoding))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
