"""A panel that shows the plane of two named directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets
import xarray as xr

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate
from landscape_utils.kit.bars import Tick
from landscape_utils.landscape.directions import Directions
from landscape_utils.suite.surfaces import VIEWS, named, surface_view
from landscape_utils.suite.widgets import Panel, choice, walk_controls

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
    controls = walk_controls(around, ("first", "second"), scale=scale)
    controls["first"].value, controls["second"].value = first, second
    controls["variable"] = choice("show", ["loss", "mistake rate"])
    controls["view"] = ipywidgets.ToggleButtons(options=VIEWS, description="as")

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

    return Panel(show, controls, width=620)


def _surface(grid: xr.Dataset, title: str, names: tuple[str, str], variable: str, view: str) -> bytes | dict[str, Any]:
    values = named(grid[variable.replace(" ", "_")], grid.assign_attrs(first=names[0], second=names[1]))
    size = grid.sizes["lam1"]
    title += f", {size} x {size} points"
    return surface_view(values, view, title=title)
