"""Networks that are trained on partly permuted labels until they have memorized them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.runs import Run
from landscape_utils.training.several import train_each

MEMORIZED = 0.99  # training accuracy


def trained(specs: Sequence[RunSpec], *, progress: bool = True) -> list[Run]:
    """Train every specification, or read it back.

    Raises:
        ValueError: a specification permutes no labels.
    """
    for spec in specs:
        if not spec.epsilon:
            raise ValueError(f"seed {spec.seed} permutes no labels (epsilon 0); there is nothing to memorize")
    return train_each(specs, progress=progress)


def accuracies(runs: Sequence[Run]) -> xr.Dataset:
    """Gather the course of several trainings; after a run's end its values are NaN.

    Returns:
        Dataset over (seed, epoch): `train_accuracy` on the labels as trained, `test_accuracy`, and `subset_accuracy`
        over (seed, epoch, subset) on unpermuted, permuted, restored and test examples; `best` epoch and `last` epoch
        over seed.
    """
    names = ["train_accuracy", "test_accuracy", "subset_accuracy"]
    seeds = xr.Variable("seed", [run.spec.seed for run in runs])
    course = xr.concat([run.history[names] for run in runs], dim=seeds, join="outer", fill_value=np.nan)
    return course.assign(
        best=("seed", [run.best_epoch for run in runs]), last=("seed", [int(run.history.epoch[-1]) for run in runs])
    )
