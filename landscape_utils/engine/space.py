"""A model's parameters as one vector: directions, their normalisation, and planes through several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter

from landscape_utils.kit.errors import unknown

StateDict = Mapping[str, Tensor]
Normalisation = Literal["global", "layer", "filter"] | None
NORMALISATIONS = ("global", "layer", "filter")

PARALLEL = 1e-5  # a remainder this small beside the whole is rounding, not a direction
CHUNK = 1 << 20  # columns of a trajectory that are held in float64 at once


def check_parameters(model: nn.Module) -> None:
    """Refuse parameters that do not make one vector of real numbers.

    Raises:
        ValueError: there are none, one has no values yet (lazy, or on the meta device), or they are of several types,
            or complex or whole numbers.
    """
    _check_some(model)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError("the model is traced, and its weights cannot be moved; give the module it was made of")
    types = {p.dtype: name for name, p in model.named_parameters()}
    if len(types) > 1 or not next(iter(types)).is_floating_point:
        raise ValueError(
            f"parameters of several types, or of no real one: {', '.join(f'{n} is {t}' for t, n in types.items())}; "
            "convert the model to one floating type, e.g. model.float(), and keep whole numbers in buffers"
        )


def _check_some(model: nn.Module) -> None:
    if next(model.parameters(), None) is None:
        raise ValueError("the model has no parameters, so there is nothing to move")
    check_values(model)


def check_values(model: nn.Module) -> None:
    """Refuse parameters that have no values yet (ValueError)."""
    for name, p in model.named_parameters():
        if isinstance(p, UninitializedParameter):
            raise ValueError(f"{name} has no shape yet; run the model once on an example first")
        if p.is_meta:
            raise ValueError(f"{name} has no values yet (meta device); load the model's weights first")


def flatten(model: nn.Module) -> Tensor:
    """Copy all parameters into one vector, shape (P,), in the order of `model.parameters()`.

    Raises:
        ValueError: there are none, or one has no values yet.
    """
    _check_some(model)
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def flatten_state(state: StateDict, model: nn.Module) -> Tensor:
    """Copy the parameters in a state dict into one vector, shape (P,), in the order of `model.parameters()`.

    Raises:
        ValueError: the state dict lacks a parameter of the model, or has it in another shape; or as
            `check_parameters` does.
    """
    check_parameters(model)
    for name, p in model.named_parameters():
        if name not in state or state[name].shape != p.shape:
            given = "nothing" if name not in state else f"shape {tuple(state[name].shape)}"
            raise ValueError(f"the state dict has {given} for {name}; this model's has shape {tuple(p.shape)}")
    return torch.cat([state[name].detach().reshape(-1) for name, _ in model.named_parameters()])


def split(vector: Tensor, model: nn.Module) -> list[Tensor]:
    """View a vector (P,) as tensors of the parameters' shapes, in the order of `model.parameters()`.

    Raises:
        ValueError: the vector's shape is not (P,), or it is complex; or as `check_parameters` does.
    """
    check_parameters(model)
    if vector.is_complex():
        raise ValueError(f"the direction is {vector.dtype}; this model's are real numbers")
    shapes = [p.shape for p in model.parameters()]
    sizes = [shape.numel() for shape in shapes]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"the direction has shape {tuple(vector.shape)}; this model's are flat, ({sum(sizes)},)")
    return [part.view(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]


def gaussian_direction(model: nn.Module, *, seed: int = 0) -> Tensor:
    """Draw a direction with independent standard normal entries, shape (P,), on the model's device.

    The same seed gives the same direction on every device.

    Raises:
        ValueError: as `check_parameters` does.
    """
    check_parameters(model)
    w = flatten(model)
    drawn = torch.randn(len(w), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(w)


def normalise(
    direction: Tensor,
    model: nn.Module,
    how: Normalisation,
    *,
    leave_out_1d: bool = False,
    orthogonal_to: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Scale a direction to the weights' norm: as a whole, layer by layer, or filter by filter.

    d_g <- d_g |w_g| / |d_g| for each group g (Li et al. 2018, section 4). `global` has one group, `layer` one a
    parameter tensor, `filter` one an output channel (dim 1 of transposed convolutions) or row; 1-D tensors are one
    group each. Where d_g is zero it stays zero, and where w_g is zero (fresh BatchNorm biases) it becomes zero.

    Args:
        direction: shape (P,).
        model: whose weights w give the norms.
        how: `global`, `layer`, `filter`, or None to leave the scale as it is.
        leave_out_1d: set the entries of 1-D parameters (biases, BatchNorm) to zero.
        orthogonal_to: make the result orthogonal to this direction, shape (P,). Orthogonality is made inside every
            group, so that the scaling keeps it; in a group of one number, where nothing is orthogonal, the entry
            becomes zero. Groups of it that are not finite are left out.
        weights: whose norms are taken instead of the model's, shape (P,).

    Raises:
        ValueError: an unknown normalisation, or a direction of another shape; or as `check_parameters` does.
    """
    check_parameters(model)
    if how is not None and how not in NORMALISATIONS:
        raise unknown("normalisation", how, NORMALISATIONS)
    shaped = [p.detach() for p in model.parameters()] if weights is None else split(weights, model)
    kept = [p.ndim > 1 or not leave_out_1d for p in shaped]
    turned = _transposed(model) if how == "filter" else [0] * len(shaped)
    direction = direction.to(shaped[0].device)

    def prepared(tensors: Sequence[Tensor]) -> list[Tensor]:
        masked = (t if keep else torch.zeros_like(t) for t, keep in zip(tensors, kept, strict=True))
        return [_turn(t, groups) for t, groups in zip(masked, turned, strict=True)]

    d, w = prepared(split(direction, model)), prepared(shaped)
    o = None if orthogonal_to is None else prepared(split(orthogonal_to.to(direction), model))
    if how is None or how == "global":
        whole = [torch.cat([t.reshape(-1) for t in parts]) for parts in (d, w, o) if parts is not None]
        return _scaled(whole[0], whole[1], whole[2] if o else None, 1, how).reshape(-1)
    parts = []
    for i, p in enumerate(d):
        groups = len(p) if how == "filter" and p.ndim > 1 else 1
        scaled = _scaled(p, w[i], None if o is None else o[i], groups, how)
        parts.append(_turn(scaled.view_as(p), turned[i]).reshape(-1))
    return torch.cat(parts)


def _transposed(model: nn.Module) -> list[int]:
    """List for each parameter the groups of the transposed convolution whose weight it is, 0 for any other."""
    groups = {
        id(p): module.groups
        for module in model.modules()
        if isinstance(module, _ConvTransposeNd)
        for p in module.parameters()  # a parametrised weight has another name, but its shape
        if p.shape == (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
    }
    return [groups.get(id(p), 0) for p in model.parameters()]


def _turn(weight: Tensor, groups: int) -> Tensor:
    """Turn a transposed convolution's (in, out / groups, ...) into (out, in / groups, ...), or back."""
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1) if groups else weight


def _scaled(d: Tensor, w: Tensor, o: Tensor | None, groups: int, how: Normalisation) -> Tensor:
    """Make one tensor's groups orthogonal to those of `o`, then give them the norms of the weights'."""
    exact = torch.float32 if d.device.type == "mps" else torch.float64  # MPS has no float64
    rows = d.reshape(groups, -1).to(exact)
    if o is not None:
        rows = _perpendicular(rows, o.reshape(groups, -1).to(exact))
    if how is not None:
        norm = rows.norm(dim=1, keepdim=True)
        wanted = w.reshape(groups, -1).to(exact).norm(dim=1, keepdim=True)
        rows = rows * torch.where(norm == 0, 0.0, wanted / norm)
    return rows.to(d.dtype)


def _perpendicular(rows: Tensor, others: Tensor) -> Tensor:
    # Nothing is orthogonal to what is not finite: it is left out, so that rows keep no trace of it.
    others = torch.where(others.isfinite().all(1, keepdim=True), others, 0.0)
    before, square = rows.norm(dim=1, keepdim=True), others.square().sum(1, keepdim=True)
    for _ in range(2):  # the second time takes away what the first one's rounding left
        rows = rows - torch.where(square > 0, (rows * others).sum(1, keepdim=True) / square, 0.0) * others
    return torch.where(rows.norm(dim=1, keepdim=True) <= PARALLEL * before, 0.0, rows)


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane in weight space with models on it, or projected onto it.

    Attributes:
        origin: shape (P,); the point (0, 0).
        first, second: orthonormal directions, shape (P,).
        points: the models' coordinates (lam1, lam2), shape (T, 2), float64.
        explained: share of the models' squared distances from their mean that each direction holds, shape (2,).
    """

    origin: Tensor
    first: Tensor
    second: Tensor
    points: Tensor
    explained: Tensor

    def span(self, margin: float = 0.2) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the ranges of lam1 and lam2 that hold all models, with a margin as a share of the wider range."""
        low, high = self.points.min(0).values, self.points.max(0).values
        room = margin * float((high - low).max())
        (a, b), (c, d) = low.tolist(), high.tolist()
        return (a - room, c + room), (b - room, d + room)


def plane_through(origin: Tensor, second: Tensor, third: Tensor) -> Plane:
    """Span the plane through three models; vectors of shape (P,).

    The first direction points from the first model to the second, the other is orthogonal to it.

    Raises:
        ValueError: the three lie on one line, or one is not finite.
    """
    _check_finite([origin, second, third])
    along, across = (second - origin).double(), (third - origin).double()
    length = along.norm()
    d1 = along / length
    rest = across - (across @ d1) * d1
    rest = rest - (rest @ d1) * d1
    if not length > 0 or not rest.norm() > PARALLEL * across.norm():
        raise ValueError("the three models lie on one line; a plane needs a third one beside it")
    d2 = rest / rest.norm()
    points = torch.stack([torch.stack([v @ d1, v @ d2]) for v in (torch.zeros_like(along), along, across)])
    return Plane(origin, d1.to(origin), d2.to(origin), points.cpu(), _explained(points))


def trajectory_plane(checkpoints: Sequence[Tensor]) -> Plane:
    """Span the plane in which a training moved most: PCA of its checkpoints, the last one at (0, 0).

    The two leading right singular vectors of the matrix of checkpoints minus their mean (Li et al. 2018,
    section 7.2), from the Gram matrix in float64; off the plane, checkpoints are projected onto it.

    Args:
        checkpoints: vectors of shape (P,), three or more, in the order of training.

    Raises:
        ValueError: fewer than three checkpoints, all on one line, or one that is not finite.
    """
    if len(checkpoints) < 3:
        raise ValueError(f"{len(checkpoints)} checkpoints span no plane; give three or more")
    _check_finite(checkpoints)
    steps = torch.stack(list(checkpoints)) - checkpoints[-1]
    gram = torch.zeros(len(steps), len(steps), dtype=torch.float64, device=steps.device)
    for part in steps.split(CHUNK, dim=1):
        centred = part.double() - part.double().mean(0)
        gram += centred @ centred.T
    values, vectors = torch.linalg.eigh(gram)
    if not values[-2] > PARALLEL**2 * values[-1]:
        raise ValueError("the checkpoints lie on one line; a plane needs one beside it")
    leading = values[[-1, -2]]
    # The singular vectors of nonzero values sum to zero over the checkpoints, so the mean drops out.
    first, second = (vectors[:, [-1, -2]] / leading.sqrt()).to(steps.dtype).T @ steps
    points = torch.stack([steps @ first, steps @ second], dim=1).double().cpu()
    return Plane(checkpoints[-1], first, second, points, (leading / values.sum()).cpu())


def _check_finite(models: Sequence[Tensor]) -> None:
    for i, weights in enumerate(models):
        if not weights.isfinite().all():
            raise ValueError(f"model {i} of the plane has weights that are not finite; leave it out")


def _explained(points: Tensor) -> Tensor:
    squares = (points - points.mean(0)).square().sum(0)
    return (squares / squares.sum()).cpu()
