"""A picture that one clicks: it tells where, in its axes' own coordinates, and says what lies under the pointer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.suite.plots import to_png


class Map(anywidget.AnyWidget):
    """A picture of one pair of axes that one clicks.

    Attributes:
        value: the picture, as PNG bytes.
        clicked, pointer: the last place in shares of the picture's width and height from its upper left, and when.
        tip: what lies under the pointer.
        alt: what the picture shows, for those who do not see it.
    """

    _esm = Path(__file__).with_name("map.js")
    value = traitlets.Bytes().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    tip = traitlets.Unicode().tag(sync=True)
    clicked = traitlets.List(traitlets.Float()).tag(sync=True)
    pointer = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(
        self, on_click: Callable[[float, float], None], tip: Callable[[float, float], str], *, width: int, alt: str
    ) -> None:
        """Say what a click does.

        Args:
            on_click: told the coordinates (x, y) of a click inside the axes.
            tip: gives a sentence for the coordinates under the pointer.
            width: of the picture, in pixels.
            alt: what the picture shows.
        """
        super().__init__(width=width, alt=alt)
        self._on_click, self._tip = on_click, tip
        self._inverse: Any = None
        self.observe(self._follow, names=["clicked", "pointer"])

    def show(self, ax: Axes) -> None:
        """Show a figure, and measure in these of its axes."""
        figure = ax.figure
        assert isinstance(figure, Figure)
        value = to_png(figure)  # after which a layout engine has placed the axes
        width, height = figure.bbox.width, figure.bbox.height
        inverse, inside = ax.transData.inverted(), ax.get_window_extent()

        def coordinates(x: float, y: float) -> tuple[float, float] | None:
            place = (x * width, (1 - y) * height)
            right, up = inverse.transform(place)
            return (float(right), float(up)) if inside.contains(*place) else None

        self._inverse, self.value = coordinates, value

    def _follow(self, change: Any) -> None:
        place = self._inverse(*change["new"][:2]) if self._inverse and change["new"] else None
        if change["name"] == "pointer":
            self.tip = self._tip(*place) if place else ""
        elif place:
            self._on_click(*place)
