"""Pictures of curves along directions: one panel a condition, several curves in it, the average count above it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from landscape_utils.landscape.walks import Line
from landscape_utils.suite.plots import COLOURS, new_axes

TALL = 30.0  # a range of losses (largest over log C) above which the axis is logarithmic
WIDEST = 5  # panels in a row


def curve_panel_axes(lines: Sequence[Line], *, ax: Axes | None = None, title: str = "", labels: bool = False) -> Axes:
    """Draw curves around one model: loss against lambda, log C dotted, the model and what it leads to as verticals.

    The number in brackets is the average count of stationary points by the paper's rule.

    Args:
        lines: around one model; the first one's walk gives the axes.
        ax: where to draw; a new figure by default.
        title: what the panel shows.
        labels: name each curve by its direction.
    """
    ax = ax or new_axes()
    for line, colour in zip(lines, _cycle(len(lines)), strict=True):
        finite = np.ma.masked_invalid(line.loss.values)
        ax.plot(line.grid["lam"], finite, color=colour, lw=1.3, label=line.direction if labels else None)
    chance = lines[0].chance
    ax.axhline(chance, color="black", ls=":", lw=1)
    ax.axvline(0, color="black", ls=":", lw=1)
    if lines[0].walk.span[1] > 1:
        ax.axvline(1, color=COLOURS[1], ls=":", lw=1)
    highest = max(float(np.nanmax(np.ma.masked_invalid(x.loss.values).filled(np.nan))) for x in lines)
    if highest > TALL * chance:
        ax.set_yscale("log")
    count = np.mean([line.shape.count for line in lines])
    ax.set_title(f"{title} [{count:.1f}]".strip(), fontsize=8)
    ax.tick_params(labelsize=7)
    if labels:
        ax.legend(fontsize=7, frameon=False)
    return ax


def curve_grid(panels: Mapping[str, Sequence[Line]], *, labels: bool = False) -> Figure:
    """Draw panels of curves in rows of at most five.

    Args:
        panels: curves by the panel's title.
        labels: name each curve by its direction.
    """
    columns = min(WIDEST, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.05 * columns + 0.4, 1.75 * rows + 0.5), layout="constrained", squeeze=False
    )
    for ax, (title, lines) in zip(axes.ravel(), panels.items(), strict=False):
        curve_panel_axes(lines, ax=ax, title=title, labels=labels)
    for ax in axes.ravel()[len(panels) :]:
        ax.axis("off")
    figure.supxlabel("lambda", fontsize=10)
    figure.supylabel("mean loss (nats)", fontsize=10)
    return figure


def angle_histograms(angles: Mapping[str, NDArray[np.float64]], dimensions: Mapping[str, int]) -> Figure:
    """Draw the angles between Gaussian and descent directions beside the prediction, 90 degrees +- (180/pi)/sqrt(d).

    Args:
        angles: in degrees, by what they are measured against.
        dimensions: parameters d, by the same names.
    """
    columns = min(WIDEST - 1, len(angles))
    rows = math.ceil(len(angles) / columns)
    size = (2.9 * columns + 0.4, 2.2 * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax, (name, seen) in zip(axes.ravel(), angles.items(), strict=False):
        spread = float(np.degrees(1 / np.sqrt(dimensions[name])))
        x = np.linspace(90 - 4 * spread, 90 + 4 * spread, 200)
        ax.hist(seen, bins=15, density=True, color=COLOURS[4], label="100 draws")
        density = np.exp(-(((x - 90) / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
        ax.plot(x, density, color="black", lw=1.2, label="1/sqrt(d)")
        ax.set_title(name, fontsize=9)
        ax.set_yticks([])
        ax.tick_params(labelsize=8)
    for ax in axes.ravel()[len(angles) :]:
        ax.axis("off")
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.supxlabel("angle (degrees)", fontsize=10)
    figure.supylabel("density", fontsize=10)
    return figure


def cosine_bars(cosines: Mapping[str, xr.DataArray], dimensions: Mapping[str, int]) -> Figure:
    """Draw |cos| of mined directions with the eigenvectors; the dashed line is chance, sqrt(2 / (pi d)).

    Args:
        cosines: over `rank` (P.E. and N.E.), by model.
        dimensions: parameters d, by the same names.
    """
    columns = min(WIDEST - 1, len(cosines))
    rows = math.ceil(len(cosines) / columns)
    size = (2.9 * columns + 0.4, 2.3 * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharey=True)
    for ax, (title, values) in zip(axes.ravel(), cosines.items(), strict=False):
        names = [str(name) for name in values["rank"].values]
        colours = [COLOURS[1] if name.startswith("N") else COLOURS[0] for name in names]
        ax.bar(range(len(names)), values.values, color=colours)
        ax.axhline(np.sqrt(2 / (np.pi * dimensions[title])), color="black", ls="--", lw=1)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        ax.tick_params(axis="y", labelsize=8)
        ax.set_title(title, fontsize=9)
    for ax in axes.ravel()[len(cosines) :]:
        ax.axis("off")
    figure.supylabel("|cos| with the mined direction", fontsize=10)
    return figure


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
