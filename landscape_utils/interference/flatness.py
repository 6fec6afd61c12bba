"""How flat a minimum is, along which cut, and for which class (class interference, sections 3 and 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage, stats
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs
from landscape_utils.engine import space
from landscape_utils.engine.evaluate import Options, curve
from landscape_utils.engine.grids import grid_axis

FLAT = 0.1  # a place is flat where the mistake rate is at most this much above the centre's
ROUNDING = 1e-9  # a rate that is exactly the tolerance above the centre's is flat
SUBDIVISIONS = 8  # of a grid cell, before the flat area is measured


def flat_area(space_: xr.Dataset, *, tolerance: float = FLAT) -> xr.Dataset:
    """Measure the flat area around the minimum: where the mistake rate is at most `tolerance` above the centre's.

    The rate is interpolated linearly between grid points, and only what is connected with the centre counts. What is
    NaN is not flat.

    Args:
        space_: interference space over `theta1`, `theta2`, with the centre on its grid.
        tolerance: in mistake rate.

    Returns:
        Dataset of numbers: `theta` (area in theta^2), `walked` (the same in squares of the relative distance
        walked along each axis, theta |g| / |w|, whatever their angle), `share` of the window, `cut_off`, true where
        the flat area reaches the window's edge, so that all three are lower bounds, and `unresolved`, true where it
        is less than a grid cell.

    Raises:
        ValueError: the grid has no centre.
    """
    rate, (x, y) = space_["mistake_rate"], (space_["theta1"].values, space_["theta2"].values)
    centre = [np.flatnonzero(axis == 0) for axis in (x, y)]
    if not all(len(index) for index in centre):
        raise ValueError("the grid has no point (0, 0); take an odd number of points along each direction")
    fine = _subdivided(rate.transpose("theta1", "theta2").values)
    i, j = (int(index[0]) * SUBDIVISIONS for index in centre)
    with np.errstate(invalid="ignore"):
        flat = fine <= fine[i, j] + tolerance + ROUNDING
    labels, _ = ndimage.label(flat)  # type: ignore[attr-defined]
    around = (labels == labels[i, j]) & flat
    edge = bool(around[[0, -1]].any() or around[:, [0, -1]].any())
    weights = np.ones_like(fine)  # of the trapezoidal rule: points on the edge stand for half a cell
    weights[[0, -1]] /= 2
    weights[:, [0, -1]] /= 2
    share = float((around * weights).sum() / weights.sum())
    area = share * float(np.ptp(x) * np.ptp(y))
    scale = float(space_.attrs["norm_1"]) * float(space_.attrs["norm_2"]) / float(space_.attrs["weight_norm"]) ** 2
    cells = (len(x) - 1) * (len(y) - 1)
    areas = {"theta": area, "walked": area * scale, "share": share}
    return xr.Dataset({**areas, "cut_off": edge, "unresolved": share * cells < 1})


def _subdivided(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate an evenly spaced grid linearly, `SUBDIVISIONS` steps a cell."""
    for axis in (0, 1):
        size = values.shape[axis]
        at = np.arange((size - 1) * SUBDIVISIONS + 1) / SUBDIVISIONS
        low = np.minimum(at.astype(int), size - 2)
        part = np.expand_dims(at - low, 1 - axis)
        left, right = np.take(values, low, axis), np.take(values, low + 1, axis)
        # Where the other end has no weight its NaN has none either.
        values = np.where(part == 0, left, np.where(part == 1, right, left * (1 - part) + right * part))
    return values


def cuts(
    model: nn.Module,
    data: Pairs,
    g1: Tensor,
    g2: Tensor,
    angles: Sequence[float],
    *,
    reach: float = 0.1,
    points: int = 9,
    **how: Unpack[Options],
) -> xr.Dataset:
    """Cut through the minimum within an interference space, at several angles.

    The cut at angle phi runs along -(cos phi g1 + sin phi g2), scaled so that one unit walks |w|.

    Args:
        model, data, how: as for `evaluate.curve`.
        g1, g2: class gradients, shape (P,).
        angles: in degrees, from theta1 towards theta2.
        reach: half the cut's length, as a share of |w|.
        points: on each cut, odd, so that the centre is one.

    Returns:
        Dataset over `angle` and `walked` with `mistake_rate` and `loss`.
    """
    radians = np.deg2rad(np.asarray(angles, dtype=float))
    directions = [-(float(np.cos(a)) * g1 + float(np.sin(a)) * g2) for a in radians]
    return _cut(model, data, directions, reach, points, how).rename(cut="angle").assign_coords(angle=list(angles))


def random_cuts(
    model: nn.Module,
    data: Pairs,
    *,
    count: int = 5,
    seed: int = 0,
    reach: float = 0.1,
    points: int = 9,
    **how: Unpack[Options],
) -> xr.Dataset:
    """Cut through the minimum along Gaussian directions that walk as far as those of `cuts`; over `cut`, `walked`."""
    directions = [space.gaussian_direction(model, seed=seed + i) for i in range(count)]
    return _cut(model, data, directions, reach, points, how)


def _cut(
    model: nn.Module, data: Pairs, directions: Sequence[Tensor], reach: float, points: int, how: Options
) -> xr.Dataset:
    options: Options = how.copy()
    options["normalisation"] = "global"
    axis = grid_axis(-reach, reach, points)
    lines = [curve(model, data, d, axis, **options) for d in directions]
    kept = [line[["mistake_rate", "loss"]].rename(lam="walked") for line in lines]
    return xr.concat(kept, dim="cut", combine_attrs="drop_conflicts")


def sharpness(cut: xr.Dataset) -> xr.DataArray:
    """Average a cut's rise: the mean over `walked` of the mistake rate, less the centre's; NaN where any is."""
    rate = cut["mistake_rate"]
    if not (rate["walked"] == 0).any():
        raise ValueError("the cut has no point 0; take an odd number of points")
    return (rate.mean("walked", skipna=False) - rate.sel(walked=0)).drop_vars("walked").rename("sharpness")


def class_rises(space_: xr.Dataset) -> xr.DataArray:
    """Return the median over the window of each class's loss above the centre's, in nats; shape (class,)."""
    losses = space_["class_loss"]
    losses = losses.fillna(np.inf).where(losses.notnull().any(["theta1", "theta2"]))  # what diverged rose most
    return (losses.median(["theta1", "theta2"]) - losses.sel(theta1=0, theta2=0, drop=True)).rename("rise")


def surface_similarity(space_: xr.Dataset) -> xr.DataArray:
    """Correlate the classes' loss surfaces over one window, by ranks (Spearman); shape (class, other).

    Grid points at which a class's loss is NaN are left out; an infinite loss is the highest rank.
    """
    stacked = space_["class_loss"].stack(point=("theta1", "theta2")).transpose("point", "class").values
    present = ~np.isnan(stacked).all(0)  # a class without examples has no surface
    stacked = stacked[~np.isnan(stacked[:, present]).any(1)]
    names = space_["class"].values
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant surface has no rank: NaN
        similar = np.corrcoef(stats.rankdata(stacked, axis=0, nan_policy="omit"), rowvar=False)
    return xr.DataArray(similar, dims=("class", "other"), coords={"class": names, "other": names}, name="similarity")
