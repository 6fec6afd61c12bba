"""Grids whose points come from coarse to fine, and are the same in every grid that has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Axes = dict[str, NDArray[np.float64]]

DIGITS = 12  # significant digits by which a coordinate is known again


def grid_axis(low: float, high: float, points: int) -> NDArray[np.float64]:
    """Space points evenly, shape (points,); a symmetric range has its zero, and finer grids have the same points."""
    if points == 1:
        return np.array([(low + high) / 2])
    scale = max(abs(low), abs(high))
    axis: NDArray[np.float64] = np.round(np.linspace(low, high, points) / scale, DIGITS) * scale
    return axis


def nested(size: int) -> list[NDArray[np.int64]]:
    """List ever finer selections of an axis: 2, 3, 5, 9, ... evenly spread indices, each holding the one before."""
    levels, count = [], 2
    while count < size:
        levels.append(np.linspace(0, size - 1, count).round().astype(np.int64))
        count = 2 * count - 1
    return [*levels, np.arange(size)]


def levels_of(axes: Axes) -> list[Axes]:
    """List the axes of ever finer grids, the last one whole."""
    selections = zip(*(nested(len(axis)) for axis in axes.values()), strict=True)
    return [{name: axes[name][index] for name, index in zip(axes, indices, strict=True)} for indices in selections]
