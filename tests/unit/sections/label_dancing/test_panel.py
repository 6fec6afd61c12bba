import matplotlib.pyplot as plt
import pytest
import xarray as xr

from landscape_utils.sections.label_dancing.panel import dancing_panel
from landscape_utils.suite.widgets import Panel
from tests.unit.interference.test_dancing import CIFAR10, movie_of, random_movie

PNG = b"\x89PNG"


def history(seed: int, epochs: int = 25) -> xr.Dataset:
    return xr.Dataset({"train_cctm": movie_of(random_movie(epochs, 10, seed, images=40).values, CIFAR10)})


@pytest.fixture
def panel() -> Panel:
    return dancing_panel({"one": history(0), "two": history(1, epochs=20)}, first="cat", second="dog")


def test_the_first_picture_shows_the_classes_asked_for(panel: Panel) -> None:
    assert bytes(panel.image.value).startswith(PNG)
    assert {name: control.value for name, control in panel.controls.items()} == {
        "model": "one",
        "first": "cat",
        "second": "dog",
        "epochs": (1, 25),
    }
    assert panel.error is None


@pytest.mark.parametrize(
    ("control", "value"), [("model", "two"), ("first", "frog"), ("second", "horse"), ("epochs", (5, 12))]
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    before = panel.image.value
    panel.controls[control].value = value
    assert panel.error is None
    assert panel.image.value != before


def test_the_same_class_twice_is_refused_in_words_and_mended_by_another(panel: Panel) -> None:
    panel.controls["second"].value = "cat"
    assert isinstance(panel.error, ValueError)
    assert "both classes are 'cat'; a dance takes two different ones" in panel.message.value
    assert panel.image.layout.display == "none"
    panel.controls["second"].value = "ship"
    assert panel.error is None
    assert panel.message.value == ""


@pytest.mark.parametrize("epochs", [(1, 1), (25, 25), (24, 25)])
def test_the_narrowest_ranges_can_be_drawn_in_either_model(panel: Panel, epochs: tuple[int, int]) -> None:
    for model in ("one", "two"):  # the second has no epoch 24
        panel.controls["model"].value = model
        panel.controls["epochs"].value = epochs
        assert panel.error is None


def test_a_history_of_one_epoch_can_be_drawn() -> None:
    assert dancing_panel({"m": history(0, epochs=1)}).error is None


def test_the_slider_follows_the_hand_and_play_moves_its_end(panel: Panel) -> None:
    assert panel.controls["epochs"].continuous_update
    panel.controls["epochs"].value = (5, 20)
    panel.others["play"].value = 12
    assert panel.controls["epochs"].value == (5, 12)
    panel.others["play"].value = 3
    assert panel.controls["epochs"].value == (3, 3)
    assert panel.error is None


def test_pictures_leave_no_figure_behind(panel: Panel) -> None:
    for last in (24, 23, 22):
        panel.controls["epochs"].value = (1, last)
    assert plt.get_fignums() == []


def test_no_history_and_unknown_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="no history to show"):
        dancing_panel({})
    with pytest.raises(ValueError, match="unknown class 'kat'; the nearest valid names are: cat"):
        dancing_panel({"m": history(0)}, first="kat")
