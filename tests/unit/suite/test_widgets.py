import ipywidgets
import matplotlib.pyplot as plt
import pytest

from landscape_utils.suite import widgets
from landscape_utils.suite.plots import to_png

PNG = b"\x89PNG"


@pytest.fixture
def panel() -> widgets.Panel:
    def draw(height: float, colour: str) -> bytes:
        figure, ax = plt.subplots()
        ax.bar([0], [height], color=colour)
        return to_png(figure)

    controls = {"height": ipywidgets.FloatSlider(value=0.5), "colour": ipywidgets.Dropdown(options=["red", "blue"])}
    return widgets.Panel(draw, controls, width=300)


def test_the_first_picture_is_there_at_once(panel: widgets.Panel) -> None:
    assert bytes(panel.image.value).startswith(PNG)
    assert panel.error is None


def test_pictures_leave_no_figure_behind(panel: widgets.Panel) -> None:
    for value in (0.01, 0.02, 0.03):
        panel.controls["height"].value = value
    assert plt.get_fignums() == []


def test_a_panel_that_moves_or_fails_prints_nothing(panel: widgets.Panel, capfd: pytest.CaptureFixture[str]) -> None:
    for control, value in (("height", 0.1), ("colour", "blue")):
        panel.controls[control].value = value
    panel._draw = lambda **_: 1 / 0
    panel.refresh()
    assert isinstance(panel.error, ZeroDivisionError)
    assert capfd.readouterr() == ("", "")


def test_an_error_is_shown_as_text_and_kept_for_tests(panel: widgets.Panel) -> None:
    def broken(**_: object) -> bytes:
        raise RuntimeError("no such colour")

    panel._draw, draw = broken, panel._draw
    panel.controls["height"].value = 0.05
    assert isinstance(panel.error, RuntimeError)
    assert "RuntimeError: no such colour" in panel.message.value
    assert panel.image.layout.display == "none"
    panel._draw = draw
    panel.controls["height"].value = 0.06
    assert panel.error is None
    assert panel.message.value == ""
    assert panel.image.layout.display == ""
