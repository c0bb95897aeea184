"""The notebook runs from start to end on this project's table (needs the extra: `make notebook`)."""

from pathlib import Path

import pytest

NOTEBOOK = Path("notebooks/explore.ipynb")


@pytest.mark.slow
def test_the_notebook_runs():
    """Every cell of notebooks/explore.ipynb works with the present schema and stages."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient", reason="Jupyter is not installed: `make notebook` does that")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()


def test_the_notebook_is_committed_without_outputs():
    """Outputs may hold data, and make every commit a conflict."""
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs")] == []
