"""Training throughput against a bare hand-written loop, in one run: `make bench`.

Both train on the same resident tensors, in the same order, with the same augmentation; rounds alternate, so that
what else the machine does falls on both alike. Printed is the ratio of examples a second (1 is the bare loop's).
"""

from __future__ import annotations

import statistics
import time
from itertools import product

import torch
import torch.nn.functional as F
from tqdm import tqdm

from landscape_utils.data.augmentation import crop_and_flip
from landscape_utils.data.datasets import Dataset, load_dataset
from landscape_utils.training import training
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RunSpec
from tests.benchmarks.bars import draw

ROUNDS = 15


def bare_epoch(model: torch.nn.Module, data: Dataset, augment: bool) -> None:
    """Train as one would by hand."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    generator = torch.Generator().manual_seed(0)
    fill = -torch.tensor(data.mean) / torch.tensor(data.std)
    inputs, targets = data.train
    model.train()
    for batch in torch.randperm(len(targets), generator=generator).split(128):
        x, y = inputs[batch], targets[batch]
        if augment:
            x = crop_and_flip(x, generator, fill=fill)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def compare(name: str, data: Dataset, augment: bool) -> dict[str, float]:
    """Print the ratio for one model, and give the seconds of an epoch."""
    spec = RunSpec(dataset="glyphs10", model=name, recipe="big-lr", epochs=1000, augment=augment)
    device = torch.device(training.default_device())
    state = training.State(spec, data, device)
    state.rows = [{}]
    resident = training.resident(data, state.model, device)
    bare = build_model(name, input_shape=data.input_shape, classes=10)
    bare = bare.to(device, memory_format=training.memory_format(bare))
    seconds: dict[str, list[float]] = {"bare": [], "suite": []}
    for round_ in range(ROUNDS + 1):
        for who in ("bare", "suite") if round_ % 2 else ("suite", "bare"):
            begun = time.perf_counter()
            if who == "bare":
                bare_epoch(bare, resident, augment)
            else:
                with tqdm(disable=True) as bar:
                    training.train_epoch(state, resident, spec, bar)
            if round_:  # the first round warms up
                seconds[who].append(time.perf_counter() - begun)
    ratio = statistics.median(b / s for b, s in zip(seconds["bare"], seconds["suite"], strict=True))
    rate = data.train.size / statistics.median(seconds["suite"])
    print(f"{name:8s} augment {augment!s:5s} {rate:9,.0f} examples/s, {ratio:.3f} of the bare loop", flush=True)
    return {"this": statistics.median(seconds["suite"]), "bare loop": statistics.median(seconds["bare"])}


def main() -> None:
    """Compare for the two models that the bar names, on images that are cropped and flipped, or not."""
    data = load_dataset("glyphs10", train_size=4000, test_size=100)
    data = Dataset(**{**vars(data), "croppable": True, "flippable": True})
    ways = product(("resnet8", "mlp"), (False, True))
    draw("training", {f"{name}{', augmented' * a}": compare(name, data, a) for name, a in ways}, "seconds an epoch")


if __name__ == "__main__":
    main()
