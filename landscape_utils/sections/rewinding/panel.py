"""A panel that rewinds a layer, or a layer and all after it, and shows what is forgotten and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from landscape_utils.data.labels import SUBSETS
from landscape_utils.kit.bars import Tick
from landscape_utils.memorization.rewinding import ALL, last_layers, titles
from landscape_utils.sections.rewinding.plots import KNOWN, epoch_axis
from landscape_utils.sections.rewinding.study import Subject
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, choice, stops

WHAT = [("this layer alone", "alone"), ("this layer and all after it", "rest")]


def rewinding_panel(subject: Subject) -> Panel:
    """Explore one run: which layers are rewound, and to which epoch.

    Single layers are looked up; the last layers are measured once, which takes about a second a choice.

    Returns:
        The panel; its controls are `what`, `layer` and `epoch`.
    """
    names = titles(subject.model, subject.inputs[:1])
    tails = last_layers(subject.model, subject.inputs[:1])
    single, epochs = subject.accuracies(), subject.run.epochs
    whole = single.sel(rewound=ALL)
    stopped = int(whole.sel(subset="test").idxmax("epoch"))

    @cache
    def curves(what: str, layer: str) -> xr.DataArray:
        if what == "alone":
            return single.sel(rewound=layer)
        tail = f"last {len(names) - list(names).index(layer)}"
        return subject.accuracies({tail: tails[tail]}).sel(rewound=tail)

    def show(tick: Tick, what: str, layer: str, epoch: int) -> Iterator[bytes]:
        tick(0, 1)
        accuracies = curves(what, layer)
        figure = Figure(figsize=(9.4, 4.0))
        _curves(accuracies, whole.sel(epoch=stopped), epoch, ax=figure.add_axes((0.07, 0.14, 0.47, 0.68)))
        _bars(accuracies, whole, epoch, stopped, ax=figure.add_axes((0.63, 0.14, 0.36, 0.68)))
        part = names[layer] if what == "alone" else f"{names[layer]} and all after it"
        figure.suptitle(
            f"{subject.run.spec.model}, seed {subject.run.spec.seed}: {part}, rewound to epoch {epoch}", fontsize=11
        )
        tick(1, 1)
        yield to_png(figure)

    controls: dict[str, Any] = {
        "what": choice("rewound", WHAT),
        "layer": choice("layer", [(title, name) for name, title in names.items()], list(names)[-1]),
        "epoch": stops("epoch", epochs, stopped),
    }
    return Panel(show, controls, width=850)


def _curves(accuracies: xr.DataArray, stopped: xr.DataArray, epoch: int, *, ax: Axes) -> None:
    """Draw training, test and restored accuracy against the rewind epoch, and where the slider stands."""
    for (subset, label), colour in zip(KNOWN.items(), (COLOURS[5], COLOURS[0], COLOURS[2]), strict=True):
        rows = accuracies.sel(subset=subset)
        ax.plot(rows["epoch"], rows, color=colour, lw=1.8, label=label)
        ax.plot(epoch, float(rows.sel(epoch=epoch)), color=colour, marker="o", ms=6)
    ax.axhline(float(stopped.sel(subset="test")), color=COLOURS[1], ls=":", lw=1.6, label="early stopping, test images")
    ax.axvline(epoch, color="black", lw=0.8)
    ax.set(xlabel="rewind epoch", ylabel="accuracy", ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(labelsize=8)
    epoch_axis(ax, int(accuracies["epoch"][-1]))
    ax.legend(fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 0.98))


def _bars(accuracies: xr.DataArray, whole: xr.DataArray, epoch: int, stopped: int, *, ax: Axes) -> None:
    """Draw the four subsets' accuracies, and beside them those of the final and of the early-stopped network."""
    places = range(len(SUBSETS))
    ax.bar(places, accuracies.sel(epoch=epoch, subset=list(SUBSETS)), color=COLOURS[4], label="rewound")
    for name, at, colour in (("final", int(whole["epoch"][-1]), "black"), ("early-stopped", stopped, COLOURS[1])):
        level = whole.sel(epoch=at, subset=list(SUBSETS))
        ax.scatter(places, level, marker="_", s=900, lw=2, color=colour)
        ax.plot([], [], color=colour, lw=2, label=name)
    ax.set_xticks(places, SUBSETS, fontsize=9)
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", labelsize=8)
    ax.legend(fontsize=8, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.98))
