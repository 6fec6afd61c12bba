"""Loss curves along named directions: how they are walked, what they look like, how far they fall."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate
from landscape_utils.engine.crossing import START, crossing
from landscape_utils.engine.engine import BnHandling
from landscape_utils.engine.grids import grid_axis
from landscape_utils.engine.space import Normalisation
from landscape_utils.kit import Floats
from landscape_utils.landscape.curves import LEAST, SHARE, CurveShape, shape_of, stationary_points
from landscape_utils.landscape.directions import HERE, Directions, Perturbed

POINTS = 41
SPAN = (-1.0, 1.0)
TOWARDS = (-1.0, 2.0)  # past another checkpoint, which is at 1
LEAST_WAY = 2.0**-14  # of |theta|; a loss that is back sooner is not looked for


class Walk(NamedTuple):
    """How a curve is walked along its direction.

    Attributes:
        normalisation: of the direction, as in `space.normalise`.
        bn: keep BatchNorm's statistics, or update them at every point (the paper's UpBN).
        scale: s; the curve spans s times `span`.
        span: lowest and highest lambda, before scaling.
        points: on the curve.
    """

    normalisation: Normalisation = "global"
    bn: BnHandling = "update"
    scale: float = 1.0
    span: tuple[float, float] = SPAN
    points: int = POINTS

    def __str__(self) -> str:
        """Name the walk as the paper's titles do."""
        how = {"global": "Norm", "layer": "LayNorm", "filter": "FilNorm", None: "no norm"}[self.normalisation]
        return f"{how}, {'UpBN' if self.bn == 'update' else 'No UpBN'}, s={self.scale:.3g}"


@dataclass(frozen=True, eq=False)
class Line:
    """A curve around a checkpoint.

    Attributes:
        place: the perturbed model.
        direction: its name.
        walk: how it was walked.
        grid: as `evaluate.curve` gives it, lambda at 0 the model.
        shape: its name and stationary points; those above log C are counted apart.
    """

    place: Perturbed
    direction: str
    walk: Walk
    grid: xr.Dataset
    shape: CurveShape

    @property
    def loss(self) -> xr.DataArray:
        """Return the mean loss over `lam`, in nats."""
        return self.grid["loss"]

    @property
    def chance(self) -> float:
        """Return log C, the loss of a random guess."""
        return float(np.log(self.grid.sizes["class"]))


def draw(
    directions: Directions,
    name: str,
    images: Labelled,
    walk: Walk,
    *,
    place: Perturbed = HERE,
    progress: evaluate.Progress = False,
) -> Line:
    """Walk along a named direction and name the curve.

    Args:
        directions: around the model.
        name: of the direction.
        images: on which the loss is taken.
        walk: how.
        place: what the line is filed under.
        progress: as in `evaluate.Options`.
    """
    low, high = (walk.scale * end for end in walk.span)
    axis = grid_axis(low, high, walk.points)
    how: evaluate.Options = {"normalisation": walk.normalisation, "bn": walk.bn, "progress": progress}
    grid = evaluate.curve(directions.model, images, directions[name], axis, **how)
    return Line(place, name, walk, grid, shape_of(grid, tolerance=tolerance(grid)))


def way_back(
    directions: Directions,
    name: str,
    images: Labelled,
    *,
    bn: BnHandling = "update",
    within: float = 0.2,
    on_average: bool = False,
) -> float:
    """Find how far to walk along a direction, to both sides, until the loss is back at L(theta).

    r = the largest of both sides' distances at which the loss, having fallen, is back, as a share of |theta|: searched
    by doubling or halving, then bisected; infinite where it does not come back up to `REACH`, and `LEAST_WAY` at most
    where it falls to neither side.

    Args:
        directions: around the model.
        name: of the direction.
        images: on which the loss is taken.
        bn: keep BatchNorm's statistics, or update them.
        within: r is known to this share of itself.
        on_average: where the mean of both sides is back, in which the slope cancels: the hump is in the middle of it.
    """
    how: evaluate.Options = {"normalisation": "global", "bn": bn, "progress": False}
    with evaluate.evaluating(directions.model, images, [directions[name]], 24, **how) as at:
        here = float(at(np.zeros((1, 1)))["loss"][0])

        def falls(r: float) -> bool:
            if r < LEAST_WAY:
                return True
            sides = at(np.array([[-r], [r]]))["loss"]
            return bool((sides.mean() if on_average else sides.min()) < here)

        return crossing(falls, START, within)


def tolerance(grid: xr.Dataset) -> float:
    """Return what a turning point must stand out by: 1 % of the range of losses up to 2 log C, 0.001 nats at least.

    Without the cap, walls of hundreds of nats would hide the peak between them.
    """
    loss = grid["loss"].values
    seen = np.minimum(loss[np.isfinite(loss)], 2 * np.log(grid.sizes["class"]))
    return max(LEAST, SHARE * float(np.ptp(seen))) if len(seen) else LEAST


def named_by_depth(line: Line) -> Line:
    """Name a curve by what stands out of its fall below L(theta) and as much above, whatever walls stand around.

    A direction that is walked as far as its longer side takes to come back meets a wall on the other one, whose height
    says nothing of the peak.
    """
    loss = line.loss.values
    here = loss[int(np.argmin(abs(line.grid["lam"].values)))]
    depth = fall(line)
    seen = np.minimum(loss[np.isfinite(loss)], here + depth)
    least = max(LEAST, SHARE * float(np.ptp(seen))) if depth > LEAST else tolerance(line.grid)
    return replace(line, shape=shape_of(line.grid, tolerance=least))


def two_sided_drop(line: Line) -> float:
    """Measure how deep a w-peak is: the smaller of the two sides' largest fall below the model's loss, in nats.

    min over the sides of max(0, L(theta) - min over the side of L); 0 where a side does not fall, NaN without L(theta).
    """
    lam, loss = line.grid["lam"].values, line.loss.values
    here = loss[int(np.argmin(abs(lam)))]
    if not np.isfinite(here):
        return float("nan")
    falls = [here - np.nanmin(loss[side], initial=here) for side in (lam < 0, lam > 0)]
    return float(max(0.0, min(falls)))


def fall(line: Line) -> float:
    """Measure the largest fall of the loss below the model's own anywhere on the curve, in nats; NaN without that."""
    here = line.loss.values[int(np.argmin(abs(line.grid["lam"].values)))]
    return float(max(0.0, here - np.nanmin(line.loss.values))) if np.isfinite(here) else float("nan")


def between(line: Line) -> Floats:
    """Return the loss from lambda = 0 to 1, point by point."""
    lam = line.grid["lam"].values
    return line.loss.values[(lam >= -1e-9) & (lam <= 1 + 1e-9)]


def table(lines: Iterable[Line]) -> xr.Dataset:
    """Stack lines for saving: lambda and loss over (line, point), with what each line is."""
    lines = list(lines)
    size = max(len(line.loss) for line in lines)

    def padded(values: Floats) -> Floats:
        return np.concatenate([values, np.full(size - len(values), np.nan)])

    labels = [f"{x.place}, seed {x.place.seed}, {x.direction}, {x.walk}" for x in lines]
    return xr.Dataset(
        {
            "lam": (("line", "point"), np.stack([padded(x.grid["lam"].values) for x in lines])),
            "loss": (("line", "point"), np.stack([padded(x.loss.values) for x in lines]), {"units": "nats"}),
            "stationary": ("line", [len(stationary_points(x.loss.values)) for x in lines]),
            "shape": ("line", [x.shape.name or "" for x in lines]),
        },
        coords={"line": labels},
    )
