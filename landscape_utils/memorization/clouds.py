"""Point clouds of manifolds: checked, rid of what their centres share, and reduced exactly to few dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_utils.kit.errors import distinct

Clouds = Sequence[ArrayLike | Tensor] | Mapping[str, ArrayLike | Tensor]

VANISHING = 16  # roundings of its points' size below which a centre counts as zero
SINGLE = torch.finfo(torch.float32).eps


class Reduced(NamedTuple):
    """A cloud about its centre, in units of the centre's norm, in as few dimensions as its inner products need.

    Attributes:
        vertices: s, shape (M, d) with d = min(features, M).
        axes: orthonormal rows, shape (d, M): the d axes, in M dimensions that turn with the cloud; None where the axes
            are the published implementation's.
    """

    vertices: Tensor
    axes: Tensor | None


def checked_clouds(manifolds: Clouds, dtype: torch.dtype = torch.float64) -> tuple[list[str], list[Tensor], float]:
    """Return names, clouds as tensors (points, features) in the working type, and the rounding of their values.

    Raises:
        ValueError: fewer than two clouds, two of one name, shapes that do not fit, complex values or ones that are not
            finite.
    """
    items = manifolds if isinstance(manifolds, Mapping) else dict(enumerate(manifolds))
    names = list(distinct(items, "the manifolds"))
    given = [torch.as_tensor(cloud) for cloud in items.values()]
    for name, cloud in zip(names, given, strict=True):
        if cloud.is_complex():
            raise ValueError(f"manifold {name} is complex; give real numbers, such as its real and imaginary parts")
    clouds = [cloud.detach().to(dtype) for cloud in given]
    if len(clouds) < 2:
        raise ValueError(f"there is {len(clouds)} manifold; at least 2 are needed")
    for name, cloud in zip(names, clouds, strict=True):
        if cloud.ndim != 2 or not cloud.numel() or cloud.shape[1:] != clouds[0].shape[1:]:
            shapes = f"{tuple(cloud.shape)}; the first one's is {tuple(clouds[0].shape)}"
            raise ValueError(f"manifold {name} must have shape (points, features), and has {shapes}")
        if not bool(cloud.isfinite().all()):
            raise ValueError(f"manifold {name} holds values that are not finite")
    # Half numbers count as single ones: their roundings average out, and by them no centre could be told from zero.
    rounded = [min(torch.finfo(one.dtype).eps, SINGLE) for one in given if one.is_floating_point()]
    return names, clouds, max([*rounded, torch.finfo(dtype).eps])


def refuse_vanishing(
    names: list[str], clouds: list[Tensor], centres: Tensor, rounding: float, origin: Tensor, where: str
) -> None:
    """Refuse a manifold whose centre is an origin, up to the relative rounding of its values.

    Raises:
        ValueError: that names the manifold.
    """
    for name, cloud, distance in zip(names, clouds, torch.linalg.vector_norm(centres - origin, dim=1), strict=True):
        size = float(torch.linalg.vector_norm(cloud)) / len(cloud) ** 0.5
        if float(distance) <= VANISHING * rounding * size:
            raise ValueError(
                f"the centre of manifold {name} vanishes: it lies at {where}, so that nothing sets a scale"
            )


def reduce_cloud(centred: Tensor, basis: Tensor, norm: Tensor, *, invariant: bool) -> Reduced:
    """Remove the centres' structure from a cloud and reduce its dimensions exactly.

    Args:
        centred: points about their centre, shape (M, N).
        basis: what is removed, orthonormal, shape (N, K).
        norm: of the centre, after the removal; the unit of the result.
        invariant: let the dimensions turn with the cloud. With A the points, these are the symmetric root of A A^T,
            M dimensions, in which its principal axes are then taken. Otherwise they are the published implementation's:
            the features, or, where they outnumber the points, the Q of LAPACK's QR decomposition of A^T.
    """
    points = centred / norm
    if basis.shape[1]:
        points.addmm_(points @ basis, basis.T, alpha=-1)  # in place: a wide cloud is large
    count, features = points.shape
    if not invariant and features <= count:
        return Reduced(points, None)
    if not invariant:
        triangle = torch.linalg.qr(points.T.cpu(), mode="r").R  # other libraries choose other signs
        return Reduced(triangle.T.to(points), None)
    small = torch.linalg.qr(points.T, mode="r").R if features > count else points.T
    _, sizes, axes = torch.linalg.svd(small, full_matrices=False)
    return Reduced(axes.T * sizes, axes)
