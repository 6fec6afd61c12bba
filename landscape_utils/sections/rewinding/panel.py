"""A panel that rewinds two layers, each alone or with all after it, and shows what is forgotten and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from landscape_utils.data.labels import SUBSETS
from landscape_utils.kit.bars import Tick
from landscape_utils.memorization.rewinding import ALL, last_layers, titles
from landscape_utils.sections.rewinding.plots import epoch_axis
from landscape_utils.sections.rewinding.study import Subject
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, Shown, choice, player, stops

PAIR = (COLOURS[0], COLOURS[5])
STYLES = {"test": "-", "restored": "--"}
GIVEN = "# model, checkpoints (states by epoch), train and test are the run's; parts: memorization.rewinding"
WHAT = [("this layer alone", "alone"), ("this layer and all after it", "rest")]


def rewinding_panel(subject: Subject) -> Panel:
    """Compare two layers of one run, rewound to any epoch that was kept.

    Single layers are looked up; the last layers are measured once, which takes about a second a choice.

    Returns:
        The panel; its controls are `what`, `layer`, `other` and `epoch`; `others` holds `play`, which walks through the
        epochs.
    """
    names = titles(subject.model, subject.inputs[:1])
    tails = last_layers(subject.model, subject.inputs[:1])
    single, epochs = subject.accuracies(), subject.run.epochs
    whole = single.sel(rewound=ALL)
    stopped = int(whole.sel(subset="test").idxmax("epoch"))
    best = str(single.drop_sel(rewound=ALL).sel(subset="test").max("epoch").idxmax("rewound").item())
    convolutions = [name for name, title in names.items() if "conv" in title] or list(names)

    @cache
    def curves(what: str, layer: str) -> xr.DataArray:
        if what == "alone":
            return single.sel(rewound=layer)
        tail = f"last {len(names) - list(names).index(layer)}"
        return subject.accuracies({tail: tails[tail]}).sel(rewound=tail)

    def show(tick: Tick, what: str, layer: str, other: str, epoch: int) -> Iterator[Shown]:
        tick(0, 1)
        both = {f"{names[one]}{'' if what == 'alone' else ' on'}": curves(what, one) for one in (layer, other)}
        figure = Figure(figsize=(9.8, 4.2))
        _curves(both, whole.sel(epoch=stopped), epoch, ax=figure.add_axes((0.07, 0.13, 0.43, 0.66)))
        _bars(both, whole, epoch, stopped, ax=figure.add_axes((0.58, 0.13, 0.41, 0.66)))
        figure.suptitle(
            f"{subject.run.spec.model}, seed {subject.run.spec.seed}: {' and '.join(both)}, rewound to epoch {epoch}",
            fontsize=11,
        )
        tick(1, 1)
        along = xr.Variable("part", list(both))
        numbers = xr.concat([rows.drop_vars("rewound") for rows in both.values()], along).rename("accuracy")
        yield Shown(to_png(figure), numbers.to_dataset(), f"{GIVEN}\n{_code(what, layer)}\n{_code(what, other)}")

    controls: dict[str, Any] = {
        "what": choice("rewound", WHAT),
        "layer": choice("layer", [(title, name) for name, title in names.items()], best),
        "other": choice("other", [(title, name) for name, title in names.items()], convolutions[-1]),
        "epoch": stops("epoch", epochs, stopped),
    }
    play = player(controls["epoch"], interval=600)
    return Panel(show, controls, width=860, others={"play": play}, name="07_rewinding-panel")


def _code(what: str, layer: str) -> str:
    every = "single_layers" if what == "alone" else "last_layers"
    parts = f"{{k: v for k, v in {every}(model, inputs).items() if v and v[0].name == {layer!r}}}"
    return f"lu.rewound_accuracies(model, checkpoints, train, test, {parts})"


def _curves(both: Mapping[str, xr.DataArray], stopped: xr.DataArray, epoch: int, *, ax: Axes) -> None:
    """Draw test and restored accuracy of both against the rewind epoch, and where the slider stands."""
    for (name, accuracies), colour in zip(both.items(), PAIR, strict=False):
        for subset, style in STYLES.items():
            rows = accuracies.sel(subset=subset)
            ax.plot(rows["epoch"], rows, color=colour, ls=style, lw=1.8, label=f"{name}, {subset}")
            ax.plot(epoch, float(rows.sel(epoch=epoch)), color=colour, marker="o", ms=6)
    ax.axhline(float(stopped.sel(subset="test")), color="black", ls=":", lw=1.6, label="early stopping, test")
    ax.axvline(epoch, color="black", lw=0.8)
    ax.set(xlabel="rewind epoch", ylabel="accuracy", ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(labelsize=9)
    epoch_axis(ax, int(rows["epoch"][-1]))
    ax.legend(fontsize=9, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 0.98))


def _bars(both: Mapping[str, xr.DataArray], whole: xr.DataArray, epoch: int, stopped: int, *, ax: Axes) -> None:
    """Draw the four subsets' accuracies, and beside them those of the final and of the early-stopped network."""
    places = np.arange(len(SUBSETS))
    for i, ((name, accuracies), colour) in enumerate(zip(both.items(), PAIR, strict=False)):
        heights = accuracies.sel(epoch=epoch, subset=list(SUBSETS))
        ax.bar(places + 0.4 * (i - 0.5 * (len(both) - 1)), heights, 0.38, color=colour, label=name)
    for name, at, colour in (("final", int(whole["epoch"][-1]), "black"), ("early-stopped", stopped, COLOURS[1])):
        level = whole.sel(epoch=at, subset=list(SUBSETS))
        ax.scatter(places, level, marker="_", s=1100, lw=2, color=colour)
        ax.plot([], [], color=colour, lw=2, label=name)
    ax.set_xticks(places, SUBSETS, fontsize=9)
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", labelsize=9)
    ax.legend(fontsize=9, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 0.98))
