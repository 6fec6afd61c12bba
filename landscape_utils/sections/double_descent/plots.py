"""Pictures of error and of manifold geometry against width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.memorization.double_descent import MOMENTS
from landscape_utils.memorization.memorized import MEMORIZED
from landscape_utils.sections.double_descent.study import LABELS, threshold, turning_points
from landscape_utils.suite.plots import COLOURS, new_axes, percent

MOMENT_COLOURS = {"best": COLOURS[0], "final": COLOURS[1]}
TIMES = {"best": "at its best", "final": "at the end"}
DIFFERENCE = COLOURS[2]
FITTED = f"{MEMORIZED:.0%} of the training labels are fitted"


def error_by_width(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw test error at its best and at the end, and training error at the end; thin a seed, bold their mean.

    Args:
        table: from `by_moment`.
        ax: where to draw.
    """
    ax = ax or new_axes(8, 4.2)
    for moment in MOMENTS:
        values = 1 - table["test_accuracy"].sel(moment=moment)
        _seeds(values, ax, color=MOMENT_COLOURS[moment], label=f"test, {TIMES[moment]}")
    unfitted = 1 - table["train_accuracy"].sel(moment="final")
    _seeds(unfitted, ax, color="0.45", ls="--", label=f"training labels, {TIMES['final']}")
    _mark_threshold(table, ax)
    width_axis(ax, table["width"].values.tolist())
    ax.set(ylabel="error", ylim=(-0.01, None))
    percent(ax.yaxis)
    _legend_above(ax)
    return ax


def time_and_width(course: xr.Dataset, *, unit: str = "step", ax: Axes | None = None) -> Axes:
    """Draw mean test error over width and training time; the line is where 99 % of the training labels are fitted.

    The colours end at the highest error, at the end, from the dip on: those of narrower networks, and before anything
    is learned, are larger, and would leave no colours to what happens after.

    Args:
        course: accuracies over (width, seed, step), from `courses`.
        unit: what a step is called.
        ax: where to draw.
    """
    ax = ax or new_axes(8, 4.6)
    mean = course.mean("seed").isel(step=slice(1, None))
    places, steps = np.arange(mean.sizes["width"]), mean["step"].values
    error, fit = (mean[name].transpose("step", "width").values for name in ("test_accuracy", "train_accuracy"))
    error = 1 - error
    dip = turning_points(error[-1])[0] if len(places) > 3 else 0
    highest = error[-1, dip:].max()
    image = ax.pcolormesh(places, steps, error, shading="nearest", cmap="cividis", vmax=highest)
    if fit.min() < MEMORIZED < fit.max():
        ax.contour(places, steps, fit, levels=[MEMORIZED], colors="white", linewidths=2)
        ax.set_title(f"white: {FITTED}", fontsize=10)
    ax.set_xticks(places, [f"{w:g}" for w in mean["width"].values])
    ax.set(xlabel="width", ylabel=f"training time ({unit}s)", yscale="log", ylim=(steps[0], steps[-1]))
    bar = ax.figure.colorbar(image, ax=ax, extend="max")
    bar.set_label("test error")
    percent(bar.ax.yaxis)
    return ax


def dimension_by_width(table: xr.Dataset) -> Figure:
    """Draw the dimension of the test manifolds at the best test accuracy and at the end, and below it their difference.

    Args:
        table: from `by_moment`.
    """
    figure, (both, difference) = plt.subplots(2, 1, figsize=(8, 6), layout="constrained", sharex=True)
    for moment in MOMENTS:
        _seeds(table["dimension"].sel(moment=moment), both, color=MOMENT_COLOURS[moment], label=TIMES[moment])
    both.set(ylabel=LABELS["dimension"])
    added = table["dimension"].sel(moment="final") - table["dimension"].sel(moment="best")
    _seeds(added, difference, color=DIFFERENCE, label="at the end less at its best")
    difference.axhline(0, color="black", lw=0.8)
    difference.set(ylabel="dimension at the end\nless at its best")
    for ax in (both, difference):
        _mark_threshold(table, ax)
        width_axis(ax, table["width"].values.tolist())
    both.set(xlabel="")
    _legend_above(both)
    return figure


def geometry_by_width(table: xr.Dataset) -> Figure:
    """Draw the manifolds' radius, centre correlation and capacity at the best test accuracy and at the end.

    Args:
        table: from `by_moment`.
    """
    names = [name for name in LABELS if name != "dimension"]
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 7.5), layout="constrained", sharex=True)
    for ax, name in zip(axes, names, strict=True):
        for moment in MOMENTS:
            _seeds(table[name].sel(moment=moment), ax, color=MOMENT_COLOURS[moment], label=TIMES[moment])
        _mark_threshold(table, ax)
        width_axis(ax, table["width"].values.tolist())
        ax.set(xlabel="", ylabel=LABELS[name])
    axes[-1].set(xlabel="width")
    _legend_above(axes[0])
    return figure


def width_axis(ax: Axes, widths: Sequence[float]) -> None:
    """Make the x axis that of widths, each with its tick."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [f"{w:g}" for w in widths])
    ax.minorticks_off()
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
        ax.axvline(at, color="black", ls=":", lw=1.5, label=f"{FITTED} from here on")


def _legend_above(ax: Axes) -> None:
    ax.legend(fontsize=9, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
