import numpy as np
import pytest
import torch

from landscape_utils.data.datasets import Dataset
from landscape_utils.landscape.directions import Directions
from landscape_utils.sections.hessian_surfaces import panel as surface_panel
from landscape_utils.suite.widgets import Panel
from tests.unit.sections.gmi_mli_wpeak.test_panel import PNG, around, changed

__all__ = ["around"]  # a fixture


@pytest.fixture
def surface(around: dict[str, Directions], small: Dataset) -> Panel:
    return surface_panel.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.")


@pytest.mark.parametrize(
    ("control", "value"),
    [("model", "late"), ("second", "E=9"), ("normalisation", None), ("scale", 1.0), ("variable", "mistake rate")],
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


def test_the_surfaces_corners_are_the_models_losses(
    around: dict[str, Directions], small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    drawn = surface_panel._surface
    monkeypatch.setattr(surface_panel, "_surface", lambda grid, *args: (shown.append(grid), drawn(grid, *args))[1])
    surface_panel.surface_panel(around, small.train, points=5, first="Gau.", second="Neg. Grad.", scale=0.5)
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


def test_what_goes_wrong_is_shown(surface: Panel) -> None:
    surface.controls["second"].value = "Gau."
    surface.wait()
    assert "choose two different" in surface.message.value
