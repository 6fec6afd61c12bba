"""A panel that walks from a network's initialisation to its solution, and shows its outputs by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from landscape_utils.kit.bars import Tick
from landscape_utils.plateau.paths import SCHEMES
from landscape_utils.plateau.plateau import ALPHAS, chance, interpolate, plateau_length
from landscape_utils.sections.bias_plateau.study import FITTED, Network, outputs
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, Shown, choice
from landscape_utils.training.history import last_bias

BIASES = [("all layers", True), ("last layer", "last"), ("none", False)]
MANY = 12  # classes from which on not every one is named


class _Walk(NamedTuple):
    """What a slider looks up: the curve, the outputs (alphas, N, C), the solution's last bias (C,) and its accuracy."""

    curve: xr.Dataset
    logits: Tensor
    bias: Tensor
    accuracy: float


def plateau_panel(network: Network, *, depths: Sequence[int], scales: Sequence[float]) -> Panel:
    """Explore the way from initialisation to solution: depth, initial scale, biases, scheme, and alpha.

    Networks that were not trained yet train at once; alpha only looks up.

    Args:
        network: a fully connected one; its first seed is shown, on its test images.
        depths, scales: to choose from.

    Returns:
        The panel; its controls are `depth`, `init_scale`, `bias`, `scheme` and `alpha`; `others` holds `play`, which
        walks along alpha.
    """
    shown, classes = network.test, network.classes

    @cache
    def walk(depth: int, init_scale: float, bias: Any, scheme: Any) -> _Walk:
        run = network.variant(depth=depth, init_scale=init_scale, bias=bias).runs(progress=False)[0]
        if run is None:
            raise FloatingPointError("this network's training diverges; choose another depth or initialisation")
        model = run.model()
        curve = interpolate(model, run.weights("initial"), run.weights(), shown, scheme=scheme, progress=False)
        own = last_bias(model, len(classes))
        last = torch.zeros(len(classes)) if own is None else own.detach()
        return _Walk(curve, outputs(run, shown, scheme), last, float(run.history.train_accuracy[-1]))

    def show(tick: Tick, alpha: float, scheme: str, **options: Any) -> Iterator[Shown]:
        tick(0, 1)
        way = walk(scheme=scheme, **options)
        tick(1, 1)
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        code = (
            f"# network is the one that the panel was given\nnet = network.variant({given})\nrun = net.runs()[0]\n"
            f'lu.interpolate(run.model(), run.weights("initial"), run.weights(), net.test, scheme={scheme!r})'
        )
        yield Shown(_picture(network, way, int(np.abs(ALPHAS - alpha).argmin())), way.curve, code)

    controls: dict[str, Any] = {
        "depth": choice("layers", depths, depths[-1]),
        "init_scale": choice("init scale", scales, scales[-1]),
        "bias": choice("biases", BIASES),
        "scheme": choice("scheme", SCHEMES),
        "alpha": ipywidgets.FloatSlider(value=0.3, min=0, max=1, step=0.02, description="alpha"),
    }
    play = ipywidgets.Play(value=0, min=0, max=len(ALPHAS) - 1, interval=150)

    def follow(change: object) -> None:
        controls["alpha"].value = float(ALPHAS[play.value])

    play.observe(follow, names="value")
    return Panel(show, controls, width=900, others={"play": play}, name="05_bias_plateau-panel")


def _picture(network: Network, way: _Walk, at: int) -> bytes:
    figure = Figure(figsize=(11.6, 4.4))
    # Places by hand: a layout engine would take longer than the drawing.
    curve, shares, mean, bar = (
        figure.add_axes((x, 0.16, width, 0.62)) for x, width in ((0.06, 0.27), (0.42, 0.2), (0.7, 0.23), (0.945, 0.012))
    )
    _curves(way.curve, at, ax=curve)
    _taken_for(way, at, network.classes, ax=shares)
    _mean_outputs(way.logits[at], network.test.targets, network.classes, ax=mean, bar=bar)
    fits = "" if way.accuracy >= FITTED else ", and does not fit"
    trained = f"trained to {way.accuracy:.0%}{fits}"
    figure.suptitle(f"{network.name}, test images, alpha = {ALPHAS[at]:.2f}; {trained}", fontsize=11, y=0.98)
    return to_png(figure)


def _curves(curve: xr.Dataset, at: int, *, ax: Axes) -> None:
    """Draw loss and error as shares of a uniform guess's, and where the slider stands."""
    guess = chance(curve)
    for variable, name, colour in (("loss", "loss", COLOURS[0]), ("mistake_rate", "error", COLOURS[1])):
        label = f"{name}: plateau {plateau_length(curve, variable):.2f}"
        ax.plot(curve["alpha"], curve[variable] / guess[variable], color=colour, lw=1.8, label=label)
    ax.axvline(ALPHAS[at], color="black", lw=1)
    ax.axhline(1, color="black", ls=":", lw=1)
    ax.set(xlabel="alpha", ylabel="share of a uniform guess's", ylim=(0, 1.4))
    ax.tick_params(labelsize=9)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9, frameon=False)


def _taken_for(walk: _Walk, at: int, classes: Sequence[str], *, ax: Axes) -> None:
    """Draw the share of images that each class is predicted for, the largest bias on top, and the biases beside."""
    order = walk.bias.argsort().tolist()
    counts = torch.bincount(walk.logits[at].argmax(1), minlength=len(classes)).double()
    ax.barh(range(len(order)), (counts / counts.sum())[order].numpy(), color=COLOURS[0])
    names = [f"{classes[c]} ({float(walk.bias[c]):+.1f})" for c in order]
    every = -(-len(order) // MANY)
    ax.set_yticks(range(len(order))[::every], names[::every], fontsize=9)
    ax.set(xlim=(0, 1), xlabel="share of all images")
    ax.set_title("taken for (last bias)", fontsize=10)
    ax.tick_params(axis="x", labelsize=9)


def _mean_outputs(logits: Tensor, targets: Tensor, classes: Sequence[str], *, ax: Axes, bar: Axes) -> None:
    """Draw the mean output by true class, each row around its own mean."""
    rows = [logits[targets == c].double().mean(0) for c in range(len(classes))]
    centred = np.array([(row - row.mean()).tolist() for row in rows])
    top = float(np.nanmax(np.abs(centred), initial=1e-12))
    image = ax.imshow(centred, cmap="PuOr_r", vmin=-top, vmax=top)
    every = -(-len(classes) // MANY)
    ax.set_xticks(range(0, len(classes), every), classes[::every], fontsize=9, rotation=90)
    ax.set_yticks(range(0, len(classes), every), classes[::every], fontsize=9)
    ax.set(xlabel="output", ylabel="class")
    ax.set_title("mean logit", fontsize=10)
    ax.figure.colorbar(image, cax=bar).ax.tick_params(labelsize=9)
