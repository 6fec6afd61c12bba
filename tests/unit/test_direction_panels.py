import numpy as np
import pytest
import torch

from landscape_utils import direction_panels, space
from landscape_utils.data import Dataset
from landscape_utils.directions import Directions
from landscape_utils.models import build_model
from landscape_utils.widgets import Panel

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
    return direction_panels.curve_panel(around, small.train, points=13)


@pytest.fixture
def surface(around: dict[str, Directions], small: Dataset) -> Panel:
    return direction_panels.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.")


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


@pytest.mark.parametrize(
    ("control", "value"),
    [("model", "late"), ("second", "E=9"), ("normalisation", None), ("scale", 1.0), ("variable", "mistake rate")],
)
def test_every_control_of_the_surface_changes_the_picture(surface: Panel, control: str, value: object) -> None:
    assert bytes(surface.image.value).startswith(PNG)
    assert changed(surface, control, value)


def test_batchnorm_handling_reaches_the_curve(small: Dataset) -> None:
    model = build_model("resnet8", input_shape=(3, 8, 8), classes=3, width=0.25)
    panel = direction_panels.curve_panel({"net": Directions(model, small.train, progress=False)}, small.train, points=5)
    assert changed(panel, "bn", "keep")


def test_the_curve_is_shown_coarse_first_and_then_whole(curve: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    draw = direction_panels.draw
    monkeypatch.setattr(
        direction_panels, "draw", lambda *args, **how: (seen.append(args[3].points), draw(*args, **how))[1]
    )
    assert changed(curve, "direction", "Neg. Grad.")
    assert seen == [11, 13]


def test_towards_a_checkpoint_the_curve_goes_past_it(curve: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = []
    draw = direction_panels.draw
    monkeypatch.setattr(
        direction_panels, "draw", lambda *args, **how: (spans.append(args[3].span), draw(*args, **how))[1]
    )
    assert changed(curve, "direction", "E=9")
    assert set(spans) == {(-1.0, 2.0)}


def test_the_surface_turns(surface: Panel) -> None:
    surface.controls["view"].value = "3D"
    surface.wait()
    described = surface.turning.outputs[0]["data"]["application/vnd.plotly.v1+json"]
    assert described["layout"]["scene"]["xaxis"]["title"]["text"] == "lam1 (Gau.)"
    assert described["layout"]["scene"]["yaxis"]["title"]["text"] == "lam2 (Neg. Grad.)"


def test_the_surfaces_corners_are_the_models_losses(
    around: dict[str, Directions], small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    drawn = direction_panels._surface
    monkeypatch.setattr(direction_panels, "_surface", lambda grid, *args: (shown.append(grid), drawn(grid, *args))[1])
    direction_panels.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.", scale=0.5)
    here = around["early"]
    weights = here.weights.double()
    d1, d2 = (here[n].double() for n in ("Gau.", "Neg. Grad."))
    d2 = d2 - (d2 @ d1) / (d1 @ d1) * d1
    d1, d2 = (d * weights.norm() / d.norm() for d in (d1, d2))
    torch.nn.utils.vector_to_parameters((weights - 0.5 * d1 + 0.5 * d2).float(), here.model.parameters())
    x, y = small.train
    expected = torch.nn.functional.cross_entropy(here.model(x), y).item()
    assert float(shown[-1]["loss"].sel(lam1=-0.5, lam2=0.5)) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(shown[-1]["loss"]).all()


def test_what_goes_wrong_is_shown(surface: Panel, small: Dataset) -> None:
    surface.controls["second"].value = "Gau."
    surface.wait()
    assert "choose two different" in surface.message.value
    with pytest.raises(ValueError, match="nothing to show"):
        direction_panels.curve_panel({}, small.train)
