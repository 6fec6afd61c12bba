"""A panel that explores one class: its row of the CCTM, its interferers, and the images behind a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from torch import Tensor

from landscape_utils.data.datasets import Dataset
from landscape_utils.interference.cctm import interference_only, top_cells
from landscape_utils.sections.cctm.plots import cctm_row, gallery
from landscape_utils.suite.plots import to_png
from landscape_utils.suite.widgets import Panel, choice

GALLERY = 12


def cctm_panel(
    rates: Mapping[str, xr.DataArray], predicted: Mapping[str, Tensor], data: Dataset, *, threshold: float = 0.005
) -> Panel:
    """Explore one class: its row of the CCTM, its interferers at a threshold, and the test images behind a cell.

    Args:
        rates: CCTM by architecture.
        predicted: predicted class of each test image, shape (N,), by architecture.
        data: the dataset whose test images were predicted.
        threshold: where the slider begins.

    Returns:
        The panel; its controls are `model`, `true`, `taken_for` and `threshold`.
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
            continuous_update=False,
        ),
    }

    def draw(model: str, true: str, taken_for: str, threshold: float) -> bytes:
        return _row_and_images(rates[model], predicted[model], data, true, taken_for, threshold)

    def follow(change: object) -> None:
        """Turn to the strongest interferer of the class that was picked."""
        row = interference_only(rates[controls["model"].value]).sel(true=controls["true"].value)
        controls["taken_for"].value = str(row["predicted"].values[int(np.nanargmax(row.values))])

    controls["true"].observe(follow, names="value")
    return Panel(draw, controls, width=820)


def _row_and_images(
    rates: xr.DataArray, predicted: Tensor, data: Dataset, true: str, taken_for: str, threshold: float
) -> bytes:
    figure = plt.figure(figsize=(9, 5))
    row = figure.add_axes((0.09, 0.36, 0.88, 0.56))
    cctm_row(rates, true, threshold, ax=row)
    places = [figure.add_axes((0.03 + 0.08 * i, 0.02, 0.072, 0.15)) for i in range(GALLERY)]
    a, b = data.classes.index(true), data.classes.index(taken_for)
    behind = ((data.test.targets == a) & (predicted == b)).nonzero().ravel()
    verb = "recognised" if a == b else f"taken for {taken_for}"
    title = f"{len(behind)} of {int((data.test.targets == a).sum())} {true} test images are {verb}"
    gallery(data.pictures(data.test.inputs[behind[:GALLERY]]), axes=places, title=title)
    return to_png(figure)
