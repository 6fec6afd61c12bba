"""How flat a minimum is, along which cut, and for which class (class interference, sections 3 and 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch.nn.functional as F
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs
from landscape_utils.engine import space
from landscape_utils.engine.crossing import REACH, START, crossing
from landscape_utils.engine.evaluate import Options, evaluating
from landscape_utils.kit import Floats

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


def flat_radii(
    model: nn.Module,
    data: Pairs,
    d1: Tensor,
    d2: Tensor,
    *,
    angles: int = 32,
    tolerance: float = FLAT,
    within: float = 0.05,
    **how: Unpack[Options],
) -> xr.Dataset:
    """Measure how far a plane is flat around the model, angle by angle: the radius of flatness.

    The directions are scaled to the weights' norm, u_i = lam_i |d_i| / |w|, and along each angle phi of the
    (u1, u2) plane r(phi) is the distance at which the mistake rate has risen by the tolerance: bracketed by doubling or
    halving from the neighbour's radius, then bisected. There is no window and no grid. Where the rate goes up and down
    and up again, r is one of the crossings.

    area = 1/2 integral of r^2 dphi; in the directions' own units it is area |w|^2 / (|d1| |d2|).

    Args:
        model, data, how: as for `evaluate.curve`, without `normalisation` and `leave_out_1d`.
        d1, d2: directions, shape (P,).
        angles: evenly spaced over a full turn.
        tolerance: rise of the mistake rate.
        within: a radius is known to this share of itself.

    Returns:
        Dataset over `angle` (degrees): `radius` in the (u1, u2) plane, infinite where no rise is found up to `REACH`
        times |w|, and `walked`, the same as the distance |u1 e1 + u2 e2| that the weights walk, of unit directions
        e_i; the numbers `area` and `area_theta` (lower bounds where a radius is infinite: it counts as `REACH`),
        `anisotropy` (largest over smallest `walked`; NaN where all are infinite), and the model's own `mistake_rate`,
        without which all is NaN. Attributes as of `curve`.

    Raises:
        ValueError: as `curve` does, an option that is not among them, or fewer than three angles.
    """
    if angles < 3:
        raise ValueError(f"angles is {angles}; three or more span an area")
    degrees = 360 * np.arange(angles) / angles
    rays = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)
    radius, rate, attrs = _radii(model, data, [d1, d2], rays, tolerance, within, how)
    cosine = float(F.cosine_similarity(d1.double(), d2.double(), dim=0))
    area = float(np.sum(np.minimum(radius, REACH) ** 2) * np.pi / angles)
    with np.errstate(invalid="ignore"):
        walked = radius * np.sqrt(np.maximum(1 + 2 * rays.prod(1) * cosine, 0))
        walked[np.isinf(radius)] = np.inf
        anisotropy = float(np.divide(walked.max(), walked.min()))
    unit = attrs["weight_norm"] ** 2 / float(d1.double().norm() * d2.double().norm())
    return xr.Dataset(
        {
            "radius": ("angle", radius),
            "walked": ("angle", walked, {"units": "share of the weights' norm"}),
            "area": area,
            "area_theta": area * unit,
            "anisotropy": anisotropy,
            "mistake_rate": rate,
        },
        coords={"angle": ("angle", degrees, {"units": "degrees"})},
        attrs={**attrs, "cosine": cosine},
    )


def random_radii(
    model: nn.Module,
    data: Pairs,
    *,
    count: int = 8,
    seed: int = 0,
    tolerance: float = FLAT,
    within: float = 0.05,
    **how: Unpack[Options],
) -> xr.DataArray:
    """Measure how far the model is flat along Gaussian directions, in shares of |w|; see `flat_radii`."""
    drawn = [space.gaussian_direction(model, seed=seed + i) for i in range(count)]
    radius, _, _ = _radii(model, data, drawn, np.eye(count), tolerance, within, how)
    return xr.DataArray(radius, dims="direction", name="walked", attrs={"units": "share of the weights' norm"})


def _radii(
    model: nn.Module,
    data: Pairs,
    directions: Sequence[Tensor],
    rays: Floats,
    tolerance: float,
    within: float,
    how: Options,
) -> tuple[Floats, float, dict[str, Any]]:
    """Search along rays, shape (rays, directions), for the distance of the rise; and give the centre's mistake rate."""
    for name in ("normalisation", "leave_out_1d"):
        if how.get(name):
            raise ValueError(f"{name} is no option of radii: whole directions are scaled to the weights' norm")
    options: Options = how.copy()
    options["normalisation"] = "global"
    radii, start = [], START
    with evaluating(model, data, directions, 8 * len(rays), **options) as at:
        centre = at(np.zeros((1, rays.shape[1])))
        rate = float(centre["mistake_rate"][0])
        for ray in rays:

            def flat(distance: float, ray: Floats = ray) -> bool:
                return bool(at(distance * ray[None])["mistake_rate"][0] <= rate + tolerance + ROUNDING)  # a NaN is not

            radii.append(crossing(flat, start, within) if np.isfinite(rate) else np.nan)
            start = radii[-1] if np.isfinite(radii[-1]) else start
    return np.array(radii), rate, centre.attrs


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
        similar = np.corrcoef(pd.DataFrame(stacked).rank(), rowvar=False)
    return xr.DataArray(similar, dims=("class", "other"), coords={"class": names, "other": names}, name="similarity")
