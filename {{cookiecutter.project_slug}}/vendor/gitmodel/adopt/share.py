"""How much of a large table is for the test: rows beyond `prepare.max_test_rows` would be of no use."""

import re
from math import floor, log10

from gitmodel.base.files import read_text
from gitmodel.base.project import PARAMS
from gitmodel.base.writing import Change

SPARE = 0.98  # the hash draws about the share, and a table grows
LINE = re.compile(r"(?m)^(prepare:.*\n(?:(?: .*|#.*|)\n)*?\s+test_size:\s*)[^\s#]+")


def bounded(rows: int, share: float, most: int) -> float:
    """Return the share of so many rows to test on, two digits of it if it has to be smaller: not more than `most`."""
    found = SPARE * most / rows
    if share <= found:
        return share
    unit = 10.0 ** (floor(log10(found)) - 1)
    return float(f"{floor(round(found / unit, 6)) * unit:.2g}")


def put_share(share: float, change: Change) -> list[str]:
    """Write `prepare.test_size` into params.yaml; return what to say about it."""
    text = read_text(PARAMS) if PARAMS.exists() else ""
    new, count = LINE.subn(lambda found: f"{found[1]}{share:g}", text, count=1)
    if not count:
        return [f"set prepare.test_size in {PARAMS} to {share:g}: no more than prepare.max_test_rows are tested on"]
    change.write(PARAMS, new)
    return [f"prepare.test_size in {PARAMS} is {share:g} now: no more than prepare.max_test_rows are tested on"]
