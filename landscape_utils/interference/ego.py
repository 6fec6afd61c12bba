"""Ego space: a model moved along the gradients of single classes (class interference, sections 2.2 to 4.1).

The point (theta1, theta2) of classes a and b is `w* - (theta1 g_a + theta2 g_b)`, with g_c the mean gradient of class
c's own loss at the trained weights w*, in evaluation mode. One unit of theta walks |g|, which differs by orders of
magnitude between models: the relative distance walked is theta |g| / |w*|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Unpack

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import class_index
from landscape_utils.data.pairs import Pairs, class_names, resident
from landscape_utils.engine import space
from landscape_utils.engine.class_gradients import Which, class_gradients
from landscape_utils.engine.evaluate import Options, last, refine


def ego_weights(weights: Tensor, gradient: Tensor, alpha: float) -> Tensor:
    """Move weights (P,) to an ego model: w - alpha g (class interference, definition 1)."""
    return weights - alpha * gradient


def interference_weights(weights: Tensor, g1: Tensor, g2: Tensor, theta1: float, theta2: float) -> Tensor:
    """Move weights (P,) to an interference model: w - (theta1 g1 + theta2 g2) (class interference, definition 2)."""
    return weights - (theta1 * g1 + theta2 * g2)


def refine_ego(
    model: nn.Module,
    data: Pairs,
    first: Which,
    second: Which,
    *,
    sigma: float = 0.1,
    points: int = 19,
    gradients: tuple[Tensor, Tensor] | None = None,
    **how: Unpack[Options],
) -> Iterator[xr.Dataset]:
    """Yield ever finer grids of an interference space as they are finished; see `ego_surface`."""
    if not np.isfinite(sigma) or sigma <= 0:
        raise ValueError(f"sigma is {sigma}; it must be above 0")
    data = resident(model, data)
    names = [_name(data, c) for c in (first, second)]
    g1, g2 = gradients if gradients is not None else class_gradients(model, data, [first, second])
    for name, g in zip(names, (g1, g2), strict=True):
        if g.isnan().any():
            raise ValueError(f"class {name} has no example, or no finite gradient; choose another one")
    cosine = float(F.cosine_similarity(g1, g2, dim=0))
    attributes = {"first": names[0], "second": names[1], "sigma": float(sigma), "cosine": cosine}
    for grid in refine(model, data, -g1, -g2, span=sigma, points=points, **how):
        yield walked(grid.rename(lam1="theta1", lam2="theta2").assign_attrs(attributes))


def ego_surface(
    model: nn.Module,
    data: Pairs,
    first: Which,
    second: Which,
    *,
    sigma: float = 0.1,
    points: int = 19,
    gradients: tuple[Tensor, Tensor] | None = None,
    **how: Unpack[Options],
) -> xr.Dataset:
    """Evaluate the interference space of two classes: w* - (theta1 g1 + theta2 g2) on a grid over [-sigma, sigma]^2.

    (class interference, definition 2 and section 3; the paper has 19 x 19 points)

    Args:
        model, data, how: as for `evaluate.surface`. With `normalisation="global"` each direction is scaled to the
            weights' norm: theta is then the relative distance walked.
        first, second: classes, by name or index.
        sigma: half the window's width, in theta.
        points: along each direction.
        gradients: of the two classes, shape (P,) each, from `class_gradients`; by default taken on `data`.

    Returns:
        Dataset over `theta1` and `theta2` with the variables of `surface`; coordinates `walked1` and `walked2` give
        the relative distances theta |g| / |w*|. Attributes: `first`, `second`, `sigma`, the gradients' `cosine`.

    Raises:
        ValueError: an unknown class, a sigma that is not above 0, or as `surface` does.
    """
    return last(refine_ego(model, data, first, second, sigma=sigma, points=points, gradients=gradients, **how))


def _name(data: Pairs, wanted: Which) -> str:
    names = class_names(data)
    return names[class_index(names, wanted)] if names is not None else str(wanted)


def walked(grid: xr.Dataset) -> xr.Dataset:
    """Add the relative distance walked along each axis, theta |g| / |w|, as a second coordinate."""
    scales = {axis: grid.attrs[f"norm_{axis}"] / grid.attrs["weight_norm"] for axis in (1, 2)}
    attributes = {"units": "share of the weights' norm"}
    return grid.assign_coords(
        {f"walked{a}": (f"theta{a}", grid[f"theta{a}"].values * scale, attributes) for a, scale in scales.items()}
    )


def window(models: Sequence[tuple[nn.Module, Tensor]], share: float = 0.1) -> float:
    """Choose sigma so that at the window's edge a typical model has walked a share of its weights' norm.

    sigma = share times the geometric mean of |w| / |g| over models and classes; no loss is looked at.

    Args:
        models: each with its class gradients, shape (classes, P).
        share: of the weights' norm.
    """
    ratios = [space.flatten(model).norm() / g.norm() for model, gradients in models for g in gradients]
    return share * float(torch.stack([r.double().log().cpu() for r in ratios]).mean().exp())
