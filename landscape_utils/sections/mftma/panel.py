"""A panel that follows the manifolds of one network through its layers and epochs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.data.labels import SUBSETS
from landscape_utils.kit.bars import Tick
from landscape_utils.sections.mftma.examples import example_map
from landscape_utils.sections.mftma.plots import LABELS, SUBSET_COLOURS, geometry_axes
from landscape_utils.sections.mftma.study import QUANTITIES, Sampling, geometries, labels_of, places
from landscape_utils.suite.plots import to_png
from landscape_utils.suite.widgets import Panel, Shown, choice, player, stops
from landscape_utils.training.runs import Run

GIVEN = "# model is the run's at the epoch, labels = run.labels()"
ALONG = 6  # epochs on which the course of a layer is looked at


def manifold_panel(run: Run, sampling: Sampling) -> Panel:
    """Explore a run's manifolds: by layer at one epoch, by epoch at one layer, and example by example in a plane.

    The best and the final epoch are there at once; another epoch is measured when it is asked for.

    Args:
        run: a training on permuted labels; the epochs whose weights it kept can be chosen.
        sampling: how manifolds are drawn.

    Returns:
        The panel; its controls are `layer`, `epoch`, `subset` and `quantity`; `others` holds `play`, which walks
        through the epochs, and `plane`, where the pointer is told an example's class and a click shows its image.
    """
    layers = places(run.model(), labels_of(run))
    named = {f"{place.depth}: {place.name}": place.name for place in layers}
    ends = sorted({0, run.best_epoch, run.epochs[-1]})
    spread = np.linspace(0, len(run.epochs) - 1, min(ALONG, len(run.epochs))).round().astype(int)
    milestones = sorted({*ends, *(run.epochs[i] for i in spread)})

    @cache
    def by_layer(epoch: int) -> xr.Dataset:
        return geometries([(run, epoch)], sampling, progress=False)[0]

    @cache
    def at_layer(epoch: int, layer: str) -> xr.Dataset:
        whole = epoch in (run.best_epoch, run.epochs[-1])
        if whole:
            return by_layer(epoch).sel(layer=[layer])
        return geometries([(run, epoch)], sampling, progress=False, layers=[layer])[0]

    def code(subset: str, layer: str) -> str:
        clouds = f"lu.class_manifolds(model, labels.subset({subset!r}), points={sampling.points})[{layer!r}]"
        return f"{GIVEN}\nlu.mftma({clouds}, n_t={sampling.n_t})"

    plane, turn_plane = example_map(run)

    def show(tick: Tick, layer: str, epoch: int, subset: str, quantity: str) -> Iterator[Shown]:
        turn_plane(layer, epoch, subset)
        steps = [run.best_epoch, run.epochs[-1], *(e for e in milestones if e not in ends), 0]
        known: dict[int, xr.Dataset] = {}
        for done, step in enumerate(steps):
            tick(done, len(steps))
            known[step] = at_layer(step, layer)
            if done in (1, len(steps) - 1):  # the two that are there, then all
                picture = _picture(by_layer(epoch), known, layer, epoch, subset, quantity, run.best_epoch)
                yield Shown(to_png(picture), by_layer(epoch), code(subset, layer))
        tick(len(steps), len(steps))

    controls: dict[str, Any] = {
        "layer": choice("layer", named.items(), layers[-1].name),
        "epoch": stops("epoch", run.epochs, run.best_epoch),
        "subset": choice("subset", SUBSETS, "permuted"),
        "quantity": choice("quantity", [(LABELS[name].split("\n")[0], name) for name in QUANTITIES]),
    }
    play = player(controls["epoch"], interval=1500)
    return Panel(show, controls, width=860, others={"plane": plane, "play": play}, name="06_mftma-panel")


def _picture(
    measured: xr.Dataset, known: dict[int, xr.Dataset], layer: str, epoch: int, subset: str, quantity: str, best: int
) -> Figure:
    figure = Figure(figsize=(9.6, 3.7))
    left, right = figure.add_axes((0.08, 0.15, 0.4, 0.7)), figure.add_axes((0.56, 0.15, 0.4, 0.7))
    geometry_axes(measured, quantity, ax=left)
    left.set_ylim(bottom=0)
    left.axvline(float(measured["depth"].sel(layer=layer)), color="black", lw=1)
    left.set(xlabel="layer (0: pixels)", ylabel=LABELS[quantity])
    left.set_title(f"all layers at epoch {epoch}", fontsize=10)
    _course(known, layer, quantity, ax=right)
    right.axvline(epoch, color="black", lw=1)
    right.axvline(best, color="black", lw=1, ls=":")
    right.set(xlabel="epoch (dotted: best)")
    right.set_title(f"layer {layer}, epochs measured so far", fontsize=10)
    for ax in (left, right):
        for line in ax.get_lines():
            if line.get_label() == subset:
                line.set(linewidth=3, zorder=3)
    value = float(measured[quantity].sel(layer=layer, subset=subset))
    name = LABELS[quantity].split("\n")[0]
    figure.suptitle(f"{subset} manifolds, layer {layer}, epoch {epoch}: {name} {value:.3g}", fontsize=11)
    return figure


def _course(known: dict[int, xr.Dataset], layer: str, quantity: str, *, ax: Axes) -> None:
    epochs = sorted(known)
    for name, colour in SUBSET_COLOURS.items():
        values = [float(known[e][quantity].sel(layer=layer, subset=name)) for e in epochs]
        ax.plot(epochs, values, color=colour, marker="o", ms=3, lw=1.5, label=name)
    ax.set_ylim(bottom=0)
    ax.tick_params(labelsize=9)
    ax.legend(fontsize=9, frameon=False)
