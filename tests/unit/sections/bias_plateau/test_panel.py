import numpy as np
import pytest

from landscape_utils import RunSpec
from landscape_utils.data.datasets import Dataset
from landscape_utils.sections.bias_plateau import panel as plateau_panel
from landscape_utils.sections.bias_plateau import study
from landscape_utils.suite.widgets import Panel


@pytest.fixture
def panel(small: Dataset) -> Panel:
    options = {"width": 6, "depth": 2}
    spec = RunSpec(dataset="small", model="fcn", epochs=2, lr=0.05, augment=False, model_options=options)
    network = study.network([spec], images=12, data=small)
    made = plateau_panel.plateau_panel(network, depths=[2, 3], scales=[0.5, 1.0])
    made.wait()
    return made


@pytest.mark.parametrize(
    ("control", "value"),
    [("depth", 2), ("init_scale", 0.5), ("bias", "last"), ("bias", False), ("scheme", "homogeneous"), ("alpha", 0.9)],
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    assert bytes(panel.image.value).startswith(b"\x89PNG")
    before = bytes(panel.image.value)
    panel.controls[control].value = value
    panel.wait()
    assert panel.error is None
    assert bytes(panel.image.value) != before


def test_the_slider_only_looks_up(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(plateau_panel, "interpolate", never)
    monkeypatch.setattr(plateau_panel, "outputs", never)
    for alpha in np.linspace(0, 1, 4):
        panel.controls["alpha"].value = float(alpha)
        panel.wait()
        assert panel.error is None


def test_play_walks_along_alpha(panel: Panel) -> None:
    panel.others["play"].value = 25
    panel.wait()
    assert panel.controls["alpha"].value == pytest.approx(0.5)
    assert panel.error is None


def test_it_shows_its_numbers_and_the_code_for_them(panel: Panel) -> None:
    assert panel.shown.numbers is not None
    assert set(panel.shown.numbers) >= {"loss", "mistake_rate"}
    assert "network.variant(depth=3, init_scale=1.0, bias=True)" in panel.shown.code
    assert "scheme='linear'" in panel.shown.code
    compile(panel.shown.code, "code", "exec")
