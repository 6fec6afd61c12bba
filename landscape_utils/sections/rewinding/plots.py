"""Pictures of rewound networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from landscape_utils.memorization.rewinding import ALL
from landscape_utils.sections.rewinding.study import best, final, settling, that_matter
from landscape_utils.suite.claims import over_seeds
from landscape_utils.suite.plots import COLOURS, new_axes

KNOWN = {"train": "training images", "test": "test images", "restored": "permuted images, true labels"}
LONG = 40  # epochs; a longer training is shown on a logarithmic axis
_BN = {"rewind": "rewound with the layer", "keep": "final ones kept", "update": "estimated anew after rewinding"}


def rewind_curves(tables: Mapping[str, xr.Dataset], subsets: Sequence[str] = ("test", "restored", "train")) -> Figure:
    """Draw accuracy against the rewind epoch, a line a layer, means over seeds; a row an architecture.

    In colour: the layers that give back most; dashed: all layers rewound, which is the network as it was at that epoch;
    dotted: early stopping.

    Args:
        tables: from `by_layer`, by architecture.
        subsets: one column each.
    """
    size = (3.5 * len(subsets) + 1.5, 3.4 * len(tables) + 0.4)
    figure, axes = plt.subplots(len(tables), len(subsets), figsize=size, layout="constrained", squeeze=False)
    for row, (name, table) in zip(axes, tables.items(), strict=True):
        for ax, subset in zip(row, subsets, strict=True):
            rewind_curves_of(table, subset, ax=ax)
        row[0].set_ylabel(f"accuracy of {name}")
        row[-1].legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title="rewound")
    for ax, subset in zip(axes[0], subsets, strict=True):
        ax.set_title(KNOWN[subset], fontsize=10)
    figure.supxlabel("rewind epoch", fontsize=10)
    return figure


def rewind_curves_of(table: xr.Dataset, subset: str, *, ax: Axes | None = None) -> Axes:
    """Draw one subset's accuracy against the rewind epoch, on the range of the single layers and of early stopping."""
    ax = ax or new_axes()
    colours = dict(zip(that_matter(table), (COLOURS[0], COLOURS[1], COLOURS[2]), strict=False))
    courses = table["accuracy"].sel(subset=subset).mean("seed", skipna=False)
    stopped = float(at_stopping(table).sel(subset=subset).mean())
    others = [name for name in table["rewound"].values if name not in (*colours, ALL)]
    for i, name in enumerate(others):
        _course(courses.sel(rewound=name), ax, color="0.75", lw=1, label="others" if not i else None)
    for name, colour in colours.items():
        _course(courses.sel(rewound=name), ax, color=colour, lw=2.2, marker="o", ms=4, label=_title(courses, name))
    single = courses.drop_sel(rewound=ALL).values
    low, high = min(np.nanmin(single), stopped), max(np.nanmax(single), stopped)
    _course(courses.sel(rewound=ALL), ax, color="black", lw=1.2, ls="--", label=ALL)
    ax.axhline(stopped, color="black", ls=":", lw=1.6, label="early stopping")
    _accuracy_axis(ax)
    margin = max(0.05 * (high - low), 0.01)
    ax.set_ylim(low - margin, high + margin)
    epoch_axis(ax, int(table["epoch"].max()))
    return ax


def _course(values: xr.DataArray, ax: Axes, **style: Any) -> None:
    known = values.dropna("epoch")
    ax.plot(known["epoch"], known, **style)


def _title(courses: xr.DataArray, name: str) -> str:
    return str(courses["title"].sel(rewound=name).item())


def at_stopping(table: xr.Dataset) -> xr.DataArray:
    """Return the early-stopped network's accuracies, over (seed, subset)."""
    return table["accuracy"].sel(rewound=ALL, epoch=table["stopped"]).drop_vars(("rewound", "epoch", "title"))


def gains(tables: Mapping[str, xr.Dataset]) -> Figure:
    """Draw what each layer gives back at its best epoch, in points above the final network; a row an architecture.

    Epochs as in `best`; differences are paired by seed, and have 95 % intervals. Dotted: what early stopping has.

    Args:
        tables: from `by_layer`, by architecture.
    """
    size = (max(7.0, 0.55 * max(table.sizes["rewound"] for table in tables.values()) + 1), 3.4 * len(tables) + 0.5)
    figure, axes = plt.subplots(len(tables), 1, figsize=size, layout="constrained", squeeze=False, sharey=True)
    for ax, (name, table) in zip(axes[:, 0], tables.items(), strict=True):
        gained = 100 * (best(table)["accuracy"] - final(table))
        ax.axhline(0, color="0.45", lw=1)
        for subset, colour, aside in (("test", COLOURS[0], -0.1), ("restored", COLOURS[2], 0.1)):
            rows = gained.sel(subset=subset)
            label = KNOWN[subset]
            ax.axhline(
                float(rows.sel(rewound=ALL).mean()), color=colour, ls=":", lw=1.6, label=f"early stopping: {label}"
            )
            _with_intervals(rows.drop_sel(rewound=ALL), colour, label, aside, ax=ax)
        ax.set_xlabel(f"layer of {name} that is rewound to its best epoch")
        ax.set_ylabel("gain over the final network (points)", fontsize=9)
    axes[0][0].legend(fontsize=9, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def last_layers(accuracies: xr.DataArray, titles: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw accuracies with the last k layers rewound to the epoch of early stopping: thin a seed, bold their mean.

    Args:
        accuracies: from `last`, over (seed, last, subset).
        titles: of the layers, the first one first.
        ax: where to draw.
    """
    ax = ax or new_axes(6.8, 3.9)
    for (subset, label), colour in zip(KNOWN.items(), (COLOURS[5], COLOURS[0], COLOURS[2]), strict=True):
        rows = accuracies.sel(subset=subset)
        ax.plot(rows["last"], rows.transpose("last", "seed"), color=colour, lw=0.6, alpha=0.7)
        ax.plot(rows["last"], rows.mean("seed"), color=colour, lw=2, marker="o", ms=5, label=label)
    names = ["0", *(f"{k}: from {title}" for k, title in enumerate(reversed(titles), start=1))]
    ax.set_xticks(accuracies["last"].values, names, rotation=45, ha="right")
    ax.set(xlabel="last layers that are rewound (0: the final network)", ylabel="accuracy")
    _accuracy_axis(ax)
    ax.legend(fontsize=9, frameon=False)
    return ax


def settling_scatter(tables: Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw the epoch at which each convolution has settled, a mark a seed, their means joined.

    Args:
        tables: from `by_layer`, by architecture.
        ax: where to draw.
    """
    ax = ax or new_axes(6.2, 3.8)
    for i, (name, table) in enumerate(tables.items()):
        epochs = settling(table)
        epochs = epochs.isel(rewound=["conv" in str(title) for title in epochs["title"].values])
        depth, colour = np.arange(1, epochs.sizes["rewound"] + 1), COLOURS[i % len(COLOURS)]
        ax.plot(depth, epochs.mean("seed"), color=colour, lw=1.6, label=name)
        for k, row in enumerate(epochs.values):  # aside, so that equal ones are seen
            ax.scatter(depth + 0.08 * (k - (len(epochs) - 1) / 2), row, s=16, color=colour, alpha=0.7)
    ax.set(xlabel="convolution (1: next to the images)", ylabel="epoch from which it has settled", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=9, frameon=False)
    return ax


def treatment_bars(accuracies: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw test accuracy by layer and by what becomes of BatchNorm's statistics; means over seeds.

    Args:
        accuracies: from `treatments`, over (bn, seed, rewound, subset).
        ax: where to draw.
    """
    ax = ax or new_axes(7.6, 3.8)
    width, places = 0.27, np.arange(accuracies.sizes["rewound"])
    for i, bn in enumerate(accuracies["bn"].values):
        rows = accuracies.sel(bn=bn, subset="test")
        ax.bar(places + (i - 1) * width, rows.mean("seed"), width, color=COLOURS[i], label=_BN[str(bn)])
    ax.set_xticks(places, accuracies["title"].values, rotation=45, ha="right")
    ax.set(xlabel="layer that is rewound to the epoch of early stopping", ylabel="test accuracy", ylim=(0, None))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(fontsize=9, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), title="BatchNorm")
    return ax


# --- small things ------------------------------------------------------------------------------------------------


def epoch_axis(ax: Axes, last: int) -> None:
    """Show whole epochs; a long training on a logarithmic axis that has room for 0."""
    if last > LONG:
        ax.set_xscale("symlog", linthresh=1)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _accuracy_axis(ax: Axes) -> None:
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(labelsize=9)


def _with_intervals(rows: xr.DataArray, colour: str, label: str, aside: float, *, ax: Axes) -> None:
    """Draw means over seeds, with their 95 % intervals where there are two seeds or more."""
    mean, reach = over_seeds(rows.transpose("seed", "rewound").values)
    where = np.arange(len(mean))
    ax.errorbar(where + aside, mean, reach, color=colour, marker="o", ms=5, capsize=3, lw=1.4, ls="", label=label)
    ax.set_xticks(where, rows["title"].values, rotation=45, ha="right")
