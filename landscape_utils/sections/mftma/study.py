"""The geometry of the four label subsets' manifolds: by layer, by epoch, and by the share of permuted labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.labels import SUBSETS, PermutedLabels
from landscape_utils.engine.features import class_manifolds
from landscape_utils.engine.layers import Layer, main_layers
from landscape_utils.kit import store
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.journal import Journal
from landscape_utils.kit.store import PART, Shelf
from landscape_utils.kit.workers import remembered_each
from landscape_utils.memorization import embeddings
from landscape_utils.memorization.capacity import TooFewFeatures, ball_capacity, empirical_capacity
from landscape_utils.memorization.centres import without_structure
from landscape_utils.memorization.manifolds import mftma
from landscape_utils.suite.session import Session
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.runs import Epoch, Run
from landscape_utils.training.several import train_each

QUANTITIES = ("capacity", "radius", "dimension", "centre_correlation")
PIXELS = "pixels"


@dataclass(frozen=True)
class Sampling:
    """How manifolds are drawn and measured.

    Attributes:
        classes: P at most; None for all.
        points: M of each class, where there are so many.
        n_t: Gaussian vectors a manifold.
    """

    classes: int | None = None
    points: int = 50
    n_t: int = 100


class Place(NamedTuple):
    """A layer in a picture: its number from the input on (the pixels are 0), and its name."""

    depth: int
    name: str


def places(model: nn.Module, labels: PermutedLabels) -> list[Place]:
    """List the pixels and the layers that a nonlinearity follows (geometry of memorization, A.10)."""
    return [Place(i, name) for i, name in enumerate([PIXELS, *(layer.name for layer in _nonlinear(model, labels))])]


def _nonlinear(model: nn.Module, labels: PermutedLabels) -> list[Layer]:
    every = main_layers(model, labels.dataset.test.inputs[:1])
    return [layer for layer in every if layer.nonlinear] or every


def geometry(
    model: nn.Module,
    labels: PermutedLabels,
    sampling: Sampling,
    *,
    layers: Sequence[str] | None = None,
    subsets: Sequence[str] = SUBSETS,
    seed: int = 0,
    journal: Journal | None = None,
) -> xr.Dataset:
    """Measure the manifolds of the label subsets, layer by layer (geometry of memorization, section 3.2).

    Radius and dimension are medians over manifolds: with few classes one centre can lie almost within the structure
    that is removed, which leaves nothing to measure that manifold by, and a mean would be this one's.

    Args:
        model: any classifier.
        labels: its data, with the subsets.
        sampling: how manifolds are drawn.
        layers: names, `pixels` for the input; by default all of `places`.
        subsets: among unpermuted, permuted, restored and test.
        seed: of the drawn points and of the Gaussian vectors.
        journal: where each layer's numbers are kept; by default nowhere.

    Returns:
        Dataset over (subset, layer): capacity, radius, dimension, centre_correlation, rank, lower_bound (2 / M) and
        ball_capacity (of balls of that radius and dimension); NaN for an empty subset. `depth` is over layer.
    """
    known = places(model, labels)
    chosen = known if layers is None else [place for place in known if place.name in layers]
    names = [place.name for place in chosen]
    kinds = [layer for layer in _nonlinear(model, labels) if layer.name in names]
    shape = (len(subsets), len(names))
    measured = {name: np.full(shape, np.nan) for name in (*QUANTITIES, "rank", "lower_bound", "ball_capacity")}
    journal = journal or Journal(None, "")
    for i, subset in enumerate(subsets):
        part = labels.subset(subset)
        if not part.size:
            continue
        how: dict[str, Any] = {"classes": sampling.classes, "points": sampling.points}
        clouds = class_manifolds(model, part, names=kinds, pixels=PIXELS in names, seed=seed, **how)
        for j, name in enumerate(names):
            found = journal.step(partial(_numbers, measured, clouds[name], sampling.n_t, seed))
            for quantity, value in zip(measured.values(), found, strict=True):
                quantity[i, j] = value
    return xr.Dataset(
        {name: (("subset", "layer"), values) for name, values in measured.items()},
        coords={"subset": list(subsets), "layer": names, "depth": ("layer", [place.depth for place in chosen])},
        attrs={"points": sampling.points, "n_t": sampling.n_t},
    )


def _numbers(names: Iterable[str], clouds: Mapping[str, Any], n_t: int, seed: int) -> Tensor:
    found = subset_geometry(clouds, n_t, seed)
    return torch.tensor([found[name] for name in names], dtype=torch.float64)


def subset_geometry(clouds: Mapping[str, Any], n_t: int, seed: int = 0) -> dict[str, float]:
    """Measure the manifolds of one layer."""
    manifolds = mftma(clouds, n_t=n_t, seed=seed)
    radius, dimension = (float(np.median(manifolds[f"manifold_{name}"])) for name in ("radius", "dimension"))
    same = {name: float(manifolds[name]) for name in ("capacity", "centre_correlation", "rank", "lower_bound")}
    return {**same, "radius": radius, "dimension": dimension, "ball_capacity": ball_capacity(radius, dimension)}


def geometries(
    places: Sequence[tuple[Run, Epoch]], sampling: Sampling, *, progress: bool = True, **chosen: Any
) -> list[xr.Dataset]:
    """Measure the manifolds of runs at epochs, side by side, or read them back.

    Args:
        places: each a training on permuted labels, and an epoch whose weights are kept.
        sampling, chosen: as for `geometry`.
        progress: show a bar.
    """

    def work(shelf: Shelf, run: Run, epoch: Epoch) -> xr.Dataset:
        model, journal = run.model(epoch).to(default_device()), Journal(shelf, f"geometry{PART}layers")
        return geometry(model, labels_of(run), sampling, seed=run.spec.seed, journal=journal, **chosen)

    jobs = []
    for run, epoch in places:
        number = {"initial": 0, "best": run.best_epoch, "final": run.about["last"]}.get(str(epoch), epoch)
        key = {"format": store.FORMAT, "run": run.shelf.folder.name, "epoch": number, **asdict(sampling), **chosen}
        named = store.digest(key)
        jobs.append((named, partial(tuple, (store.shelf("geometry", named), run, epoch))))
    return remembered_each("geometry", "geometry", jobs, work, progress=progress)


@lru_cache(maxsize=2)
def labels_of(run: Run) -> PermutedLabels:
    """Return a run's data; those of the last two runs are kept, for drawing or reading them takes a second."""
    return run.labels()


def by_epoch(
    runs: Sequence[Run], sampling: Sampling, epochs: Sequence[Epoch] = ("best", "final"), *, progress: bool = True
) -> xr.Dataset:
    """Measure the manifolds of several seeds at epochs: Dataset over (seed, epoch, subset, layer)."""
    measured = iter(geometries([(run, epoch) for run in runs for epoch in epochs], sampling, progress=progress))
    along = xr.Variable("epoch", list(map(str, epochs)))
    each = [xr.concat([next(measured) for _ in epochs], along) for _ in runs]
    return xr.concat(each, xr.Variable("seed", [run.spec.seed for run in runs]))


def three_layers(table: xr.Dataset) -> list[str]:
    """Name the first, the middle and the last layer behind the pixels."""
    names = [str(name) for name in table["layer"].values if name != PIXELS]
    return [names[0], names[(len(names) - 1) // 2], names[-1]]


def by_epsilon(
    runs: Sequence[Run], shares: Sequence[float], sampling: Sampling, layers: Sequence[str], *, seeds: int
) -> xr.Dataset:
    """Measure capacity at the final epoch against the share of permuted labels (geometry of memorization, A.7).

    Args:
        runs: of one share, which are used as they are.
        shares: epsilon, from 0 to 1.
        sampling: how manifolds are drawn.
        layers: where.
        seeds: how many of the runs' seeds are trained at every other share.

    Returns:
        Dataset over (epsilon, seed, subset, layer), as `geometry` gives, with `train_accuracy` over (epsilon, seed).
    """
    others = [share for share in shares if share != runs[0].spec.epsilon]
    every = [*runs[:seeds], *train_each(share_specs([run.spec for run in runs[:seeds]], others))]
    measured = geometries([(run, "final") for run in every], sampling, layers=list(layers))
    rows = []
    for share in sorted({run.spec.epsilon for run in every}):
        mine = [i for i, run in enumerate(every) if run.spec.epsilon == share]
        accuracy = [float(every[i].history["train_accuracy"][-1]) for i in mine]
        row = xr.concat([measured[i] for i in mine], xr.Variable("seed", [every[i].spec.seed for i in mine]))
        rows.append(row.assign(train_accuracy=("seed", accuracy)).assign_coords(epsilon=share))
    return xr.concat(rows, "epsilon")


def share_specs(specs: Sequence[RunSpec], shares: Sequence[float]) -> list[RunSpec]:
    """Specify the same trainings at other shares of permuted labels, of which only the end is looked at."""
    return [replace(spec, epsilon=share, checkpoints=()) for share in shares for spec in specs]


def every_training(setup: Session) -> dict[str, list[RunSpec]]:
    """List what the notebook trains, by what it is for."""
    own, specs = setup.own, setup.specs()
    others = [share for share in own["shares"] if share != setup.epsilon]
    at_shares = {
        f"{name}, other shares": share_specs(of[: own["share_seeds"]], others) for name, of in specs.items() if others
    }
    of_spheres = {"seeds": own["sphere_seeds"], "size": own["sphere_size"]}
    spheres = {"spheres": sphere_specs(own["spheres"], setup.epsilon, **of_spheres)}
    many = many_specs(setup)
    return {**specs, **at_shares, **spheres, **({"many classes": many} if many else {})}


def sphere_specs(settings: Mapping[str, Any], epsilon: float, *, seeds: int, size: int) -> list[RunSpec]:
    """Specify the trainings on spheres (geometry of memorization, A.5); each seed draws its own.

    Args:
        settings: fields of `RunSpec`.
        epsilon: share of permuted labels.
        seeds: how many.
        size: training examples.
    """
    common: dict[str, Any] = {"dataset": "spheres", "recipe": "memorize", "train_size": size, "epsilon": epsilon}
    common |= settings
    return [RunSpec(**common, seed=seed, data_seed=seed) for seed in range(seeds)]


def many_specs(setup: Session) -> list[RunSpec]:
    """Specify the trainings on many classes, one a seed; none where the profile names none."""
    common = {"recipe": "memorize", "epsilon": setup.epsilon, **(setup.own["many"] or {})}
    return [RunSpec(**common, seed=seed, data_seed=seed) for seed in setup.seeds if setup.own["many"]]


def planes_of(
    runs: Sequence[Run], layers: Sequence[str], *, count: int, classes: Sequence[int] | None, progress: bool = True
) -> xr.Dataset:
    """Embed every run's examples at the initialisation, the best and the final epoch (see `embeddings.planes`).

    Args:
        runs: trainings on permuted labels.
        layers: names.
        count: examples of each kind.
        classes: the numbers of those shown; None for the first ten.
        progress: a bar.

    Returns:
        Dataset of `position` (seed, epoch, layer, example, axis), `label` (seed, subset, example) and `agreement`
        (seed, epoch, layer, subset), the share of examples that most of their ten nearest agree with.

    Raises:
        ValueError: a class that there is not.
    """
    most = len(labels_of(runs[0]).dataset.classes)
    shown = list(classes if classes is not None else range(min(10, most)))
    if not all(0 <= c < most for c in shown):
        raise ValueError(f"the classes to be shown are {shown}; each must be a number from 0 to {most - 1}")
    every = []
    epochs: tuple[Epoch, ...] = ("initial", "best", "final")
    for planes in embeddings.planes(runs, epochs, layers, count=count, classes=shown, progress=progress):
        agreement = xr.apply_ufunc(
            embeddings.neighbour_share,
            planes["position"],
            planes["label"],
            input_core_dims=[["example", "axis"], ["example"]],
            vectorize=True,
        )
        every.append(planes.assign(agreement=agreement))
    rows = max(planes.sizes["example"] for planes in every)
    padded = [
        planes.pad(example=(0, rows - planes.sizes["example"]), constant_values={"label": -1}) for planes in every
    ]
    return xr.concat(padded, xr.Variable("seed", [run.spec.seed for run in runs]), data_vars="all")


# --- mean-field against empirical capacity ----------------------------------------------------------------------

COUNTED = ("mean_field", "mean_field_error", "empirical", "low", "high")


@dataclass(frozen=True)
class Counting:
    """How capacity is counted and predicted.

    Attributes:
        classes: P at most.
        points: M of each class.
        n_t: Gaussian vectors a manifold.
        dichotomies: as in `empirical_capacity`.
    """

    classes: int
    points: int
    n_t: int
    dichotomies: int


def capacities(runs: Sequence[Run], layers: Sequence[str], counting: Counting) -> xr.Dataset:
    """Compute the mean-field capacity and the empirical one, at the final epoch (geometry of memorization, figure 1B).

    Both are of the clouds without the structure that their centres share. Where a layer's features do not suffice for
    half of all dichotomies, the empirical capacity is NaN.

    Args:
        runs: trainings on permuted labels.
        layers: names.
        counting: how.

    Returns:
        Dataset over (seed, subset, layer): `mean_field`, `mean_field_error` (standard error over Gaussian vectors),
        `empirical`, and its 95 % interval `low` and `high`.
    """
    jobs = []
    for run, subset in product(runs, SUBSETS):
        what = {"run": run.shelf.folder.name, "subset": subset, "layers": list(layers), "structure": "removed"}
        key = store.digest({"format": store.FORMAT, **what, **asdict(counting)})
        jobs.append((key, partial(tuple, (store.shelf("geometry", key), run, subset, layers, counting))))
    every = iter(remembered_each("geometry", "capacities", jobs, _counted))
    along = xr.Variable("subset", list(SUBSETS))
    each = [xr.concat([next(every) for _ in SUBSETS], along) for _ in runs]
    return xr.concat(each, xr.Variable("seed", [run.spec.seed for run in runs]))


def _counted(shelf: Shelf, run: Run, subset: str, layers: Sequence[str], counting: Counting) -> xr.Dataset:
    model, labels, journal = run.model(), labels_of(run), Journal(shelf, f"capacities{PART}layers")
    kinds = [layer for layer in _nonlinear(model, labels) if layer.name in layers]
    names = [layer.name for layer in kinds]
    counts = np.full((len(names), len(COUNTED)), np.nan)
    part = labels.subset(subset)
    if part.size:
        how: dict[str, Any] = {"classes": counting.classes, "points": counting.points}
        clouds = class_manifolds(model, part, names=kinds, pixels=False, **how)
        for row, name in zip(counts, names, strict=True):
            row[:] = journal.step(partial(_both_capacities, clouds[name], counting))
    return xr.Dataset(
        {name: ("layer", values) for name, values in zip(COUNTED, counts.T, strict=True)},
        coords={"layer": names},
        attrs=asdict(counting),
    )


def _both_capacities(clouds: Mapping[str, Any], counting: Counting) -> Tensor:
    """Predict and count, in the order of `COUNTED`."""
    theory = mftma(clouds, n_t=counting.n_t)
    counted = [np.nan] * 3
    with suppress(TooFewFeatures):
        found = empirical_capacity(without_structure(clouds), dichotomies=counting.dichotomies, progress=False)
        counted = [found.capacity, found.low, found.high]
    return torch.tensor([float(theory["capacity"]), float(theory["capacity_error"]), *counted], dtype=torch.float64)
