"""Which packages an address needs."""

from gitmodel.base.project import INSTALL, UserError
from gitmodel.contract.schema import load
from gitmodel.contract.source import TableSource, expanded

EXTRAS = {"sqlite": "sql", "postgresql": "postgres", "duckdb": "duckdb"}  # dialect -> extra of pyproject.toml
ALIASES = {"postgres": "postgresql"}


def extras() -> list[str]:
    """Return the extras of pyproject.toml that this project's `source:` needs."""
    return list(dict.fromkeys(EXTRAS.get(dialect_of(source), "sql") for source in load().source if source.query))


def dialect_of(source: TableSource) -> str:
    """Return what kind of database an address names, such as `postgresql`."""
    name = expanded(source.address).partition("://")[0].partition("+")[0].lower()
    return ALIASES.get(name, name)


def lacking(dialect: str, package: str) -> UserError:
    """Return the error that says how to install what a database needs."""
    remedy = f"run `{INSTALL.format(EXTRAS.get(dialect, 'sql'))}`"
    if dialect not in EXTRAS and package != "sqlalchemy":
        remedy = "install SQLAlchemy's driver for it, and name that in `dependencies` of pyproject.toml"
    return UserError(f"{dialect} needs {package}, which is not installed here: {remedy}")
