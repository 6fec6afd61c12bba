"""What a training carries from epoch to epoch, and how it is saved and resumed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.kit.store import Shelf
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import Recipe, RunSpec


class State:
    """What a training carries from epoch to epoch, and what a resumed one needs back."""

    def __init__(self, spec: RunSpec, dataset: Dataset, device: torch.device) -> None:
        """Draw the initial weights from the run's seed."""
        self.recipe = spec.settled()
        options = dict(spec.model_options)
        if self.recipe.pretrained:
            options["pretrained"] = True
        torch.manual_seed(epoch_seed(spec.seed, 0))
        model = build_model(spec.model, input_shape=dataset.input_shape, classes=len(dataset.classes), **options)
        self.model = model.to(device, memory_format=memory_format(model))  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.model, self.recipe)
        self.rows: list[dict[str, Tensor]] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0

    @property
    def epoch(self) -> int:
        """Count the finished epochs; 0 after the initialisation was measured."""
        return len(self.rows) - 1

    def weights(self) -> dict[str, Tensor]:
        """Copy the state dict to the CPU."""
        # Plain layout: a channels-last tensor would be saved with its strides' order of bytes.
        return {k: v.detach().cpu().contiguous().clone() for k, v in self.model.state_dict().items()}

    def note(self, row: dict[str, Tensor]) -> None:
        """Add an epoch to the history, and keep its weights if it is the best so far."""
        self.rows.append(row)
        if self.epoch > 0 and (not self.best or row["test_accuracy"] > self.rows[self.best_epoch]["test_accuracy"]):
            self.best, self.best_epoch = self.weights(), self.epoch

    def fitted(self) -> bool:
        """Check whether the recipe's training accuracy is reached."""
        return (
            self.recipe.stop_at is not None
            and self.epoch > 0
            and float(self.rows[-1]["train_accuracy"]) > self.recipe.stop_at
        )

    def status(self) -> str:
        """Return where training stands, for the progress bar."""
        row = self.rows[-1]
        return (
            f"epoch {self.epoch}/{self.recipe.epochs}, loss {row['train_loss']:.3f}, "
            f"test accuracy {row['test_accuracy']:.1%}"
        )

    def save(self, shelf: Shelf) -> None:
        """Write weights, optimiser state, best weights and history to the shelf, in one file.

        Random generators need no saving: every epoch starts from a seed of its own.
        """
        tensors = {f"model/{k}": v for k, v in self.weights().items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": v for k, v in entries.items() if v is not None}
        tensors |= {f"history/{k}": torch.stack([row[k] for row in self.rows]) for k in self.rows[0]}
        tensors["best_epoch"] = torch.tensor(self.best_epoch)
        shelf.put_tensors("resume", tensors)

    def restore(self, shelf: Shelf) -> bool:
        """Go back to the last saved epoch; False when there is none."""
        saved = shelf.get_tensors("resume")
        if saved is None:
            return False
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "history": {}}
        for key, value in saved.items():
            kind, _, name = key.partition("/")
            if name:
                parts[kind][name] = value
        self.model.load_state_dict(parts["model"])
        self.best, self.best_epoch = parts["best"], int(saved["best_epoch"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimizer"].items():
            index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        length = len(parts["history"]["test_accuracy"])
        self.rows = [{k: v[i] for k, v in parts["history"].items()} for i in range(length)]
        return True


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def memory_format(model: nn.Module) -> torch.memory_format:
    """Choose channels-last for convolutional networks and the plain layout for the others."""
    convolutional = any(isinstance(m, nn.Conv2d) for m in model.modules())
    return torch.channels_last if convolutional else torch.contiguous_format


def epoch_seed(seed: int, epoch: int) -> int:
    """Derive an epoch's own seed, so that a resumed training needs no generator state."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
