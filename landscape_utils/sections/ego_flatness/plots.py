"""Pictures of ego space: class surfaces, radii of flatness, similarities: arrays in, axes out."""

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


def class_surfaces(spaces: Mapping[str, xr.Dataset], classes: Sequence[str]) -> Figure:
    """Draw the losses of some classes over several interference spaces, in one logarithmic colour range.

    Args:
        spaces: by name, a row each.
        classes: a column each.
    """
    losses = {
        (row, name): space["class_loss"].sel({"class": name}).clip(min=1e-3)
        for row, space in spaces.items()
        for name in classes
    }
    finite = np.concatenate([masked(z).compressed() for z in losses.values()])
    norm = LogNorm(max(float(finite.min()), 1e-3), float(finite.max()))
    size = (2.7 * len(classes) + 1, 2.5 * len(spaces) + 0.4)
    figure, axes = plt.subplots(len(spaces), len(classes), figsize=size, layout="constrained", squeeze=False)
    for ax, ((row, name), loss) in zip(axes.ravel(), losses.items(), strict=True):
        space = spaces[row]
        surface_map(named(loss, space), ax=ax, norm=norm, bar=False)
        own = name in (space.attrs["first"], space.attrs["second"])
        ax.set_title(f"loss of {name}" + (" (own space)" if own else ""), fontsize=10)
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


def area_dots(radii: xr.Dataset) -> Figure:
    """Draw flat areas by recipe on logarithmic axes, in theta and in distance walked: a dot a seed.

    Args:
        radii: `area_theta` and `area` over (architecture, recipe, seed).
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.9), layout="constrained")
    panels = (
        ("area_theta", "in the gradients' own unit", "theta squared"),
        ("area", "in distance walked", "share of |w|, squared"),
    )
    for ax, (measure, title, unit) in zip(axes, panels, strict=True):
        for i, architecture in enumerate(radii["architecture"].values):
            values = radii[measure].sel(architecture=architecture)
            _dots(ax, values, COLOURS[i], "os"[i % 2], str(architecture))
        ax.set(title=title, xlabel="recipe", ylabel=f"flat area ({unit})", yscale="log")
    axes[0].legend(frameon=False)
    return figure


def radius_polar(spaces: Mapping[str, xr.DataArray], random: xr.DataArray) -> Figure:
    """Draw the radius of flatness by angle, a panel an architecture: geometric means over seeds, and random directions.

    Args:
        spaces: distance walked over (architecture, seed, angle), by the space's name.
        random: along random directions (architecture, seed, direction).
    """
    names = [str(a) for a in random["architecture"].values]
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(4.6 * len(names), 4.8),
        layout="constrained",
        squeeze=False,
        subplot_kw={"projection": "polar"},
    )
    around = np.linspace(0, 2 * np.pi, 181)
    finite = [array.where(np.isfinite(array)) for array in (*spaces.values(), random)]
    shown = [array.copy(data=np.log10(array.values)) for array in finite]
    low, high = min(float(a.min()) for a in shown), max(float(a.max()) for a in shown)
    for ax, name in zip(axes.ravel(), names, strict=True):
        other = shown[-1].sel(architecture=name)
        ax.fill_between(around, float(other.min()), float(other.max()), color="0.85", lw=0, label="random directions")
        for i, (space, walked) in enumerate(zip(spaces, shown, strict=False)):
            mean = walked.sel(architecture=name).mean("seed")
            closed = xr.concat([mean, mean.isel(angle=[0])], "angle")
            turn = np.deg2rad([*walked["angle"].values, 360.0])
            ax.plot(turn, closed, color=COLOURS[i], marker="osD"[i % 3], ms=3, label=space)
        ticks = np.arange(np.floor(low), np.ceil(high) + 1)
        ax.set_ylim(ticks[0], ticks[-1])
        ax.set_yticks(ticks[1:], [f"{100 * 10**tick:g} %" for tick in ticks[1:]], fontsize=9)
        ax.set_title(name)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


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
    ax.legend(frameon=False, ncols=len(rises), loc="lower left", bbox_to_anchor=(0, 1))  # above: bars fill the axes
    return ax


def _dots(ax: Axes, values: xr.DataArray, colour: str, marker: str, label: str) -> None:
    """Draw one line of means over recipes with a dot a seed."""
    recipes = [str(r) for r in values["recipe"].values]
    ax.plot(recipes, values.mean("seed").values, color=colour, label=label)
    for i, recipe in enumerate(recipes):
        for one in values.sel(recipe=recipe).values:
            ax.plot([i], [float(one)], marker=marker, color=colour, ls="none")
