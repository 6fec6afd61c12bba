"""Permuted labels and the four subsets in which memorization is watched (geometry of memorization, section 3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape_utils.data.datasets import Dataset, Labelled

SUBSETS = ("unpermuted", "permuted", "restored", "test")


@dataclass(frozen=True, eq=False)
class PermutedLabels:
    """A training set part of whose labels were drawn anew.

    Attributes:
        dataset: the dataset to train on; its training targets are the redrawn ones.
        original: the true training targets, shape (N,).
        permuted: which examples were redrawn, shape (N,), bool; a chance hit stays in.
    """

    dataset: Dataset
    original: Tensor
    permuted: Tensor

    def subset(self, name: str) -> Labelled:
        """Return one of the four subsets: unpermuted, permuted (as trained), restored (true labels), test.

        A subset may be empty (epsilon 0 or 1); rates over it are NaN.

        Raises:
            KeyError: no such subset.
        """
        train = self.dataset.train
        if name == "test":
            return self.dataset.test
        if name == "unpermuted":
            return replace(train, inputs=train.inputs[~self.permuted], targets=train.targets[~self.permuted])
        if name in ("permuted", "restored"):
            targets = train.targets if name == "permuted" else self.original
            return replace(train, inputs=train.inputs[self.permuted], targets=targets[self.permuted])
        raise KeyError(f"no subset is called {name!r}; the four are {', '.join(SUBSETS)}")


def permute_labels(dataset: Dataset, epsilon: float, *, seed: int = 0) -> PermutedLabels:
    """Draw the labels of a share epsilon of the training examples anew, uniformly over all classes.

    round(epsilon N) examples are chosen; a redrawn label that happens to be the true one counts as permuted, so
    about epsilon (1 - 1/C) of the labels are wrong.

    Args:
        dataset: what to train on; its test set is left as it is.
        epsilon: share in [0, 1].
        seed: of the choice and of the new labels.

    Raises:
        ValueError: epsilon lies outside [0, 1].
    """
    original = dataset.train.targets
    targets, permuted = redraw(original, len(dataset.classes), epsilon, seed=seed)
    train = replace(dataset.train, targets=targets)
    # Other labels are other data: runs on them are filed apart.
    fingerprint = hashlib.sha256(dataset.fingerprint.encode() + targets.cpu().numpy().tobytes()).hexdigest()
    redrawn_set = replace(dataset, train=train, fingerprint=fingerprint)
    return PermutedLabels(redrawn_set, original, permuted)


def redraw(targets: Tensor, classes: int, epsilon: float, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw a share epsilon of labels anew; give all labels, and which of them were redrawn, shape (N,), bool.

    Args:
        targets: shape (N,).
        classes: C.
        epsilon, seed: as for `permute_labels`.

    Raises:
        ValueError: epsilon lies outside [0, 1].
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon}; the share of permuted labels must lie in [0, 1]")
    generator = torch.Generator().manual_seed(seed)
    count = round(epsilon * len(targets))
    chosen = torch.randperm(len(targets), generator=generator)[:count]
    drawn = torch.randint(0, classes, (count,), generator=generator)
    permuted = torch.zeros(len(targets), dtype=torch.bool)
    permuted[chosen] = True
    redrawn = targets.clone()
    redrawn[chosen] = drawn.to(targets)
    return redrawn, permuted
