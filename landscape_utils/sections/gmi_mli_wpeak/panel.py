"""A panel that walks along named directions: the curve, and its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from landscape_utils.data.datasets import Labelled
from landscape_utils.kit.bars import Tick
from landscape_utils.landscape.directions import Directions, is_checkpoint
from landscape_utils.landscape.walks import SPAN, TOWARDS, Walk, draw
from landscape_utils.sections.gmi_mli_wpeak.plots import curve_panel_axes
from landscape_utils.suite.plots import to_png
from landscape_utils.suite.widgets import Panel, Shown, player, stops, walk_controls

COARSE = 11  # points of the first curve that is shown
NEAR_TO_FAR = [(f"{s:.2g}", float(f"{s:.2g}")) for s in np.logspace(-3, 1, 17)]  # scales by their labels
GIVEN = "# model, images and around, its lu.Directions, are those that the panel was given"


def curve_panel(around: Mapping[str, Directions], images: Labelled, *, points: int = 41) -> Panel:
    """Explore curves: checkpoint, direction, normalisation, BatchNorm handling and scale, with the curve's name.

    Towards another checkpoint the curve goes from -1 to 2 times s, with that checkpoint at 1 where the direction is
    not normalised.

    Args:
        around: directions by the perturbed model's name; all with the same names or not.
        images: on which the loss is taken.
        points: of the finished curve.

    Returns:
        The panel; its controls are `model`, `direction`, `normalisation`, `bn` and `scale`; `others` holds `play`,
        which walks ever further.

    Raises:
        ValueError: no model.
    """
    controls = walk_controls(around, ("direction",))
    controls["scale"] = stops("scale s", NEAR_TO_FAR, 1.0)

    def show(tick: Tick, model: str, direction: str, normalisation: Any, bn: Any, scale: float) -> Iterator[Shown]:
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
            low, high = (scale * end for end in span)
            code = f"{GIVEN}\ndirection = around[{direction!r}]\nlambdas = np.linspace({low!r}, {high!r}, {size})"
            code += f"\nlu.curve(model, images, direction, lambdas, normalisation={normalisation!r}, bn={bn!r})"
            yield Shown(to_png(figure), line.grid, code)

    play = player(controls["scale"], interval=1500)
    return Panel(show, controls, width=640, others={"play": play}, name="04_gmi_mli_wpeak-panel")
