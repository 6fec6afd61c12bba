"""A panel that explores a CCTM: what one clicks opens its row, the images behind the cell, and the pair's ego space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor, nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.class_gradients import class_gradients
from landscape_utils.interference.cctm import interference_only, top_cells
from landscape_utils.interference.ego import ego_surface, window
from landscape_utils.kit.bars import Tick
from landscape_utils.sections.cctm.plots import cctm_heatmap, cctm_row, gallery
from landscape_utils.suite.maps import Map
from landscape_utils.suite.plots import to_png
from landscape_utils.suite.surfaces import surface_map
from landscape_utils.suite.widgets import Panel, Shown, choice

GALLERY = 10
IMAGES = 200  # at which a pair's ego space is evaluated
POINTS = 9  # along each of its directions
REACH = 0.02  # of |w|, at the edge of its window


def cctm_panel(
    rates: Mapping[str, xr.DataArray],
    predicted: Mapping[str, Tensor],
    data: Dataset,
    *,
    models: Mapping[str, nn.Module] | None = None,
    threshold: float = 0.005,
) -> Panel:
    """Explore a CCTM by clicking its cells: the class's row, its interferers, images behind the cell, the ego space.

    Args:
        rates: CCTM by architecture.
        predicted: predicted class of each test image, shape (N,), by architecture.
        data: the dataset whose test images were predicted.
        models: the networks, for the ego space of a pair; without them there is none.
        threshold: where the slider begins.

    Returns:
        The panel; its controls are `model`, `true`, `taken_for` and `threshold`; `others` holds `map`, where one
        clicks.
    """
    first = next(iter(rates))
    true, taken_for, _ = top_cells(rates[first], 1)[0]
    classes = list(data.classes)
    controls: dict[str, Any] = {
        "model": choice("model", rates),
        "true": choice("class", classes, true),
        "taken_for": choice("taken for", classes, taken_for),
        "threshold": ipywidgets.FloatSlider(
            value=threshold,
            min=0.0,
            max=max(0.1, threshold),
            step=0.0025,
            description="threshold",
            readout_format=".2%",
        ),
    }
    spaces: dict[tuple[str, str, str], xr.Dataset] = {}

    def draw(tick: Tick, model: str, true: str, taken_for: str, threshold: float) -> Iterator[Shown]:
        key = (model, true, taken_for)
        code = f"lu.cctm(model, data.test).sel(true={true!r})"

        def shown() -> Shown:
            figure = _row_and_images(rates[model], predicted[model], data, true, taken_for, threshold)
            if key in spaces:
                _add_space(figure, spaces[key])
            return Shown(to_png(figure), rates[model].to_dataset(name="rate"), code)

        yield shown()
        if models and true != taken_for:
            if key not in spaces:
                spaces[key] = _space(models[model], data, true, taken_for, tick)
            sigma = spaces[key].attrs["sigma"]
            code += f"\nimages = data.train.stratified({IMAGES})"
            code += f"\nlu.ego_surface(model, images, {true!r}, {taken_for!r}, sigma={sigma!r}, points={POINTS})"
            yield shown()

    def turn_to(x: float, y: float) -> None:
        """Open the cell that was clicked."""
        with panel.one_refresh():
            controls["true"].value, controls["taken_for"].value = classes[round(y)], classes[round(x)]

    def tip(x: float, y: float) -> str:
        a, b = classes[round(y)], classes[round(x)]
        share = float(rates[controls["model"].value].sel(true=a, predicted=b))
        return f"{a} recognised: {share:.1%}" if a == b else f"{a} taken for {b}: {share:.1%}"

    def show_map(change: object = None) -> None:
        ax = Figure(figsize=(4, 4), layout="constrained").subplots()
        cctm_heatmap(rates[controls["model"].value], ax=ax, colourbar=False)
        clickable.show(ax)

    clickable = Map(turn_to, tip, width=320, alt="CCTM: rows are true classes, columns predicted ones")
    controls["model"].observe(show_map, names="value")
    show_map()
    panel = Panel(draw, controls, width=820, others={"map": clickable}, name="01_cctm-panel")

    def follow(change: object) -> None:
        """Turn to the strongest interferer of the class that was picked."""
        row = interference_only(rates[controls["model"].value]).sel(true=controls["true"].value)
        controls["taken_for"].value = str(row["predicted"].values[int(np.nanargmax(row.values))])

    controls["true"].observe(follow, names="value")
    return panel


def _space(model: nn.Module, data: Dataset, true: str, taken_for: str, tick: Tick) -> xr.Dataset:
    images = data.train.stratified(IMAGES).to(next(model.parameters()).device)
    gradients = class_gradients(model, images, [true, taken_for])
    sigma = window([(model, gradients)], REACH)
    g1, g2 = gradients
    return ego_surface(
        model, images, true, taken_for, sigma=sigma, points=POINTS, gradients=(g1, g2), progress=tick, cache=False
    )


def _row_and_images(
    rates: xr.DataArray, predicted: Tensor, data: Dataset, true: str, taken_for: str, threshold: float
) -> Figure:
    figure = Figure(figsize=(9, 5))
    cctm_row(rates, true, threshold, ax=figure.add_axes((0.09, 0.36, 0.45, 0.56)))
    places = [figure.add_axes((0.03 + 0.095 * i, 0.02, 0.085, 0.15)) for i in range(GALLERY)]
    a, b = data.classes.index(true), data.classes.index(taken_for)
    behind = ((data.test.targets == a) & (predicted.cpu() == b)).nonzero().ravel()
    verb = "recognised" if a == b else f"taken for {taken_for}"
    title = f"{len(behind)} of {int((data.test.targets == a).sum())} {true} test images are {verb}"
    gallery(data.pictures(data.test.inputs[behind[:GALLERY]]), axes=places, title=title)
    return figure


def _add_space(figure: Figure, space: xr.Dataset) -> None:
    ax = figure.add_axes((0.63, 0.36, 0.33, 0.53))
    surface_map(space["mistake_rate"], flat=0.1, ax=ax)
    ax.set_title(f"mistake rate in the {space.attrs['first']}-{space.attrs['second']} space", fontsize=10)
