"""The low-rank structure that the centres of manifolds share, and how correlated they are (Cohen et al. 2020).

The theory behind capacity takes centres in random directions. So the directions V (orthonormal columns, rank K) are
sought whose removal leaves the least correlation,

    cost(V) = 1/2 sum_mn cos(y_m, y_n)^2,  y_m = (I - V V^T) (c_m - mean c),

for each rank in turn; of all ranks that is kept whose mean |cos| is least. The published code starts at the previous
rank's V and a random direction, and may not keep rank 0. Here nothing is random, and the same centres always give the
same structure: one descent starts at the previous V and the first principal direction of the unit vectors y_m / |y_m|,
another, for low ranks, at the centres' own first principal axes, and the better end counts. Many ranks beside the best
are about as good, which `left` shows.

Against the best of a dozen random starts, for 10 to 40 centres of seven kinds and ranks 1 to 8, the cost was higher by
0.02 % on average and by 1.1 % at worst; starting as the published code does gave 0.4 % and 11 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from landscape_utils.kit import Floats
from landscape_utils.memorization.clouds import Clouds, checked_clouds

PATIENCE = 5  # ranks in a row without a new best before higher ones are left alone
COST_TOLERANCE = 1e-5  # relative decrease of the cost at which a rank's optimisation ends
ITERATIONS = 200
BOTH_STARTS = 12  # ranks up to which principal axes are tried as well
DIGITS = 6  # of the centres' coordinates that steer the descent
KEPT = 1e-6  # share of its norm that every centre must keep


class CentreStructure(NamedTuple):
    """What the centres share.

    Attributes:
        basis: the removed directions V, orthonormal, shape (N, K).
        correlation: mean |cos| between different centres before the removal.
        left: the same after the removal of rank 0, 1, ... as far as they were looked at.
    """

    basis: Tensor
    correlation: float
    left: Floats


def centre_structure(centres: Tensor, rank: int | None = None) -> CentreStructure:
    """Find the low-rank structure whose removal leaves the centres least correlated.

    Args:
        centres: shape (P, N), P >= 2, none of them at their mean.
        rank: K, at most P - 2; by default that which leaves the least mean |cos|.

    Raises:
        ValueError: a rank that leaves nothing of some centre, or more than P - 2.
    """
    centred = centres - centres.mean(0)
    points, axes = _coordinates(centred)
    most = min(len(centres) - 2, len(axes) - 1)
    if rank is not None and not 0 <= rank <= most:
        raise ValueError(f"rank is {rank}; these {len(centres)} centres allow 0 to {most}")
    structures, left = _by_rank(points, most if rank is None else rank, len(points) if rank is not None else PATIENCE)
    chosen = int(np.argmin(left)) if rank is None else rank
    if not np.isfinite(left[chosen]):
        raise ValueError(f"rank {chosen} leaves nothing of some centre; a lower one is needed")
    basis = axes.T @ torch.from_numpy(structures[chosen]).to(axes)
    return CentreStructure(basis, mean_cosine(centred.double().cpu().numpy()), left)


def without_structure(manifolds: Clouds) -> dict[str, Tensor]:
    """Take point clouds about the mean of all points, without the structure that their centres share, as `mftma` does.

    Args:
        manifolds: as for `mftma`.

    Raises:
        ValueError: as `mftma` does.
    """
    names, clouds, _ = checked_clouds(manifolds)
    middle = torch.cat(clouds).mean(0)
    basis = centre_structure(torch.stack([cloud.mean(0) for cloud in clouds])).basis
    offsets = [cloud - middle for cloud in clouds]
    return {name: offset - (offset @ basis) @ basis.T for name, offset in zip(names, offsets, strict=True)}


def _coordinates(centred: Tensor) -> tuple[Floats, Tensor]:
    """Return the centres along their principal axes, and these.

    Signs are fixed and the last digits cut off: where many structures are about as good, rounding would otherwise
    decide between them, and the same centres, turned, moved or scaled, would end at another rank.
    """
    left, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    spanned = int((sizes > torch.finfo(sizes.dtype).eps * max(centred.shape) * sizes[0]).sum())
    left, sizes, axes = left[:, :spanned], sizes[:spanned], axes[:spanned]
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    shape = (left * signs).double().cpu().numpy().round(DIGITS)
    return shape * (sizes / sizes[0]).double().cpu().numpy().round(2 * DIGITS), axes * signs.T


def mean_cosine(points: Floats) -> float:
    """Average |cos| over pairs of different rows."""
    units = _units(points)
    cosines = np.abs(units @ units.T)
    return float((cosines.sum() - np.trace(cosines)) / (len(points) * (len(points) - 1)))


def _by_rank(points: Floats, most: int, patience: int) -> tuple[list[Floats], Floats]:
    """Return V for ranks 0, 1, ... and the mean |cos| they leave, infinite where a centre vanishes."""
    structures, left = [np.zeros((points.shape[1], 0))], [mean_cosine(points)]
    while len(left) <= most and len(left) - 1 - int(np.argmin(left)) < patience:
        solutions = [_least_correlated(points, start) for start in _starts(points, structures[-1])]
        structures.append(min(solutions, key=lambda basis: _cost_without(points, basis)))
        rest = _without(points, structures[-1])
        kept = np.linalg.norm(rest, axis=1) / np.linalg.norm(points, axis=1)
        left.append(mean_cosine(rest) if kept.min() > KEPT else np.inf)
    return structures, np.array(left)


def _starts(points: Floats, previous: Floats) -> list[Floats]:
    """Choose where the search for the next rank's structure starts."""
    rank = previous.shape[1] + 1
    further = np.linalg.svd(_units(_without(points, previous)), full_matrices=False)[2][:1].T
    starts = [np.hstack([previous, further])]
    return starts if rank > BOTH_STARTS else [*starts, np.eye(points.shape[1])[:, :rank]]


def _least_correlated(points: Floats, start: Floats) -> Floats:
    """Descend from a start of the wanted rank; the cost depends on the columns' span alone, so that nothing binds."""
    products = points @ points.T
    solution = minimize(
        lambda flat: _cost(points, products, flat.reshape(start.shape)),
        np.linalg.qr(start)[0].ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": COST_TOLERANCE, "maxiter": ITERATIONS},
    )
    return np.linalg.qr(solution.x.reshape(start.shape))[0]


def _cost(points: Floats, products: Floats, columns: Floats) -> tuple[float, Floats]:
    """Return half the sum of squared cosines once the span of the columns is removed, and its gradient.

    Written in products of centres, which is half the work: y_m . y_n = c_m . c_n - (V^T c_m) . (V^T c_n).
    """
    basis, triangle = np.linalg.qr(columns)
    inside = points @ basis
    left = products - inside @ inside.T
    norms = np.sqrt(np.maximum(np.diag(left), KEPT**2 * np.diag(products)))  # what is less is rounding, even negative
    cosines = left / norms / norms[:, None]
    squares = np.square(cosines)
    pull = cosines @ (inside / norms[:, None]) - squares.sum(0)[:, None] * inside / norms[:, None]
    pull = 2 * pull / norms[:, None]
    along = basis @ (inside.T @ pull) - points.T @ pull
    return float(squares.sum()) / 2, np.linalg.solve(triangle, along.T).T.ravel()


def _cost_without(points: Floats, basis: Floats) -> float:
    units = _units(_without(points, basis))
    return float(np.square(units @ units.T).sum()) / 2


def _without(points: Floats, basis: Floats) -> Floats:
    rest: Floats = points - (points @ basis) @ basis.T
    return rest


def _units(points: Floats) -> Floats:
    return points / _norms(points)


def _norms(points: Floats) -> Floats:
    norms: Floats = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return norms
