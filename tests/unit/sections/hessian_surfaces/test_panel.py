import numpy as np
import pytest
import torch

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.landscape.directions import Directions
from landscape_utils.sections.hessian_surfaces import panel as surface_panel
from landscape_utils.suite.widgets import Panel
from landscape_utils.training.models import build_model
from tests.unit.sections.gmi_mli_wpeak.test_panel import PNG, around, changed

__all__ = ["around"]  # a fixture


@pytest.fixture
def surface(around: dict[str, Directions], small: Dataset) -> Panel:
    return surface_panel.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.")


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("model", "late"),
        ("second", "E=9"),
        ("normalisation", None),
        ("scale", 1.0),
        ("variable", "mistake rate"),
        ("at", 0.5),
    ],
)
def test_every_control_of_the_surface_changes_the_picture(surface: Panel, control: str, value: object) -> None:
    assert bytes(surface.image.value).startswith(PNG)
    assert changed(surface, control, value)


def test_the_surface_turns(surface: Panel) -> None:
    surface.controls["view"].value = "3D"
    surface.wait()
    described = surface.turning.outputs[0]["data"]["application/vnd.plotly.v1+json"]
    assert described["layout"]["scene"]["xaxis"]["title"]["text"] == "lam1 (Gau.)"
    assert described["layout"]["scene"]["yaxis"]["title"]["text"] == "lam2 (Neg. Grad.)"


def test_the_surfaces_corners_are_the_models_losses(around: dict[str, Directions], small: Dataset) -> None:
    panel = surface_panel.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.", scale=0.5)
    shown = panel.shown.numbers
    assert shown is not None
    here = around["early"]
    weights = here.weights.double()
    d1, d2 = (here[n].double() for n in ("Gau.", "Neg. Grad."))
    d2 = d2 - (d2 @ d1) / (d1 @ d1) * d1
    d1, d2 = (d * weights.norm() / d.norm() for d in (d1, d2))
    torch.nn.utils.vector_to_parameters((weights - 0.5 * d1 + 0.5 * d2).float(), here.model.parameters())
    x, y = small.train
    expected = torch.nn.functional.cross_entropy(here.model(x), y).item()
    assert float(shown["loss"].sel(lam1=-0.5, lam2=0.5)) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(shown["loss"]).all()


def test_the_code_that_is_shown_gives_the_numbers_that_are_shown(
    surface: Panel, around: dict[str, Directions], small: Dataset
) -> None:
    given = {"lu": lu, "model": around["early"].model, "images": small.train, "around": around["early"]}
    lines = surface.shown.code.splitlines()
    exec(lines[1], given)
    again = eval(lines[2], given)
    np.testing.assert_allclose(again["loss"], surface.shown.numbers["loss"], rtol=1e-5)


def test_a_click_on_the_curve_moves_the_marker_and_computes_no_surface(
    surface: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface_panel.evaluate, "refine", lambda *args, **how: pytest.fail("computed again"))
    before = bytes(surface.image.value)
    curve = surface.others["curve"]
    curve.pointer = [0.8, 0.4, 1.0]
    assert curve.tip.startswith("lam1 = 0.0")
    curve.clicked = [0.8, 0.4, 1.0]
    surface.wait()
    assert surface.error is None
    assert 0 < surface.controls["at"].value <= 1
    assert bytes(surface.image.value) != before


@pytest.mark.parametrize("bn", ["keep", "update"])
@pytest.mark.parametrize("normalisation", [None, "filter"])
def test_the_model_at_a_place_has_the_surfaces_loss(small: Dataset, bn: str, normalisation: str | None) -> None:
    torch.manual_seed(0)
    model = build_model("resnet8", input_shape=(3, 8, 8), classes=3, width=0.25).eval()
    here = Directions(model, small.train, progress=False)
    before = [value.clone() for value in model.state_dict().values()]
    there = surface_panel.model_at(here, "Gau.", 0.1, small.train, normalisation, bn)  # type: ignore[arg-type]
    loss = torch.nn.functional.cross_entropy(there(small.train.inputs), small.train.targets).item()
    how = {"normalisation": normalisation, "bn": bn, "progress": False}
    line = lu.curve(model, small.train, here["Gau."], [0.1], **how)  # type: ignore[arg-type]
    assert loss == pytest.approx(float(line.loss[0]), rel=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_what_goes_wrong_is_shown(surface: Panel) -> None:
    surface.controls["second"].value = "Gau."
    surface.wait()
    assert "choose two different" in surface.message.value
