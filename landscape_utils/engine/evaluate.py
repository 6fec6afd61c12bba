"""A model's loss, mistake rate, class losses and recalls along a line, a bent one, or over a plane of weight space.

Points come from coarse to fine. Every finished one is kept on disk under the digest of the weights, directions and
data, so that an interrupted or refined grid computes only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.datasets import Labelled
from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import points as kept_points
from landscape_utils.engine import space
from landscape_utils.engine.engine import BnHandling, Engine, Precision, Sums
from landscape_utils.engine.grids import Axes, grid_axis, levels_of
from landscape_utils.engine.inference import check_logits
from landscape_utils.engine.points import Finished
from landscape_utils.engine.shadow import PROBED, few_enough, probe, unwrapped
from landscape_utils.engine.space import Normalisation
from landscape_utils.engine.spread import Point, spread
from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR, Tick
from landscape_utils.kit.clock import spent_on
from landscape_utils.kit.errors import distinct, unknown

if TYPE_CHECKING:
    from distributed import Client

Progress = bool | Tick
Known = Mapping[kept_points.Name, Sums]
Placing = Callable[[tuple[float, ...]], tuple[float, ...]]
Span = float | tuple[tuple[float, float], tuple[float, float]]

CHECKED = 5  # points at which bf16 is compared with float32


class Options(TypedDict, total=False):
    """How a landscape is evaluated.

    Attributes:
        origin: where the directions start, shape (P,); by default the model's own weights.
        normalisation: None takes directions as they are; `global`, `layer` and `filter` as in `space.normalise`.
        leave_out_1d: zero the directions' entries of 1-D parameters (biases, BatchNorm).
        bn: `keep` BatchNorm's running statistics, or `update` them at each point: to those of all examples, as in
            training, where these are few (1,000, of 32 x 32 x 3 at most); else averaged over batches, in one more pass.
        precision: `float32` (the model's own type), or `bf16`; then the attributes tell the error on a few points.
        classes: names; by default those the data carry, else the indices.
        cache: keep finished points on disk, and use those that are there.
        progress: a bar; or a function called after each point with (done, total), which may raise to stop.
        client: of a Dask cluster, over whose workers the points are spread; they compute on the model's device.
    """

    origin: Tensor | None
    normalisation: Normalisation
    leave_out_1d: bool
    bn: BnHandling
    precision: Precision
    classes: Sequence[str] | None
    cache: bool
    progress: Progress
    client: Client | None


def curve(
    model: nn.Module,
    data: Pairs,
    direction: Tensor,
    lambdas: Sequence[float] | NDArray[np.float64],
    **how: Unpack[Options],
) -> xr.Dataset:
    """Evaluate a model along a line: at origin + lam d for each lam.

    Args:
        model: classifier, looked at in evaluation mode and left as it was.
        data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        direction: d, shape (P,), in the order of `model.parameters()`.
        lambdas: where to evaluate, increasing.
        how: see `Options`.

    Returns:
        Dataset over `lam`: loss (mean cross entropy in nats), mistake_rate, and over `class` class_loss and recall.
        A class without examples is NaN, and so is what a NaN logit leaves undefined; the attribute
        `nonfinite_points` counts the points whose loss is NaN or infinite. `norm_1` is |d|, what one unit of lam
        walks, and `weight_norm` the origin's norm.

    Raises:
        ValueError: lambdas that do not increase, a direction of another shape, an unknown option, wrong data.
    """
    return last(_refined(model, data, [direction], [{"lam": _increasing(lambdas, "lambdas")}], how))


def along(
    model: nn.Module,
    data: Pairs,
    directions: Sequence[Tensor],
    exponents: Sequence[int],
    alphas: Sequence[float] | NDArray[np.float64],
    **how: Unpack[Options],
) -> xr.Dataset:
    """Evaluate a model along a bent line: at origin + sum_i alpha^e_i d_i for each alpha.

    Args:
        model, data, how: as for `curve`.
        directions: each of shape (P,).
        exponents: e, one a direction.
        alphas: where to evaluate, increasing.

    Returns:
        Dataset over `alpha`, with the variables and attributes of `curve`.

    Raises:
        ValueError: as `curve` does.
    """

    def place(point: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(float(point[0] ** e) for e in exponents)

    return last(_refined(model, data, directions, [{"alpha": _increasing(alphas, "alphas")}], how, place))


def surface(
    model: nn.Module,
    data: Pairs,
    d1: Tensor,
    d2: Tensor,
    *,
    span: Span = 1.0,
    points: int = 41,
    orthogonal: bool = False,
    **how: Unpack[Options],
) -> xr.Dataset:
    """Evaluate a model over a plane: at origin + lam1 d1 + lam2 d2 on a grid.

    Args:
        model, data, how: as for `curve`.
        d1, d2: directions, shape (P,).
        span: both coordinates in [-span, span], or a range of each, ((low, high), (low, high)).
        points: grid points along each direction.
        orthogonal: make d2 orthogonal to d1, also after normalising.

    Returns:
        Dataset over `lam1` and `lam2`, with the variables and attributes of `curve`.

    Raises:
        ValueError: as `curve` does, or an empty span.
    """
    axes, d2 = _plane(model, d1, d2, span, points, orthogonal, how)
    return last(_refined(model, data, [d1, d2], [axes], how))


def refine(
    model: nn.Module,
    data: Pairs,
    d1: Tensor,
    d2: Tensor,
    *,
    span: Span = 1.0,
    points: int = 41,
    orthogonal: bool = False,
    **how: Unpack[Options],
) -> Iterator[xr.Dataset]:
    """Yield a surface's ever finer grids as they are finished: 2 x 2 points, 3 x 3, 5 x 5, and so on up to all.

    Each grid holds the points of the one before. Arguments and errors are those of `surface`.
    """
    axes, d2 = _plane(model, d1, d2, span, points, orthogonal, how)
    return _refined(model, data, [d1, d2], levels_of(axes), how)


def _plane(
    model: nn.Module, d1: Tensor, d2: Tensor, span: Span, points: int, orthogonal: bool, how: Options
) -> tuple[Axes, Tensor]:
    """Return a plane's axes, and its second direction, made orthogonal to the first where that is asked for."""
    ranges = ((-span, span), (-span, span)) if isinstance(span, int | float) else span
    if points < 1 or not all(np.isfinite(r).all() and r[0] < r[1] for r in ranges):
        raise ValueError(f"span is {span} with {points} points; give increasing ranges and one point at least")
    axes = {name: grid_axis(*r, points) for name, r in zip(("lam1", "lam2"), ranges, strict=True)}
    if orthogonal:
        ignore = how.get("leave_out_1d", False)
        d2 = space.normalise(d2, model, how.get("normalisation"), leave_out_1d=ignore, orthogonal_to=d1)
    return axes, d2


@contextmanager
def evaluating(
    model: nn.Module, data: Pairs, directions: Sequence[Tensor], places: int, **how: Unpack[Options]
) -> Iterator[Callable[[NDArray[np.float64]], xr.Dataset]]:
    """Give a function that evaluates a model at any places in the span of some directions, for searches.

    Args:
        model, data, how: as for `curve`; what is finished is written at the end, and there is no bar.
        directions: d_i, each of shape (P,).
        places: about how many will be asked for.

    Returns:
        A function of coordinates lam, shape (N, directions): Dataset over `place` at origin + sum_i lam_i d_i, with
        the variables and attributes of `curve`.

    Raises:
        ValueError: as `curve` does.
    """
    data = resident(model, data)
    landscape = _prepared(model, data, directions, places, how)
    classes, examples = _classes(landscape, data, how)
    attrs = _attributes(landscape, how)
    with landscape.finished() as finished:

        def at(coordinates: NDArray[np.float64]) -> xr.Dataset:
            points = [tuple(map(float, row)) for row in coordinates]
            missing = {kept_points.name(point): point for point in points if kept_points.name(point) not in finished}
            for point, sums in landscape.measured(list(missing.values()), how.get("client")):
                finished.add(point, sums)
            axes = {"place": np.arange(float(len(points)))}
            return _dataset([finished[kept_points.name(p)] for p in points], axes, classes, examples, attrs)

        yield at


def _increasing(values: Sequence[float] | NDArray[np.float64], name: str) -> NDArray[np.float64]:
    axis = np.asarray(values, dtype=float)
    if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
        raise ValueError(f"{name} must be finite numbers that increase, one at least")
    return axis


def last(grids: Iterator[xr.Dataset]) -> xr.Dataset:
    """Walk through ever finer grids and give the finest."""
    *_, finest = grids
    return finest


# --- the walk over the grid ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Landscape:
    """What every point shares."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    origin: Tensor
    directions: list[Tensor]
    settings: dict[str, Any]  # bn and precision
    points: int
    cache: bool

    @cached_property
    def logits(self) -> Tensor:
        """Answer a few examples, at the origin and a little off it: tells whether the model is still the same."""
        aside = self.origin.clone()
        for direction in self.directions:
            norm = direction.norm()
            aside += direction * torch.where(norm > 0, 0.01 * self.origin.norm() / norm, 0.0)
        return torch.cat(probe(self.model, self.inputs[:PROBED], self.origin, aside)).cpu()

    @cached_property
    def fingerprint(self) -> str | None:
        """Name the landscape on disk; None where nothing is kept."""
        tensors = [self.inputs, self.targets, self.origin, *self.directions]
        together = self.settings["bn"] == "update" and few_enough(self.inputs)
        settings = {**self.settings, "bn": "together"} if together else self.settings
        return store.fingerprint(self.model, tensors, settings) if self.cache else None

    @cached_property
    def engine(self) -> Engine:
        """Prepare the model, which a grid that is finished already never needs."""
        return Engine(**self.walk)

    @property
    def walk(self) -> dict[str, Any]:
        """Name what the engine is prepared from."""
        what = {"model": self.model, "inputs": self.inputs, "targets": self.targets}
        return {**what, "origin": self.origin, "directions": self.directions, "points": self.points, **self.settings}

    def measured(self, points: list[Point], client: Client | None) -> Iterator[tuple[Point, Sums]]:
        """Measure points, here or on a cluster, and give each as it is finished."""
        if points:
            store.before_computing()
        if client is None or not points:
            return ((point, self._measured(point)) for point in points)
        return spread(client, self.walk, points)

    def _measured(self, point: Point) -> Sums:
        with spent_on("landscapes"):
            return self.engine.at(point)

    def finished(self) -> AbstractContextManager[Finished]:
        """Open the points that are kept."""
        return kept_points.kept(self.fingerprint, self.logits)


def _refined(
    model: nn.Module,
    data: Pairs,
    directions: Sequence[Tensor],
    levels: Sequence[Axes],
    how: Options,
    place: Placing = tuple,
) -> Iterator[xr.Dataset]:
    """Evaluate level by level, keep what is finished, and give each level's Dataset.

    The last of the levels' axes hold those of all others. `place` turns a point on them into coordinates along the
    directions.
    """
    every = _points(levels[-1], place)
    data = resident(model, data)
    landscape = _prepared(model, data, directions, len(every), how)
    classes, examples = _classes(landscape, data, how)
    attrs = _attributes(landscape, how)
    with landscape.finished() as finished:
        known = dict(finished)
    with _ticking(how.get("progress", True), len(set(map(kept_points.name, every)) - known.keys())) as tick:
        for part in levels:
            wanted = {kept_points.name(p): p for p in _points(part, place)}
            if wanted.keys() - known.keys():
                # The landscape is ours alone only while a level is computed: a caller may stop looking at any grid.
                with landscape.finished() as finished:
                    finished.update(known)
                    missing = [p for name, p in wanted.items() if name not in finished]
                    for point, sums in landscape.measured(missing, how.get("client")):
                        finished.add(point, sums)
                        tick()
                    known = dict(finished)
            if part is levels[-1] and landscape.settings["precision"] == "bf16":
                attrs |= _bf16_errors(landscape, known, every)
            yield _dataset([known[kept_points.name(p)] for p in _points(part, place)], part, classes, examples, attrs)


def _classes(landscape: _Landscape, data: Labelled, how: Options) -> tuple[list[str], NDArray[np.int64]]:
    """Return the classes' names and how many examples each has, once the model's logits are known to fit."""
    check_logits(landscape.logits, landscape.targets)
    width = landscape.logits.shape[1]
    names = list(distinct(how.get("classes") or data.classes or range(width), "the model's classes", width))
    return names, torch.bincount(landscape.targets, minlength=width).cpu().numpy()


def _points(axes: Axes, place: Placing) -> list[tuple[float, ...]]:
    return [place(point) for point in product(*axes.values())]


def _prepared(model: nn.Module, data: Labelled, directions: Sequence[Tensor], points: int, how: Options) -> _Landscape:
    for name in how:
        if name not in Options.__annotations__:
            raise unknown("option", name, Options.__annotations__)
    settings: dict[str, Any] = {"bn": how.get("bn", "keep"), "precision": how.get("precision", "float32")}
    for option, valid in (("bn", ("keep", "update")), ("precision", ("float32", "bf16"))):
        if settings[option] not in valid:
            raise unknown(option, settings[option], valid)
    ignore, origin = how.get("leave_out_1d", False), how.get("origin")
    start = space.flatten(model) if origin is None else origin.to(data.inputs.device)
    normal = how.get("normalisation")
    scaled = [space.normalise(d, model, normal, leave_out_1d=ignore, weights=start) for d in directions]
    inputs, targets = data
    return _Landscape(unwrapped(model), inputs, targets, start, scaled, settings, points, how.get("cache", True))


def _bf16_errors(landscape: _Landscape, finished: Known, every: list[tuple[float, ...]]) -> dict[str, float]:
    """Measure a few points in float32 too, and give the largest differences."""
    chosen = [every[i] for i in sorted(set(np.linspace(0, len(every) - 1, CHECKED).round().astype(int)))]
    exact = replace(landscape, settings={**landscape.settings, "precision": "float32"})
    loss, mistakes = [0.0], [0.0]
    with exact.finished() as kept:
        for point in chosen:
            if kept_points.name(point) not in kept:
                kept.add(point, exact.engine.at(point))
            full, half = kept[kept_points.name(point)], finished[kept_points.name(point)]
            loss.append(_difference(float(half.loss.sum()), float(full.loss.sum()), float(full.loss.sum())))
            mistakes.append(_difference(float(half.right.sum()), float(full.right.sum()), len(landscape.targets)))
    return {
        "bf16_points_checked": len(chosen),
        # Where one of the two is NaN they differ by more than any number; where both are, they agree.
        "bf16_relative_loss_error": float(np.max(loss)),
        "bf16_mistake_rate_error": float(np.max(mistakes)),
    }


def _difference(half: float, full: float, scale: float) -> float:
    if half == full or (np.isnan(half) and np.isnan(full)):
        return 0.0
    return abs(half - full) / scale if np.isfinite([half, full]).all() and scale else np.inf


@contextmanager
def _ticking(progress: Progress, total: int) -> Iterator[Callable[[], None]]:
    """Count finished points, in a bar or to the caller's function."""
    done = 0
    with tqdm(total=total, desc="landscape", unit="point", disable=progress is not True, **BAR) as bar:

        def tick() -> None:
            nonlocal done
            done += 1
            bar.update()
            if callable(progress):
                progress(done, total)

        yield tick


def _attributes(landscape: _Landscape, how: Options) -> dict[str, Any]:
    norms = {f"norm_{i}": float(d.double().norm()) for i, d in enumerate(landscape.directions, start=1)}
    return {
        "model": type(landscape.model).__name__,
        "weight_norm": float(landscape.origin.double().norm()),
        **norms,
        "unit": "one step is the direction's own norm",
        "normalisation": how.get("normalisation") or "none",
        "leave_out_1d": int(how.get("leave_out_1d", False)),
        **landscape.settings,
        "device": landscape.inputs.device.type,
        "torch": str(torch.__version__),
    }


def _dataset(
    sums: Sequence[Sums],
    axes: Axes,
    classes: list[str],
    examples: NDArray[np.int64],
    attrs: dict[str, Any],
) -> xr.Dataset:
    """Gather a grid's totals into means."""
    shape = tuple(len(axis) for axis in axes.values())
    loss = torch.stack([s.loss for s in sums]).numpy().reshape(*shape, -1)
    right = torch.stack([s.right for s in sums]).numpy().reshape(*shape, -1)
    share = np.where(examples > 0, examples, np.nan)
    dims, total = tuple(axes), examples.sum()
    mean_loss = loss.sum(-1) / total
    return xr.Dataset(
        {
            "loss": (dims, mean_loss, {"units": "nats", "long_name": "mean cross entropy"}),
            "mistake_rate": (dims, 1 - right.sum(-1) / total, {"units": "share of examples"}),
            "class_loss": ((*dims, "class"), loss / share, {"units": "nats"}),
            "recall": ((*dims, "class"), right / share, {"units": "share of the class"}),
        },
        coords={**axes, "class": classes, "examples": ("class", examples)},
        attrs={**attrs, "nonfinite_points": int((~np.isfinite(mean_loss)).sum())},
    )
