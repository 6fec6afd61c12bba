import json
from base64 import b64decode
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import xarray as xr

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


def numbered(height: float) -> widgets.Shown:
    figure, ax = plt.subplots()
    ax.bar([0], [height])
    return widgets.Shown(to_png(figure), xr.Dataset({"height": height}), f"print({height}) # <")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANDSCAPE_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("LANDSCAPE_FIGURES", str(tmp_path / "figures"))
    return tmp_path


def test_what_is_saved_is_what_is_shown(files: Path) -> None:
    panel = widgets.Panel(numbered, {"height": ipywidgets.FloatSlider(value=0.5)}, width=300, name="mine")
    panel.saving.click()
    panel.controls["height"].value = 0.25
    panel.saving.click()
    assert (files / "figures" / "mine-2.png").read_bytes() == panel.image.value
    assert (files / "figures" / "mine-1.png").read_bytes() != panel.image.value
    assert "mine-2.png" in panel.saved.value
    with xr.open_dataset(files / "out" / "mine-2.nc") as kept:
        assert float(kept.height) == 0.25


def test_a_turning_picture_is_saved_as_its_figure(files: Path) -> None:
    panel = widgets.Panel(lambda: {"data": [], "layout": {}}, {}, width=300, name="mine")
    panel.save()
    assert json.loads((files / "figures" / "mine-1.plotly.json").read_text()) == {"data": [], "layout": {}}
    assert "image/png" not in panel._repr_mimebundle_()


def test_the_code_is_shown_where_there_is_some(panel: widgets.Panel) -> None:
    assert panel.coding.layout.display == "none"
    told = widgets.Panel(numbered, {"height": ipywidgets.FloatSlider(value=0.5)}, width=300)
    assert (told.coding.layout.display, told.code.layout.display) == ("", "none")
    told.coding.value = True
    assert told.code.layout.display == ""
    told.controls["height"].value = 0.25
    assert "print(0.25) # &lt;" in told.code.value


def test_where_no_kernel_runs_a_notebook_shows_the_last_picture(panel: widgets.Panel) -> None:
    panel.controls["height"].value = 0.25
    bundle = panel._repr_mimebundle_()
    assert bundle is not None
    assert b64decode(bundle["image/png"]) == panel.image.value
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_player_walks_through_a_sliders_options_from_where_it_stands() -> None:
    slider = widgets.stops("epoch", [0, 1, 4, 9], 4)
    play = widgets.player(slider, interval=100)
    assert (play.value, play.max) == (2, 3)
    play.value = 1
    assert slider.value == 1
