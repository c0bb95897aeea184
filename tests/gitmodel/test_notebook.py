"""The notebook of a new project uses the library as it is; a test of the template runs it in Jupyter."""

import json

import matplotlib
from conftest import PROJECT


def test_the_cells_of_the_notebook_run(workspace, monkeypatch):
    """From the table to the importance of its columns, one cell after the other."""
    monkeypatch.chdir(workspace)
    cells = json.loads((PROJECT / "notebooks/explore.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    with matplotlib.rc_context({"backend": "agg"}):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    assert set(names["schema"].features()) >= set(names["importances"]["column"])
