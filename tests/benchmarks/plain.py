"""`interpolate` and `cctm` against what anyone would write first, in one run; rounds alternate, medians are printed.

A small ResNet and 1,000 images of 32 x 32. The way from one state to another, at 11 alphas with BatchNorm's statistics
kept: loaded into a copy point by point, in batches of 500, for the mean loss alone. The confusion of a model: batches
of 500, and a count a pair of classes. This package's share includes its set-up, class losses and recalls; nothing is
read from a cache. "again" is what the points take, or the table, once all is prepared.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import landscape_utils as lu
from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate, space
from tests.benchmarks.bars import draw
from tests.benchmarks.landscape import seconds

ROUNDS, POINTS, IMAGES, BATCH = 3, 11, 1000, 500


def plain_interpolation(
    model: nn.Module, start: Mapping[str, Tensor], end: Mapping[str, Tensor], data: Labelled
) -> None:
    """Load each mixture, and sum up the loss."""
    moved = copy.deepcopy(model).eval()
    for alpha in np.linspace(0, 1, POINTS):
        mixed = {k: torch.lerp(a, end[k], float(alpha)) if a.is_floating_point() else a for k, a in start.items()}
        moved.load_state_dict(mixed)
        with torch.no_grad():
            for x, y in zip(data.inputs.split(BATCH), data.targets.split(BATCH), strict=True):
                F.cross_entropy(moved(x), y, reduction="sum").item()


def plain_cctm(model: nn.Module, data: Labelled, classes: int) -> None:
    """Predict all, and count by pair of classes."""
    with torch.no_grad():
        predicted = torch.cat([model(x).argmax(1) for x in data.inputs.split(BATCH)])
    for true in range(classes):
        for taken in range(classes):
            ((data.targets == true) & (predicted == taken)).sum().item()


def contest(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each way, in rounds that alternate, after one that warms up."""
    rounds = [{way: seconds(run) for way, run in ways.items()} for _ in range(ROUNDS + 1)][1:]
    return {way: statistics.median(taken[way] for taken in rounds) for way in ways}


def main() -> None:
    """Print and draw both."""
    torch.manual_seed(0)
    model, other = (lu.build_model("resnet8", input_shape=(3, 32, 32), classes=10).eval() for _ in range(2))
    data = Labelled(torch.randn(IMAGES, 3, 32, 32), torch.arange(IMAGES) % 10, tuple("abcdefghij"))
    start, end = (dict(m.state_dict()) for m in (model, other))
    alphas = np.linspace(0, 1, POINTS)
    how: evaluate.Options = {"bn": "keep", "cache": False, "progress": False}
    direction = space.flatten(other) - space.flatten(model)
    with evaluate.evaluating(model, data, [direction], POINTS, **how) as at:
        contests = {
            f"interpolate, {POINTS} alphas": {
                "this": lambda: lu.interpolate(model, start, end, data, alphas, **how),
                "its points again": lambda: at(alphas[:, None] + np.random.default_rng().uniform(0, 1e-4)),
                "plain loop": lambda: plain_interpolation(model, start, end, data),
            },
            f"cctm of {IMAGES:,} images": {
                "this": lambda: lu.cctm(model, data),
                "plain loop": lambda: plain_cctm(model, data, 10),
            },
        }
        taken = {name: contest(ways) for name, ways in contests.items()}
    for name, found in taken.items():
        for way, value in found.items():
            print(f"{name:24s} {way:18s} {value:8.3f} s, {value / found['this']:6.2f} x")
    draw("plain", taken, "seconds")


if __name__ == "__main__":
    main()
