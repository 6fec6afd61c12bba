"""The rewound networks of notebook 07: several seeds, the four label subsets, and what is read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.labels import PermutedLabels
from landscape_utils.engine.layers import Layer
from landscape_utils.kit.devices import default_device
from landscape_utils.memorization.rewinding import (
    ALL,
    TREATMENTS,
    Treatment,
    last_layers,
    rewind,
    rewound_predictions,
    single_layers,
    titles,
)
from landscape_utils.training.runs import Run

MATTERING = 3  # layers, as many as a picture has colours for
SETTLED = 0.95  # of the final training accuracy
HALVES = ("half 1", "half 2")  # of the test images: an epoch is chosen on one and looked at on the other
SUBSETS = ("train", "unpermuted", "permuted", "restored", "test", *HALVES)

Rows = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A run that memorized, and the images on which its rewound networks are looked at.

    Attributes:
        run: with the weights of several epochs.
        model: the final network.
        inputs: training and test images, shape (N, ...).
        train: how many of them are training images; they come first.
        subsets: rows of `inputs` and their targets, by the names in `SUBSETS`.
    """

    run: Run
    model: nn.Module
    inputs: Tensor
    train: int
    subsets: Rows

    def accuracies(
        self,
        parts: Mapping[str, Sequence[Layer] | None] | None = None,
        epochs: Sequence[int] | None = None,
        *,
        bn: Treatment = "rewind",
        progress: bool = False,
    ) -> xr.DataArray:
        """Measure the network with parts rewound, by default every single layer and all, to every epoch kept.

        Returns:
            Accuracies over (rewound, epoch, subset); `restored` counts the true labels of permuted examples.
        """
        checkpoints = {e: self.run.weights(e) for e in (self.run.epochs if epochs is None else epochs)}
        images = self.inputs[: self.train]
        how = {"bn": bn, "images": images, "progress": progress}
        predicted = rewound_predictions(self.model, checkpoints, self.inputs, parts, **how)  # type: ignore[arg-type]
        tables = []
        for rows, targets in (self.subsets[name] for name in SUBSETS):
            hits = predicted.isel(example=rows.numpy()) == xr.DataArray(targets.numpy(), dims="example")
            tables.append(hits.sum("example") / (len(rows) or np.nan))  # a subset may be empty
        return xr.concat(tables, dim=xr.Variable("subset", list(SUBSETS))).transpose("rewound", "epoch", "subset")


def subject(run: Run, *, images: int, test_images: int) -> Subject:
    """Prepare a run.

    Args:
        run: one on partly permuted labels.
        images: drawn at random from the training set.
        test_images: drawn at random from the test set.
    """
    labels = run.labels()
    train, test = _drawn(labels.dataset.train.size, images), _drawn(labels.dataset.test.size, test_images)
    inputs = torch.cat([labels.dataset.train.inputs[train], labels.dataset.test.inputs[test]])
    subsets = _subsets(labels, train, test)
    return Subject(run, run.model().to(default_device()), inputs, len(train), subsets)


def _drawn(size: int, count: int) -> Tensor:
    # Not by torch's generator: with the same seed it would draw the very examples whose labels it permuted.
    return torch.from_numpy(np.random.default_rng(0).permutation(size)[:count])


def _subsets(labels: PermutedLabels, train: Tensor, test: Tensor) -> Rows:
    trained, true = labels.dataset.train.targets[train], labels.original[train]
    permuted, tested = labels.permuted[train], labels.dataset.test.targets[test]
    rows, of_test = torch.arange(len(train)), len(train) + torch.arange(len(test))
    half = len(test) // 2
    return {
        "train": (rows, trained),
        "unpermuted": (rows[~permuted], trained[~permuted]),
        "permuted": (rows[permuted], trained[permuted]),
        "restored": (rows[permuted], true[permuted]),
        "test": (of_test, tested),
        HALVES[0]: (of_test[:half], tested[:half]),
        HALVES[1]: (of_test[half:], tested[half:]),
    }


def identities(subject: Subject) -> dict[str, bool]:
    """Check, bit for bit, that rewinding means what it says.

    Every layer rewound to the final epoch changes nothing; all of them rewound to an epoch are that epoch's network.
    """
    run, model = subject.run, subject.model
    final, parts = run.weights(), single_layers(model, subject.inputs[:1])
    last = run.weights(run.epochs[-1])
    nothing = all(_same(rewind(final, last, part), final) for part in parts.values())
    return {
        "every layer to the final epoch: nothing changes": nothing,
        "all layers to an epoch: its network": all(
            _same(rewind(final, run.weights(e)), run.weights(e)) for e in run.epochs
        ),
    }


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def by_layer(subjects: Sequence[Subject], *, progress: bool = True) -> xr.Dataset:
    """Rewind every single layer, and all, of every seed's network to every epoch that is kept.

    Returns:
        Dataset over (seed, rewound, epoch, subset): `accuracy`; a run that has stopped stays as it is, an epoch that
        one run kept and another did not is NaN. Over seed: `last` epoch, and `stopped`, the epoch of highest test
        accuracy. Coordinate `title` of what is rewound.
    """
    seeds = xr.Variable("seed", [s.run.spec.seed for s in subjects])
    every = [s.accuracies(progress=progress) for s in subjects]
    last = xr.DataArray([int(table["epoch"][-1]) for table in every], {"seed": seeds}, "seed")
    joined = xr.concat(every, dim=seeds, join="outer", fill_value=np.nan)
    ends = xr.concat([table.isel(epoch=-1, drop=True) for table in every], dim=seeds)
    accuracy = joined.where(joined["epoch"] <= last, ends).transpose("seed", "rewound", "epoch", "subset")
    stopped = accuracy.sel(rewound=ALL, subset="test").idxmax("epoch").astype(int)
    first = subjects[0]
    names = {**titles(first.model, first.inputs[:1]), ALL: ALL}
    table = xr.Dataset({"accuracy": accuracy, "last": last, "stopped": stopped.drop_vars(("rewound", "subset"))})
    return table.assign_coords(title=("rewound", [names[str(n)] for n in accuracy["rewound"].values])).assign_attrs(
        architecture=first.run.spec.model, images=first.train, test_images=len(first.inputs) - first.train
    )


def best(table: xr.Dataset) -> xr.Dataset:
    """Look at each part at its best rewind epoch, without rewarding the choice.

    The epoch is chosen on one half of the test images and the test accuracy measured on the other, both ways round.

    Args:
        table: from `by_layer`.

    Returns:
        Dataset over (seed, rewound): `epoch`, for each `half` that chose, and `accuracy` over subsets, their mean.
    """
    accuracy, at_best, epochs = table["accuracy"], [], []
    for choosing, measuring in (HALVES, HALVES[::-1]):
        epoch = accuracy.sel(subset=choosing, drop=True).idxmax("epoch").astype(int)
        chosen = accuracy.sel(epoch=epoch).drop_vars("epoch")
        at_best.append(chosen.where(chosen["subset"] != "test", chosen.sel(subset=measuring, drop=True)))
        epochs.append(epoch)
    half = xr.Variable("half", list(HALVES))
    accuracy = xr.concat(at_best, dim=half).mean("half").sel(subset=list(SUBSETS[:-2]))
    return xr.Dataset({"epoch": xr.concat(epochs, dim=half), "accuracy": accuracy})


def that_matter(table: xr.Dataset) -> list[str]:
    """Name the three layers that give back most test accuracy at their best rewind epoch, in their order.

    Args:
        table: from `by_layer`.
    """
    gained = best(table)["accuracy"].sel(subset="test").mean("seed").drop_sel(rewound=ALL)
    most = set(gained["rewound"].values[np.argsort(-gained.values)[:MATTERING]].tolist())
    return [str(name) for name in gained["rewound"].values if name in most]


def final(table: xr.Dataset) -> xr.DataArray:
    """Return the accuracies of the network with nothing rewound, over (seed, subset)."""
    return table["accuracy"].sel(rewound=ALL, drop=True).isel(epoch=-1, drop=True)


def settling(table: xr.Dataset, *, share: float = SETTLED) -> xr.DataArray:
    """Return from which rewind epoch on the training accuracy stays at `share` of the final one or above.

    Args:
        table: from `by_layer`.
        share: in (0, 1].

    Returns:
        Epochs over (seed, rewound).
    """
    train = table["accuracy"].sel(subset="train", drop=True)
    below = train < share * final(table).sel(subset="train", drop=True)  # NaN is not below
    last_below = xr.where(below, table["epoch"], -1).max("epoch")
    epochs = xr.where(train.notnull() & (table["epoch"] > last_below), table["epoch"], np.inf)
    settled: xr.DataArray = epochs.min("epoch").transpose("seed", "rewound")
    return settled


def last(subjects: Sequence[Subject], table: xr.Dataset) -> xr.DataArray:
    """Rewind the last k layers to the epoch at which early stopping ends, for every k from 0 to all.

    Returns:
        Accuracies over (seed, last, subset).
    """
    every = []
    for one in subjects:
        parts = {"last 0": [], **last_layers(one.model, one.inputs[:1])}
        epoch = int(table["stopped"].sel(seed=one.run.spec.seed))
        every.append(one.accuracies(parts, [epoch]).isel(epoch=0, drop=True))
    accuracies = xr.concat(every, dim=table["seed"].variable).rename(rewound="last")
    return accuracies.assign_coords(last=np.arange(accuracies.sizes["last"]))


def treatments(subjects: Sequence[Subject], table: xr.Dataset) -> xr.DataArray:
    """Treat BatchNorm's statistics in three ways, with each layer rewound to the epoch of early stopping.

    Returns:
        Accuracies over (bn, seed, rewound, subset); `nothing` is rewound as well.
    """
    seeds = [one.run.spec.seed for one in subjects]
    chosen, by_bn = table.sel(seed=seeds), []
    rewound = chosen["accuracy"].sel(epoch=chosen["stopped"]).drop_vars("epoch")
    nothing = final(chosen).expand_dims(rewound=["nothing"])
    for bn in TREATMENTS[1:]:
        every = []
        for one, epoch in zip(subjects, chosen["stopped"].values.tolist(), strict=True):
            parts = {"nothing": [], **single_layers(one.model, one.inputs[:1])}
            every.append(one.accuracies(parts, [epoch], bn=bn).isel(epoch=0, drop=True))
        by_bn.append(xr.concat(every, dim=chosen["seed"].variable))
    as_default = xr.concat([nothing, rewound.drop_vars("title")], dim="rewound").transpose(*by_bn[0].dims)
    accuracies = xr.concat([as_default, *by_bn], dim=xr.Variable("bn", list(TREATMENTS)))
    return accuracies.assign_coords(title=("rewound", ["nothing", *table["title"].values]))
