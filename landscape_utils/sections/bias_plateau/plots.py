"""Pictures of interpolation curves and of what makes them flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from landscape_utils.plateau.plateau import chance
from landscape_utils.sections.bias_plateau.study import Way, lengths
from landscape_utils.suite.plots import COLOURS, new_axes

LABELS = {"loss": "mean loss (nats)", "mistake_rate": "error (share of images)"}

Variants = Mapping[str, Sequence[Way]]


def ways_grid(panels: Mapping[str, Variants]) -> Figure:
    """Draw losses above errors, one column a panel: thin a seed, bold their mean, dashed the mean on test images.

    The number behind a variant's name is its mean plateau length in alpha.

    Args:
        panels: ways of one or more variants by name, by the panel's title.
    """
    size = (3.6 * len(panels) + 0.5, 5.4)
    figure, axes = plt.subplots(2, len(panels), figsize=size, layout="constrained", squeeze=False, sharex=True)
    for column, (title, variants) in zip(axes.T, panels.items(), strict=True):
        for ax, variable in zip(column, LABELS, strict=True):
            ways_axes(variants, variable, ax=ax)
        column[0].set_title(title + _norms(variants), fontsize=10)
    for ax, label in zip(axes[:, 0], LABELS.values(), strict=True):
        ax.set_ylabel(label)
    figure.supxlabel("alpha (0: initialisation, 1: solution)", fontsize=10)
    return figure


def _norms(variants: Variants) -> str:
    """Return what was done about BatchNorm, where there is any."""
    done = {way.train.attrs.get("bn", "none") for ways in variants.values() for way in ways} - {"none"}
    words = {"update": "BatchNorm's statistics updated at every point", "keep": "BatchNorm's statistics kept"}
    return "".join(f"\n{words[how]}" for how in sorted(done))


def ways_axes(variants: Variants, variable: str, *, ax: Axes | None = None) -> Axes:
    """Draw one variable of some variants over alpha; a uniform guess is dotted."""
    ax = ax or new_axes()
    for i, (name, ways) in enumerate(variants.items()):
        colour = COLOURS[i % len(COLOURS)]
        for way in ways:
            ax.plot(way.train["alpha"], way.train[variable], color=colour, lw=0.6, alpha=0.6)
        length = f"[{np.nanmean(lengths(ways, variable)):.2f}]"
        for part, style in (("train", "-"), ("test", "--")):
            mean = np.nanmean([getattr(way, part)[variable].values for way in ways], axis=0)
            label = f"{name} {length}".strip() if part == "train" else None
            ax.plot(ways[0].train["alpha"], mean, color=colour, lw=2 if part == "train" else 1.2, ls=style, label=label)
    some = next(iter(variants.values()))[0]
    ax.axhline(chance(some.train)[variable], color="black", ls=":", lw=1)
    ax.set_ylim(bottom=0)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, edgecolor="none", framealpha=0.8, loc="upper right", title="plateau", title_fontsize=8)
    return ax


def prediction_scatter(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw measured plateau lengths against predicted ones, one colour a depth, larger marks for larger gaps.

    Args:
        table: `measured` and `predicted` over (depth, seed, gap).
        ax: where to draw.
    """
    ax = ax or new_axes()
    ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="as predicted")
    for i, depth in enumerate(table["depth"].values):
        at = table.sel(depth=depth)
        sizes = np.broadcast_to(18 + 16 * table["gap"].values, at["measured"].shape)
        ax.scatter(at["predicted"], at["measured"], s=sizes, color=COLOURS[i % len(COLOURS)], label=f"{depth} layers")
    ax.set(xlabel="predicted error plateau (alpha)", ylabel="measured error plateau (alpha)", xlim=(0, 1), ylim=(0, 1))
    ax.set_aspect("equal")
    ax.legend(fontsize=8, frameon=False)
    return ax


def order_scatter(orders: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Plot every class of every run: how early it was learned among the classes, against its final bias.

    Args:
        orders: `epoch` and `bias` over (seed, class).
        ax: where to draw.
    """
    ax = ax or new_axes()
    places = stats.rankdata(orders["epoch"].values, axis=1, nan_policy="omit")
    for i, name in enumerate(orders["class"].values):
        colour, mark = COLOURS[i % len(COLOURS)], "os^Dv"[i // len(COLOURS) % 5]
        ax.scatter(places[:, i], orders["bias"].values[:, i], s=18, color=colour, marker=mark, label=str(name))
    ax.axhline(0, color="black", ls=":", lw=1)
    ax.set(xlabel="place in the order of learning (1: first)", ylabel="last-layer bias at the end (logits)")
    ax.legend(fontsize=7, frameon=False, ncols=2, title="class", title_fontsize=8)
    return ax


def hardness_pair(curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> Figure:
    """Draw, for each problem, the loss along the way to the minimum beside the loss of gradient descent.

    Args:
        curves: (interpolation, descent) by problem; losses as shares of the first.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", sharey=True)
    for (name, (line, descent)), colour in zip(curves.items(), COLOURS, strict=False):
        left.plot(line["alpha"], line, color=colour, lw=2, label=name)
        right.plot(np.arange(1, descent.sizes["step"] + 1), descent, color=colour, lw=2)
    left.set(xlabel="alpha (0: start, 1: minimum)", ylabel="loss (share of the first)")
    right.set(xlabel="steps of gradient descent, plus 1", xscale="log")
    left.legend(fontsize=8, frameon=False)
    return figure
