"""Pictures of accuracy and of manifold geometry against width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from landscape_utils.memorization.double_descent import MOMENTS
from landscape_utils.memorization.memorized import MEMORIZED
from landscape_utils.sections.double_descent.study import LABELS, threshold
from landscape_utils.suite.plots import COLOURS, new_axes

MOMENT_COLOURS = {"best": COLOURS[0], "final": COLOURS[1]}
TIMES = {"best": "at its best", "final": "at the end"}


def accuracy_by_width(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw test accuracy at its best and at the end, and training accuracy at the end; thin a seed, bold their mean.

    Args:
        table: from `by_moment`.
        ax: where to draw.
    """
    ax = ax or new_axes(7, 4)
    for moment in MOMENTS:
        values = table["test_accuracy"].sel(moment=moment)
        _seeds(values, ax, color=MOMENT_COLOURS[moment], label=f"test, {TIMES[moment]}")
    fit = table["train_accuracy"].sel(moment="final")
    _seeds(fit, ax, color="0.5", ls="--", label=f"training labels, {TIMES['final']}")
    _mark_threshold(table, ax)
    width_axis(ax, table["width"].values.tolist())
    ax.set(ylabel="accuracy")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(fontsize=8, frameon=False)
    return ax


def time_and_width(course: xr.Dataset, *, unit: str = "step", ax: Axes | None = None) -> Axes:
    """Draw mean test accuracy over width and training time; the line is where 99 % of the training labels are fitted.

    Args:
        course: accuracies over (width, seed, step), from `courses`.
        unit: what a step is called.
        ax: where to draw.
    """
    ax = ax or new_axes(7, 4)
    mean = course.mean("seed").isel(step=slice(1, None))
    places, steps = np.arange(mean.sizes["width"]), mean["step"].values
    image = ax.pcolormesh(places, steps, mean["test_accuracy"].transpose("step", "width"), shading="nearest")
    fit = mean["train_accuracy"].transpose("step", "width").values
    if fit.min() < MEMORIZED < fit.max():
        ax.contour(places, steps, fit, levels=[MEMORIZED], colors="white", linewidths=1.5)
        ax.set_title(f"white: {MEMORIZED:.0%} of the training labels are fitted", fontsize=9)
    ax.set_xticks(places, [f"{w:g}" for w in mean["width"].values])
    ax.set(xlabel="width", ylabel=f"training time ({unit}s)", yscale="log", ylim=(steps[0], steps[-1]))
    ax.figure.colorbar(image, ax=ax, format=PercentFormatter(1, decimals=0)).set_label("test accuracy")
    return ax


def geometry_by_width(table: xr.Dataset) -> Figure:
    """Draw the geometry of the test manifolds at the best test accuracy and at the end; thin a seed, bold the mean.

    Args:
        table: from `by_moment`.
    """
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharex=True)
    for ax, (name, label) in zip(axes.ravel(), LABELS.items(), strict=True):
        for moment in MOMENTS:
            _seeds(table[name].sel(moment=moment), ax, color=MOMENT_COLOURS[moment], label=TIMES[moment])
        _mark_threshold(table, ax)
        ax.set(ylabel=label)
    for ax in axes[1]:
        width_axis(ax, table["width"].values.tolist())
    axes[0, 0].legend(fontsize=8, frameon=False)
    return figure


def memorization_adds(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw error and dimension at the end less those at the best test accuracy, as shares of their largest means.

    Args:
        table: from `by_moment`.
        ax: where to draw.
    """
    ax = ax or new_axes(7, 3.6)
    added = table.sel(moment="final") - table.sel(moment="best")
    for values, name, colour in (
        (-added["test_accuracy"], "test error", COLOURS[1]),
        (added["dimension"], "manifold dimension", COLOURS[2]),
    ):
        top = float(values.mean("seed").max())
        _seeds(values / top, ax, color=colour, label=f"{name} (at most {top:.2g})")
    ax.axhline(0, color="black", lw=0.8)
    _mark_threshold(table, ax)
    width_axis(ax, table["width"].values.tolist())
    ax.set(ylabel="at the end less at its best\n(share of the largest mean)")
    ax.legend(fontsize=8, frameon=False)
    return ax


def width_axis(ax: Axes, widths: Sequence[float]) -> None:
    """Make the x axis that of widths, each with its tick."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [f"{w:g}" for w in widths])
    ax.minorticks_off()
    ax.tick_params(labelsize=8)
    ax.set(xlabel="width")


def _seeds(values: xr.DataArray, ax: Axes, *, label: str, **style: Any) -> None:
    """Draw values over (width, seed)."""
    x, y = values["width"].values, values.transpose("width", "seed").values
    ax.plot(x, y, lw=0.6, alpha=0.5, **style)
    ax.plot(x, y.mean(1), lw=2, marker="o", ms=3.5, label=label, **style)


def _mark_threshold(table: xr.Dataset, ax: Axes) -> None:
    """Mark where networks begin to fit their labels, if they do."""
    at = threshold(table)
    if np.isfinite(at):
        ax.axvline(at, color="black", ls=":", lw=1)
