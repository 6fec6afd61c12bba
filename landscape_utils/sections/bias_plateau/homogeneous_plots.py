"""Pictures of r-homogeneous-weight networks: one seed's course, and many seeds' biases by the order of learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from landscape_utils.plateau.homogeneous import LEARNED, learned_last, rank_table
from landscape_utils.suite.plots import COLOURS, RATES


def training_course(results: xr.Dataset, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw one network's probabilities and biases by class against time, the class learned last in colour.

    Args:
        results: from `train_homogeneous`, with one seed selected.
        axes: two, for the probabilities and the biases; a new figure by default.
    """
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharex=True)[1]
    last, end = learned_last(results), float(results["learned"].max())
    for ax, name in zip(axes, ("probability", "bias"), strict=True):
        _class_lines(ax, results["time"], results[name], int(last))
        ax.axvline(end, color="black", ls=":", lw=1)
        ax.set_xlabel("time of the flow (1 / learning rate)")
    axes[0].axhline(LEARNED, color="black", ls="--", lw=1)
    axes[0].set_ylabel("smallest probability\nof the true class")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[1].set_ylabel("bias (nats)")
    axes[1].legend(frameon=False)
    return axes


def _class_lines(ax: Axes, time: xr.DataArray, values: xr.DataArray, last: int) -> None:
    others = values.drop_sel({"class": last})
    ax.plot(time, others.transpose("step", "class"), color=COLOURS[0], lw=1.2, alpha=0.7)
    ax.plot([], [], color=COLOURS[0], lw=1.2, label="the other classes")
    ax.plot(time, values.sel({"class": last}), color=COLOURS[1], lw=2.4, label=f"class {last}, learned last")


def bias_by_order(results: Mapping[int, xr.Dataset]) -> Figure:
    """Draw, for each r, which rank the final bias has by the order of learning, all in one colour range.

    The numbers in the cells are percent of the seeds that learned all their classes.

    Args:
        results: from `train_homogeneous`, by r.
    """
    size = (2.9 * len(results) + 1.2, 3.6)
    figure, axes = plt.subplots(1, len(results), figsize=size, layout="constrained", squeeze=False, sharey=True)
    for ax, (r, networks) in zip(axes[0], results.items(), strict=True):
        image = _rank_cells(ax, rank_table(networks))
        ax.set_title(f"r = {r}")
    bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of seeds")
    axes[0, 0].set_ylabel("rank of the final bias, 1 the smallest")
    figure.supxlabel("order in which the class is learned, 1 the first", fontsize=10)
    return figure


def _rank_cells(ax: Axes, shares: xr.DataArray) -> AxesImage:
    number = shares["order"].values
    ends = (0.5, len(number) + 0.5)
    image = ax.imshow(shares, cmap=RATES, vmin=0, vmax=1, origin="lower", extent=(*ends, *ends))
    for a, b in np.argwhere(shares.values >= 0.01):
        share = float(shares[a, b])
        colour = "white" if share > 0.55 else "black"
        ax.text(b + 1, a + 1, f"{share * 100:.0f}", ha="center", va="center", color=colour, fontsize=10)
    ax.set_xticks(number)
    ax.set_yticks(number)
    return image
