"""The models of an ego-space study side by side: three recipes, several architectures and seeds, one window for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import Labelled, class_index
from landscape_utils.engine import space
from landscape_utils.engine.class_gradients import class_gradients
from landscape_utils.engine.engine import Precision
from landscape_utils.engine.evaluate import Options
from landscape_utils.interference.cctm import ClassPair, error_shares
from landscape_utils.interference.ego import ego_surface, ego_weights, interference_weights
from landscape_utils.interference.flatness import class_rises, flat_radii, random_radii, surface_similarity
from landscape_utils.kit import store
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.workers import remembered_each
from landscape_utils.training.runs import Run


class Kind(NamedTuple):
    """Which models of the study share a window."""

    architecture: str
    recipe: str


class Member(NamedTuple):
    """Which model of the study."""

    architecture: str
    recipe: str
    seed: int

    @property
    def kind(self) -> Kind:
        """Leave the seed out."""
        return Kind(self.architecture, self.recipe)


@dataclass(frozen=True, eq=False)
class Moved:
    """A trained model that is moved along its class gradients.

    Attributes:
        model: on some device.
        train: on which the gradients are taken.
        images: at which its spaces are evaluated, on the model's device.
    """

    model: nn.Module
    train: Labelled
    images: Labelled

    @cached_property
    def gradients(self) -> Tensor:
        """Take the class gradients (C, P); where all that rests on them is known already, they are never needed."""
        return class_gradients(self.model, self.train)

    def pair(self, pair: ClassPair) -> tuple[Tensor, Tensor]:
        """Return the gradients of two classes."""
        names = list(self.images.classes or ())
        return self.gradients[names.index(pair[0])], self.gradients[names.index(pair[1])]

    @cached_property
    def identity(self) -> str:
        """Name the model and its data, by their own bytes."""
        tensors = [t for part in (self.train, self.images) for t in (part.inputs, part.targets)]
        return store.fingerprint(self.model, tensors, {})

    def key(self, **settings: object) -> str:
        """Name what decides a result of it."""
        return store.digest({"of": self.identity, **{name: repr(value) for name, value in settings.items()}})


def moved(run: Run, train: Labelled, *, images: int | None = None) -> Moved:
    """Load a run's final model on the fastest device.

    Args:
        run: a finished training.
        train: its training set, on which class gradients are taken.
        images: at how many of them, stratified, the spaces are evaluated; all for None.
    """
    device = default_device()
    part = train.stratified(images) if images is not None else train
    return Moved(run.model().to(device), train, part.to(device))


def members(runs: Mapping[str, Sequence[Run]]) -> dict[Member, Run]:
    """Name runs by architecture, recipe and seed."""
    every = [run for of_one in runs.values() for run in of_one]
    return {Member(run.spec.model, run.spec.recipe, run.spec.seed): run for run in every}


def accuracies(runs: Mapping[Member, Run]) -> xr.Dataset:
    """Gather the final accuracies: Dataset over (architecture, recipe, seed) of train and test accuracy."""
    rows = {member: run.history.isel(epoch=-1)[["train_accuracy", "test_accuracy"]] for member, run in runs.items()}
    return gathered({member: row.drop_vars(list(row.coords)) for member, row in rows.items()})


def gathered(rows: Mapping[Member, xr.Dataset]) -> xr.Dataset:
    """Stack Datasets of single models over (architecture, recipe, seed), in the order they come; else NaN."""
    placed = [row.drop_attrs().expand_dims({k: [v] for k, v in m._asdict().items()}) for m, row in rows.items()]
    whole = xr.combine_by_coords(placed, combine_attrs="drop_conflicts", join="outer")
    assert isinstance(whole, xr.Dataset)
    order = {k: list(dict.fromkeys(getattr(m, k) for m in rows)) for k in Member._fields}
    return whole.sel(order)


def named_pairs(classes: Sequence[str], given: Sequence[str] | None) -> list[ClassPair]:
    """Read pairs written as first-second.

    Raises:
        ValueError: no such class; the nearest names are given.
    """
    pairs = []
    for text in given or ():
        first, second = (classes[class_index(classes, part)] for part in text.split("-"))
        if first == second:
            raise ValueError(f"{text} is no pair; name two different classes")
        pairs.append((first, second))
    return pairs


def chosen_pairs(rates: xr.DataArray, given: Sequence[ClassPair]) -> list[ClassPair]:
    """Choose the most interfering pair of classes, the next one, and the least interfering; given ones come first.

    Pairs are ordered by their share of all errors. None shares a class with those before it where there are classes
    enough; with fewer than three pairs of classes one is repeated.

    Args:
        rates: CCTM with the coordinate `examples`.
        given: up to three pairs that take the first places, whatever their interference.
    """
    chosen, order = list(given), ordered_pairs(rates)
    while len(chosen) < 3:
        used = {name for pair in chosen for name in pair}
        apart = [pair for pair in order if not set(pair) & used]
        others = apart or [pair for pair in order if set(pair) not in [set(p) for p in chosen]] or order
        chosen.append(others[-1] if len(chosen) == 2 else others[0])
    return chosen[:3]


def ordered_pairs(rates: xr.DataArray) -> list[ClassPair]:
    """List all pairs of classes by their share of the errors, the most interfering first."""
    shares = error_shares(rates)
    return [(str(a), str(b)) for a, b in zip(shares["first"].values, shares["second"].values, strict=True)]


def spaces(
    models: Mapping[Member, Moved],
    pairs: Sequence[ClassPair],
    *,
    sigma: Mapping[Kind, float],
    points: int,
    precision: Precision = "float32",
    progress: bool = True,
) -> dict[tuple[Member, ClassPair], xr.Dataset]:
    """Evaluate interference spaces of several models and pairs, over one window an architecture and recipe.

    Args:
        models: with their gradients.
        pairs: of class names.
        sigma: half the window's width in theta, by architecture and recipe.
        points: along each direction.
        precision: as for `evaluate.surface`.
        progress: show a bar over all spaces.
    """
    places = [(member, pair) for member in models for pair in dict.fromkeys(pairs)]

    def work(one: Moved, pair: ClassPair, half: float) -> xr.Dataset:
        how: Options = {"precision": precision, "progress": False}
        return ego_surface(one.model, one.images, *pair, sigma=half, points=points, gradients=one.pair(pair), **how)

    jobs = []
    for member, pair in places:
        one, half = models[member], sigma[member.kind]
        key = one.key(pair=pair, sigma=half, points=points, precision=precision)
        jobs.append((key, partial(_given, one, pair, half)))
    return dict(zip(places, remembered_each("ego", "interference-spaces", jobs, work, progress=progress), strict=True))


def _given(one: Moved, *others: Any) -> tuple[Any, ...]:
    """Take the gradients here, where they stay, before the model goes to a worker."""
    _ = one.gradients
    return (one, *others)


def radii(
    models: Mapping[Member, Moved],
    pair: ClassPair,
    *,
    angles: int,
    precision: Precision = "float32",
    progress: bool = True,
) -> xr.Dataset:
    """Measure every model's radius of flatness in one pair's interference space, as `flat_radii` does.

    Returns:
        Its Dataset over (architecture, recipe, seed) too; angles are from theta1 towards theta2.
    """

    def work(one: Moved) -> xr.Dataset:
        first, second = one.pair(pair)
        how: Options = {"precision": precision, "progress": False}
        return flat_radii(one.model, one.images, -first, -second, angles=angles, **how)

    jobs = [(o.key(pair=pair, angles=angles, precision=precision), partial(_given, o)) for o in models.values()]
    return gathered(
        dict(zip(models, remembered_each("ego", "radii-of-flatness", jobs, work, progress=progress), strict=True))
    )


def radii_at_random(
    models: Mapping[Member, Moved], *, count: int = 8, precision: Precision = "float32"
) -> xr.DataArray:
    """Measure every model's radius of flatness along random directions, (architecture, recipe, seed, direction)."""

    def work(one: Moved, seed: int) -> xr.Dataset:
        how: Options = {"precision": precision, "progress": False}
        return random_radii(one.model, one.images, count=count, seed=seed, **how).to_dataset()

    jobs = []
    for member, one in models.items():
        seed = member.seed * count
        jobs.append((one.key(count=count, seed=seed, precision=precision), partial(tuple, (one, seed))))
    return gathered(dict(zip(models, remembered_each("ego", "random-radii", jobs, work), strict=True)))["walked"]


def windows(found: xr.Dataset) -> dict[Kind, float]:
    """Choose a window in theta for each architecture and recipe: four times the typical radius of flatness.

    sigma = 4 sqrt(area / pi), with the geometric mean of the seeds' `area_theta`: the flat part is seen whole, and
    what lies around it too.

    Args:
        found: of `radii`.
    """
    logs = found["area_theta"].copy(data=np.log(found["area_theta"].values)).mean("seed")
    sigma = (4 * np.exp(logs / 2) / np.sqrt(np.pi)).stack(kind=("architecture", "recipe")).dropna("kind")
    return {Kind(*map(str, kind)): float(s) for kind, s in zip(sigma["kind"].values, sigma.values, strict=True)}


def of_pair(spaces: Mapping[tuple[Member, ClassPair], xr.Dataset], pair: ClassPair) -> dict[Member, xr.Dataset]:
    """Pick one pair's spaces."""
    return {member: grid for (member, p), grid in spaces.items() if p == pair}


def only(models: Mapping[Member, Moved], recipes: Iterable[str]) -> dict[Member, Moved]:
    """Pick the models of some recipes."""
    wanted = set(recipes)
    return {member: one for member, one in models.items() if member.recipe in wanted}


def of_seed(spaces: Mapping[Member, xr.Dataset], seed: int) -> dict[Member, xr.Dataset]:
    """Pick one seed's spaces."""
    return {member: grid for member, grid in spaces.items() if member.seed == seed}


def by_recipe(
    spaces: Mapping[tuple[Member, ClassPair], xr.Dataset], architecture: str
) -> dict[str, dict[str, xr.Dataset]]:
    """Arrange one architecture's spaces of the first seed there is, recipes in rows and pairs in columns."""
    rows: dict[str, dict[str, xr.Dataset]] = {}
    for (member, pair), grid in spaces.items():
        if member.architecture == architecture:
            rows.setdefault(member.recipe, {}).setdefault("-".join(pair), grid)
    return rows


def numbers(spaces: Mapping[tuple[Member, ClassPair], xr.Dataset]) -> xr.Dataset:
    """Stack spaces of different windows for saving: mistake rate and loss over (space, row, column), and thetas."""
    stacked = []
    for (member, pair), grid in spaces.items():
        data = {name: (("row", "column"), grid[name].values) for name in ("mistake_rate", "loss")}
        thetas = {"theta1": ("row", grid["theta1"].values), "theta2": ("column", grid["theta2"].values)}
        label = f"{'-'.join(pair)}, {', '.join(map(str, member))}"
        stacked.append(xr.Dataset({**data, **thetas}).expand_dims(space=[label]))
    return xr.concat(stacked, dim="space")


def rises(spaces: Mapping[Member, xr.Dataset]) -> xr.DataArray:
    """Gather the median rises of the classes' losses over (architecture, recipe, seed, class); see `class_rises`."""
    return gathered({member: class_rises(grid).to_dataset() for member, grid in spaces.items()})["rise"]


def mean_similarity(spaces: Iterable[xr.Dataset]) -> xr.DataArray:
    """Average the similarity of class surfaces over spaces, each without its own two classes; (class, other)."""
    tables = []
    for grid in spaces:
        own = [grid.attrs["first"], grid.attrs["second"]]
        similar = surface_similarity(grid)
        tables.append(similar.where(~similar["class"].isin(own) & ~similar["other"].isin(own)))
    return xr.concat(tables, dim="space").mean("space")


def proposition_error(one: Moved, pair: ClassPair, *, draws: int = 20, seed: int = 0) -> float:
    """Check proposition 1 in float64: the largest relative distance of an interference model from its combination.

    w - (theta1 g1 + theta2 g2) = lam (w - theta1/lam g1) + (1 - lam) (w - theta2/(1 - lam) g2), for random theta in
    [-1, 1] and lam in (0.05, 0.95) (class interference, 2.2).
    """
    w, (g1, g2) = space.flatten(one.model).double(), (g.double() for g in one.pair(pair))
    rng, errors = np.random.default_rng(seed), []
    for _ in range(draws):
        t1, t2, lam = (*rng.uniform(-1, 1, 2), rng.uniform(0.05, 0.95))
        combined = lam * ego_weights(w, g1, t1 / lam) + (1 - lam) * ego_weights(w, g2, t2 / (1 - lam))
        errors.append(float((combined - interference_weights(w, g1, g2, t1, t2)).norm() / w.norm()))
    return float(np.max(errors))  # NaN where one is
