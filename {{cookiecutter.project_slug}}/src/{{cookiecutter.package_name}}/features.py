"""Features: columns made from columns. Training, serving, monitoring, importance and the card share them by name.

Write into `derive` what the model should see besides the columns of schema.yaml.
"""

from collections.abc import Mapping

import numpy as np


def derive(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return new columns by name, (n,) each: numbers, booleans, moments (datetime64) or texts.

    `rows` holds the features of schema.yaml, (n,) each: floats (missing ones NaN), moments (NaT), texts (None). A value
    may depend on its own row only; what is learned from many rows belongs into a transformer in train.py. An example:

        return {"gain_per_week": rows["capital_gains"] / rows["weeks_worked"]}
    """
    return {}
