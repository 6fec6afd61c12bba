"""The panels that make sense for anybody's own classifier, in one with tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.inference import outcomes
from landscape_utils.interference.cctm import cctm_of
from landscape_utils.interference.ego import window
from landscape_utils.landscape.directions import Directions
from landscape_utils.sections.cctm.panel import cctm_panel
from landscape_utils.sections.ego_flatness.panel import ego_panel
from landscape_utils.sections.ego_flatness.study import Moved, ordered_pairs
from landscape_utils.sections.gmi_mli_wpeak.panel import curve_panel
from landscape_utils.suite.widgets import Panel

REACH = 0.02  # of |w|, at the edge of the first ego space
NAME = "your model"


def panel(model: nn.Module, data: Dataset, *, images: int = 200, points: int = 9) -> ipywidgets.Tab:
    """Explore a classifier of one's own: whom it takes for whom, its ego space, and curves through it.

    Args:
        model: the classifier, looked at in evaluation mode where its weights are.
        data: of `load_dataset`, with inputs as the model expects them.
        images: at how many training images landscapes are evaluated.
        points: along each direction of an ego space; a curve has four times as many.

    Returns:
        A panel with three tabs, each computed when it is first opened; `children` are the panels of 01, 02 and 04.

    Raises:
        ValueError: the model does not answer for these inputs and classes.
    """
    device = next(model.parameters()).device
    part = data.train.stratified(images).to(device)
    found = outcomes(model, data.test)
    rates = cctm_of(found, data.classes)

    def confusions() -> Panel:
        return cctm_panel({NAME: rates}, {NAME: found.predicted}, data, models={NAME: model})

    def ego() -> Panel:
        one = Moved(model, part, part)
        sigma = window([(model, one.gradients)], REACH)
        return ego_panel({NAME: one}, ordered_pairs(rates), sigma=sigma, points=points)

    def curves() -> Panel:
        return curve_panel({NAME: Directions(model, part)}, part, points=4 * points + 1)

    return _Tabs({"who is taken for whom": confusions, "ego space": ego, "curves": curves})


class _Tabs(ipywidgets.Tab):
    """Panels of which each is made when its tab is first opened: the later ones take a while."""

    def __init__(self, makers: Mapping[str, Callable[[], Panel]]) -> None:
        waiting = [ipywidgets.Label("One moment: this landscape is computed.") for _ in makers]
        super().__init__(children=waiting, titles=list(makers), selected_index=0)
        self._makers = list(makers.values())
        self.observe(self._open, names="selected_index")
        self._open()

    def _open(self, change: object = None) -> None:
        i = self.selected_index
        if i is not None and not isinstance(self.children[i], Panel):
            self.children = [self._makers[i]() if j == i else child for j, child in enumerate(self.children)]
