import pytest

from landscape_utils.sections.gradient_split import panel as gradient_panel
from tests.unit.sections.gradient_split.test_claims import course


@pytest.mark.parametrize(("control", "value"), [("layer", "fc"), ("epoch", "end")])
def test_every_control_changes_the_picture(control: str, value: str) -> None:
    panel = gradient_panel.gradient_panel(course())
    before = bytes(panel.image.value)
    assert before.startswith(b"\x89PNG")
    panel.controls[control].value = value
    assert panel.error is None
    assert bytes(panel.image.value) != before


def test_the_sliders_walk_through_all_layers_and_epochs() -> None:
    panel = gradient_panel.gradient_panel(course())
    assert panel.controls["layer"].options == ("conv1", "conv2", "fc")
    assert panel.controls["epoch"].options == ("0", "1", "4", "end")
    assert (panel.controls["layer"].value, panel.controls["epoch"].value) == ("conv1", "0")


def test_a_click_on_the_map_shows_that_layer_at_that_epoch() -> None:
    panel = gradient_panel.gradient_panel(course())
    places = panel.others["map"]
    assert bytes(places.value).startswith(b"\x89PNG")
    places._on_click(2.2, 0.9)
    assert (panel.controls["layer"].value, panel.controls["epoch"].value) == ("conv2", "4")
    assert places._tip(1.0, 2.0) == "fc, epoch 1: 0.20"
    assert panel.shown.code.endswith("names=['conv2'])")
