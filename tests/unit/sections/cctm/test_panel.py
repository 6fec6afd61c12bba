import pytest
import torch
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.inference import outcomes
from landscape_utils.interference.cctm import cctm_of
from landscape_utils.sections.cctm.panel import cctm_panel
from landscape_utils.suite.widgets import Panel


@pytest.fixture
def panel(small: Dataset) -> Panel:
    torch.manual_seed(0)
    results = {name: outcomes(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), small.test) for name in ("one", "two")}
    rates = {name: cctm_of(result, small.classes) for name, result in results.items()}
    return cctm_panel(rates, {name: r.predicted for name, r in results.items()}, small)


@pytest.mark.parametrize(
    ("control", "value"),
    [("threshold", 0.1), ("model", "two"), ("true", "class0"), ("true", "class1"), ("taken_for", "class0")],
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    if panel.controls[control].value == value:
        value = "class2"
    before = panel.image.value
    panel.controls[control].value = value
    assert panel.error is None
    assert panel.image.value != before


def test_picking_a_class_turns_to_its_strongest_interferer(panel: Panel) -> None:
    for name in ("class0", "class1", "class2"):
        panel.controls["true"].value = name
        assert panel.controls["taken_for"].value != name


def test_sliders_wait_until_they_are_let_go(panel: Panel) -> None:
    assert panel.controls["threshold"].continuous_update is False
