import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from landscape_utils import widgets
from landscape_utils.data import Dataset
from landscape_utils.inference import outcomes
from landscape_utils.interference import cctm_of

PNG = b"\x89PNG"


@pytest.fixture
def panel(small: Dataset) -> widgets.Panel:
    torch.manual_seed(0)
    results = {name: outcomes(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), small.test) for name in ("one", "two")}
    rates = {name: cctm_of(result, small.classes) for name, result in results.items()}
    return widgets.cctm_panel(rates, {name: r.predicted for name, r in results.items()}, small)


def test_the_first_picture_is_there_at_once(panel: widgets.Panel) -> None:
    assert bytes(panel.image.value).startswith(PNG)
    assert panel.error is None


@pytest.mark.parametrize(
    ("control", "value"),
    [("threshold", 0.1), ("model", "two"), ("true", "class0"), ("true", "class1"), ("taken_for", "class0")],
)
def test_every_control_changes_the_picture(panel: widgets.Panel, control: str, value: object) -> None:
    if panel.controls[control].value == value:
        value = "class2"
    before = panel.image.value
    panel.controls[control].value = value
    assert panel.error is None
    assert panel.image.value != before


def test_picking_a_class_turns_to_its_strongest_interferer(panel: widgets.Panel) -> None:
    for name in ("class0", "class1", "class2"):
        panel.controls["true"].value = name
        assert panel.controls["taken_for"].value != name


def test_pictures_leave_no_figure_behind(panel: widgets.Panel) -> None:
    for value in (0.01, 0.02, 0.03):
        panel.controls["threshold"].value = value
    assert plt.get_fignums() == []


def test_a_panel_that_moves_or_fails_prints_nothing(panel: widgets.Panel, capfd: pytest.CaptureFixture[str]) -> None:
    for control, value in (("threshold", 0.1), ("model", "two"), ("true", "class0"), ("true", "class1")):
        panel.controls[control].value = value
    panel._draw = lambda **_: 1 / 0
    panel.refresh()
    assert isinstance(panel.error, ZeroDivisionError)
    assert capfd.readouterr() == ("", "")


def test_sliders_wait_until_they_are_let_go(panel: widgets.Panel) -> None:
    assert panel.controls["threshold"].continuous_update is False


def test_an_error_is_shown_as_text_and_kept_for_tests(panel: widgets.Panel) -> None:
    def broken(**_: object) -> bytes:
        raise RuntimeError("no such cell")

    panel._draw, draw = broken, panel._draw
    panel.controls["threshold"].value = 0.05
    assert isinstance(panel.error, RuntimeError)
    assert "RuntimeError: no such cell" in panel.message.value
    assert panel.image.layout.display == "none"
    panel._draw = draw
    panel.controls["threshold"].value = 0.06
    assert panel.error is None
    assert panel.message.value == ""
    assert panel.image.layout.display == ""
