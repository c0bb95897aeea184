"""A metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric."""
