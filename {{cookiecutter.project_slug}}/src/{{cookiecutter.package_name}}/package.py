"""Stage package: the model -> models/bundle, which ships, and its card.

Write into `ship` what ships besides the model.
"""

from pathlib import Path


def ship(folder: Path) -> None:
    """Write more files into `folder`, the bundle: hashed in its manifest, signed and released with it. An example:

    (folder / "labels.txt").write_text("no\\nyes\\n", encoding="utf-8")
    """
