from typing import Any

import pytest
import torch
import xarray as xr
from torch import nn

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.inference import outcomes
from landscape_utils.interference.cctm import cctm_of
from landscape_utils.sections.cctm.panel import _space, cctm_panel
from landscape_utils.suite.widgets import Panel

NAMES = ("one", "two")


@pytest.fixture
def panel(small: Dataset) -> Panel:
    torch.manual_seed(0)
    models = {name: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)) for name in NAMES}
    results = {name: outcomes(model, small.test) for name, model in models.items()}
    rates = {name: cctm_of(result, small.classes) for name, result in results.items()}
    return cctm_panel(rates, {name: r.predicted for name, r in results.items()}, small, models=models)


@pytest.mark.parametrize(
    ("control", "value"),
    [("threshold", 0.1), ("model", "two"), ("true", "class0"), ("true", "class1"), ("taken_for", "class0")],
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    if panel.controls[control].value == value:
        value = "class2"
    before = panel.image.value
    panel.controls[control].value = value
    panel.wait()
    assert panel.error is None
    assert panel.image.value != before


def test_picking_a_class_turns_to_its_strongest_interferer(panel: Panel) -> None:
    for name in ("class0", "class1", "class2"):
        panel.controls["true"].value = name
        assert panel.controls["taken_for"].value != name


@pytest.mark.parametrize(("true", "taken_for"), [(0, 2), (2, 1), (1, 1)])
def test_a_click_opens_a_cell(panel: Panel, true: int, taken_for: int) -> None:
    clickable, before = panel.others["map"], panel.image.value
    x, y = (clickable._inverse(*at) for at in ((0.5, 0.5), (0.6, 0.6)))
    right, down = ((b - a) / 0.1 for a, b in zip(x, y, strict=True))  # classes in a picture's width and height
    place = [0.5 + (taken_for - x[0]) / right, 0.5 + (true - x[1]) / down, 0.0]
    clickable.pointer = place
    assert clickable.tip.startswith(
        f"class{true} {'recognised' if true == taken_for else f'taken for class{taken_for}'}: "
    )
    clickable.clicked = place
    panel.wait()
    assert (panel.controls["true"].value, panel.controls["taken_for"].value) == (f"class{true}", f"class{taken_for}")
    assert panel.error is None
    assert panel.image.value != before
    assert ("ego_surface" in panel.shown.code) == (true != taken_for)


def test_the_map_is_that_of_the_model(panel: Panel) -> None:
    before = panel.others["map"].value
    panel.controls["model"].value = "two"
    assert panel.others["map"].value != before


def test_look_ups_follow_the_hand(panel: Panel) -> None:
    assert panel.controls["threshold"].continuous_update


def test_the_code_that_is_shown_gives_the_ego_space_that_is_shown(small: Dataset) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    result = outcomes(model, small.test)
    panel = cctm_panel({"m": cctm_of(result, small.classes)}, {"m": result.predicted}, small, models={"m": model})
    space: dict[str, Any] = {"lu": lu, "model": model, "data": small}
    *before, last = panel.shown.code.splitlines()
    exec("\n".join(before), space)
    again = eval(last, space)
    want = _space(model, small, again.attrs["first"], again.attrs["second"], lambda done, total: None)
    xr.testing.assert_allclose(again, want)
