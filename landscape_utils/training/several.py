"""`train_each(specs)`: several trainings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from landscape_utils.data.datasets import Dataset
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.workers import Advance, at_once, in_workers
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.runs import Run, load_data
from landscape_utils.training.training import finished, train


def train_each(specs: Sequence[RunSpec], *, data: Dataset | None = None, progress: bool = True) -> list[Run]:
    """Train several specifications, or give back the runs that were trained before.

    On the CPU so many are trained at once as torch has threads, by processes that share these; so a run ends the same
    whether the notebook has as many threads as there are specifications or one. On another device, or in one thread,
    one is trained after the other.

    Args:
        specs: what to train.
        data: the dataset of all of them, if it is in memory already; else each is loaded by its specification.
        progress: show a bar.

    Returns:
        The runs, in the order of the specifications.

    Raises:
        FloatingPointError: of the first whose loss did not stay finite, after the others have been trained.
        Exception: as `train` does, of the first that fails; the others go on from their last epoch the next time.
    """
    runs = []
    for run in train_what_fits(specs, data=data, progress=progress):
        if isinstance(run, FloatingPointError):
            raise run
        runs.append(run)
    return runs


def train_what_fits(
    specs: Sequence[RunSpec], *, data: Dataset | None = None, progress: bool = True
) -> list[Run | FloatingPointError]:
    """Train as `train_each` does; in the place of a run whose loss did not stay finite stands its error."""
    beside = at_once(len(specs))
    if beside == 1:
        return [_attempt(spec, data, progress=progress) for spec in specs]
    runs = [finished(spec, load_data(spec) if data is None else data) for spec in specs]
    missing = [spec for spec, run in zip(specs, runs, strict=True) if run is None]

    def one(spec: RunSpec, advance: Advance) -> Run | FloatingPointError:
        return _attempt(spec, data, progress=False, after_epoch=advance)

    epochs = sum(spec.settled().epochs for spec in missing)
    with tqdm(total=epochs, desc=f"{len(missing)} trainings", unit="epoch", disable=not progress, **BAR) as bar:
        trained = iter(in_workers(one, missing, at_once=beside, bar=bar) if missing else ())
        bar.update(epochs - bar.n)  # what had been trained before a kill, and what fitted early
    return [next(trained) if run is None else run for run in runs]


def _attempt(spec: RunSpec, data: Dataset | None, **how: Any) -> Run | FloatingPointError:
    try:
        return train(spec, data=data, **how)
    except FloatingPointError as error:
        return error
