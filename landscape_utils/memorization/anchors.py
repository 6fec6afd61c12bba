"""Anchor points: the projection of Gaussian vectors onto the cone that a point cloud allows.

Of a cloud of vertices S_i = (s_i, 1), where s_i is relative to the centre and in units of the centre's norm, and a
vector T = (t, t0) the method (Chung et al. 2018, section III; geometry of memorization, A.1.1) asks for

    V = argmin |V - T|^2  subject to  V . S_i <= -kappa for every i.

At the optimum T - V = sum_i a_i S_i with a_i >= 0, and a_i = 0 wherever V . S_i < -kappa. The anchor point is the mean
of the s_i weighted by a; where T itself meets every constraint all a_i are zero, and the anchor is the vertex of
largest t . s. The dual has one matrix for all vectors of a manifold:

    min_a 1/2 a^T H a - a^T b,  a >= 0,  H_ij = S_i . S_j,  b_i = T . S_i + kappa.

Duplicates among the vertices leave a undetermined, and V and the anchor as they are. Accelerated projected gradient
with restart finds which a_i are positive in single precision; the equations on that support, solved in double
precision, give their values; where these break a condition, indices change sides (block principal pivoting, Judice and
Pires 1994), and the few that keep doing so are left to Lawson and Hanson's method, which always ends.

100 manifolds x 50 points x 200 vectors, one thread: 0.4 to 1 s, 4 s where vertices lie almost in a few dimensions and
many supports are guessed wrong; one cvxopt solve a vector takes 16 s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

STEPS = 60  # of projected gradient
PIVOTS = 2  # solutions on a support before Lawson and Hanson's method takes over
REFINEMENTS = 2  # of each solution
TOLERANCE = 5e4  # roundings of the largest |b| or weight by which a condition may be broken
RIDGE = 500.0  # roundings of H's diagonal that keep a support with duplicates solvable
CHUNK = 1 << 25  # numbers in the supports' matrices that are solved at once


class Anchors(NamedTuple):
    """Anchor points of P clouds of at most M points for n vectors each.

    Attributes:
        points: s, the anchors, shape (P, n, d).
        weights: a >= 0 of each vertex, zero throughout where a vector meets every constraint, shape (P, n, M).
        violation: the largest V . S_i + kappa, zero if all constraints are met exactly.
    """

    points: Tensor
    weights: Tensor
    violation: float


def anchor_points(vertices: Tensor, present: Tensor, vectors: Tensor, kappa: float) -> Anchors:
    """Find the anchor point of every Gaussian vector.

    Args:
        vertices: s, shape (P, M, d), relative to the centre and in units of its norm.
        present: which of the M points each cloud has, boolean, shape (P, M); the others are ignored.
        vectors: T = (t, t0), shape (P, n, d + 1), t0 last.
        kappa: the margin.
    """
    rays = torch.cat([vertices, torch.ones_like(vertices[..., :1])], -1)
    targets = torch.cat([vectors[..., :-1], vectors[..., -1:] + kappa], -1)
    weights = cone_weights(rays, present, targets)
    left = ((targets - weights @ rays) @ rays.mT).masked_fill(~present[:, None], -torch.inf)
    flat = (vectors[..., :-1] @ vertices.mT).masked_fill(~present[:, None], -torch.inf)
    extreme = torch.take_along_dim(vertices, flat.argmax(-1)[..., None], 1)
    total = weights.sum(-1, keepdim=True)
    mixed = weights @ vertices / total.clamp_min(torch.finfo(total.dtype).tiny)
    return Anchors(torch.where(total > 0, mixed, extreme), weights, max(float(left.max()), 0.0))


# --- the dual --------------------------------------------------------------------------------------------------


def cone_weights(rays: Tensor, present: Tensor, targets: Tensor) -> Tensor:
    """Find the point of a cone that is nearest to a target: the a >= 0 of least |T - sum_i a_i S_i|.

    Args:
        rays: S, shape (P, M, D).
        present: which of them count, shape (P, M).
        targets: T, shape (P, n, D).

    Returns:
        a, shape (P, n, M).
    """
    tiny = torch.finfo(rays.dtype).tiny
    norms, lengths = (torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(tiny) for x in (rays, targets))
    return _unit_weights(rays / norms, present, targets / lengths).mul_(lengths).div_(norms.mT)


def _unit_weights(rays: Tensor, present: Tensor, targets: Tensor) -> Tensor:
    """Find the weights for rays and targets of length one, so that nothing overflows."""
    both = present[:, :, None] & present[:, None]
    matrix = (rays @ rays.mT).masked_fill(~both, 0.0) + torch.diag_embed((~present).to(rays))
    fields = (targets @ rays.mT).masked_fill(~present[:, None], -1.0)
    sizes = torch.linalg.eigvalsh(matrix)
    top = sizes[:, -1, None, None].clamp_min(1)  # below one only where every ray is zero
    support = _gradient_support(matrix / top, fields / top)
    rank = (sizes > sizes.shape[-1] * torch.finfo(sizes.dtype).eps * sizes[:, -1:]).sum(-1)
    tolerance = TOLERANCE * torch.finfo(rays.dtype).eps
    allowed = tolerance * fields.abs().amax(-1, keepdim=True)
    weights = torch.zeros_like(fields)
    unsettled = (fields > 0).any(-1)
    hard = torch.zeros_like(unsettled)  # more than H's rank on the support, or equations that rounding did not solve
    for _ in range(PIVOTS):
        hard |= unsettled & (support.sum(-1) > rank[:, None])
        unsettled &= ~hard
        weights[unsettled] = _solve(matrix, fields, support, unsettled)
        slope = (targets - weights @ rays) @ rays.mT
        hard |= unsettled & ~(~support | (slope.abs() <= allowed)).all(-1)  # so that NaN counts as unsolved
        unsettled &= ~hard
        small = tolerance * weights.abs().amax(-1, keepdim=True).clamp_max(1)
        wrong = torch.where(support, weights < -small, slope > allowed)
        wrong &= unsettled[..., None] & present[:, None]
        unsettled = wrong.any(-1)
        support = support ^ wrong
        if not unsettled.any():
            break
    _lawson_hanson(rays, present, targets, unsettled | hard, weights)
    return weights.clamp_min(0)


def _gradient_support(matrix: Tensor, fields: Tensor) -> Tensor:
    """Guess where the minimum is positive, for an H whose largest eigenvalue is one.

    Accelerated projected gradient, restarted where momentum points uphill.
    """
    descent, pull = matrix.float(), fields.float()
    here = pull.clamp_min(0)
    ahead, momentum = here, torch.ones_like(here[..., :1])
    for _ in range(STEPS):
        there = torch.baddbmm(ahead + pull, ahead, descent, alpha=-1).clamp_min_(0)
        move = there - here
        uphill = torch.linalg.vecdot(ahead - there, move)[..., None] > 0
        momentum = momentum.masked_fill(uphill, 1.0)
        following = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        ahead = torch.addcmul(there, (momentum - 1) / following, move)
        here, momentum = there, following
    return here > 0


def _solve(matrix: Tensor, fields: Tensor, support: Tensor, chosen: Tensor) -> Tensor:
    """Solve H a = b on the support of the chosen problems, which share their matrices; a is zero elsewhere."""
    cloud, vector = chosen.nonzero(as_tuple=True)
    sizes = support[cloud, vector].sum(-1)
    order = sizes.argsort()  # alike sizes together, for each chunk is as wide as its largest support
    result = fields.new_zeros(len(cloud), fields.shape[-1])
    begun = 0
    while begun < len(order):
        ended = min(len(order), begun + max(1, CHUNK // fields.shape[-1] ** 2))
        part = order[begun:ended]
        width = max(1, int(sizes[part].max()))  # supports may be empty
        inside = support[cloud[part], vector[part]]
        index = inside.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, :width]
        filled = torch.arange(width, device=index.device) < sizes[part, None]
        block = matrix[cloud[part, None, None], index[:, :, None], index[:, None]]
        block = torch.where(filled[:, :, None] & filled[:, None], block, 0.0)
        right = torch.where(filled, fields[cloud[part], vector[part]].gather(-1, index), 0.0)
        values = _positive_solve(block, right, filled)
        result[part] = result[part].scatter(-1, index, values)
        begun = ended
    return result


def _positive_solve(block: Tensor, right: Tensor, filled: Tensor) -> Tensor:
    """Solve positive semidefinite equations, in which rows that are not filled are empty."""
    diagonal = block.diagonal(dim1=-2, dim2=-1)
    share = RIDGE * torch.finfo(block.dtype).eps
    ridge = torch.where(filled, share * diagonal.amax(-1, keepdim=True) * filled.sum(-1, keepdim=True), 1.0)
    factor = torch.linalg.cholesky_ex(block + torch.diag_embed(ridge)).L
    values = torch.cholesky_solve(right[..., None], factor)
    for _ in range(REFINEMENTS):  # takes away what the ridge added
        values = values + torch.cholesky_solve(right[..., None] - block @ values, factor)
    return values[..., 0]


def _lawson_hanson(rays: Tensor, present: Tensor, targets: Tensor, chosen: Tensor, weights: Tensor) -> None:
    """Solve the chosen problems one by one, with SciPy, in place."""
    for cloud in chosen.any(-1).nonzero()[:, 0].tolist():
        support = chosen[cloud].nonzero()[:, 0]
        cone = rays[cloud, present[cloud]].T.double().cpu().numpy()
        left, sizes, _ = np.linalg.svd(cone, full_matrices=False)
        spanned = left[:, sizes > np.finfo(float).eps * max(cone.shape) * sizes[0]].T  # more rows mislead nnls
        cone, goals = spanned @ cone, targets[cloud, support].double().cpu().numpy() @ spanned.T
        nearest = [_nearest(cone, target) for target in goals]
        rows = weights.new_zeros(len(support), weights.shape[-1])
        rows[:, present[cloud]] = torch.from_numpy(np.stack(nearest)).to(rows)
        weights[cloud, support] = rows


def _nearest(cone: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find a >= 0 of least |T - S a|; with a ridge, which keeps rays apart, where SciPy's method does not end."""
    steps = 100 * cone.shape[1]
    try:
        return np.asarray(nnls(cone, target, maxiter=steps)[0])
    except RuntimeError:
        ridge = np.vstack([cone, 1e-8 * np.eye(cone.shape[1])])
        return np.asarray(nnls(ridge, np.pad(target, (0, cone.shape[1])), maxiter=steps)[0])
