"""A panel that shows the plane of two named directions, the curve along the first, and the model at a place on it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate, space
from landscape_utils.engine.engine import BnHandling
from landscape_utils.engine.inference import outcomes
from landscape_utils.engine.space import Normalisation
from landscape_utils.interference.cctm import cctm_of
from landscape_utils.kit.bars import Tick
from landscape_utils.landscape.directions import Directions
from landscape_utils.suite.maps import Map
from landscape_utils.suite.plots import COLOURS, RATES, to_png
from landscape_utils.suite.surfaces import VIEWS, named, surface_3d, surface_map
from landscape_utils.suite.widgets import Panel, Shown, choice, walk_controls

GIVEN = "# model, images and around, its lu.Directions, are those that the panel was given"
COARSEST = 3  # points along a direction of the first surface that is shown


def surface_panel(
    around: Mapping[str, Directions],
    images: Labelled,
    *,
    points: int = 17,
    first: str = "P.E.1",
    second: str = "N.E.1",
    scale: float = 0.1,
) -> Panel:
    """Explore surfaces over two named directions, coarse grids first, as a heat map or turning in the browser.

    A click on the curve along the first direction moves the marker on the surface to that place, and tells the loss,
    the distance walked and who is taken for whom there.

    Args:
        around: directions by the perturbed model's name.
        images: on which the loss is taken.
        points: along each direction of the finished surface.
        first, second: the directions at the beginning.
        scale: s at the beginning; directions that are normalised to |theta| reach s |theta|.

    Returns:
        The panel; its controls are `model`, `first`, `second`, `normalisation`, `bn`, `scale`, `variable`, `view` and
        `at`, the place in units of s; `others` holds `curve`, where one clicks.

    Raises:
        ValueError: no model.
    """
    controls = walk_controls(around, ("first", "second"), scale=scale)
    controls["first"].value, controls["second"].value = first, second
    controls["variable"] = choice("show", ["loss", "mistake rate"])
    controls["view"] = ipywidgets.ToggleButtons(options=VIEWS, description="as")
    controls["at"] = ipywidgets.FloatSlider(
        min=-1.0, max=1.0, step=0.05, description="at, of s", continuous_update=False
    )
    known: dict[tuple[Any, ...], xr.Dataset] = {}

    def show(
        tick: Tick,
        model: str,
        first: str,
        second: str,
        normalisation: Any,
        bn: Any,
        scale: float,
        variable: str,
        view: str,
        at: float,
    ) -> Iterator[Any]:
        tick(0, points**2)
        if first == second:
            raise ValueError(f"both directions are {first}; choose two different ones")
        here, key = around[model], (model, first, second, normalisation, bn, scale)
        how: evaluate.Options = {"normalisation": normalisation, "bn": bn, "progress": tick}
        d1, d2 = here[first], here[second]
        grids: Iterable[xr.Dataset] = [known[key]] if key in known else ()
        for grid in grids or evaluate.refine(
            here.model, images, d1, d2, span=scale, points=points, orthogonal=True, **how
        ):
            if (size := grid.sizes["lam1"]) < min(COARSEST, points):
                continue
            options = f"span={scale!r}, points={size}, orthogonal=True, normalisation={normalisation!r}, bn={bn!r}"
            code = f"{GIVEN}\nd1, d2 = around[{first!r}], around[{second!r}]\n"
            code += f"lu.surface(model, images, d1, d2, {options})"
            title = f"{model}: {variable}, {size} x {size} points"
            values = named(grid[variable.replace(" ", "_")], grid.assign_attrs(first=first, second=second))
            if view == "3D":
                yield Shown(surface_3d(values, title=title), grid, code)
                continue
            if size == points:
                known[key] = grid
            show_curve(grid, variable, first)
            there = model_at(here, first, at * scale, images, normalisation, bn) if size == points else None
            walked = abs(at) * scale * float(grid.attrs["norm_1"]) / float(grid.attrs["weight_norm"])
            yield Shown(_picture(values, title, at * scale, walked, there, images), grid, code)

    def show_curve(grid: xr.Dataset, variable: str, first: str) -> None:
        ax = Figure(figsize=(4, 2.6), layout="constrained").subplots()
        line = grid[variable.replace(" ", "_")].sel(lam2=0, method="nearest")
        ax.plot(line["lam1"], np.ma.masked_invalid(line.values), color=COLOURS[0], lw=1.6)
        ax.axvline(0, color="black", ls=":", lw=1)
        ax.set_xlabel(f"lam1 ({first})")
        ax.set_ylabel(variable)
        curve.show(ax)

    def turn_to(x: float, y: float) -> None:
        """Move to the place that was clicked."""
        step = controls["at"].step
        controls["at"].value = round(x / controls["scale"].value / step) * step

    def tip(x: float, y: float) -> str:
        return f"lam1 = {x:.3g}"

    curve = Map(turn_to, tip, width=320, alt="the curve along the first direction; a click moves the marker")
    return Panel(show, controls, width=860, others={"curve": curve}, name="09_hessian_surfaces-panel")


def model_at(
    here: Directions, name: str, lam: float, images: Labelled, normalisation: Normalisation, bn: BnHandling
) -> nn.Module:
    """Return a copy of the model at theta + lam d, its BatchNorm statistics kept or updated on the images."""
    moved = copy.deepcopy(here.model).eval()
    direction = space.normalise(here[name], here.model, normalisation) if normalisation else here[name]
    with torch.no_grad():
        nn.utils.vector_to_parameters(here.weights + lam * direction, moved.parameters())
        if bn == "update":
            update_bn([images.inputs], moved)
    return moved


def _picture(
    values: xr.DataArray, title: str, lam: float, walked: float, there: nn.Module | None, images: Labelled
) -> bytes:
    figure = Figure(figsize=(10.6, 5.2))
    # Places by hand: a layout engine would take longer than the drawing.
    ax, bar = figure.add_axes((0.09, 0.12, 0.38, 0.74)), figure.add_axes((0.485, 0.12, 0.017, 0.74))
    surface_map(values, ax=ax, bar=bar)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    ax.plot([lam], [0], marker="o", ms=9, mfc="none", mec="white", mew=2)
    title = "\n".join(filter(None, (title, ax.get_title())))
    ax.set_title("")
    figure.suptitle(title, fontsize=11, y=0.985)
    if there is not None:
        found = outcomes(there, images)
        rates = cctm_of(found, list(images.classes or map(str, range(found.classes))))
        matrix = figure.add_axes((0.66, 0.12, 0.31, 0.68))
        matrix.imshow(rates.values, cmap=RATES, vmin=0, vmax=1)
        ticks = range(len(rates["true"]))
        matrix.set_xticks(ticks, [str(n) for n in rates["predicted"].values], rotation=90, fontsize=9)
        matrix.set_yticks(ticks, [str(n) for n in rates["true"].values], fontsize=9)
        matrix.set(xlabel="taken for", ylabel="class")
        told = f"at lam1 = {lam:.3g}, {walked:.1%} of |theta| away: loss {found.loss:.3g} nats"
        matrix.set_title(f"{told}\nwho is taken for whom (0 to 1)", fontsize=10)
    return to_png(figure)
