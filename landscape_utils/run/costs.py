"""What a training would cost on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F

from landscape_utils.data.datasets import Dataset, load_dataset
from landscape_utils.kit.devices import default_device
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.state import memory_format
from landscape_utils.training.training import find, finished


class Cost(NamedTuple):
    """What a run would take: `seconds`, peak memory and disk in bytes."""

    seconds: float
    memory: int
    disk: int


def estimate(spec: RunSpec, data: Dataset) -> Cost:
    """Predict a run's cost from a few training steps of its own model on this machine.

    Memory counts images, weights, optimiser state and one batch's activations; the Python process itself and its
    libraries (about 600 MB) come on top.
    """
    recipe, device = spec.settled(), torch.device(default_device())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = build_model(
            spec.model, input_shape=data.input_shape, classes=len(data.classes), **dict(spec.model_options)
        ).to(device)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    step, activations = _probe(model, data, recipe.batch_size, device, half=spec.precision == "bf16")
    steps = math.ceil(data.train.size / recipe.batch_size)
    # The history's forward passes over both sets: a third of a training step an example.
    evaluation = step / 3 * (data.train.size + data.test.size) / recipe.batch_size
    images = sum(part.inputs.numel() * 4 for part in (data.train, data.test))
    slots = 1 if recipe.optimizer == "sgd" else 2
    return Cost(
        seconds=recipe.epochs * (steps * step + evaluation),
        memory=images + (3 + slots) * weights + activations,
        disk=(3 + len(set(spec.kept_epochs()))) * weights,
    )


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


def _probe(model: torch.nn.Module, data: Dataset, batch: int, device: torch.device, *, half: bool) -> tuple[float, int]:
    """Time one training step (the best of three) and add up the activations that it keeps."""
    model = model.to(memory_format=memory_format(model))
    x, y = (t[:batch].to(device) for t in data.train)
    seconds, kept = math.inf, 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), autocast:
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    for _ in range(3):
        begun = time.perf_counter()
        with autocast:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        float(loss.detach())  # waits for a GPU
        seconds = min(seconds, time.perf_counter() - begun)
    return seconds, kept
