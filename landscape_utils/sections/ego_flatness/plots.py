"""Pictures of ego space: class surfaces, flat areas, cuts, similarities: arrays in, axes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from landscape_utils.suite.plots import COLOURS, new_axes
from landscape_utils.suite.surfaces import colour_scale, masked, named, surface_map

LINEAR_UP_TO = 10.0  # nats; losses beyond are drawn on a logarithmic axis


def class_surfaces(space: xr.Dataset) -> Figure:
    """Draw every class's loss over one interference space, in one logarithmic colour range."""
    names = [str(n) for n in space["class"].values]
    losses = {name: space["class_loss"].sel({"class": name}).clip(min=1e-3) for name in names}
    finite = np.concatenate([masked(z).compressed() for z in losses.values()])
    norm = LogNorm(max(float(finite.min()), 1e-3), float(finite.max()))
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    size = (2.5 * columns + 1, 2.4 * rows + 0.4)
    figure = plt.figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.ravel(), names, strict=False):
        surface_map(named(losses[name], space), ax=ax, norm=norm, bar=False)
        own = name in (space.attrs["first"], space.attrs["second"])
        ax.set_title(f"loss of {name}" + (" (own space)" if own else ""), fontsize=10)
        ax.label_outer()
    colour_scale(figure, norm, list(axes.ravel()), "class_loss")
    return figure


def accuracy_dots(accuracies: xr.Dataset, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw training and test accuracy by recipe: a dot a seed, a line through the means, a panel an architecture."""
    names = [str(a) for a in accuracies["architecture"].values]
    if axes is None:
        axes = plt.subplots(
            1, len(names), figsize=(4.2 * len(names), 3.6), layout="constrained", sharey=True, squeeze=False
        )[1][0]
    for ax, name in zip(axes, names, strict=True):
        for i, (split, marker) in enumerate((("train", "s"), ("test", "o"))):
            _dots(ax, accuracies[f"{split}_accuracy"].sel(architecture=name), COLOURS[i], marker, split)
        ax.axhline(0.9, color="0.6", lw=1, ls=":")
        ax.set(title=name, xlabel="recipe")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_ylabel("accuracy")
    axes[0].legend(frameon=False, loc="lower right")
    return axes


def area_dots(areas: Mapping[str, xr.Dataset]) -> Figure:
    """Draw flat areas by recipe on logarithmic axes, in theta and in distance walked; hollow dots are lower bounds.

    Args:
        areas: of two windows by name, over (architecture, recipe, seed): the first's area is drawn in theta, the
            other's in distance walked.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.9), layout="constrained")
    measures = (("theta", "theta squared"), ("walked", "share of |w|, squared"))
    for ax, (name, table), (measure, unit) in zip(axes, areas.items(), measures, strict=True):
        values = table[measure].assign_coords(cut_off=table["cut_off"])
        for i, architecture in enumerate(values["architecture"].values):
            _dots(ax, values.sel(architecture=architecture), COLOURS[i], "os"[i % 2], str(architecture))
        ax.set(title=name, xlabel="recipe", ylabel=f"flat area ({unit})", yscale="log")
    axes[0].legend(frameon=False)
    return figure


def cut_lines(in_plane: xr.DataArray, random: xr.DataArray, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw sharpness against the angle of the cut, with random cuts as a band, one panel an architecture.

    Args:
        in_plane: over (architecture, seed, angle).
        random: over (architecture, seed, cut).
    """
    names = [str(a) for a in in_plane["architecture"].values]
    if axes is None:
        axes = _row(len(names))
    for ax, name in zip(axes, names, strict=True):
        one, other = in_plane.sel(architecture=name), random.sel(architecture=name)
        for i, seed in enumerate(one["seed"].values):
            ax.plot(one["angle"], one.sel(seed=seed), marker="o", color=COLOURS[i], label=f"seed {seed}")
        ax.axhspan(float(other.min()), float(other.max()), color="0.8", label="random cuts (range)")
        ax.axvline(135, color="0.4", lw=1, ls=":", label="135 degrees")
        ax.set(title=name, xlabel="angle of the cut (degrees)", xticks=range(0, 181, 45))
    axes[0].set_ylabel("sharpness (mean rise of mistake rate)")
    axes[0].legend(frameon=False, fontsize=9)
    return axes


def similarity_scatter(similar: xr.DataArray, rates: xr.DataArray, *, ax: Axes | None = None, label: int = 5) -> Axes:
    """Plot each pair of classes: how alike their loss surfaces are against how much they interfere."""
    ax = ax or new_axes()
    names, both = [str(n) for n in similar["class"].values], (rates.values + rates.values.T) / 2
    rows, columns = np.nonzero(np.triu(np.isfinite(similar.values), 1))
    x, y = both[rows, columns], similar.values[rows, columns]
    ax.scatter(x, y, color=COLOURS[0], s=18)
    for k, i in enumerate(np.argsort(-x)[:label]):
        name = f"{names[rows[i]]}-{names[columns[i]]}"
        # Names go above and below in turn: neighbours in size lie close to one another.
        ax.annotate(name, (x[i], y[i]), xytext=(5, (4, -12)[k % 2]), textcoords="offset points", fontsize=9)
    ax.set(xlabel="interference, mean of both directions", ylabel="rank correlation of loss surfaces")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.margins(x=0.12)
    return ax


def rise_bars(rises: Mapping[str, xr.DataArray], *, ax: Axes | None = None) -> Axes:
    """Draw how much each class's loss rises in several pairs' spaces; bars are medians over the window."""
    ax = ax or new_axes(8, 3.8)
    width = 0.8 / len(rises)
    for i, (pair, values) in enumerate(rises.items()):
        at = np.arange(values.sizes["class"]) + (i - (len(rises) - 1) / 2) * width
        ax.bar(at, values.values, width, color=COLOURS[i], label=f"{pair} space")
    names = [str(n) for n in next(iter(rises.values()))["class"].values]
    ax.set_xticks(range(len(names)), names, rotation=60 if max(map(len, names)) > 3 else 0)
    ax.set(xlabel="class", ylabel="median rise of its loss (nats)")
    if max(float(values.max()) for values in rises.values()) > LINEAR_UP_TO:
        ax.set_yscale("symlog")
    ax.legend(frameon=False)
    return ax


def _row(count: int) -> Sequence[Axes]:
    size = (4.4 * count, 3.6)
    axes: Sequence[Axes] = plt.subplots(1, count, figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    return axes


def _dots(ax: Axes, values: xr.DataArray, colour: str, marker: str, label: str) -> None:
    """Draw one line of means over recipes with a dot a seed; hollow where only a lower bound was seen."""
    recipes = [str(r) for r in values["recipe"].values]
    ax.plot(recipes, values.mean("seed").values, color=colour, label=label)
    for i, recipe in enumerate(recipes):
        for one in values.sel(recipe=recipe):
            bound = "cut_off" in values.coords and bool(one["cut_off"])
            ax.plot([i], [float(one)], marker=marker, color=colour, mfc="white" if bound else colour, ls="none")
