"""Stage package: the model -> models/bundle, which ships, and its card.

Write into `ship` what ships besides the model.
"""

from pathlib import Path


def ship(folder: Path) -> None:
    """Write more files into `folder`, the bundle: they are hashed, signed and released with it.

    An example:

        (folder / "labels.txt").write_text("no, yes", encoding="utf-8")
    """
