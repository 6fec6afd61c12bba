"""Products with the Hessian of a model's mean cross entropy, exact and in small batches.

Measured on two CPU cores, small ResNet, 500 images of 32x32x3: seconds a product in batches of 25 / 50 / 100.

    double backward, channels-last, BatchNorm folded into the convolutions    0.71 / 0.68 / 0.66
    double backward, channels-last, BatchNorm by itself                       0.99 / 0.97 / 0.99
    forward over reverse, channels-last, folded                               0.73 / 0.64 / 0.69
    forward over reverse, channels-last, BatchNorm by itself                  1.01 / 0.84 / 1.01

The two ways agree to 2e-7 in float32; double backward is as fast, and more operations have it. It also allows to keep
the graphs of the batches' gradients from product to product, as many as fit into a fixed memory: a third less time. And
convolutions and the batch's BatchNorm can be `spelled_out`: a third less again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import space
from landscape_utils.engine.derivatives import (
    BatchNormStatistics,
    differentiable,
    differentiating,
    gradients,
    normalise_by,
)
from landscape_utils.engine.folding import fold
from landscape_utils.engine.inference import check_logits
from landscape_utils.engine.shadow import PROBED, TOGETHER, fastest_layout, install, pack, place, probe, unwrapped
from landscape_utils.engine.spelled_out import spell_out
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.errors import unknown

BATCH = {"cuda": 500, "mps": 200}
CPU_BATCH = 100
EXAMPLE_VALUES = 3 * 32 * 32  # of larger inputs fewer come at once
GRAPHS = 1 << 30  # bytes that the graphs of gradients may take which are kept from product to product
SYMMETRIC = 1e-3  # relative; what u.Hv and v.Hu may differ by for rounding

Parameters = str | Sequence[str] | None
Named = Mapping[str, Tensor]


class Expansion(NamedTuple):
    """What a pass over the data tells about the loss at a point along a direction v.

    Attributes:
        loss: mean cross entropy in nats.
        gradient: g, shape (P,).
        product: H v, shape (P,).
    """

    loss: float
    gradient: Tensor
    product: Tensor


class _Slope(NamedTuple):
    """One batch's loss and gradient, with the graph by which the gradient can be differentiated again."""

    own: list[nn.Parameter]
    loss: Tensor
    gradient: Sequence[Tensor]


class HessianOperator:
    """The Hessian H of a model's mean cross entropy over data, known by its products.

    Dropout is off. BatchNorm keeps its running statistics, or takes the examples' own as in training: all together, or
    a thousand at a time where there are more. Second derivatives of ReLU and max-pooling are zero almost everywhere
    and are taken as zero.

    Attributes:
        names: the parameters that H is about, in the order of `model.parameters()`.
        size: how many numbers they are, P.
        origin: their values, shape (P,).
        dtype: of products.
        bn: whose statistics BatchNorm takes.
        logits: the model's answers to a few examples, shape (n, C).
        about: what a result's attributes say of it.
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        model: nn.Module,
        data: Pairs,
        *,
        parameters: Parameters = None,
        dtype: torch.dtype | None = None,
        bn: BatchNormStatistics = "keep",
    ) -> None:
        """Prepare a model, which is left as it is, and data.

        Args:
            model: classifier; its logits have shape (N, C).
            data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
            parameters: a block of H: names of layers or parameters, such as "fc" or "layer1.0"; by default all.
                Frozen parameters (requires_grad=False) are part of it: a landscape does not ask what is trained.
                Unused ones have zero rows.
            dtype: of weights, data and products; by default the model's own, and float32 for half networks.
            bn: `keep` BatchNorm's running statistics, as `curve(..., bn="keep")` does, or take those of the `batch`, as
                `curve(..., bn="update")`.

        Raises:
            ValueError: an unknown name or bn, logits that are not (N, C), wrong targets, no data, a second derivative
                that is missing or wrong.
        """
        model = unwrapped(model)
        inputs, targets = resident(model, data)
        self.logits = probe(model, inputs[:PROBED], space.flatten(model))[0].cpu()
        check_logits(self.logits, targets.cpu())
        self.model = model
        chosen = _chosen(model, parameters)
        self.names = list(chosen)
        self.dtype = dtype or torch.promote_types(next(model.parameters()).dtype, torch.float32)
        self.device = targets.device
        self.targets = targets
        self.inputs = inputs.to(self.dtype) if inputs.is_floating_point() else inputs
        self._tree = differentiable(model, inputs).to(self.dtype)
        for module in self._tree.modules():
            if isinstance(module, nn.Embedding):
                module.padding_idx = None  # the loss moves with that row, too: its gradient is missing, and not zero
        layout = fastest_layout(self._tree, self.inputs)
        self.inputs = self.inputs.contiguous(memory_format=layout)
        weights = pack(space.flatten(model), self._tree)
        install(self._tree, weights)
        self.bn = bn
        self._together = normalise_by(self._tree, bn)
        spell_out(self._tree)
        folds = [] if self._together else fold(self._tree, weights, self.inputs[:2])

        def refresh(*_: object) -> None:
            for one in folds:
                one.refresh()

        self._tree.register_forward_pre_hook(refresh)  # folded weights follow those that are differentiated
        own = dict(self._tree.named_parameters())
        self._layout = {name: own[name].detach() for name in self.names}
        self.origin = _flat(self._layout.values())
        self.size = len(self.origin)
        self._kept: list[_Slope] = []
        self._room = GRAPHS
        self.attributes = {
            "model": type(model).__name__,
            "parameters": "all" if parameters is None else ", ".join(self.names),
            "bn": bn,
            "size": self.size,
            "examples": len(targets),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "torch": str(torch.__version__),
        }
        self._check_symmetry()

    def __call__(self, vector: Tensor) -> Tensor:
        """Multiply: H v, shape (P,), for v of shape (P,).

        Raises:
            ValueError: v has another shape.
            FloatingPointError: the product is not finite.
        """
        return self.expand(vector).product

    @torch.inference_mode(False)
    def expand(self, vector: Tensor, *, at: Tensor | None = None) -> Expansion:
        """Return the loss, its gradient and H v in one pass over the data.

        Args:
            vector: v, shape (P,).
            at: values of the parameters, shape (P,); by default the model's own.

        Raises:
            ValueError: a vector has another shape.
            FloatingPointError: the product is not finite.
        """
        direction = self._shaped(vector)
        loss, gradient, product = 0.0, torch.zeros_like(self.origin), torch.zeros_like(self.origin)
        with differentiating(twice=True):
            for slope, kept in self._slopes() if at is None else self._slopes_at(self._shaped(at)):
                place(self._tree, dict(zip(self.names, slope.own, strict=True)))  # where a checkpoint looks again
                product += _flat(gradients(_along(slope.gradient, direction), slope.own, keep=kept))
                gradient += _flat(slope.gradient).detach()
                loss += float(slope.loss)
        count = len(self.targets)
        if not bool(product.isfinite().all()):
            raise FloatingPointError("a product with the Hessian is not finite; look for NaN in weights and data")
        return Expansion(loss / count, gradient / count, product / count)

    def checked(self, vector: Tensor) -> Tensor:
        """Return a vector, shape (P,), on the operator's device in its dtype.

        Raises:
            ValueError: it has another shape.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"the vector has shape {tuple(vector.shape)}; this Hessian's are flat, ({self.size},)")
        return vector.detach().to(self.origin)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        size, values = BATCH.get(self.device.type, CPU_BATCH), self.inputs[:1].numel() or 1
        size = TOGETHER if self._together else max(1, min(size, size * EXAMPLE_VALUES // values))
        yield from zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def _slopes(self) -> Iterator[tuple[_Slope, bool]]:
        """Differentiate every batch once at the origin; as many graphs as there is room for are kept, and are True."""
        batches = list(self._batches())
        yield from ((slope, True) for slope in self._kept)
        for x, y in batches[len(self._kept) :]:
            with _counting() as seen:
                slope = self._slope(self._layout, x, y)
            self._room -= sum(seen.values())
            if self._room >= 0:
                self._kept.append(slope)
            yield slope, self._room >= 0

    def _slopes_at(self, point: Named) -> Iterator[tuple[_Slope, bool]]:
        """Differentiate every batch once at another point."""
        yield from ((self._slope(point, x, y), False) for x, y in self._batches())

    def _slope(self, point: Named, x: Tensor, y: Tensor) -> _Slope:
        """Differentiate the summed cross entropy of a batch once."""
        return self._slope_of(point, x, lambda logits: F.cross_entropy(logits, y, reduction="sum"))

    def _slope_of(self, point: Named, x: Tensor, loss: Callable[[Tensor], Tensor]) -> _Slope:
        own = [nn.Parameter(p) for p in point.values()]
        place(self._tree, dict(zip(point, own, strict=True)))
        value = loss(self._tree(x))
        return _Slope(own, value.detach(), gradients(value, own, again=True))

    def _check_symmetry(self) -> None:
        """Refuse second derivatives that are wrong, on a few examples: u.Hv and v.Hu, with u = Hv, differ then.

        H is here that of the logits' squared distance from random ones: it sees every second derivative that the cross
        entropy's sees, and does not drown in rounding where the examples are learned and the cross entropy is flat.
        """
        drawing = torch.Generator().manual_seed(0)
        vector = torch.randn(self.size, generator=drawing, dtype=torch.float64)
        away = torch.randn(self.logits.shape, generator=drawing, dtype=torch.float64).to(self.origin)
        first = self._squared_product(vector.to(self.origin), away)
        second = self._squared_product(first, away)
        one, other = float(first.double() @ first.double()), float(vector.to(first.device) @ second.double())
        if abs(one - other) > SYMMETRIC * max(abs(one), abs(other)):
            raise ValueError(
                f"the Hessian is not symmetric (u.Hv is {one:.6g}, v.Hu is {other:.6g}): a part of the model has a "
                "wrong second derivative, as weight norm has in torch 2.15; leave that part out"
            )

    def _squared_product(self, vector: Tensor, away: Tensor) -> Tensor:
        """Multiply with the Hessian of half the squared distance of a few examples' logits from given ones."""
        with differentiating(twice=True):
            slope = self._slope_of(
                self._layout, self.inputs[:PROBED], lambda logits: (logits - away).square().sum() / 2
            )
            return _flat(gradients(_along(slope.gradient, self._shaped(vector)), slope.own))

    def _shaped(self, vector: Tensor) -> Named:
        parts = self.checked(vector).split([p.numel() for p in self._layout.values()])
        return {
            # In the parameters' own memory layout, so that convolutions need not reorder.
            name: torch.empty_like(p).copy_(part.view(p.shape))
            for (name, p), part in zip(self._layout.items(), parts, strict=True)
        }


@contextmanager
def products_bar(
    what: str, total: int | None, progress: bool, tol: float = 0.0
) -> Iterator[Callable[[int, float | None], None]]:
    """Show products, and the worst residual ratio where there is one: how many are left until it is `tol` is guessed.

    It falls about as a geometric series, so that the guess is the line through its logarithms.
    """
    first: tuple[int, float] | None = None
    with tqdm(total=total, desc=what, unit="product", disable=not progress, **BAR) as bar:

        def tick(_: int, ratio: float | None) -> None:
            nonlocal first
            bar.update()
            if ratio is None:
                return
            bar.set_postfix_str(f"worst residual ratio {ratio:.1e}", refresh=False)
            if first is None and math.isfinite(ratio):
                first = bar.n, ratio
            if first is not None and tol < ratio < first[1]:
                left = (bar.n - first[0]) * math.log(ratio / tol) / math.log(first[1] / ratio)
                bar.total = bar.n + math.ceil(left)

        yield tick


@contextmanager
def _counting() -> Iterator[dict[int, int]]:
    """Note the bytes of the tensors that are saved for differentiation, by where they lie."""
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield seen


def _along(gradient: Sequence[Tensor], direction: Named) -> Tensor:
    return torch.stack([(g * d).sum() for g, d in zip(gradient, direction.values(), strict=True)]).sum()


def _flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _chosen(model: nn.Module, parameters: Parameters) -> dict[str, Tensor]:
    """Find the parameters that names stand for, in the order of `model.parameters()`."""
    every = dict(model.named_parameters())
    if parameters is None:
        return dict(every)
    aliases = dict(model.named_parameters(remove_duplicate=False))  # a tied one has several names
    wanted: set[int] = set()
    for name in [parameters] if isinstance(parameters, str) else parameters:
        chosen = {id(p) for alias, p in aliases.items() if alias == name or alias.startswith(f"{name}.")}
        if not chosen:
            layers = [alias.rsplit(".", depth)[0] for alias in aliases for depth in range(1, 1 + alias.count("."))]
            raise unknown("layer or parameter", name, {*layers, *aliases})
        wanted |= chosen
    if not wanted:
        raise ValueError("parameters names no layer; leave it out for the whole network")
    return {name: p for name, p in every.items() if id(p) in wanted}
