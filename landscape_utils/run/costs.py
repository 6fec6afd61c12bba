"""What a training would cost on this machine."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from tqdm import tqdm

from landscape_utils.data.datasets import Dataset, Labelled, load_dataset
from landscape_utils.data.labels import permute_labels
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.threads import one_thread
from landscape_utils.training import history
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.state import State
from landscape_utils.training.training import find, finished, resident, train_epoch

STEPS = 3  # of a training that are timed at first, and at least
LEAST = 0.3  # s that what is timed takes, if the data suffice: what an epoch begins with should not count much
STILL = 1e-9  # learning rate at which a trial cannot diverge


class Cost(NamedTuple):
    """What a run would take: `seconds`, peak memory and disk in bytes; `start` comes before a process's first run."""

    start: float
    seconds: float
    memory: int
    disk: int


def estimate(spec: RunSpec, data: Dataset, *, beside: int = 1) -> Cost:
    """Predict a run's cost from a few steps of its own training, and a look as after an epoch, on this machine.

    Memory counts images, weights, optimiser state and one batch's activations; the Python process itself and its
    libraries (about 600 MB) come on top. A recipe that stops once the labels are fitted may take less.

    Args:
        spec: of the run.
        data: as the specification says.
        beside: how many runs are trained at once; several have one thread each.
    """
    recipe, device = spec.settled(), torch.device(default_device())
    threads = one_thread() if beside > 1 else nullcontext()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), threads:
        begun = time.perf_counter()
        state = State(replace(spec, lr=STILL), data, device)  # torch's first optimizer imports more of torch
        start = time.perf_counter() - begun

        def timed(steps: int) -> tuple[Dataset, float, float]:
            labels = permute_labels(_part_of(data, steps * recipe.batch_size), spec.epsilon, seed=spec.data_seed)
            few = resident(labels.dataset, state.model, device)
            training = _seconds(lambda: train_epoch(state, few, spec, tqdm(disable=True)))
            return few, training, _seconds(lambda: history.measure_epoch(state.model, few, labels, 0.0, 0.0))

        few, training, looking = timed(STEPS)
        if training < LEAST and few.train.size < data.train.size:
            few, training, looking = timed(math.ceil(STEPS * LEAST / training))
        activations = _activations(state.model, few.train.inputs[: recipe.batch_size], half=spec.precision == "bf16")
    weights = sum(t.numel() * t.element_size() for t in state.model.state_dict().values())
    images = sum(part.inputs.numel() * 4 for part in (data.train, data.test))
    slots = 1 if recipe.optimizer == "sgd" else 2
    steps, tried = (math.ceil(part.train.size / recipe.batch_size) for part in (data, few))
    looks = (data.train.size + data.test.size) / (few.train.size + few.test.size)
    return Cost(
        start=start,
        seconds=recipe.epochs * steps / tried * training + (recipe.epochs + 1) * looks * looking,
        memory=images + (3 + slots) * weights + activations,
        disk=(3 + len(set(spec.kept_epochs()))) * weights,
    )


def side_by_side(jobs: Sequence[float], workers: int) -> float:
    """Say when the last of several jobs ends, which are begun in turn by the worker that is free first.

    Args:
        jobs: how long each takes.
        workers: how many there are.
    """
    busy = [0.0] * workers
    for job in jobs:
        heapq.heapreplace(busy, busy[0] + job)
    return max(busy)


def alike(specs: Sequence[RunSpec]) -> dict[tuple[str, int], list[RunSpec]]:
    """Sort the trainings of one network by what their cost depends on: the recipe and its epochs."""
    kinds: dict[tuple[str, int], list[RunSpec]] = {}
    for spec in specs:
        kinds.setdefault((spec.recipe, spec.settled().epochs), []).append(spec)
    return kinds


def left_of(specs: Sequence[RunSpec], seen: set[str]) -> list[RunSpec]:
    """List the trainings that are neither finished nor seen before, and note all of them as seen."""
    left = []
    for spec in specs:
        place = find(spec, data_of(spec)).folder.name
        if place not in seen and finished(spec, data_of(spec)) is None:
            left.append(spec)
        seen.add(place)
    return left


def data_of(spec: RunSpec) -> Dataset:
    """Load a specification's data; those of the last one are kept."""
    return _drawn(spec.dataset, spec.train_size, spec.test_size, spec.difficulty, spec.image_size, spec.data_seed)


@lru_cache(maxsize=1)
def _drawn(
    dataset: str, train: int | None, test: int | None, difficulty: float | None, size: int | None, seed: int
) -> Dataset:
    return load_dataset(
        dataset, train_size=train, test_size=test, difficulty=difficulty, image_size=size, seed=seed, download=False
    )


def _part_of(data: Dataset, size: int) -> Dataset:
    """Take the first examples of both sets."""
    splits = {"train": data.train, "test": data.test}
    parts = {name: Labelled(x.inputs[:size], x.targets[:size], x.classes) for name, x in splits.items()}
    return Dataset(**{**vars(data), **parts})


def _seconds(work: Callable[[], object]) -> float:
    """Time some work on average, once it has been done before."""
    work()
    begun, times = time.perf_counter(), 0
    while not times or time.perf_counter() - begun < LEAST:
        work()
        times += 1
    return (time.perf_counter() - begun) / times


def _activations(model: torch.nn.Module, inputs: torch.Tensor, *, half: bool) -> int:
    """Add up the bytes that a batch's forward pass keeps for its gradient."""
    kept = 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    autocast = torch.autocast(inputs.device.type, torch.bfloat16, enabled=half)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), autocast:
        model(inputs)
    return kept
