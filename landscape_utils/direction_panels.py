"""Panels that walk along named directions: a curve with its name, or a surface over two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets
import xarray as xr
from matplotlib.figure import Figure

from landscape_utils import evaluate
from landscape_utils.curve_plots import curve_panel_axes
from landscape_utils.data import Labelled
from landscape_utils.directions import Directions, is_checkpoint
from landscape_utils.plots import to_png
from landscape_utils.surface_plots import named, surface_3d, surface_map
from landscape_utils.walks import SPAN, TOWARDS, Walk, draw
from landscape_utils.widgets import Panel

COARSE = 11  # points of the first curve that is shown
COARSEST = 3  # points along a direction of the first surface that is shown
NORMALISATIONS = [("none", None), ("Norm", "global"), ("LayNorm", "layer"), ("FilNorm", "filter")]
HANDLINGS = [("UpBN", "update"), ("No UpBN", "keep")]

Tick = Callable[[int, int], None]


def curve_panel(around: Mapping[str, Directions], images: Labelled, *, points: int = 41) -> Panel:
    """Explore curves: checkpoint, direction, normalisation, BatchNorm handling and scale, with the curve's name.

    Towards another checkpoint the curve goes from -1 to 2 times s, with that checkpoint at 1 where the direction is
    not normalised.

    Args:
        around: directions by the perturbed model's name; all with the same names or not.
        images: on which the loss is taken.
        points: of the finished curve.

    Returns:
        The panel; its controls are `model`, `direction`, `normalisation`, `bn` and `scale`.

    Raises:
        ValueError: no model.
    """
    controls = _controls(around, ("direction",))

    def show(tick: Tick, model: str, direction: str, normalisation: Any, bn: Any, scale: float) -> Iterator[bytes]:
        tick(0, points)
        span = TOWARDS if is_checkpoint(direction) else SPAN
        for size in sorted({min(COARSE, points), points}):
            walk = Walk(normalisation, bn, scale, span, size)
            line = draw(around[model], direction, images, walk, progress=tick)
            figure = Figure(figsize=(7, 4.6))
            ax = figure.add_axes((0.11, 0.13, 0.86, 0.72))
            curve_panel_axes([line], ax=ax)
            shape = line.shape
            title = f"{model}, {direction} ({walk}): {shape.name or 'no name'}, {shape.count} stationary points"
            ax.set_title(title + (f"\n{shape.reason}" if shape.reason else ""), fontsize=10)
            ax.set(xlabel="lambda", ylabel="mean loss (nats)")
            yield to_png(figure)

    return Panel(show, controls, width=640, stepwise=True)


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

    Args:
        around: directions by the perturbed model's name.
        images: on which the loss is taken.
        points: along each direction of the finished surface.
        first, second: the directions at the beginning.
        scale: s at the beginning; directions that are normalised to |theta| reach s |theta|.

    Returns:
        The panel; its controls are `model`, `first`, `second`, `normalisation`, `bn`, `scale`, `variable` and `view`.

    Raises:
        ValueError: no model.
    """
    controls = _controls(around, ("first", "second"), scale=scale)
    controls["first"].value, controls["second"].value = first, second
    controls["variable"] = ipywidgets.Dropdown(options=["loss", "mistake rate"], description="show")
    controls["view"] = ipywidgets.ToggleButtons(options=["heat map", "3D"], description="as")

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
    ) -> Iterator[Any]:
        tick(0, points**2)
        if first == second:
            raise ValueError(f"both directions are {first}; choose two different ones")
        here = around[model]
        how: evaluate.Options = {"normalisation": normalisation, "bn": bn, "progress": tick}
        d1, d2 = here[first], here[second]
        for grid in evaluate.refine(here.model, images, d1, d2, span=scale, points=points, orthogonal=True, **how):
            if grid.sizes["lam1"] >= min(COARSEST, points):
                yield _surface(grid, f"{model}: {variable}", (first, second), variable, view)

    return Panel(show, controls, width=620, stepwise=True)


def _controls(around: Mapping[str, Directions], names: tuple[str, ...], *, scale: float = 1.0) -> dict[str, Any]:
    if not around:
        raise ValueError("there is nothing to show; give the directions around one model at least")
    listed = list(dict.fromkeys(name for directions in around.values() for name in directions))
    return {
        "model": ipywidgets.Dropdown(options=list(around), description="model"),
        **{name: ipywidgets.Dropdown(options=listed, description=name) for name in names},
        "normalisation": ipywidgets.Dropdown(options=NORMALISATIONS, value="global", description="norm"),
        "bn": ipywidgets.Dropdown(options=HANDLINGS, description="BatchNorm"),
        "scale": ipywidgets.FloatLogSlider(
            value=scale,
            min=-3,
            max=1,
            step=0.125,
            description="scale s",
            readout_format=".2g",
            continuous_update=False,
        ),
    }


def _surface(grid: xr.Dataset, title: str, names: tuple[str, str], variable: str, view: str) -> bytes | dict[str, Any]:
    values = named(grid[variable.replace(" ", "_")], grid.assign_attrs(first=names[0], second=names[1]))
    size = grid.sizes["lam1"]
    title += f", {size} x {size} points"
    if view == "3D":
        return surface_3d(values, title=title)
    figure = Figure(figsize=(7, 5.6))
    ax, bar = figure.add_axes((0.12, 0.11, 0.62, 0.76)), figure.add_axes((0.80, 0.11, 0.025, 0.76))
    surface_map(values, ax=ax, bar=bar)
    figure.suptitle("\n".join(filter(None, (title, ax.get_title()))), fontsize=11, y=0.985)
    ax.set_title("")
    return to_png(figure)
