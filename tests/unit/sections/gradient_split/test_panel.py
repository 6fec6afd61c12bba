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
