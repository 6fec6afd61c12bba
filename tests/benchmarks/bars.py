"""The picture of a benchmark: what each way takes, in bars from zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from landscape_utils.suite.plots import COLOURS, to_png
from tests import ROOT


def picture_of(name: str) -> Path:
    """Name where a benchmark's picture lies: one a kind of instructions, for ratios depend on them."""
    return ROOT / "docs" / f"benchmarks-{name}-{torch.backends.cpu.get_cpu_capability().lower()}.png"


def draw(name: str, taken: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """Draw a panel a contest, two a row, with a bar a way; each says how many times the first one, ours, it takes.

    Args:
        name: of the benchmark.
        taken: by contest and way.
        unit: of what is taken.
    """
    most = max(map(len, taken.values()))
    columns = min(2, len(taken))
    rows = math.ceil(len(taken) / columns)
    size = (5.5 * columns, rows * (1.2 + 0.4 * most))
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat[len(taken) :]:
        ax.remove()
    for ax, (contest, ways) in zip(axes.flat, taken.items(), strict=False):
        ours, *_ = values = list(ways.values())
        own = [not i or way.endswith("this") for i, way in enumerate(ways)]
        bars = ax.barh(list(ways), values, color=[COLOURS[0] if mine else "0.6" for mine in own])
        ax.bar_label(bars, [f" {value:.3g} ({value / ours:.3g} x)" for value in values])
        ax.set(title=contest, xlabel=unit, xlim=(0, 1.5 * max(values)))
        ax.locator_params(axis="x", nbins=5)
        ax.invert_yaxis()
    picture_of(name).write_bytes(to_png(figure))
