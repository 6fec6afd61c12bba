"""`train(spec)`: train once, remember for ever, resume after a kill.

Measured on two cores: see `make bench`; an epoch costs what a bare loop over the same tensors costs, and the
history one forward pass over the training and the test set more.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from landscape_utils.data.augmentation import crop_and_flip
from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.data.labels import permute_labels
from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.clock import spent_on
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.store import Shelf
from landscape_utils.training import history
from landscape_utils.training.recipes import Recipe, RunSpec
from landscape_utils.training.runs import Run, load_data, weights_name
from landscape_utils.training.state import State, epoch_seed, memory_format

# Raise it when a change makes the same specification train differently: older runs are then not reused.
FORMAT = 1


def train(
    spec: RunSpec,
    *,
    data: Dataset | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
    after_epoch: Callable[[], object] | None = None,
) -> Run:
    """Train a specification, or give back the run if it was trained before.

    The run is filed under the digest of the specification and of the data's own bytes. Another process that wants
    the same run waits for this one. A killed training goes on from its last whole epoch, and on the CPU ends
    with bit-identical weights.

    Args:
        spec: what to train.
        data: the dataset, if it is in memory already; else it is loaded by the specification's name.
        device: where to train; by default CUDA, MPS or the CPU, whichever is there first.
        progress: show a bar with epoch, loss, accuracy and time left.
        after_epoch: is called after each.

    Returns:
        The run.

    Raises:
        FloatingPointError: the loss is no longer finite.
        OSError: the disk is full; the message names the path and the cache stays valid.
        ValueError, FileNotFoundError: as `load_dataset` and `build_model` do.
    """
    dataset = load_data(spec) if data is None else data
    shelf = find(spec, dataset)
    with store.locked(shelf):
        record = _finished(shelf)
        if record is None:
            with spent_on("training"):
                where = torch.device(device or default_device())
                record = _fit(spec, dataset, shelf, where, progress, after_epoch or (lambda: None))
    return Run(spec, shelf, record)


def find(spec: RunSpec, dataset: Dataset) -> Shelf:
    """Name the shelf on which the run of a specification on a dataset lies, or will lie."""
    data = [dataset.fingerprint, dataset.mean, dataset.std, dataset.croppable, dataset.flippable]
    content = {"format": FORMAT, "data": data, **spec.identity()}
    return store.shelf("runs", store.digest(content))


def finished(spec: RunSpec, dataset: Dataset) -> Run | None:
    """Return the run if it is finished and whole, so that `train` would give it back at once."""
    shelf = find(spec, dataset)
    record = _finished(shelf)
    return None if record is None else Run(spec, shelf, record)


def _finished(shelf: Shelf) -> dict[str, Any] | None:
    """Read the record of a finished run, if every file of it is sound."""
    record = shelf.get_json("run")
    if record is None:
        return None
    names = ["history", *(weights_name(e) for e in record["kept"])]
    if all([shelf.has(name) for name in names]):  # a list: every damaged file is found and set aside at once
        return record
    shelf.drop("run")
    return None


# --- one training ------------------------------------------------------------------------------------------


def _fit(
    spec: RunSpec,
    dataset: Dataset,
    shelf: Shelf,
    device: torch.device,
    progress: bool,
    after_epoch: Callable[[], object],
) -> dict[str, Any]:
    recipe, kept, started = spec.settled(), {0, *spec.kept_epochs()}, time.time()
    labels = permute_labels(dataset, spec.epsilon, seed=spec.data_seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        state = State(spec, dataset, device)
        data = resident(labels.dataset, state.model, device)
        if not (state.restore(shelf) and all([shelf.has(weights_name(e)) for e in kept if e <= state.epoch])):
            state = State(spec, dataset, device)  # from the beginning, also when a kept epoch's weights are damaged
            state.note(history.measure_epoch(state.model, data, labels, math.nan, math.nan))
            shelf.put_tensors(weights_name(0), state.weights())
        steps, thrift = math.ceil(data.train.size / recipe.batch_size), store.Thrift(lambda: state.save(shelf))
        with tqdm(
            total=recipe.epochs * steps,
            initial=state.epoch * steps,
            desc=f"{spec.model} on {spec.dataset}",
            unit="step",
            disable=not progress,
            **BAR,
        ) as bar:
            while state.epoch < recipe.epochs and not state.fitted():
                bar.set_postfix_str(state.status())
                loss, lr = train_epoch(state, data, spec, bar)
                state.note(history.measure_epoch(state.model, data, labels, loss, lr))
                if state.epoch in kept:
                    shelf.put_tensors(weights_name(state.epoch), state.weights())
                thrift.offer()
                after_epoch()
    return _finish(spec, dataset, state, shelf, device, time.time() - started)


def train_epoch(state: State, data: Dataset, spec: RunSpec, bar: tqdm) -> tuple[float, float]:
    """Train one epoch on data that are `resident`; give the mean loss over its (augmented) batches and the last rate.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    model, optimizer, recipe, (inputs, targets) = state.model, state.optimizer, state.recipe, data.train
    seed = epoch_seed(spec.seed, state.epoch + 1)
    torch.manual_seed(seed)  # for dropout
    generator = torch.Generator().manual_seed(seed)
    fill = -torch.tensor(data.mean) / torch.tensor(data.std)
    half = spec.precision == "bf16"
    order = torch.randperm(len(targets), generator=generator)
    batches = order.split(recipe.batch_size)
    losses, lr = [], recipe.lr
    model.train()
    for step, batch in enumerate(batches):
        index = batch.to(inputs.device)
        x, y = inputs[index], targets[index]
        if recipe.augment:
            x = crop_and_flip(x, generator, crop=data.croppable, flip=data.flippable, fill=fill)
        lr = learning_rate(recipe, state.epoch * len(batches) + step, recipe.epochs * len(batches))
        for group in optimizer.param_groups:
            group["lr"] = lr
        with torch.autocast(inputs.device.type, torch.bfloat16) if half else nullcontext():
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        bar.update()
    sizes = torch.tensor([len(batch) for batch in batches], device=inputs.device)
    mean = float(torch.stack(losses) @ sizes.float()) / len(targets)
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"training diverged: the loss is {mean} in epoch {state.epoch + 1} at learning rate {lr:.3g}; "
            "try a smaller lr"
        )
    return mean, lr


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step: constant, or lr/2 (1 + cos(pi step/steps))."""
    if recipe.schedule == "constant":
        return recipe.lr
    return recipe.lr / 2 * (1 + math.cos(math.pi * step / steps))


def resident(data: Dataset, model: nn.Module, device: torch.device) -> Dataset:
    """Move the tensors to the device once, in the layout that the model wants."""
    layout = memory_format(model)

    def laid_out(part: Labelled) -> Labelled:
        return Labelled(part.inputs.to(device).contiguous(memory_format=layout), part.targets.to(device), part.classes)

    return Dataset(**{**vars(data), "train": laid_out(data.train), "test": laid_out(data.test)})


def _finish(
    spec: RunSpec, data: Dataset, state: State, shelf: Shelf, device: torch.device, seconds: float
) -> dict[str, Any]:
    """Store the best and final weights and the history, and last of all the record that makes the run finished."""
    shelf.put_tensors(weights_name(state.epoch), state.weights())
    shelf.put_tensors(weights_name(state.best_epoch), state.best)
    record = {
        "dataset": spec.dataset,
        "sizes": data.sizes,
        "fingerprint": data.fingerprint,
        "input_shape": data.input_shape,
        "classes": len(data.classes),
        "identity": spec.identity(),
        "kept": sorted({0, state.best_epoch, state.epoch, *(e for e in spec.kept_epochs() if e <= state.epoch)}),
        "best": state.best_epoch,
        "last": state.epoch,
        "seconds": round(seconds, 1),
        "device": device.type,
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    facts = {
        "model": spec.model,
        "data": data.sizes,
        "seed": spec.seed,
        "recipe": spec.recipe,
        "recipe_numbers": json.dumps(asdict(state.recipe)),
        "epsilon": spec.epsilon,
        "device": device.type,
        "torch": str(torch.__version__),
    }
    shelf.put_dataset("history", history.to_dataset(state.rows, data.classes, facts))
    shelf.put_json("run", record)
    shelf.drop("resume")
    return record
