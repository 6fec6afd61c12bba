"""Pictures of interpolation curves and of what makes them flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape_utils.plateau.plateau import chance, level_of
from landscape_utils.sections.bias_plateau.study import Way, bias_by_rank
from landscape_utils.suite.claims import over_seeds
from landscape_utils.suite.plots import COLOURS, new_axes

LABELS = {"loss": "mean loss (nats)", "mistake_rate": "error (share of images)"}
HEADROOM = 1.15  # of a uniform guess's, the top of the axes: a curve that starts higher is cut

Variants = Mapping[str, Sequence[Way]]


def ways_rows(rows: Mapping[str, Variants]) -> Figure:
    """Draw losses beside errors, one row a network or condition: thin a seed, bold their mean.

    A dot is the end of a seed's plateau; the lengths beside a variant's name are their means, in loss and in error.

    Args:
        rows: ways of one or more variants by name, by the row's title.
    """
    size = (10.4, 2.7 * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), 2, figsize=size, layout="constrained", squeeze=False, sharex=True)
    for row, (title, variants) in zip(axes, rows.items(), strict=True):
        for ax, (variable, label) in zip(row, LABELS.items(), strict=True):
            ways_axes(variants, variable, ax=ax)
            ax.set_ylabel(label)
        _legend(row[1], title + _norms(variants), variants)
    figure.supxlabel("alpha (0: initialisation, 1: solution)", fontsize=10)
    return figure


def _legend(ax: Axes, title: str, variants: Variants) -> None:
    """Name the variants right of a row, with their plateaus."""
    names = [
        f"{name}\n{_mean_length(ways, 'loss')} / {_mean_length(ways, 'mistake_rate')}"
        for name, ways in variants.items()
    ]
    lines = [Line2D([], [], color=colour, lw=2) for colour in COLOURS[: len(names)]]
    how: Any = {
        "loc": "center left",
        "bbox_to_anchor": (1.02, 0.5),
        "frameon": False,
        "fontsize": 9,
        "title_fontsize": 9.5,
    }
    legend = ax.legend(lines, names, title=f"{title}\nplateau in loss / error", alignment="left", **how)
    legend.get_title().set_multialignment("left")


def _mean_length(ways: Sequence[Way], variable: str) -> str:
    lengths = np.array([way.length(variable) for way in ways])
    known = lengths[np.isfinite(lengths)]
    return f"{known.mean():.2f}" if len(known) else "-"


def _norms(variants: Variants) -> str:
    """Return what was done about BatchNorm, where there is any."""
    done = {way.curve.attrs.get("bn", "none") for ways in variants.values() for way in ways} - {"none"}
    words = {"update": "BatchNorm updated at every point", "keep": "BatchNorm's statistics kept"}
    return "".join(f"\n{words[how]}" for how in sorted(done))


def ways_axes(variants: Variants, variable: str, *, ax: Axes | None = None) -> Axes:
    """Draw one variable of some variants over alpha, and where plateaus end; a uniform guess is dotted."""
    ax = ax or new_axes()
    guess = max(chance(way.curve)[variable] for ways in variants.values() for way in ways)
    for colour, ways in zip(COLOURS, variants.values(), strict=False):
        curves = np.array([way.curve[variable].values for way in ways])
        alphas, known = ways[0].curve["alpha"].values, np.isfinite(curves).all(1)
        ax.plot(alphas, curves.T, color=colour, lw=0.6, alpha=0.5)
        if known.any():
            ax.plot(alphas, curves[known].mean(0), color=colour, lw=2.2)
        ends = [(way.length(variable), level_of(way.curve, variable)) for way in ways]
        ax.plot(*zip(*ends, strict=True), ls="", marker="o", ms=5, mfc=colour, mec="white", mew=0.7, zorder=3)
    ax.axhline(guess, color="black", ls=":", lw=1)
    ax.set_ylim(0, HEADROOM * guess)
    return ax


def prediction_pair(table: xr.Dataset) -> Figure:
    """Draw measured plateaus against those of a vanishing start, and what is measured as the start is shrunken.

    Args:
        table: from `study.predictions`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.2), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.5", lw=1, ls="--")
    for colour, depth in zip(COLOURS, table["depth"].values, strict=False):
        at = table.sel(depth=depth)
        sizes = np.broadcast_to(18 + 16 * table["gap"].values, at["measured"].shape)
        left.scatter(at["predicted"], at["measured"], s=sizes, color=colour, edgecolor="white", lw=0.5)
        means, reach = over_seeds(at["shrunk"].transpose("seed", "start").values)
        right.errorbar(table["start"], means, reach, color=colour, marker="o", ms=5, capsize=3, label=f"{depth} layers")
        right.axhline(float(at["predicted"].isel(gap=0).mean()), color=colour, ls="--", lw=1)
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    left.set(xlabel="predicted error plateau, for a vanishing start", ylabel="measured error plateau (alpha)")
    right.set(xlabel="the start, as a share of the initialisation", ylabel="error plateau (alpha)", ylim=(0, 1))
    right.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
    return figure


def order_means(orders: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the mean final bias by the place in the order of learning, with Student's 95 % intervals over seeds.

    Args:
        orders: `epoch` and `bias` over (seed, class).
        ax: where to draw.
    """
    ax = ax or new_axes(6.4, 3.8)
    biases = bias_by_rank(orders)
    means, reach = over_seeds(biases.values)
    ax.axhline(0, color="black", ls=":", lw=1)
    ax.errorbar(biases["rank"], means, reach, color=COLOURS[0], marker="o", ms=6, capsize=4, ls="")
    ax.set(xlabel="place in the order of learning (1: first)", ylabel="last-layer bias at the end (logits)")
    ax.set_xticks(biases["rank"].values)
    return ax


def hardness_pair(curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> Figure:
    """Draw, for each problem, the loss along the way to the minimum beside the loss of gradient descent.

    Args:
        curves: (interpolation, descent) by problem; losses as shares of the first.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.6), layout="constrained", sharey=True)
    for (name, (line, descent)), colour in zip(curves.items(), COLOURS, strict=False):
        left.plot(line["alpha"], line, color=colour, lw=2, label=name)
        right.plot(np.arange(1, descent.sizes["step"] + 1), descent, color=colour, lw=2)
    left.set(xlabel="alpha (0: start, 1: minimum)", ylabel="loss (share of the first)")
    right.set(xlabel="steps of gradient descent, plus 1", xscale="log")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure
