"""Pictures of manifold geometry by layer, epoch and share of permuted labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from landscape_utils.data.labels import SUBSETS
from landscape_utils.sections.mftma.study import QUANTITIES
from landscape_utils.suite.claims import over_seeds
from landscape_utils.suite.plots import COLOURS, new_axes

SUBSET_COLOURS = dict(zip(SUBSETS, COLOURS, strict=False))
PLANE_COLOURS: list[Any] = [*COLOURS, *(plt.get_cmap("tab10")(i) for i in range(10))]
LABELS = {
    "capacity": "capacity\n(manifolds per dimension)",
    "radius": "radius\n(of the centre's norm)",
    "dimension": "dimension",
    "centre_correlation": "centre correlation\n(mean |cos|)",
}


def accuracy_course(accuracies: xr.Dataset) -> Figure:
    """Draw accuracy by epoch: training and test beside the four label subsets; thin a seed, bold the mean.

    Args:
        accuracies: as `memorized.accuracies` gives.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained", sharey=True)
    for name, colour, label in (("train", COLOURS[5], "training, labels as taught"), ("test", COLOURS[3], "test")):
        _lines(accuracies[f"{name}_accuracy"], colour, label, ax=left)
    for name, colour in SUBSET_COLOURS.items():
        _lines(accuracies["subset_accuracy"].sel(subset=name), colour, name, ax=right)
    for i, best in enumerate(accuracies["best"].values):
        left.axvline(best, color="black", lw=0.8, ls=":", label=None if i else "best epoch of a seed")
    for ax in (left, right):
        ax.set_xlabel("epoch")
        ax.set_ylim(0, 1.02)
        ax.legend(fontsize=9, frameon=False)
    left.set_ylabel("accuracy (share of examples)")
    return figure


def _lines(values: xr.DataArray, colour: str, label: str, *, ax: Axes) -> None:
    """Draw every seed, and the mean as far as all of them go."""
    ax.plot(values["epoch"], values.T, color=colour, lw=0.7, alpha=0.5)
    ax.plot(values["epoch"], values.mean("seed", skipna=False), color=colour, lw=2, label=label)


def geometry_grid(geometry: xr.Dataset, quantities: Sequence[str] = QUANTITIES) -> Figure:
    """Draw quantities (rows) by layer at epochs (columns), one colour a subset: mean over seeds, and its 95 % interval.

    The dotted line is the capacity of points without structure, 2 / M.

    Args:
        geometry: as `study.by_epoch` gives.
        quantities: which.
    """
    size = (4.6 * geometry.sizes["epoch"] + 1, 2.1 * len(quantities) + 0.6)
    figure, axes = plt.subplots(
        len(quantities),
        geometry.sizes["epoch"],
        figsize=size,
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for row, quantity in zip(axes, quantities, strict=True):
        for ax, epoch in zip(row, geometry["epoch"].values, strict=True):
            geometry_axes(geometry.sel(epoch=epoch), quantity, ax=ax)
        row[0].set_ylabel(LABELS[quantity], fontsize=9)
        row[0].set_ylim(bottom=0)
    for ax, epoch in zip(axes[0], geometry["epoch"].values, strict=True):
        ax.set_title({"initial": "initialisation"}.get(str(epoch), f"{epoch} epoch"), fontsize=11)
    figure.supxlabel("layer, after its nonlinearity (0: pixels)", fontsize=10)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    return figure


def geometry_axes(geometry: xr.Dataset, quantity: str, *, ax: Axes | None = None) -> Axes:
    """Draw one quantity by layer.

    Args:
        geometry: over (subset, layer), and seed if there are several.
        quantity: a variable.
        ax: where to draw.
    """
    ax = ax or new_axes()
    several = geometry if "seed" in geometry.dims else geometry.expand_dims("seed")
    for place, (name, colour) in enumerate(SUBSET_COLOURS.items()):
        if name in several["subset"].values:
            values = several[quantity].sel(subset=name)
            shift = 0.09 * (place - 1.5)  # so that intervals stand beside one another
            _with_interval(several["depth"].values + shift, values.transpose("seed", ...).values, colour, name, ax=ax)
    if quantity == "capacity":
        ax.axhline(float(several["lower_bound"].mean()), color="black", lw=1, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(labelsize=9)
    return ax


def _with_interval(x: np.ndarray, values: np.ndarray, colour: str, label: str, *, ax: Axes) -> None:
    mean, reach = over_seeds(values)
    ax.errorbar(x, mean, yerr=reach, color=colour, lw=1.8, marker="o", ms=3, elinewidth=1, capsize=2, label=label)


def epsilon_row(geometry: xr.Dataset, layers: Sequence[str]) -> Figure:
    """Draw capacity against the share of permuted labels at the final epoch: mean over seeds, and its 95 % interval.

    Args:
        geometry: as `study.by_epsilon` gives.
        layers: names, one panel each.
    """
    figure, axes = plt.subplots(1, len(layers), figsize=(10, 3.1), layout="constrained", sharey=True)
    x = geometry["epsilon"].values
    for ax, layer in zip(axes, layers, strict=True):
        for place, (name, colour) in enumerate(SUBSET_COLOURS.items()):
            values = geometry["capacity"].sel(subset=name, layer=layer).transpose("seed", "epsilon").values
            _with_interval(x + 0.012 * (place - 1.5), values, colour, name, ax=ax)
        ax.axhline(float(geometry["lower_bound"].mean()), color="black", lw=1, ls=":")
        ax.set_title(f"layer {int(geometry['depth'].sel(layer=layer))} ({layer})", fontsize=10)
        ax.set_xticks(x)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("capacity (manifolds per dimension)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    figure.supxlabel("share of permuted labels, epsilon", fontsize=10)
    return figure


def capacity_scatter(counted: xr.Dataset, balls: xr.Dataset) -> Figure:
    """Draw mean-field capacity against the empirical one, and against that of balls.

    Args:
        counted: as `study.capacities` gives.
        balls: `capacity` and `ball_capacity`, with a dimension `subset`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4), layout="constrained")
    for name, colour in SUBSET_COLOURS.items():
        one = counted.sel(subset=name).stack(case=("seed", "layer"))
        reach = np.abs(np.array([one["low"] - one["empirical"], one["high"] - one["empirical"]]))
        how = {"color": colour, "fmt": "o", "ms": 4, "elinewidth": 0.8, "label": name}
        left.errorbar(one["mean_field"], one["empirical"], yerr=reach, xerr=2 * one["mean_field_error"], **how)
        both = balls.sel(subset=name)
        right.scatter(both["ball_capacity"], both["capacity"], s=14, color=colour, label=name)
    left.set(xlabel="mean-field capacity", ylabel="counted capacity")
    right.set(xlabel="capacity of balls of that radius and dimension", ylabel="mean-field capacity")
    for ax in (left, right):
        ends = np.array([ax.get_xlim(), ax.get_ylim()])
        span = (max(0.03, ends.min()), 1.1 * ends.max())
        ax.axline((1, 1), slope=1, color="0.6", lw=1, ls="--")
        ax.set(xscale="log", yscale="log", xlim=span, ylim=span, aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(FixedLocator([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_locator(NullLocator())
        ax.legend(fontsize=9, frameon=False)
    return figure


def planes_grid(planes: xr.Dataset, layer: str) -> Figure:
    """Draw the UMAP planes of the first seed's layer: epochs in rows, the subsets in columns, classes by their letter.

    A title tells how many examples most of their ten nearest agree with.

    Args:
        planes: as `study.planes_of` gives.
        layer: which.
    """
    one = planes.isel(seed=0).sel(layer=layer)
    epochs, named = one["epoch"].values, list(zip(planes.attrs["numbers"], planes.attrs["classes"], strict=True))
    size = (3.1 * len(SUBSETS) + 0.8, 3.0 * len(epochs) + 0.3)
    figure, axes = plt.subplots(len(epochs), len(SUBSETS), figsize=size, layout="constrained", squeeze=False)
    for row, epoch in zip(axes, epochs, strict=True):
        position = one["position"].sel(epoch=epoch).values
        for ax, subset in zip(row, SUBSETS, strict=True):
            label = one["label"].sel(subset=subset).values
            ax.scatter(*position[label < 0].T, s=2, color="0.88", linewidths=0)
            for (c, name), colour in zip(named, PLANE_COLOURS, strict=False):
                letter = rf"$\mathrm{{{name[0]}}}$"
                ax.scatter(*position[label == c].T, s=26, color=colour, marker=letter, linewidths=0.3)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{subset}: {float(one['agreement'].sel(epoch=epoch, subset=subset)):.0%} agree", fontsize=11)
        row[0].set_ylabel({"initial": "initialisation"}.get(str(epoch), f"{epoch} epoch"), fontsize=12)
    handles = [Line2D([], [], color=c, marker="o", ls="", ms=7) for _, c in zip(named, PLANE_COLOURS, strict=False)]
    names = [name for _, name in named]
    figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=11)
    return figure
