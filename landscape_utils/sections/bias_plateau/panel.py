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
from landscape_utils.suite.widgets import Panel, choice
from landscape_utils.training.history import last_bias

BIASES = [("all layers", True), ("last layer", "last"), ("none", False)]


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
        The panel; its controls are `depth`, `init_scale`, `bias`, `scheme` and `alpha`.
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

    def show(tick: Tick, alpha: float, **options: Any) -> Iterator[bytes]:
        tick(0, 1)
        way = walk(**options)
        at = int(np.abs(ALPHAS - alpha).argmin())
        figure = Figure(figsize=(9.6, 3.7))
        curve, shares, mean = (
            figure.add_axes((x, 0.17, w, 0.66)) for x, w in ((0.06, 0.27), (0.40, 0.25), (0.73, 0.2))
        )
        _curves(way.curve, at, ax=curve)
        _taken_for(way, at, classes, ax=shares)
        _mean_outputs(way.logits[at], shown.targets, classes, ax=mean, bar=figure.add_axes((0.945, 0.17, 0.012, 0.66)))
        fits = "" if way.accuracy >= FITTED else ", and does not fit"
        trained = f"trained to {way.accuracy:.0%}{fits}"
        figure.suptitle(f"{network.name}, test images, alpha = {ALPHAS[at]:.2f}; {trained}", fontsize=11)
        tick(1, 1)
        yield to_png(figure)

    controls: dict[str, Any] = {
        "depth": choice("layers", depths, depths[-1]),
        "init_scale": choice("init scale", scales, scales[-1]),
        "bias": choice("biases", BIASES),
        "scheme": choice("scheme", SCHEMES),
        "alpha": ipywidgets.FloatSlider(
            value=0.3, min=0, max=1, step=0.02, description="alpha", continuous_update=False
        ),
    }
    return Panel(show, controls, width=860)


def _curves(curve: xr.Dataset, at: int, *, ax: Axes) -> None:
    """Draw loss and error as shares of a uniform guess's, and where the slider stands."""
    guess = chance(curve)
    for variable, name, colour in (("loss", "loss", COLOURS[0]), ("mistake_rate", "error", COLOURS[1])):
        label = f"{name}, plateau {plateau_length(curve, variable):.2f}"
        ax.plot(curve["alpha"], curve[variable] / guess[variable], color=colour, lw=1.8, label=label)
    ax.axvline(ALPHAS[at], color="black", lw=1)
    ax.axhline(1, color="black", ls=":", lw=1)
    ax.set(xlabel="alpha", ylim=(0, 1.6))
    ax.set_title("as shares of a uniform guess's", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False)


def _taken_for(walk: _Walk, at: int, classes: Sequence[str], *, ax: Axes) -> None:
    """Draw the share of images that each class is predicted for, the largest bias on top, and the biases beside."""
    order = walk.bias.argsort().tolist()
    counts = torch.bincount(walk.logits[at].argmax(1), minlength=len(classes)).double()
    ax.barh(range(len(order)), (counts / counts.sum())[order].numpy(), color=COLOURS[0])
    ax.set_yticks(range(len(order)), [f"{classes[c]} ({float(walk.bias[c]):+.1f})" for c in order], fontsize=7)
    ax.set(xlim=(0, 1), xlabel="share of all images")
    ax.set_title("taken for (last bias)", fontsize=9)
    ax.tick_params(axis="x", labelsize=8)


def _mean_outputs(logits: Tensor, targets: Tensor, classes: Sequence[str], *, ax: Axes, bar: Axes) -> None:
    """Draw the mean output by true class, each row around its own mean."""
    rows = [logits[targets == c].double().mean(0) for c in range(len(classes))]
    centred = np.array([(row - row.mean()).tolist() for row in rows])
    top = float(np.nanmax(np.abs(centred), initial=1e-12))
    image = ax.imshow(centred, cmap="PuOr_r", vmin=-top, vmax=top)
    every = max(1, len(classes) // 12)
    ax.set_xticks(range(0, len(classes), every), classes[::every], fontsize=7, rotation=90)
    ax.set_yticks(range(0, len(classes), every), classes[::every], fontsize=7)
    ax.set_xlabel("output", fontsize=9)
    ax.set_title("mean logit by true class", fontsize=9)
    ax.figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)
