import pytest
import torch

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import space
from landscape_utils.landscape.directions import Directions
from landscape_utils.sections.gmi_mli_wpeak import panel as curve_panel
from landscape_utils.suite.widgets import Panel
from landscape_utils.training.models import build_model

PNG = b"\x89PNG"


@pytest.fixture
def around(small: Dataset) -> dict[str, Directions]:
    found = {}
    for i, name in enumerate(("early", "late")):
        torch.manual_seed(i)
        model = build_model("mlp", input_shape=(3, 8, 8), classes=3, width=4)
        to = {"E=9": space.gaussian_direction(model, seed=5)}
        found[name] = Directions(model, small.train, checkpoints=to, k=1, peak={"epochs": 1}, progress=False)
    return found


@pytest.fixture
def curve(around: dict[str, Directions], small: Dataset) -> Panel:
    return curve_panel.curve_panel(around, small.train, points=13)


def changed(panel: Panel, control: str, value: object) -> bool:
    panel.wait()
    before = bytes(panel.image.value)
    panel.controls[control].value = value
    panel.wait()
    assert panel.error is None
    return bytes(panel.image.value) != before


@pytest.mark.parametrize(
    ("control", "value"),
    [("model", "late"), ("direction", "E=9"), ("normalisation", "filter"), ("scale", 0.1), ("direction", "P.E.1")],
)
def test_every_control_of_the_curve_changes_the_picture(curve: Panel, control: str, value: object) -> None:
    assert bytes(curve.image.value).startswith(PNG)
    assert changed(curve, control, value)


def test_play_walks_ever_further(curve: Panel) -> None:
    play = curve.others["play"]
    play.value += 1
    curve.wait()
    assert curve.error is None
    assert curve.controls["scale"].value == 1.8
    assert curve.shown.numbers is not None
    assert float(curve.shown.numbers["lam"].max()) == pytest.approx(1.8)
    assert play.max == len(curve_panel.NEAR_TO_FAR) - 1


def test_batchnorm_handling_reaches_the_curve(small: Dataset) -> None:
    model = build_model("resnet8", input_shape=(3, 8, 8), classes=3, width=0.25)
    panel = curve_panel.curve_panel({"net": Directions(model, small.train, progress=False)}, small.train, points=5)
    assert changed(panel, "bn", "keep")


def test_the_curve_is_shown_coarse_first_and_then_whole(curve: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    draw = curve_panel.draw
    monkeypatch.setattr(curve_panel, "draw", lambda *args, **how: (seen.append(args[3].points), draw(*args, **how))[1])
    assert changed(curve, "direction", "Neg. Grad.")
    assert seen == [11, 13]


def test_towards_a_checkpoint_the_curve_goes_past_it(curve: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = []
    draw = curve_panel.draw
    monkeypatch.setattr(curve_panel, "draw", lambda *args, **how: (spans.append(args[3].span), draw(*args, **how))[1])
    assert changed(curve, "direction", "E=9")
    assert set(spans) == {(-1.0, 2.0)}


def test_without_models_there_is_nothing_to_show(small: Dataset) -> None:
    with pytest.raises(ValueError, match="nothing to show"):
        curve_panel.curve_panel({}, small.train)
