"""A panel that shows the gradient's two parts at one layer and one epoch, beside their course over training."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from landscape_utils.sections.gradient_split.plots import plain_log
from landscape_utils.sections.gradient_split.study import permuted_share, typical
from landscape_utils.suite.maps import Map
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, Shown, stops

GIVEN = "# model and train are a checkpoint and its training set; permuted is a mask of the examples drawn anew"
PARTS = {"total": "0.35", "dependent": COLOURS[0], "independent": COLOURS[1]}
STYLES = {"unpermuted": "-", "permuted": "--"}


def gradient_panel(course: xr.Dataset) -> Panel:
    """Look up the norms of the gradient and of its parts, by layer and epoch, which one may click on a map.

    Args:
        course: `total`, `dependent`, `independent` over (seed, epoch, layer, subset).

    Returns:
        The panel; its controls are `layer` and `epoch`; `others` holds `map`, permuted to unpermuted examples'
        dependent part, where one clicks.
    """
    names, epochs = ([str(value) for value in course[dim].values] for dim in ("layer", "epoch"))
    controls = {"layer": stops("layer", names, names[0]), "epoch": stops("epoch", epochs, epochs[0])}
    shares = typical(permuted_share(course["dependent"]), "seed").transpose("layer", "epoch")

    def draw(layer: str, epoch: str) -> Shown:
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        bars, lines = figure.subplots(1, 2, width_ratios=(1, 1.2))
        _bars(course.sel(layer=layer, epoch=epoch), ax=bars)
        _courses(course.sel(layer=layer), epochs.index(epoch), ax=lines)
        weights = int(course["weights"].sel(layer=layer))
        figure.suptitle(f"{layer} ({weights:,} weights), epoch {epoch}", fontsize=11)
        places.show(_map(shares, names.index(layer), epochs.index(epoch)))
        return Shown(to_png(figure), course.sel(layer=layer, epoch=epoch), f"{GIVEN}\n{_code(layer)}")

    def turn_to(x: float, y: float) -> None:
        panel.controls["layer"].value, panel.controls["epoch"].value = _place(x, y)

    def tip(x: float, y: float) -> str:
        layer, epoch = _place(x, y)
        return f"{layer}, epoch {epoch}: {float(shares.sel(layer=layer, epoch=epoch)):.2f}"

    def _place(x: float, y: float) -> tuple[str, str]:
        return names[min(max(round(y), 0), len(names) - 1)], epochs[min(max(round(x), 0), len(epochs) - 1)]

    places = Map(turn_to, tip, width=310, alt="ratios by layer and epoch; a click shows that layer at that epoch")
    panel = Panel(draw, controls, width=820, others={"map": places}, name="10_gradient_split-panel")
    return panel


def _code(layer: str) -> str:
    return f"lu.gradient_split(model, train, {{'permuted': permuted, 'unpermuted': ~permuted}}, names=[{layer!r}])"


def _map(shares: xr.DataArray, row: int, column: int) -> Axes:
    """Draw permuted over unpermuted by layer and epoch: purple where random labels cancel; a box where the panel is."""
    ax = Figure(figsize=(4.1, max(2.4, 0.9 + 0.24 * shares.sizes["layer"])), layout="constrained").subplots()
    image = ax.imshow(np.log2(shares.values), cmap="PuOr_r", vmin=-3, vmax=3, aspect="auto")
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, lw=2.5))
    ax.set_yticks(range(shares.sizes["layer"]), [str(name) for name in shares["layer"].values], fontsize=9)
    ax.set_xticks(range(shares.sizes["epoch"]), [str(epoch) for epoch in shares["epoch"].values], fontsize=9)
    ax.set_xlabel("epoch")
    bar = ax.figure.colorbar(image, ax=ax, ticks=[-3, -2, -1, 0, 1, 2, 3])
    bar.ax.set_yticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.set_label("dependent part,\npermuted / unpermuted")
    return ax


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
    ax.legend(fontsize=9, frameon=False)
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
    ax.legend(fontsize=9, frameon=False)
