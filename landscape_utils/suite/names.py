"""Names for those who do not see a panel, which ipywidgets gives neither to sliders nor to pictures."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

PANEL = "landscape-panel"  # the class of the element in which names are given


class Names(anywidget.AnyWidget):
    """An invisible part of a panel, which names its sliders by their labels and its picture by `alt`."""

    _esm = Path(__file__).with_name("names.js")
    alt = traitlets.Unicode().tag(sync=True)
