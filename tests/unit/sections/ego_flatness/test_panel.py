import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import engine
from landscape_utils.interference.ego import ego_surface
from landscape_utils.sections.ego_flatness import panel as ego_panel
from landscape_utils.sections.ego_flatness.study import Moved
from landscape_utils.suite.widgets import Panel
from landscape_utils.training.models import build_model

PNG = b"\x89PNG"
PAIRS = [("class0", "class1"), ("class1", "class2"), ("class0", "class2")]


@pytest.fixture
def models(small: Dataset) -> dict[str, Moved]:
    torch.manual_seed(0)
    nets = {name: build_model("mlp", input_shape=(3, 8, 8), classes=3) for name in ("one", "two")}
    return {name: Moved(net, small.train, small.train) for name, net in nets.items()}


@pytest.fixture
def panel(models: dict[str, Moved]) -> Panel:
    grid = ego_surface(models["one"].model, models["one"].images, *PAIRS[0], sigma=0.5, points=5, progress=False)
    return ego_panel.ego_panel(models, PAIRS, sigma=0.5, points=5, known={("one", PAIRS[0]): grid})


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    seen: list[tuple[float, ...]] = []
    at = engine.Engine.at
    monkeypatch.setattr(engine.Engine, "at", lambda self, point: (seen.append(tuple(point)), at(self, point))[1])
    return seen


def test_the_first_picture_comes_from_what_is_known(
    models: dict[str, Moved], computed: list[tuple[float, ...]]
) -> None:
    panel = ego_panel.ego_panel(models, PAIRS, sigma=0.5, points=3)
    assert bytes(panel.image.value).startswith(PNG)
    assert len(computed) == 9


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("model", "two"),
        ("first", "class2"),
        ("second", "class2"),
        ("sigma", 5.0),
        ("variable", "loss"),
        ("variable", "loss of class1"),
    ],
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    before = panel.image.value
    panel.controls[control].value = value
    panel.wait()
    assert panel.error is None
    assert panel.image.value != before


def test_the_slider_walks_through_the_pairs_in_one_step(panel: Panel, computed: list[tuple[float, ...]]) -> None:
    before = panel.image.value
    panel.others["pairs"].value = PAIRS[2]
    panel.wait()
    assert (panel.controls["first"].value, panel.controls["second"].value) == PAIRS[2]
    assert panel.image.value != before
    assert len(computed) == 25


def test_going_back_computes_nothing(panel: Panel, computed: list[tuple[float, ...]]) -> None:
    first = panel.image.value
    panel.others["pairs"].value = PAIRS[1]
    panel.wait()
    done = len(computed)
    panel.others["pairs"].value = PAIRS[0]
    panel.wait()
    panel.controls["variable"].value = "loss"
    panel.controls["variable"].value = "mistake rate"
    panel.wait()
    assert len(computed) == done
    assert panel.image.value == first


def test_a_coarse_picture_comes_first(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    picture = ego_panel._picture
    monkeypatch.setattr(
        ego_panel, "_picture", lambda grid, *rest: (sizes.append(grid.sizes["theta1"]), picture(grid, *rest))[1]
    )
    panel.controls["model"].value = "two"
    panel.wait()
    assert sizes == [3, 5]


def test_a_control_that_moves_on_stops_the_computation(
    panel: Panel, computed: list[tuple[float, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = engine.Engine.at
    monkeypatch.setattr(engine.Engine, "at", lambda self, point: (time.sleep(0.02), at(self, point))[1])
    panel.controls["sigma"].value = 1.0
    while not computed:
        time.sleep(0.005)
    panel.controls["sigma"].value = 0.5  # known: drawn at once
    panel.wait()
    assert len(computed) < 20
    assert panel.error is None
    assert panel.bar.layout.display == "none"


def test_3d_turns_in_the_browser_and_back(panel: Panel) -> None:
    panel.controls["view"].value = "3D"
    panel.wait()
    (output,) = panel.turning.outputs
    assert output["data"]["application/vnd.plotly.v1+json"]["data"][0]["type"] == "surface"
    assert panel.image.layout.display == "none"
    panel.controls["view"].value = "heat map"
    panel.wait()
    assert panel.turning.outputs == ()
    assert panel.image.layout.display == ""


def test_the_same_class_twice_is_refused_in_words_and_the_panel_recovers(panel: Panel) -> None:
    panel.controls["second"].value = "class0"
    panel.wait()
    assert isinstance(panel.error, ValueError)
    assert "choose two different ones" in panel.message.value
    assert panel.image.layout.display == "none"
    panel.controls["second"].value = "class1"
    panel.wait()
    assert panel.error is None


def test_a_broken_computation_is_shown(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: engine.Engine, point: tuple[float, ...]) -> None:
        raise RuntimeError("broken <on> purpose")

    monkeypatch.setattr(engine.Engine, "at", broken)
    panel.controls["model"].value = "two"
    panel.wait()
    assert isinstance(panel.error, RuntimeError)
    assert "broken &lt;on&gt; purpose" in panel.message.value


def test_what_diverges_is_drawn(models: dict[str, Moved]) -> None:
    panel = ego_panel.ego_panel(models, PAIRS, sigma=1e38, points=3)
    assert panel.error is None
    assert np.isfinite(panel.controls["sigma"].value)


@pytest.mark.parametrize("call", [lambda m: ({}, PAIRS), lambda m: (m, [])])
def test_nothing_to_show_is_refused(models: dict[str, Moved], call: Callable[..., tuple[object, object]]) -> None:
    with pytest.raises(ValueError, match="nothing to show"):
        ego_panel.ego_panel(*call(models), sigma=1.0)


def test_pairs_are_numbered_from_the_most_interfering(panel: Panel) -> None:
    labels = [label for label, _ in panel.others["pairs"].options]
    assert labels == ["1. class0-class1", "2. class1-class2", "3. class0-class2"]
    assert all(a < b for a, b in itertools.pairwise(labels))


def test_the_code_that_is_shown_gives_the_numbers_that_are_shown(panel: Panel, models: dict[str, Moved]) -> None:
    panel.controls["sigma"].value = 2.0
    panel.controls["first"].value = "class2"
    panel.wait()
    one = models["one"]
    g1, g2 = one.pair(("class2", "class1"))
    given = {"lu": lu, "model": one.model, "images": one.images, "g1": g1, "g2": g2}
    again = eval(panel.shown.code.splitlines()[-1], given)
    xr.testing.assert_allclose(again, panel.shown.numbers)
