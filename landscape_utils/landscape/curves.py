"""What a loss curve along a line looks like, in the paper's words (mining the loss landscape, 2.2 to 2.5, A.3, A.4).

A measured curve is never quite smooth, so two things are counted: stationary points by the paper's strict rule, which
counts every wiggle, and turning points, which are those changes of direction that are larger than a tolerance. Names
follow from the turning points and from where on the curve the perturbed model lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

CurveName = Literal["v-basin", "v-side", "w-basin", "w-peak", "vvv-basin"]
Vector = NDArray[np.float64]

FEWEST = 5  # points: fewer cannot tell a w from noise
LEAST = 1e-3  # nats; the default tolerance's floor, above what rounding in float32 does to a mean loss
SHARE = 0.01  # of the curve's range; the default tolerance of curves that are not nearly flat
ROUNDING = 1e-9  # of a grid step: a model this near a grid point lies on it

NAMES: dict[tuple[str, str], CurveName] = {  # turning points from left to right, and what the model lies on
    ("-", "-"): "v-basin",
    ("-+-", "-"): "w-basin",
    ("-+-", "+"): "w-peak",
    ("-+-+-", "-"): "vvv-basin",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class CurveShape:
    """What a curve looks like.

    Attributes:
        name: one of the paper's five names, or None.
        reason: why there is no name, in a sentence; None where there is one.
        minima, maxima: lambdas of the turning points, increasing.
        count: stationary points by the paper's rule, wiggles below the tolerance included.
        count_above: how many of them have a loss above chance; None where no chance level was given.
        tolerance: in nats, as it was used.
    """

    name: CurveName | None
    reason: str | None
    minima: tuple[float, ...]
    maxima: tuple[float, ...]
    count: int
    count_above: int | None
    tolerance: float


def stationary_points(loss: ArrayLike) -> NDArray[np.int64]:
    """Find where a curve is above both its neighbours or below both, by the strict rule of the paper.

    Interior t with (y_t - y_{t+1}) (y_t - y_{t-1}) > 0   (mining the loss landscape, A.3)

    A point that is NaN or has a NaN neighbour never counts, nor does one as high as its neighbour.

    >>> stationary_points([3.0, 1.0, 2.0, 0.0, 0.0, 5.0])
    array([1, 2])

    Args:
        loss: y, shape (T,), in nats.

    Returns:
        Indices into `loss`, increasing, int64.

    Raises:
        ValueError: the losses are not one-dimensional.
    """
    y = np.asarray(loss, dtype=float)
    if y.ndim != 1:
        raise ValueError(f"the losses have shape {y.shape}; a curve's are one-dimensional")
    with np.errstate(invalid="ignore"):  # between two infinities there is no difference
        before, after = y[1:-1] - y[:-2], y[1:-1] - y[2:]
    # Signs, for the product of two tiny differences would underflow.
    turns: NDArray[np.int64] = np.flatnonzero(np.sign(before) * np.sign(after) > 0) + 1
    return turns


def name_curve(
    lam: ArrayLike,
    loss: ArrayLike,
    *,
    at: float = 0.0,
    tolerance: float | None = None,
    chance: float | None = None,
) -> CurveShape:
    """Name a loss curve by its turning points and by where on it the perturbed model lies.

    v-basin     one minimum, with the model on it
    v-side      one minimum at most and no maximum; the loss falls from the model to one side and rises to the other
    w-basin     minimum, maximum, minimum; the model on one of the minima
    w-peak      the same, with the model on the maximum
    vvv-basin   three minima and two maxima between them; the model on one of the minima
    (mining the loss landscape, 2.2 to 2.5)

    A change of direction smaller than the tolerance is no turning point, and neither is an end of the range. The
    model lies on a turning point where nothing from the one to the other differs from it by more than the tolerance;
    a model between two grid points lies where either of them does. Rises and falls smaller than the tolerance are none.

    >>> name_curve([-2, -1, 0, 1, 2], [5.0, 2.0, 1.0, 2.0, 5.0]).name
    'v-basin'

    Args:
        lam: where the losses were taken, shape (T,), increasing.
        loss: shape (T,), in nats.
        at: where the perturbed model lies, in units of lam.
        tolerance: in nats; by default 1 % of the range of the finite losses, and 0.001 nats at least.
        chance: the loss of random predictions, log C nats for C classes; stationary points above it are counted apart.

    Returns:
        The shape. It has a reason instead of a name where there are fewer than five points, losses that are not
        finite, a plateau, a model that is not inside the range, or any other shape.

    Raises:
        ValueError: lam and loss are not of one length, lam does not increase, or the tolerance is negative.
    """
    x, y = _checked(lam, loss)
    finite = y[np.isfinite(y)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    if tolerance is None:
        tolerance = max(LEAST, SHARE * spread)
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"the tolerance is {tolerance}; give a number of nats, 0 or above")
    counted, turns = stationary_points(y), list[_Turn]()
    name, reason = None, _unfit(x, y, at, spread, tolerance)
    if reason is None:
        turns = _turning_points(y, tolerance)
        name, reason = _judged(x, y, turns, at, tolerance)
    return CurveShape(
        name=name,
        reason=reason,
        minima=tuple(float(x[turn.place]) for turn in turns if turn.kind == "-"),
        maxima=tuple(float(x[turn.place]) for turn in turns if turn.kind == "+"),
        count=len(counted),
        count_above=None if chance is None else int((y[counted] > chance).sum()),
        tolerance=float(tolerance),
    )


def shape_of(line: xr.Dataset, *, at: float = 0.0, tolerance: float | None = None) -> CurveShape:
    """Name the loss curve that `evaluate.curve` gave; chance is log C nats for its C classes.

    Args:
        line: Dataset over `lam` with `loss` in nats, and a dimension `class`.
        at, tolerance: as for `name_curve`.

    Raises:
        ValueError: as `name_curve` does.
    """
    chance = math.log(line.sizes["class"])
    return name_curve(line["lam"].values, line["loss"].values, at=at, tolerance=tolerance, chance=chance)


# --- what decides a name -----------------------------------------------------------------------------------------


class _Turn(NamedTuple):
    """A turning point: `-` for a minimum, `+` for a maximum, and its place on the grid."""

    kind: Literal["-", "+"]
    place: int


def _checked(lam: ArrayLike, loss: ArrayLike) -> tuple[Vector, Vector]:
    x, y = np.asarray(lam, dtype=float), np.asarray(loss, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"lam has shape {x.shape} and the losses {y.shape}; a curve has one loss a lam")
    if not np.isfinite(x).all() or (np.diff(x) <= 0).any():
        raise ValueError("lam must be finite numbers that increase")
    return x, y


def _unfit(x: Vector, y: Vector, at: float, spread: float, tolerance: float) -> str | None:
    """Return why a curve cannot be looked at; None where it can."""
    missing = int((~np.isfinite(y)).sum())
    if len(y) < FEWEST:
        return f"{len(y)} points are too few; a shape needs {FEWEST}"
    if missing:
        return f"{missing} of {len(y)} losses are not finite"
    if not x[0] < at < x[-1]:
        return f"the model, at lam = {at:g}, is not inside the range from {x[0]:g} to {x[-1]:g}"
    if spread < tolerance or spread == 0:
        return f"a plateau: the losses differ by {spread:.2g} nats, the tolerance is {tolerance:.2g}"
    return None


def _turning_points(y: Vector, tolerance: float) -> list[_Turn]:
    """Find the changes of direction from a fall to a rise of the tolerance or more, and the other way round."""
    turns, rising = list[_Turn](), None  # the first direction shows when the curve has left its beginning
    low = high = 0
    for i in range(1, len(y)):
        low, high = (i if y[i] < y[low] else low), (i if y[i] > y[high] else high)
        if rising is not True and y[i] > y[low] and y[i] - y[low] >= tolerance:
            if rising is False:
                turns.append(_Turn("-", low))
            rising, high = True, i
        elif rising is not False and y[i] < y[high] and y[high] - y[i] >= tolerance:
            if rising is True:
                turns.append(_Turn("+", high))
            rising, low = False, i
    return turns


def _judged(
    x: Vector, y: Vector, turns: Sequence[_Turn], at: float, tolerance: float
) -> tuple[CurveName | None, str | None]:
    """Return the name, or else the reason why there is none."""
    pattern, cell = "".join(turn.kind for turn in turns), _cell(x, at)
    seat = _seat(y, turns, cell, tolerance)
    if seat is not None and (pattern, seat.kind) in NAMES:
        return NAMES[pattern, seat.kind], None
    if pattern in ("", "-") and seat is None:
        if any(_on_slope(y, i, tolerance) for i in cell):
            return "v-side", None
        return None, f"{_counted(pattern)}, and beside the model the loss hardly changes on one side"
    where = "a slope" if seat is None else {"-": "a minimum", "+": "a maximum"}[seat.kind]
    return None, f"{_counted(pattern)}, with the model on {where}"


def _cell(x: Vector, at: float) -> list[int]:
    """Find the grid point on which the model lies, or the two between which it does."""
    right = int(np.searchsorted(x, at))
    slack = ROUNDING * (x[right] - x[right - 1])
    near = [i for i in (right - 1, right) if abs(x[i] - at) <= slack]
    return near or [right - 1, right]


def _seat(y: Vector, turns: Sequence[_Turn], cell: Sequence[int], tolerance: float) -> _Turn | None:
    """Find the turning point on which the model lies; of several the one nearest to its loss."""
    seats = []
    for turn in turns:
        for i in cell:
            between = y[min(i, turn.place) : max(i, turn.place) + 1]
            if np.abs(between - y[turn.place]).max() <= tolerance:
                seats.append((abs(y[i] - y[turn.place]), abs(i - turn.place), turn))
    return min(seats)[-1] if seats else None


def _on_slope(y: Vector, i: int, tolerance: float) -> bool:
    """Check whether the loss rises to one side of a point and falls to the other, each by the tolerance or more."""
    left, right = y[: i + 1] - y[i], y[i:] - y[i]
    return any(up.max() >= tolerance and -down.min() >= tolerance for up, down in ((left, right), (right, left)))


def _counted(pattern: str) -> str:
    """Return how many turning points there are."""
    said = []
    for kind, one, many in (("-", "minimum", "minima"), ("+", "maximum", "maxima")):
        count = pattern.count(kind)
        number = NUMBERS[count] if count < len(NUMBERS) else str(count)
        said.append(f"{number} {one if count == 1 else many}")
    return " and ".join(said)
