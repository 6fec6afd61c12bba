"""Single layers of a trained network, or its last ones, rolled back to what they were at an earlier epoch.

The paper rolls back a layer's parameters and does not say what becomes of BatchNorm's running statistics. Here there
are three answers: they are rewound with the layer (the default: needs no data, and rewinding everything gives exactly
the network of that epoch); the final ones are kept; or those of the whole network are estimated anew after the
rewinding, for the layers that follow see other inputs than their statistics were taken from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs, device_of, resident, suited
from landscape_utils.engine import space
from landscape_utils.engine.inference import predictions
from landscape_utils.engine.layers import Layer, layers, main_layers
from landscape_utils.engine.shadow import (
    PROBED,
    answers,
    averaging_statistics,
    classifier,
    fastest_layout,
    renamed,
    unwrapped,
    update_statistics,
)
from landscape_utils.engine.space import StateDict
from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.errors import unknown
from landscape_utils.memorization.replay import Replay

Treatment = Literal["rewind", "keep", "update"]
TREATMENTS: tuple[Treatment, ...] = ("rewind", "keep", "update")
Parts = Mapping[str, Sequence[Layer] | None]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
ALL = "all"
BATCH = 250  # images whose activations are remembered together


def rewind(
    final: StateDict,
    earlier: StateDict,
    layers: Sequence[Layer] | None = None,
    *,
    bn: Literal["rewind", "keep"] = "rewind",
) -> dict[str, Tensor]:
    """Roll layers back to an earlier state, and leave the others as they are in the end.

    Args:
        final, earlier: state dicts of one architecture.
        layers: which, as `layers.layers` gives them; None for every entry, those included that no layer holds.
        bn: whether BatchNorm's running statistics go with the layer, or stay.

    Raises:
        ValueError: the states have other entries or shapes, or `bn` is neither.
    """
    if bn not in ("rewind", "keep"):
        raise unknown("bn", bn, ("rewind", "keep"))
    _check(final, earlier)
    taken = set(_entries(final, layers, bn))
    return {key: earlier[key] if key in taken else value for key, value in final.items()}


def single_layers(model: nn.Module, inputs: Tensor) -> dict[str, list[Layer] | None]:
    """List what is rewound one at a time: every main layer by its name, and `all`.

    Projections on skip connections, and what no layer holds, are rewound with `all` alone.
    """
    return {**{layer.name: [layer] for layer in main_layers(model, inputs)}, ALL: None}


def last_layers(model: nn.Module, inputs: Tensor) -> dict[str, list[Layer] | None]:
    """List the last main layers: `last 1`, `last 2`, and so on to all of them, which is everything.

    A projection on a skip connection goes with them where a forward pass meets it after the first of them.
    """
    every, main = layers(model, inputs), main_layers(model, inputs)
    tails: dict[str, list[Layer] | None] = {
        f"last {k}": every[every.index(layer) :] for k, layer in enumerate(reversed(main), start=1)
    }
    return {**tails, f"last {len(main)}": None}


def titles(model: nn.Module, inputs: Tensor) -> dict[str, str]:
    """Name the main layers for a reader, by their module's name: `conv 1`, `conv 2`, `linear 1`."""
    modules, counts, named = dict(model.named_modules()), {"conv": 0, "linear": 0}, {}
    for layer in main_layers(model, inputs):
        kind = "conv" if isinstance(modules[layer.name], _ConvNd) else "linear"
        counts[kind] += 1
        named[layer.name] = f"{kind} {counts[kind]}"
    return named


def rewound_accuracies(
    model: nn.Module,
    checkpoints: Mapping[int, StateDict],
    train: Pairs,
    test: Pairs,
    parts: Parts | None = None,
    *,
    bn: Treatment = "rewind",
    progress: bool = True,
) -> xr.Dataset:
    """Measure how well a trained network does with a part of it rolled back (geometry of memorization, section 4).

    Args:
        model: classifier with its final weights; it is left as it was.
        checkpoints: state dicts by epoch.
        train, test: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        parts: what is rewound, by name; by default `single_layers`.
        bn: `rewind`, `keep` or `update` BatchNorm's statistics, the last on the training images.
        progress: a bar.

    Returns:
        Dataset over (rewound, epoch): `train_accuracy` and `test_accuracy`, in [0, 1].

    Raises:
        ValueError: as `rewound_predictions` does.
    """
    (x, y), (u, v) = resident(model, train), resident(model, test)
    predicted = rewound_predictions(model, checkpoints, torch.cat([x, u]), parts, bn=bn, images=x, progress=progress)
    hits = predicted == xr.DataArray(torch.cat([y, v]).cpu().numpy(), dims="example")
    means = {
        "train_accuracy": hits[..., : len(y)].mean("example"),
        "test_accuracy": hits[..., len(y) :].mean("example"),
    }
    return xr.Dataset(means, attrs=predicted.attrs)


def rewound_predictions(
    model: nn.Module,
    checkpoints: Mapping[int, StateDict],
    inputs: Tensor,
    parts: Parts | None = None,
    *,
    bn: Treatment = "rewind",
    images: Tensor | None = None,
    progress: bool = True,
) -> xr.DataArray:
    """Predict with a trained network of which a part is rolled back; the result is kept on disk.

    Args:
        model, checkpoints, parts, bn, progress: as for `rewound_accuracies`.
        inputs: shape (N, ...).
        images: on which `update` estimates the statistics, shape (M, ...).

    Returns:
        Predicted classes over (rewound, epoch, example); -1 where a logit is NaN or infinite.

    Raises:
        ValueError: no checkpoint, one of another architecture, no images to update on, or an unknown `bn`.
    """
    if bn not in TREATMENTS:
        raise unknown("bn", bn, TREATMENTS)
    if bn == "update" and images is None:
        raise ValueError("BatchNorm's statistics cannot be updated without images; give some")
    if not checkpoints:
        raise ValueError("there is no checkpoint to rewind to; give one at least, by its epoch")
    space.check_parameters(model)
    for earlier in checkpoints.values():
        _check(model.state_dict(), earlier)
    checkpoints, model = {epoch: renamed(earlier, model) for epoch, earlier in checkpoints.items()}, unwrapped(model)
    inputs = suited(inputs, model)
    parts = single_layers(model, inputs[:2]) if parts is None else parts
    rewinder = _Rewinder(model, inputs, checkpoints, parts, bn, images)
    dataset = store.remembered(
        "rewound",
        rewinder.fingerprint(),
        "predicted",
        lambda: rewinder.predictions(progress=progress).to_dataset(name="predicted"),
        logits=rewinder.logits(inputs[:PROBED]),
    )
    return dataset["predicted"]


# --- the network that is rewound ---------------------------------------------------------------------------------


class _Rewinder:
    """A copy of a network, whose entries are put in place and back."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        checkpoints: Mapping[int, StateDict],
        parts: Parts,
        bn: Treatment,
        images: Tensor | None,
    ) -> None:
        """Copy the network, which is only read."""
        self._model, self._checkpoints, self._parts, self._bn = model, checkpoints, parts, bn
        self._images = None if images is None or bn != "update" else _shuffled(images).to(device_of(model))
        self._network = classifier(model)
        answers(self._network, inputs[:1])
        self._inputs = inputs.contiguous(memory_format=fastest_layout(self._network, inputs))
        self._norms = averaging_statistics(self._network)
        self._state = self._network.state_dict()  # the network's own tensors: they change with it

    def fingerprint(self) -> str:
        """Name what decides the predictions."""
        states = [state[key] for _, state in sorted(self._checkpoints.items()) for key in sorted(state)]
        images = [] if self._images is None else [self._images]
        entries = {name: _entries(self._state, part) for name, part in self._parts.items()}
        identity = {"entries": entries, "epochs": sorted(self._checkpoints), "bn": self._bn, "format": store.FORMAT}
        return store.fingerprint(self._model, [self._inputs, *images, *states], {"rewound": json.dumps(identity)})

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self._network(inputs)
        return logits

    def predictions(self, *, progress: bool) -> xr.DataArray:
        """Predict with every part rewound to every epoch."""
        epochs, inputs = sorted(self._checkpoints), self._inputs
        changes = [self._change(part, self._checkpoints[e]) for part in self._parts.values() for e in epochs]
        short = self._shortened(changes, inputs[:2])
        predicted = np.empty((len(self._parts), len(epochs), len(inputs)), dtype=np.int32)
        batches = [slice(at, at + BATCH) for at in range(0, len(inputs), BATCH)]
        for batch in tqdm(batches, desc="rewinding", unit="batch", disable=not progress, **BAR):
            replay = Replay(self._network, inputs[batch])
            for i, change in enumerate(changes):
                with self._with(change):
                    logits = replay.after(_modules(change)) if short[i] else self.logits(inputs[batch])
                predicted[*divmod(i, len(epochs)), batch] = predictions(logits).cpu()
        coordinates = {"rewound": list(self._parts), "epoch": epochs}
        return xr.DataArray(predicted, coordinates, ("rewound", "epoch", "example"), attrs={"bn": self._bn})

    def _change(self, part: Sequence[Layer] | None, earlier: StateDict) -> StateDict:
        """Return the entries that rewinding a part changes."""
        change = {key: earlier[key] for key in _entries(self._state, part, self._bn)}
        if self._images is None or not self._norms:
            return change
        images, statistics = self._images, {k: v for k, v in self._state.items() if k.endswith(STATISTICS)}
        with self._with({**statistics, **change}):
            update_statistics(self._norms, len(images), lambda some: self.logits(images[some]))
            return {**change, **{key: value.clone() for key, value in statistics.items()}}

    def _shortened(self, changes: Sequence[StateDict], some: Tensor) -> list[bool]:
        """Check for each change whether what comes before it need not be computed again, tried on some images."""
        kept, replay = [], Replay(self._network, some)
        for change in changes:
            with self._with(change):
                kept.append(replay.agrees(_modules(change)))
            if not kept[-1]:
                replay = Replay(self._network, some)
        return kept

    @contextmanager
    def _with(self, change: StateDict) -> Iterator[None]:
        """Install entries, and restore the final ones."""
        kept = {key: self._state[key].clone() for key in change}
        try:
            for key, value in change.items():
                self._state[key].copy_(value)
            yield
        finally:
            for key, value in kept.items():
                self._state[key].copy_(value)


def _check(final: StateDict, earlier: StateDict) -> None:
    for key in final.keys() | earlier.keys():
        if key not in final or key not in earlier or final[key].shape != earlier[key].shape:
            raise ValueError(f"the states are not of one architecture: {key} is missing in one, or of another shape")


def _entries(state: StateDict, layers: Sequence[Layer] | None, bn: str = "rewind") -> list[str]:
    """List the entries that are rewound; None is all of them."""
    keys = list(state) if layers is None else [key for layer in layers for key in layer.entries(state)]
    return [key for key in keys if bn != "keep" or not key.endswith(STATISTICS)]


def _shuffled(images: Tensor) -> Tensor:
    """Mix the classes: a batch of one class would be normalised in itself."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


def _modules(change: StateDict) -> set[str]:
    return {key.rpartition(".")[0] for key in change}
