"""The networks, variants and interpolations of notebook 05."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.engine.shadow import probe
from landscape_utils.kit import Floats
from landscape_utils.kit.devices import default_device
from landscape_utils.plateau import plateau
from landscape_utils.plateau.paths import Scheme, path
from landscape_utils.plateau.plateau import ALPHAS, interpolate
from landscape_utils.suite.session import Session
from landscape_utils.training.history import last_bias
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.runs import Run, load_data
from landscape_utils.training.several import train_what_fits

STARTS = (1.0, 0.5, 0.25, 0.0)  # shares of an initialisation, the vanishing one the last
VANISHING = 0.02  # of Glorot's, the size of the output at a small initialisation
FITTED = 0.9  # training accuracy below which a run has no solution to interpolate to
LEARNED = 0.9  # of a class's training examples recognised


@dataclass(frozen=True, eq=False)
class Network:
    """An architecture on its data, and how each of its seeds is trained.

    Attributes:
        name: e.g. `fcn on mnist`.
        specs: one a seed.
        data: what it is trained on; None to load it by name, for each seed its own.
        train, test: the images on which curves are taken.
    """

    name: str
    specs: Sequence[RunSpec]
    data: Dataset | None
    train: Labelled
    test: Labelled

    @property
    def classes(self) -> tuple[str, ...]:
        """Name the classes."""
        return self.train.classes or ()

    def variant(self, **options: Any) -> Network:
        """Change the architecture's options (`depth`, `init_scale`, `bias`)."""
        return replace(self, specs=changed(self.specs, **options))

    def runs(self, *, progress: bool = True) -> list[Run | None]:
        """Train every seed, or read it back; None for one whose loss does not stay finite."""
        runs = train_what_fits(self.specs, data=self.data, progress=progress)
        return [run if isinstance(run, Run) else None for run in runs]


@dataclass(frozen=True, eq=False)
class Way:
    """One run's interpolation from its initialisation to its solution.

    Attributes:
        network: its name.
        variant: what is changed about it; empty for nothing.
        scheme: how the parameters move.
        seed: of the run.
        accuracy: of the solution on all training images; 0 where training diverged.
        curve: over `alpha`, on training images; NaN where training diverged.
    """

    network: str
    variant: str
    scheme: str
    seed: int
    accuracy: float
    curve: xr.Dataset

    @property
    def title(self) -> str:
        """Name the network and what is changed about it."""
        return ", ".join(filter(None, (self.network, self.variant)))

    def length(self, variable: str = "mistake_rate") -> float:
        """Return the plateau's length."""
        return plateau.plateau_length(self.curve, variable)


def changed(specs: Sequence[RunSpec], **options: Any) -> list[RunSpec]:
    """Change the architecture's options."""
    return [replace(s, model_options={**s.model_options, **options}) for s in specs]


def network(specs: Sequence[RunSpec], *, images: int, data: Dataset | None = None) -> Network:
    """Prepare an architecture on its data.

    Args:
        specs: one a seed.
        images: of the training and of the test set, on which curves are taken.
        data: if it is in memory already.
    """
    first = specs[0]
    data = load_data(first) if data is None else data
    parts = (data.train.stratified(images), data.test.stratified(images))
    return Network(f"{first.model} on {first.dataset}", list(specs), data, *parts)


def elsewhere(
    specs: Sequence[RunSpec], dataset: str, *, size: int | None = None, seeds: int | None = None
) -> list[RunSpec]:
    """Return the same trainings on another dataset, whole or `size` training examples of it, from as many seeds."""
    first = specs[0].seed
    every = [s.seed for s in specs] if seeds is None else range(first, first + seeds)
    return [
        replace(specs[0], dataset=dataset, train_size=size, seed=seed, test_size=None, difficulty=None, image_size=None)
        for seed in every
    ]


def from_small_weights(network: Network, depths: Sequence[int]) -> dict[int, Network]:
    """Build the theory's networks by depth r: a bias on the last layer only, and a small initialisation.

    The weights' scale is 0.02^(1/r), so that at every depth the initial output is about 1/50 of Glorot's.
    """
    return {r: network.variant(**_small(r)) for r in depths}


def _small(depth: int) -> dict[str, Any]:
    return {"depth": depth, "bias": "last", "init_scale": round(VANISHING ** (1 / depth), 3)}


def ways(network: Network, variant: str = "", scheme: Scheme = "linear", *, progress: bool = True) -> list[Way]:
    """Interpolate every seed of a network from its initialisation to its solution."""
    file, walked = (network.name, variant, scheme), []
    for spec, run in zip(network.specs, network.runs(progress=progress), strict=True):
        if run is None:
            walked.append(Way(*file, spec.seed, 0.0, _unknown(network)))
            continue
        model, start, end = run.model().to(default_device()), run.weights("initial"), run.weights()
        curve = interpolate(model, start, end, network.train, scheme=scheme, progress=progress)
        walked.append(Way(*file, spec.seed, float(run.history.train_accuracy[-1]), curve))
    return walked


def by_option(network: Network, option: str, values: Iterable[float]) -> dict[str, list[Way]]:
    """Interpolate networks that differ in one option of the architecture, by the option and its value."""
    names = {f"{option.replace('_', ' ')} {value:g}": value for value in values}
    return {name: ways(network.variant(**{option: value}), name) for name, value in names.items()}


def _unknown(network: Network) -> xr.Dataset:
    values = ("alpha", np.full(len(ALPHAS), np.nan))
    coordinates = {"alpha": ALPHAS, "class": list(network.classes)}
    return xr.Dataset({name: values for name in VARIABLES}, coords=coordinates)


def lengths(ways: Iterable[Way], variable: str = "mistake_rate") -> Floats:
    """Return the plateaus' lengths, one a seed."""
    return np.array([way.length(variable) for way in ways])


def table(ways: Sequence[Way]) -> xr.Dataset:
    """Stack curves for saving: loss and mistake rate over (line, alpha), plateau lengths, violations."""
    labels = [", ".join((w.title, w.scheme, f"seed {w.seed}")) for w in ways]
    curves = {v: (("line", "alpha"), np.array([w.curve[v].values for w in ways])) for v in VARIABLES}
    measured = {f"plateau_{v}": ("line", [w.length(v) for w in ways]) for v in VARIABLES}
    broken = {f"violations_{v}": ("line", [plateau.violations(w.curve, v) for w in ways]) for v in VARIABLES}
    accuracy = {"train_accuracy": ("line", [w.accuracy for w in ways])}
    coordinates = {"line": labels, "alpha": ways[0].curve["alpha"].values}
    return xr.Dataset({**curves, **measured, **broken, **accuracy}, coords=coordinates)


def every(rows: Mapping[str, Mapping[str, Sequence[Way]]]) -> list[Way]:
    """Gather the ways of all rows and variants into one list."""
    return [way for variants in rows.values() for ways in variants.values() for way in ways]


VARIABLES = ("loss", "mistake_rate")


# --- prediction against measurement ------------------------------------------------------------------------------


def predictions(networks: Mapping[int, Network], *, gaps: Sequence[float] = (0.0, 1.0, 2.0, 4.0)) -> xr.Dataset:
    """Compute measured error plateaus and those that the competition of signal and bias predicts.

    Besides the solution as it is, its largest bias is raised by `gap`: the end of the way then has a larger bias gap
    and the same weights. And the solution as it is is also walked to from a `start` that is shrunken towards zero, from
    which the prediction holds.

    Args:
        networks: with a bias on the last layer only, by depth.
        gaps: logits added to the largest bias, 0 the first.

    Returns:
        Dataset in alpha; over (depth, seed, gap): `measured` lengths, those `predicted` from the competition's whole
        curve, and `first_flip`, where by the formula of `class_flips` the first class leaves that of the largest bias;
        over (depth, seed, start): `shrunk`, measured from that share of the initialisation. NaN where a run does not
        fit.
    """
    seeds = [spec.seed for spec in next(iter(networks.values())).specs]
    coordinates: dict[str, list[Any]] = {
        "depth": list(networks),
        "seed": seeds,
        "gap": list(gaps),
        "start": list(STARTS),
    }
    dims = {name: ("depth", "seed", "gap") for name in ("measured", "predicted", "first_flip")}
    dims |= {"shrunk": ("depth", "seed", "start")}
    result = xr.Dataset(
        {name: (over, np.full([len(coordinates[d]) for d in over], np.nan)) for name, over in dims.items()}, coordinates
    )
    for depth, network in networks.items():
        for seed, run in zip(seeds, network.runs(), strict=True):
            if run is None or run.history.train_accuracy[-1] < FITTED:
                continue
            for gap in gaps:
                for name, length in _plateaus(run, network, depth, gap).items():
                    result[name].loc[{"depth": depth, "seed": seed, "gap": gap}] = length
            result["shrunk"].loc[{"depth": depth, "seed": seed}] = [_from(run, network, start) for start in STARTS]
    return result


def _plateaus(run: Run, network: Network, depth: int, gap: float) -> dict[str, float]:
    """Measure and predict the error plateau on the way to a solution whose largest bias is raised."""
    model = run.model().to(default_device())
    images = network.train.to(default_device())
    bias = last_bias(model, len(network.classes))
    if bias is None:
        raise ValueError(f"{network.name} has no bias on its last layer; build it with bias='last'")
    with torch.no_grad():
        bias[bias.argmax()] += gap
        end = model(images.inputs), bias, images.targets, depth
        expected, flips = plateau.competition(*end), plateau.class_flips(*end)["alpha"].values
    curve = interpolate(model, run.weights("initial"), model.state_dict(), images, progress=False)
    return {
        "measured": plateau.plateau_length(curve),
        "predicted": plateau.plateau_length(expected),
        "first_flip": _first(np.delete(flips, int(bias.argmax()))),
    }


def _from(run: Run, network: Network, start: float) -> float:
    """Measure the error plateau on the way from a share of the initialisation to the solution."""
    shrunk = {name: start * tensor for name, tensor in run.weights("initial").items()}
    curve = interpolate(run.model().to(default_device()), shrunk, run.weights(), network.train, progress=False)
    return plateau.plateau_length(curve)


def _first(flips: Floats) -> float:
    """Return where a tenth of the classes, at least one, have flipped: the error then has made a tenth of its gain."""
    known = np.sort(flips[np.isfinite(flips)])
    place = max(0, round(plateau.TOLERANCE * (len(flips) + 1)) - 1)
    return float(known[place]) if place < len(known) else np.nan


# --- learning order -----------------------------------------------------------------------------------------------


def learning_order(run: Run) -> xr.Dataset:
    """Return when each class was learned, and its bias at the end.

    A class is learned at the first epoch from which on 90 % of its training examples are recognised; NaN for one
    that never is.

    Returns:
        Dataset over `class`: epoch and bias.
    """
    rates = run.history["train_cctm"].values
    known = np.diagonal(rates, axis1=1, axis2=2) >= LEARNED  # (epoch, class)
    ever_after = np.flip(np.logical_and.accumulate(np.flip(known, 0)), 0)
    epoch = np.where(ever_after[-1], ever_after.argmax(0), np.nan)
    bias = run.history["last_bias"].values[-1]
    return xr.Dataset({"epoch": ("class", epoch), "bias": ("class", bias)}, coords={"class": run.history["class"]})


def small_runs(network: Network, *, train_size: int, test_size: int, epochs: int, seeds: int) -> list[Run]:
    """Train on few examples, another choice of them for each seed; all are in every step, so that an epoch is one.

    Seeds whose loss does not stay finite are left out.
    """
    specs = small_specs(network.specs[0], train_size=train_size, test_size=test_size, epochs=epochs, seeds=seeds)
    runs = replace(network, specs=specs, data=None).runs(progress=False)
    return [run for run in runs if run is not None]


def small_specs(spec: RunSpec, *, train_size: int, seeds: int, **how: int) -> list[RunSpec]:
    """Specify the trainings of `small_runs`."""
    every: dict[str, Any] = {"train_size": train_size, "batch_size": train_size, **how}
    return [replace(spec, seed=i, data_seed=i, **every) for i in range(seeds)]


def every_training(setup: Session) -> dict[str, list[RunSpec]]:
    """List what the notebook trains, by what it is for; some are there for several things."""
    own, specs = setup.own, setup.specs()
    first, last = setup.architectures[0], setup.architectures[-1]
    simple = elsewhere(specs[first], own["simple"], size=own["simple_size"], seeds=own["simple_seeds"])
    nets = {f"{first} on {own['simple']}": simple, f"{last} on {setup.dataset}": specs[last]}
    for name in own["others"]:
        architecture, dataset = name.split(" on ")
        seeds = own["simple_seeds"] if architecture == first else None
        nets[name] = elsewhere(specs[architecture], dataset, seeds=seeds)
    scales = {name: [{"init_scale": s} for s in own["scales"].get(name, [1.0])] for name in (first, last)}
    options = {name: [{"bias": False}] for name in nets}
    small = min(own["scales"].get(first, [1.0]))
    of_simple, of_deep = list(nets)[:2]
    options[of_simple] += [{"init_scale": small, "bias": False}, *scales[first], *map(_small, own["depths"])]
    options[of_simple] += [{"depth": depth} for depth in own["depths"]]
    options[of_deep] += scales[last]
    groups = dict(nets)
    for name, every in options.items():
        groups |= {f"{name}, {_spelled(one)}": changed(nets[name], **one) for one in every}
    groups[f"{of_simple}, {own['small']['train_size']} images"] = small_specs(simple[0], **own["small"])
    return groups


def _spelled(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def orders(runs: Sequence[Run]) -> xr.Dataset:
    """Gather the learning orders of runs, over (seed, class)."""
    seeds = xr.Variable("seed", [run.spec.seed for run in runs])
    return xr.concat([learning_order(run) for run in runs], dim=seeds)


def bias_by_rank(orders: xr.Dataset) -> xr.DataArray:
    """Sort each seed's biases by when the class was learned; classes that are learned at one epoch share their mean.

    Args:
        orders: `epoch` and `bias` over (seed, class).

    Returns:
        Array (seed, rank), 1 the class learned first.
    """
    rows = []
    for epochs, bias in zip(np.nan_to_num(orders["epoch"].values, nan=np.inf), orders["bias"].values, strict=True):
        rows.append([bias[epochs == epoch].mean() for epoch in np.sort(epochs)])
    seeds, ranks = orders["seed"].values, np.arange(1, orders.sizes["class"] + 1)
    return xr.DataArray(rows, coords={"seed": seeds, "rank": ranks}, name="bias", attrs={"units": "logits"})


# --- outputs along the way ----------------------------------------------------------------------------------------


def outputs(run: Run, images: Labelled, scheme: Scheme, alphas: Floats = ALPHAS) -> Tensor:
    """Return the network's outputs on the way, shape (alphas, N, C), with the end's BatchNorm statistics."""
    way = path(run.model(), run.weights("initial"), run.weights(), images.inputs, scheme=scheme)
    return torch.stack(probe(way.model, images.inputs, *(way.at(float(alpha)) for alpha in alphas)))
