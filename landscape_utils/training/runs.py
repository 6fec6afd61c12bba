"""A finished training, read back from the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import Dataset, load_dataset
from landscape_utils.data.labels import PermutedLabels, permute_labels
from landscape_utils.kit.store import Shelf
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RunSpec

Epoch = int | Literal["initial", "best", "final"]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: its history and the weights that were kept."""

    spec: RunSpec
    shelf: Shelf
    about: dict[str, Any]

    @cached_property
    def history(self) -> xr.Dataset:
        """Read the history over epochs 0 (initialisation) to the last: losses, accuracies, CCTMs, biases."""
        history = self.shelf.get_dataset("history")
        if history is None:
            raise FileNotFoundError(self._lost("history"))
        return history

    @property
    def epochs(self) -> list[int]:
        """List the epochs whose weights are kept."""
        return list(self.about["kept"])

    @property
    def best_epoch(self) -> int:
        """Return the epoch of highest test accuracy (the first of equals)."""
        return int(self.about["best"])

    def weights(self, epoch: Epoch = "final") -> dict[str, Tensor]:
        """Read the state dict of an epoch.

        Raises:
            KeyError: the epoch's weights were not kept; the epochs that were are named.
            FileNotFoundError: the file was damaged (it is set aside); training the specification again makes it.
        """
        named = {"initial": 0, "best": self.best_epoch, "final": self.about["last"]}
        number = named.get(epoch, epoch) if isinstance(epoch, str) else epoch
        if number not in self.epochs:
            raise KeyError(
                f"no weights of epoch {epoch!r} were kept; there are {self.epochs}, 'initial', 'best' and 'final'"
            )
        tensors = self.shelf.get_tensors(weights_name(int(number)))
        if tensors is None:
            raise FileNotFoundError(self._lost(f"weights of epoch {number}"))
        return tensors

    def model(self, epoch: Epoch = "final") -> nn.Module:
        """Build the model with the weights of an epoch, in evaluation mode on the CPU.

        Raises:
            KeyError, FileNotFoundError: as `weights` does.
        """
        weights = self.weights(epoch)
        options = {**self.spec.model_options}
        options.pop("pretrained", None)  # the weights come from the store
        with torch.random.fork_rng(devices=[]):
            model = build_model(
                self.spec.model,
                input_shape=tuple(self.about["input_shape"]),
                classes=self.about["classes"],
                **options,
            )
        model.load_state_dict(weights)
        return model.eval()

    def labels(self) -> PermutedLabels:
        """Load the data as they were trained on, with the four label subsets.

        Raises:
            ValueError: what the specification names is no longer what the run was trained on.
        """
        data = load_data(self.spec)
        if data.fingerprint != self.about["fingerprint"]:
            raise ValueError(f"{self.spec.dataset} has other bytes than the run was trained on; train it again")
        return permute_labels(data, self.spec.epsilon, seed=self.spec.data_seed)

    def _lost(self, what: str) -> str:
        return f"the {what} of run {self.shelf.folder.name} is gone or damaged; train the same specification again"


def load_data(spec: RunSpec) -> Dataset:
    """Load the dataset that a specification names, with its true labels."""
    return load_dataset(
        spec.dataset,
        train_size=spec.train_size,
        test_size=spec.test_size,
        difficulty=spec.difficulty,
        image_size=spec.image_size,
        seed=spec.data_seed,
    )


def weights_name(epoch: int) -> str:
    """Name the file of an epoch's weights."""
    return f"weights-{epoch:04d}"
