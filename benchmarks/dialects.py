"""How tables of text are written: our finding beside clevercsv's and DuckDB's, by the rows and columns that come.

Run `python tests/tables.py FOLDER`, then `python benchmarks/dialects.py FOLDER` with the library, clevercsv and duckdb
on the path. A file is right if all of its rows and columns come, or, where it is broken, if it is refused.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "{{cookiecutter.project_slug}}/vendor")]
Shape = tuple[int, int]
ROWS = 600
REFUSED: Shape = (0, 0)


def lines(separator: str = ",", decimal: str = ".", note: str = "ok") -> list[str]:
    """Return a header and rows of a small shop."""
    rows = [
        separator.join((str(20 + n % 60), f"{n * 1.37:.2f}".replace(".", decimal), "north" if n % 3 else "south", note))
        for n in range(ROWS)
    ]
    return [separator.join(("age", "score", "region", "note")), *rows]


def text(rows: list[str]) -> bytes:
    """Return lines as the bytes of a file."""
    return ("\n".join(rows) + "\n").encode()


def changed(position: int, line: str) -> bytes:
    """Return the rows with another line at a position."""
    rows = lines()
    return text([*rows[:position], line, *rows[position + 1 :]])


HARD: dict[str, tuple[bytes, Shape]] = {
    "plain": (text(lines()), (ROWS, 4)),
    "decimal commas": (text(lines(";", ",")), (ROWS, 4)),
    "a line that names the separator": (b"sep=;\n" + text(lines(";", ",")), (ROWS, 4)),
    "comments above the header": (b"# exported\n# from: a, b\n" + text(lines()), (ROWS, 4)),
    "a separator behind each row": (text([lines()[0], *(f"{row}," for row in lines()[1:])]), (ROWS, 4)),
    "quotes escaped by a backslash": (text(lines(note='"say \\"hi\\", then go"')), (ROWS, 4)),
    "sentences with commas, in quotes": (text(lines(note='"well, yes; or no|maybe"')), (ROWS, 4)),
    "apostrophes in words": (text(lines(note="it's the dog's")), (ROWS, 4)),
    "one column": (text(["name", *(f"word {n}" for n in range(ROWS))]), (ROWS, 1)),
    "tabs, NULL as \\N": (text(lines("\t", note="\\N")), (ROWS, 4)),
    "Windows-1252": (text(lines(note="Straße, 5 €".replace(",", ""))).decode().encode("cp1252"), (ROWS, 4)),
    "UTF-16": (text(lines("\t")).decode().encode("utf-16"), (ROWS, 4)),
    "a quote that never closes": (changed(40, '30,1.00,north,"never closed'), (ROWS, 4)),  # or refused
    "a stray byte in UTF-8": (text(lines(note="Zoë")).replace("ë".encode(), b"\xff", 1), REFUSED),
    "a row too long": (changed(300, "30,1.00,north,ok,more,still"), REFUSED),
}


def ours(path: Path) -> Shape:
    """Read as `model adopt` does."""
    from gitmodel.contract.table import read_cells, sniff

    return read_cells(path, sniff(path)).shape


def clever(path: Path) -> Shape:
    """Read as clevercsv does."""
    import clevercsv

    header, *rows = [row for row in clevercsv.read_table(str(path)) if row]
    return len(rows), len(header)


def duck(path: Path) -> Shape:
    """Read as DuckDB does."""
    import duckdb

    found = duckdb.sql(f"SELECT * FROM read_csv('{path}', all_varchar = true)")
    return len(found.fetchall()), len(found.columns)


READERS: dict[str, Callable[[Path], Shape]] = {"ours": ours, "clevercsv": clever, "duckdb": duck}


def read(reader: Callable[[Path], Shape], path: Path) -> Shape:
    """Return what comes of a file; REFUSED if nothing does."""
    try:
        return reader(path)
    except Exception:
        return REFUSED


def known(folder: Path) -> dict[Path, Shape]:
    """Return the files of text of tests/tables.py with their shapes."""
    import pandas as pd
    from tables import TABLES

    found = {}
    for table in TABLES:
        options = {key: table.write[key] for key in ("sep", "decimal", "encoding") if key in table.write}
        if table.suffix != "parquet":
            found[folder / table.file_name] = pd.read_csv(folder / table.file_name, **options).shape
    return found


def measure(files: dict[Path, Shape]) -> dict[str, tuple[list[str], float]]:
    """Return for each reader the files that it reads wrongly, and how long it took."""
    found = {}
    for name, reader in READERS.items():
        start, wrong = time.perf_counter(), []
        for path, right in files.items():
            shape = read(reader, path)
            if shape != right and (shape, path.stem) != (REFUSED, "a quote that never closes"):
                wrong.append(f"{path.stem} {shape[0]}x{shape[1]}")
        found[name] = wrong, time.perf_counter() - start
    return found


def main() -> None:
    """Print one line for each kind of files and reader."""
    print(", ".join(f"{name} {version(name)}" for name in ("clevercsv", "duckdb")))
    with tempfile.TemporaryDirectory() as name:
        hard = {}
        for title, (content, shape) in HARD.items():
            path = Path(name) / f"{title.replace(chr(92), '')}.csv"
            path.write_bytes(content)
            hard[path] = shape
        for kind, files in (("real tables", known(Path(sys.argv[1]))), ("hard files", hard)):
            for reader, (wrong, seconds) in measure(files).items():
                right = len(files) - len(wrong)
                print(
                    f"{kind}: {reader} {right} of {len(files)} in {seconds:.1f} s; wrong: {', '.join(wrong) or 'none'}"
                )


if __name__ == "__main__":
    main()
