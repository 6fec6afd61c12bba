"""Networks of many widths, and the geometry of what they make of test examples; for notebook 08."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np
import xarray as xr
from torch import nn
from tqdm import tqdm

from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.engine.features import class_manifolds
from landscape_utils.engine.layers import main_layers
from landscape_utils.kit import Floats
from landscape_utils.kit.bars import BAR, Tick
from landscape_utils.kit.devices import default_device
from landscape_utils.memorization.double_descent import (
    MEASURED,
    MOMENTS,
    Moment,
    looks,
    seconds_left,
    train_width,
)
from landscape_utils.memorization.manifolds import mftma
from landscape_utils.memorization.memorized import MEMORIZED
from landscape_utils.suite.session import Session
from landscape_utils.training.recipes import NEVER, RunSpec
from landscape_utils.training.runs import Run
from landscape_utils.training.training import train

ACCURACIES = ("train_accuracy", "test_accuracy", "step")
LABELS = {
    "dimension": "manifold dimension",
    "radius": "manifold radius\n(norms of the centre)",
    "centre_correlation": "centre correlation\n(mean |cos|)",
    "capacity": "manifold capacity\n(classes per dimension)",
}
GEOMETRY = (*LABELS, "bound")


class Networks(Protocol):
    """Networks of one width, one a seed."""

    @property
    def course(self) -> xr.Dataset:
        """Return accuracies and test loss over (seed, step)."""

    def model(self, seed: int, moment: Moment) -> nn.Module:
        """Build a seed's network at its best test accuracy or at its end."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Networks of one width that trained one by one, by seed; a step of their course is an epoch."""

    runs: Mapping[int, Run]

    @property
    def course(self) -> xr.Dataset:
        """Return accuracies and test loss over (seed, step)."""
        parts = [run.history[list(MEASURED)].rename(epoch="step") for run in self.runs.values()]
        return xr.concat(parts, dim=xr.Variable("seed", list(self.runs)), join="exact", combine_attrs="drop")

    def model(self, seed: int, moment: Moment) -> nn.Module:
        """Build a seed's network at its best test accuracy or at its end."""
        return self.runs[seed].model(moment)


@dataclass(frozen=True, eq=False)
class Family:
    """An architecture that comes in widths, on one dataset.

    Networks with one hidden layer (`mlp`) train all seeds at once, the whole training set in every step; others train
    one by one, as their recipe says. All train to the last step, fitted or not, so that widths compare.

    Attributes:
        specs: one a seed; their width is replaced.
        data: with true labels; each seed redraws its own.
    """

    specs: Sequence[RunSpec]
    data: Dataset

    @property
    def unit(self) -> str:
        """Name what a step of a course is."""
        return "step" if self.specs[0].model == "mlp" else "epoch"

    @property
    def looks(self) -> list[int]:
        """List the steps, after the first, at which networks are looked at."""
        last = self.specs[0].settled().epochs
        return looks(last)[1:] if self.unit == "step" else list(range(1, last + 1))

    def train(self, width: float, *, progress: bool | Tick = True) -> Networks:
        """Train every seed's network of one width, or read it back.

        Raises:
            ValueError: a width that the architecture does not come in.
        """
        if self.unit == "step":
            return train_width(*self._together(width), **self._how, progress=progress)
        runs = (train(spec, data=self.data, progress=progress is True) for spec in self.wide(width))
        return Runs({run.spec.seed: run for run in runs})

    def wide(self, width: float) -> list[RunSpec]:
        """Specify the trainings of one width, of an architecture that trains one by one."""
        return [replace(s, stop_at=NEVER, model_options={**s.model_options, "width": width}) for s in self.specs]

    def seconds_left(self, width: float) -> float:
        """Predict how long networks with one hidden layer, of one width, would train; 0 s where all are kept."""
        return seconds_left(*self._together(width), **self._how)

    def _together(self, width: float) -> tuple[Labelled, Labelled, int]:
        if width != int(width):
            raise ValueError(f"width {width:g}: the hidden layer of an mlp has a whole number of units")
        return self.data.train, self.data.test, int(width)

    @property
    def _how(self) -> dict[str, Any]:
        recipe, seeds = self.specs[0].settled(), [spec.seed for spec in self.specs]
        return {"seeds": seeds, "epsilon": self.specs[0].epsilon, "steps": recipe.epochs, "lr": recipe.lr}

    def with_noise(self, epsilon: float, *, seeds: int) -> Family:
        """Return the same trainings at another share of redrawn labels, from the first `seeds` seeds."""
        return replace(self, specs=[replace(spec, epsilon=epsilon, data_seed=spec.seed) for spec in self.specs[:seeds]])


def family_of(setup: Session, data: Dataset) -> Family:
    """Gather the one architecture that a notebook's widths are of."""
    (architecture,) = setup.architectures
    return Family(setup.specs()[architecture], data)


def every_training(setup: Session) -> dict[str, list[RunSpec]]:
    """List the runs of each width; networks with one hidden layer are none."""
    family = family_of(setup, setup.load_data(download=False))
    widths = [] if family.unit == "step" else setup.own["widths"]
    return {f"{setup.architectures[0]} of width {width:g}": family.wide(width) for width in widths}


def beside_runs(setup: Session) -> dict[str, float]:
    """Predict the seconds of each width's networks with one hidden layer, which train all seeds at once."""
    family = family_of(setup, setup.load_data(download=False))
    widths = setup.own["widths"] if family.unit == "step" else []
    what = f"seeds at once, {setup.epochs:,} steps"
    return {f"mlp of width {width:g}, {len(setup.seeds)} {what}": family.seconds_left(width) for width in widths}


def by_moment(networks: Mapping[float, Networks], test: Labelled, *, progress: bool = True, **how: Any) -> xr.Dataset:
    """Compute accuracies and the geometry of the test manifolds over width (geometry of memorization, 4, figure 4C-E).

    Args:
        networks: by width, all of the same seeds.
        test: examples with their true labels.
        progress: show a bar.
        how: as for `geometry`.

    Returns:
        Dataset over (width, seed, moment), the moments being the best test accuracy and the end: `train_accuracy` on
        the labels as trained, `test_accuracy`, `step`, and what `geometry` gives; `parameters` counts them by width.
    """
    widths, seeds = list(networks), next(iter(networks.values())).course["seed"].values.tolist()
    table = {name: np.full((len(widths), len(seeds), len(MOMENTS)), np.nan) for name in (*ACCURACIES, *GEOMETRY)}
    counts = np.zeros(len(widths), int)
    places = list(product(enumerate(widths), enumerate(seeds), enumerate(MOMENTS)))
    for (i, width), (j, seed), (k, moment) in tqdm(places, desc="geometry", disable=not progress, **BAR):
        model = networks[width].model(seed, moment)
        counts[i] = sum(p.numel() for p in model.parameters())
        accuracies = _outcome(networks[width].course.sel(seed=seed), moment)
        for name, value in {**accuracies, **geometry(model, test, seed=seed, **how)}.items():
            table[name][i, j, k] = value
    over = ("width", "seed", "moment")
    variables = {name: (over, values) for name, values in table.items()} | {"parameters": ("width", counts)}
    return xr.Dataset(variables, coords={"width": widths, "seed": seeds, "moment": list(MOMENTS)})


def _outcome(course: xr.Dataset, moment: Moment) -> dict[str, float]:
    """Return the accuracies of one network at its best or at its end, and when that is."""
    after = course.isel(step=slice(1, None))
    at = after.isel(step=int(after["test_accuracy"].values.argmax()) if moment == "best" else -1)
    return {name: float(at[name]) for name in ACCURACIES}


def geometry(model: nn.Module, test: Labelled, *, points: int, n_t: int = 200, seed: int = 0) -> dict[str, float]:
    """Measure the test manifolds in the last layer before the classifier.

    What the centres share stays in: MFTMA's own choice of how much to remove changes from network to network, and of
    ten classes little is left where it takes three directions (on trial seeds, radii of 1 beside radii of 30).

    Args:
        model: any with two layers or more.
        test: examples with their true labels.
        points: M, examples a class.
        n_t: as for `mftma`.
        seed: of the drawn examples and of MFTMA's vectors.

    Returns:
        `dimension`, `radius`, `centre_correlation` and `capacity`, NaN where every unit of a narrow layer is dead; and
        `bound`, the smaller one of the layer's features and M, which the dimension cannot exceed.
    """
    model = model.to(default_device())
    layer = main_layers(model, test.inputs)[-2]
    clouds = class_manifolds(model, test, points=points, names=[layer], pixels=False, seed=seed)[layer.name]
    bound = {"bound": float(min(next(iter(clouds.values())).shape[1], points))}
    if not any(bool(cloud.any()) for cloud in clouds.values()):
        return bound | dict.fromkeys(LABELS, np.nan)
    manifolds = mftma(clouds, n_t=n_t, rank=0, seed=seed)
    return bound | {name: float(manifolds[name]) for name in LABELS}


def courses(by_width: Mapping[float, xr.Dataset]) -> xr.Dataset:
    """Stack the courses of all widths, over (width, seed, step)."""
    widths = xr.Variable("width", list(by_width))
    return xr.concat(list(by_width.values()), dim=widths, join="exact", combine_attrs="drop_conflicts")


def threshold(table: xr.Dataset) -> float:
    """Find the narrowest width whose networks fit 99 % of their labels at the end, on average; NaN for none."""
    fits = table["train_accuracy"].sel(moment="final").mean("seed") >= MEMORIZED
    return float(fits["width"].values[fits.values][0]) if fits.any() else float("nan")


def turning_points(curve: Floats, *, leftmost: int = 1) -> tuple[int, int]:
    """Find the dip and the peak for which the smaller one of rise and second fall is largest; the lowest such dip.

    Args:
        curve: shape (widths,), of four widths at least.
        leftmost: the first place that may be the dip: 1 where the curve is to fall first, 0 where it may rise at once.
    """
    pairs = combinations(range(leftmost, len(curve) - 1), 2)
    return max(pairs, key=lambda pair: (min(changes_between(curve, *pair)[1:]), -curve[pair[0]]))


def changes_between(curve: Floats, dip: int, peak: int) -> tuple[float, float, float]:
    """Return by how much a curve falls to its dip, rises to its peak, and falls to its end."""
    return curve[0] - curve[dip], curve[peak] - curve[dip], curve[peak] - curve[-1]


def unmemorized(accuracy: Floats, epsilon: float, classes: int) -> Floats:
    """Return the expected accuracy on training labels of networks that memorize none: (1 - epsilon) a + epsilon / C.

    Args:
        accuracy: a, on true labels of new examples; of any shape.
        epsilon: share of the training labels that are redrawn, uniformly over the classes.
        classes: C.
    """
    return (1 - epsilon) * accuracy + epsilon / classes
