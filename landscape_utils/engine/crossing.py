"""Search along a ray for where something that holds near the model ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

START, REACH, LEAST = 2.0**-6, 8.0, 2.0**-40  # shares of |w|: where a search begins, and where it gives up


def crossing(holds: Callable[[float], bool], start: float, within: float) -> float:
    """Find the distance at which something stops to hold, bracketed by doubling or halving, then bisected.

    Args:
        holds: whether it holds at a distance; where it comes and goes, one of its ends is found.
        start: where to begin.
        within: the distance is known to this share of itself.

    Returns:
        The distance; infinite where it holds up to `REACH`.
    """
    low = high = start
    if holds(start):
        while holds(high := min(2 * low, REACH)):
            low = high
            if low == REACH:
                return np.inf
    else:
        while not holds(low := high / 2):
            high = low
            if high < LEAST:
                return high
    while high / low > 1 + within:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(np.sqrt(low * high))
