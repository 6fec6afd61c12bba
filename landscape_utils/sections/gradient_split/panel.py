"""A panel that shows the gradient's two parts at one layer and one epoch, beside their course over training."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.sections.gradient_split.plots import plain_log
from landscape_utils.sections.gradient_split.study import typical
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, stops

PARTS = {"total": "0.35", "dependent": COLOURS[0], "independent": COLOURS[1]}
STYLES = {"unpermuted": "-", "permuted": "--"}


def gradient_panel(course: xr.Dataset) -> Panel:
    """Look up the norms of the gradient and of its parts, by layer and epoch.

    Args:
        course: `total`, `dependent`, `independent` over (seed, epoch, layer, subset).

    Returns:
        The panel; its controls are `layer` and `epoch`.
    """
    names, epochs = ([str(value) for value in course[dim].values] for dim in ("layer", "epoch"))
    controls = {"layer": stops("layer", names, names[0]), "epoch": stops("epoch", epochs, epochs[0])}

    def draw(layer: str, epoch: str) -> bytes:
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        bars, lines = figure.subplots(1, 2, width_ratios=(1, 1.2))
        _bars(course.sel(layer=layer, epoch=epoch), ax=bars)
        _courses(course.sel(layer=layer), epochs.index(epoch), ax=lines)
        weights = int(course["weights"].sel(layer=layer))
        figure.suptitle(f"{layer} ({weights:,} weights), epoch {epoch}", fontsize=11)
        return to_png(figure)

    return Panel(draw, controls, width=860)


def _bars(norms: xr.Dataset, *, ax: Axes) -> None:
    """Draw each subset's gradient and its parts, averaged over seeds, with a dot for each seed."""
    subsets = [str(name) for name in norms["subset"].values]
    for i, (part, colour) in enumerate(PARTS.items()):
        places = np.arange(len(subsets)) + 0.27 * (i - 1)
        ax.bar(places, typical(norms[part], "seed"), width=0.25, color=colour, label=part)
        for seed in norms["seed"].values:
            ax.plot(places, norms[part].sel(seed=seed), "o", ms=3, mfc="white", mec="black", mew=0.7)
    ax.set_xticks(range(len(subsets)), subsets)
    ax.set_ylabel("norm (nats per unit of weight)")
    ax.legend(fontsize=8, frameon=False)
    ax.margins(y=0.15)


def _courses(norms: xr.Dataset, at: int, *, ax: Axes) -> None:
    """Draw both parts over the epochs, for unpermuted and permuted examples, and where the slider stands."""
    places = np.arange(norms.sizes["epoch"])
    for part in ("dependent", "independent"):
        for subset, style in STYLES.items():
            mean = typical(norms[part].sel(subset=subset), "seed")
            ax.plot(places, mean, color=PARTS[part], ls=style, lw=1.8, label=f"{part}, {subset}")
    ax.axvline(at, color="black", lw=1)
    ax.set_xticks(places, [str(epoch) for epoch in norms["epoch"].values])
    ax.set_xlabel("epoch")
    plain_log(ax)
    ax.legend(fontsize=8, frameon=False)
