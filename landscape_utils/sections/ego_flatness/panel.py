"""A panel that walks through the interference spaces of any two classes, coarse grids first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from landscape_utils.interference.cctm import ClassPair
from landscape_utils.interference.ego import refine_ego
from landscape_utils.interference.flatness import FLAT
from landscape_utils.kit.bars import Tick
from landscape_utils.sections.ego_flatness.study import Moved
from landscape_utils.suite.surfaces import VIEWS, named, surface_view
from landscape_utils.suite.widgets import Panel, Shown, choice, decades, stops

COARSEST = 3  # points along a direction of the first grid that is shown
OF = "loss of "
GIVEN = "# model, images and both classes' gradients are those the panel was given"


def ego_panel(
    models: Mapping[str, Moved],
    pairs: Sequence[ClassPair],
    *,
    sigma: float,
    points: int = 9,
    known: Mapping[tuple[str, ClassPair], xr.Dataset] | None = None,
    model: str | None = None,
) -> Panel:
    """Explore interference spaces: pairs in the order of their interference, or any two classes.

    Numbers that are there already are drawn at once; others are computed beside the notebook, a coarse grid first,
    and kept: going back to them is instant.

    Args:
        models: with their class gradients, by the name that is shown.
        pairs: of class names, the most interfering first.
        sigma: half the window's width at the beginning, in theta.
        points: along each direction of the finest grid.
        known: spaces that were computed before, by model and pair.
        model: which one is shown at the beginning; the first by default.

    Returns:
        The panel; its controls are `model`, `first`, `second`, `sigma`, `variable` and `view`; `others` holds
        `pairs`, the slider through the pairs.

    Raises:
        ValueError: no model, or no pair.
    """
    if not models or not pairs:
        raise ValueError("there is nothing to show; give one model and one pair of classes at least")
    classes = list(next(iter(models.values())).images.classes or ())
    exponent = float(np.log10(sigma))
    controls: dict[str, Any] = {
        "model": choice("model", models, model),
        "first": choice("class 1", classes, pairs[0][0]),
        "second": choice("class 2", classes, pairs[0][1]),
        "sigma": decades("sigma", sigma, exponent - 2, exponent + 2),
        "variable": choice("show", ["mistake rate", "loss", *(OF + name for name in classes)]),
        "view": ipywidgets.ToggleButtons(options=VIEWS, description="as"),
    }
    ranked = [(f"{i}. {a}-{b}", (a, b)) for i, (a, b) in enumerate(pairs, start=1)]
    slider = stops("pairs", ranked, ranked[0][1], layout={"width": "98%"})
    memory = {(name, *pair, _rounded(grid.attrs["sigma"])): grid for (name, pair), grid in (known or {}).items()}

    def draw(
        tick: Tick, model: str, first: str, second: str, sigma: float, variable: str, view: str
    ) -> Iterator[Shown]:
        key = (model, first, second, _rounded(sigma))
        moved = models[model]
        for grid in [memory[key]] if key in memory else _computed(moved, (first, second), sigma, points, tick):
            if grid.sizes["theta1"] == points:
                memory[key] = grid
            window = f"sigma={sigma!r}, points={grid.sizes['theta1']}"
            code = f"{GIVEN}\nlu.ego_surface(model, images, {first!r}, {second!r}, {window}, gradients=(g1, g2))"
            yield Shown(_picture(grid, f"{model}: {variable}", variable, view, points), grid, code)

    panel = Panel(draw, controls, width=620, others={"pairs": slider}, name="02_ego_flatness-panel")

    def follow(change: object) -> None:
        with panel.one_refresh():
            controls["first"].value, controls["second"].value = slider.value

    slider.observe(follow, names="value")
    return panel


def _rounded(sigma: float) -> str:
    return f"{sigma:.6g}"


def _computed(model: Moved, pair: ClassPair, sigma: float, points: int, tick: Tick) -> Iterator[xr.Dataset]:
    if pair[0] == pair[1]:
        raise ValueError(f"both classes are {pair[0]}; choose two different ones")
    grids = refine_ego(
        model.model, model.images, *pair, sigma=sigma, points=points, gradients=model.pair(pair), progress=tick
    )
    for grid in grids:
        if grid.sizes["theta1"] >= min(COARSEST, points):
            yield grid


def _picture(grid: xr.Dataset, title: str, variable: str, view: str, points: int) -> bytes | dict[str, Any]:
    if variable.startswith(OF):
        values = grid["class_loss"].sel({"class": variable.removeprefix(OF)}, drop=True)
    else:
        values = grid[variable.replace(" ", "_")]
    values = named(values, grid)
    size = grid.sizes["theta1"]
    title += f", {size} x {size} points" + (f" of {points} x {points}" if size < points else "")
    flat = FLAT if variable == "mistake rate" else None
    return surface_view(values, view, title=title, flat=flat, walked=True)
