"""MFTMA: capacity, radius, dimension and centre correlation of manifolds, from their point clouds.

The mean-field theoretic manifold analysis (Chung et al. 2018, Cohen et al. 2020; geometry of memorization, sections 3.2
and A.1). Only inner products matter, so that a cloud of M points is reduced exactly to at most M dimensions first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_utils.kit.threads import one_thread
from landscape_utils.memorization.anchors import anchor_points
from landscape_utils.memorization.centres import centre_structure
from landscape_utils.memorization.clouds import Clouds, Reduced, checked_clouds, reduce_cloud, refuse_vanishing

Convention = Literal["theory", "reference"]

BATCH = 1 << 18  # weights (manifolds x vectors x points) solved at once on a CPU, so that they stay in its cache
DEVICE_BATCH = 1 << 25  # the same on a GPU


class Batch(NamedTuple):
    """Clouds that are solved together, padded to the largest.

    Attributes:
        vertices: shape (P, M, d).
        present: which points are a cloud's own, shape (P, M).
        vectors: T = (t, t0), shape (P, n, d + 1); zero in the dimensions that a cloud lacks.
        dims: d = min(features, points) of each cloud, shape (P,).
    """

    vertices: Tensor
    present: Tensor
    vectors: Tensor
    dims: Tensor


class Statistics(NamedTuple):
    """What the anchors of each manifold say, each of shape (P,); `violation` is one number."""

    load: Tensor  # 1 / capacity
    load_error: Tensor  # standard error over vectors
    radius: Tensor
    dimension: Tensor
    violation: float


def mftma(
    manifolds: Clouds,
    n_t: int = 200,
    kappa: float = 0.0,
    t_vectors: Sequence[ArrayLike | Tensor] | None = None,
    seed: int = 0,
    *,
    convention: Convention = "theory",
    rank: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> xr.Dataset:
    """Measure the capacity of manifolds and the geometry that sets it.

    The global mean is removed, then the low-rank structure of the centres (see `centres`); each cloud is taken about
    its centre, in units of the centre's norm. With the anchor points s(t, t0) of Gaussian vectors (see `anchors`),

        1 / capacity = <[t0 + t . s + kappa]_+^2 / (1 + |s|^2)>,  radius^2 = <|s|^2>,  dimension = <(t . s / |s|)^2>.

    `convention="reference"` computes what the published implementation does, for comparison with published numbers:
    radius^2 = <|s - <s>|^2>, and dimension = d <cos(t, s)>^2 in d = min(features, points) dimensions. They come out
    about 0.6 % and 2 to 4 % lower; capacity is the same.

    A sample of M points spans less than its class: as M grows, capacity falls and radius and dimension grow, so that
    only clouds of equal size compare. Dimension stays below M, and capacity about or above 2 / M, the value for
    points without structure (Cover 1965), which is given beside it.

    Args:
        manifolds: P >= 2 clouds of shape (points, features), or a mapping from names to them; sizes may differ. Tensors
            are used where they are, on CPU or GPU.
        n_t: Gaussian vectors a manifold.
        kappa: the margin, in units of the centre's norm.
        t_vectors: one array of shape (min(features, points) + 1, n_t) a manifold, the last row along the centre. The
            other rows go, as in the published implementation, with the features, or, where these outnumber the points,
            with the Q of LAPACK's QR decomposition of (features, points). By default they are drawn, along axes that
            turn with the cloud.
        seed: of the vectors; nothing else is random.
        convention: see above.
        rank: of the removed centre structure; by default that which leaves the least correlation.
        dtype: in which everything is computed; float32 gives about four digits.

    Returns:
        Dataset of scalars `capacity` (manifolds per dimension; the harmonic mean over manifolds), `capacity_error` (its
        standard error over vectors), `radius` (in units of the centre's norm) and `dimension` (means over manifolds),
        `centre_correlation` (mean |cos| between centres before the removal), `rank`, `lower_bound` (2 / M, harmonic);
        `manifold_capacity`, `manifold_radius`, `manifold_dimension` and `points` over `manifold`;
        `residual_correlation` (mean |cos| that a rank leaves) over `candidate_rank`. Attributes: kappa, n_t, seed,
        convention, features, dtype, violation (by how much the worst constraint is missed; rounding, if all is well).

    Raises:
        ValueError: fewer than two clouds, two of one name, shapes that do not fit, values that are complex or not
            finite, a centre that vanishes (named), an unknown convention, or a rank that the centres do not allow.
    """
    if convention not in ("theory", "reference"):
        raise ValueError(f"convention is {convention!r}; it must be 'theory' or 'reference'")
    if n_t < 1:
        raise ValueError(f"n_t is {n_t}; it must be at least 1")
    names, clouds, rounding = checked_clouds(manifolds, dtype)
    given = None if t_vectors is None else _checked_vectors(t_vectors, names, clouds)
    centres = torch.stack([cloud.mean(0) for cloud in clouds])
    counts = [len(cloud) for cloud in clouds]
    middle = torch.tensor(counts).to(centres) @ centres / sum(counts)
    refuse_vanishing(names, clouds, centres, rounding, middle, "the mean of all points")
    refuse_vanishing(names, clouds, centres, rounding, centres.mean(0), "the mean of all centres")

    with one_thread():
        structure = centre_structure(centres, rank)
    offsets = centres - middle
    norms = torch.linalg.vector_norm(offsets - (offsets @ structure.basis) @ structure.basis.T, dim=1)
    reduced = [
        reduce_cloud(cloud - centre, structure.basis, norm, invariant=given is None)
        for cloud, centre, norm in zip(clouds, centres, norms, strict=True)
    ]
    vectors = _drawn_vectors(reduced, n_t, seed) if given is None else given
    with one_thread():
        parts = [_statistics(batch, kappa, convention) for batch in _batches(reduced, vectors)]
    settings = {"kappa": kappa, "n_t": len(vectors[0]), "seed": seed, "convention": convention}
    return _dataset(parts, names, counts, structure.correlation, structure.left, structure.basis.shape[1]).assign_attrs(
        settings | {"features": clouds[0].shape[1], "dtype": str(dtype).removeprefix("torch.")}
    )


# --- Gaussian vectors ------------------------------------------------------------------------------------------


def _drawn_vectors(reduced: Sequence[Reduced], n_t: int, seed: int) -> list[Tensor]:
    """Draw vectors of shape (n_t, d + 1) for each cloud, in dimensions that turn with it."""
    random = torch.Generator().manual_seed(seed)
    vectors = []
    for vertices, axes in reduced:
        drawn = torch.randn(n_t, len(vertices) + 1, generator=random, dtype=torch.float64).to(vertices)
        turned = drawn[:, :-1] if axes is None else drawn[:, :-1] @ axes.T
        vectors.append(torch.cat([turned, drawn[:, -1:]], 1))
    return vectors


def _checked_vectors(given: Sequence[ArrayLike | Tensor], names: list[str], clouds: list[Tensor]) -> list[Tensor]:
    """Return t_vectors in the shape (n_t, d + 1)."""
    if len(given) != len(clouds):
        raise ValueError(f"t_vectors holds {len(given)} arrays; there are {len(clouds)} manifolds")
    vectors = [torch.as_tensor(array) for array in given]
    for name, array, cloud in zip(names, vectors, clouds, strict=True):
        rows, n_t = min(cloud.shape) + 1, vectors[0].shape[-1] if vectors[0].ndim else 0
        if tuple(array.shape) != (rows, n_t) or not n_t:
            raise ValueError(
                f"t_vectors of manifold {name} have shape {tuple(array.shape)}; it must be ({rows}, n_t), "
                f"min(features, points) + 1 rows, with the same n_t >= 1 for all"
            )
    return [array.T.detach().to(cloud) for array, cloud in zip(vectors, clouds, strict=True)]


def _batches(reduced: Sequence[Reduced], vectors: Sequence[Tensor]) -> Iterator[Batch]:
    """Pad clouds to common shapes, several at once."""
    largest = max(len(cloud.vertices) for cloud in reduced)
    room = BATCH if reduced[0].vertices.device.type == "cpu" else DEVICE_BATCH
    together = max(1, room // (largest * len(vectors[0])))
    for begun in range(0, len(reduced), together):
        some = reduced[begun : begun + together]
        points = max(len(cloud.vertices) for cloud in some)
        width = max(cloud.vertices.shape[1] for cloud in some)
        first = some[0].vertices
        vertices = first.new_zeros(len(some), points, width)
        present = torch.zeros(len(some), points, dtype=torch.bool, device=first.device)
        targets = first.new_zeros(len(some), len(vectors[0]), width + 1)
        for i, (cloud, own) in enumerate(zip(some, vectors[begun : begun + together], strict=True)):
            count, dims = cloud.vertices.shape
            vertices[i, :count, :dims] = cloud.vertices
            present[i, :count] = True
            targets[i, :, :dims], targets[i, :, -1] = own[:, :-1], own[:, -1]
        yield Batch(vertices, present, targets, torch.tensor([cloud.vertices.shape[1] for cloud in some]).to(first))


# --- averages --------------------------------------------------------------------------------------------------


def _statistics(batch: Batch, kappa: float, convention: Convention) -> Statistics:
    """Average over the vectors of each manifold."""
    anchors = anchor_points(batch.vertices, batch.present, batch.vectors, kappa)
    points, t = anchors.points, batch.vectors[..., :-1]
    along = torch.linalg.vecdot(t, points)
    squares = points.square().sum(-1)
    loads = (batch.vectors[..., -1] + along + kappa).clamp_min(0).square() / (1 + squares)
    error = loads.var(-1, correction=min(1, loads.shape[-1] - 1)).sqrt() / loads.shape[-1] ** 0.5
    cosines = along / squares.sqrt().clamp_min(torch.finfo(along.dtype).tiny)
    if convention == "theory":
        radius, dimension = squares.mean(-1).sqrt(), cosines.square().mean(-1)
    else:
        offsets = points - points.mean(1, keepdim=True)
        radius = offsets.square().sum(-1).mean(-1).sqrt()
        dimension = batch.dims * (cosines / torch.linalg.vector_norm(t, dim=-1)).mean(-1).square()
    return Statistics(loads.mean(-1), error, radius, dimension, anchors.violation)


def _dataset(
    parts: list[Statistics],
    names: list[str],
    counts: list[int],
    correlation: float,
    left: np.ndarray,
    rank: int,
) -> xr.Dataset:
    load, error, radius, dimension = (
        torch.cat([part[i] for part in parts]).double().cpu().numpy()  # type: ignore[misc]
        for i in range(4)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # no vector met a constraint: capacity has no bound
        capacities, capacity = 1 / load, 1 / load.mean()
        capacity_error = capacity**2 * np.sqrt(np.square(error).sum()) / len(error)
    return xr.Dataset(
        {
            "capacity": capacity,
            "capacity_error": capacity_error,
            "radius": radius.mean(),
            "dimension": dimension.mean(),
            "centre_correlation": correlation,
            "rank": rank,
            "lower_bound": 2 / np.mean(counts),
            "manifold_capacity": ("manifold", capacities),
            "manifold_radius": ("manifold", radius),
            "manifold_dimension": ("manifold", dimension),
            "points": ("manifold", counts),
            "residual_correlation": ("candidate_rank", left),
        },
        coords={"manifold": names, "candidate_rank": np.arange(len(left))},
        attrs={"violation": max(part.violation for part in parts)},
    )
