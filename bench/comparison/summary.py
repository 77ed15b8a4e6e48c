"""Several rounds of one figure as its median and spread."""

import statistics
from typing import NamedTuple, Optional, Sequence


class Summary(NamedTuple):
    median: float
    low: float
    high: float
    count: int

    @property
    def spread(self) -> float:
        """Half of the distance between the extremes, as a share of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0


def summarize(values: Sequence[float]) -> Optional[Summary]:
    """None when there are none."""
    if not values:
        return None
    return Summary(statistics.median(values), min(values), max(values), len(values))


def number(value: float) -> str:
    """Three digits that tell something: 0.0123, 1.23, 12.3, 123, 1,234."""
    size = abs(value)
    if size >= 100 or size == 0:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    digits = 2
    while size < 1 and digits < 8:
        size, digits = size * 10, digits + 1
    return f"{value:.{digits}f}"


def ratio(value: float, reference: float) -> Optional[float]:
    """How many times the reference a value is."""
    return value / reference if reference else None
