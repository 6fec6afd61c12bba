"""How each cost grows: seconds, set-up included, against what there is more of, and the slope on two logarithmic axes.

The slope is taken over the larger half of the sizes, where set-up weighs least; 1 is proportional growth. The picture
goes to docs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from torch import nn

import landscape_utils as lu
from landscape_utils.landscape.hessian_operator import HessianOperator
from landscape_utils.suite.plots import COLOURS, to_png
from tests.benchmarks.bars import picture_of

ROUNDS = 3
QUIET = {"progress": False, "cache": False}


def network(width: float = 0.25, classes: int = 10) -> nn.Module:
    """Build a small ResNet for images of 16 x 16."""
    torch.manual_seed(0)
    return lu.build_model("resnet8", input_shape=(3, 16, 16), classes=classes, width=width).eval()


def images(count: int, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw noise, and classes in turn."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(count) % classes


def grid(points: int) -> Callable[[], object]:
    """Walk over points x points, on 200 images."""
    model, data = network(), images(200)
    d1, d2 = (lu.gaussian_direction(model, seed=seed) for seed in (0, 1))
    return lambda: lu.surface(model, data, d1, d2, points=round(points**0.5), **QUIET)


def many_images(count: int) -> Callable[[], object]:
    """Walk over five points."""
    model, data = network(), images(count)
    return lambda: lu.curve(model, data, lu.gaussian_direction(model), np.linspace(-1, 1, 5), **QUIET)


def classes(count: int) -> Callable[[], object]:
    """Take each class's gradient, on 20 images of each."""
    model, data = network(classes=count), images(20 * count, count)
    return lambda: lu.class_gradients(model, data)


def parameters(count: int) -> Callable[[], object]:
    """Multiply twice with the Hessian of a small ResNet of about so many parameters, on 100 images."""
    model, data = network(width=(count / 78_000) ** 0.5), images(100)
    v = lu.gaussian_direction(model)

    def twice() -> None:
        operator = HessianOperator(model, data)
        operator(v), operator(v)

    return twice


def manifolds(count: int) -> Callable[[], object]:
    """Measure the geometry of so many manifolds of 30 points in 200 dimensions."""
    clouds = np.random.default_rng(0).normal(size=(count, 30, 200)) + 3 * np.random.default_rng(1).normal(
        size=(count, 1, 200)
    )
    return lambda: lu.mftma(list(clouds), n_t=100)


QUESTIONS: dict[str, tuple[Callable[[int], Callable[[], object]], Sequence[int]]] = {
    "surface: points": (grid, (25, 49, 100, 196, 400)),
    "curve: images": (many_images, (100, 200, 400, 800, 1600)),
    "class gradients: classes": (classes, (5, 10, 20, 40)),
    "Hessian products: parameters": (parameters, (20_000, 80_000, 320_000, 1_280_000)),
    "MFTMA: manifolds": (manifolds, (5, 10, 20, 40, 80)),
}


def seconds(work: Callable[[], object]) -> float:
    """Return the median of a few rounds, after one that warms up."""
    work()
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return float(np.median(found))


def main() -> None:
    """Print seconds and slopes, and draw them."""
    figure, axes = plt.subplots(1, len(QUESTIONS), figsize=(15, 3.4), layout="constrained")
    for ax, colour, (name, (prepare, sizes)) in zip(axes, COLOURS, QUESTIONS.items(), strict=False):
        took = [seconds(prepare(size)) for size in sizes]
        half = len(sizes) // 2
        slope = float(np.polyfit(np.log(sizes[half:]), np.log(took[half:]), 1)[0])
        shown = ", ".join(f"{size:,}: {t:.3f} s" for size, t in zip(sizes, took, strict=True))
        print(f"{name:29s} slope {slope:.2f}; {shown}", flush=True)
        what, more = name.split(": ")
        ax.loglog(sizes, took, "o-", color=colour)
        ax.set(title=f"{what}\nslope {slope:.2f}", xlabel=more)
        ax.xaxis.set_major_locator(LogLocator(numticks=4))
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("seconds, set-up included")
    picture_of("growth").write_bytes(to_png(figure))


if __name__ == "__main__":
    main()
