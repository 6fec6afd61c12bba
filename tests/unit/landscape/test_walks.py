from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.landscape import walks
from landscape_utils.landscape.curves import name_curve
from landscape_utils.landscape.directions import Directions, Perturbed
from landscape_utils.landscape.walks import Line, Walk
from landscape_utils.training.models import build_model

PLACE = Perturbed("mlp", 0, 1, "late")


def line_of(lam: list[float], loss: list[float]) -> Line:
    """A line with these losses, three classes."""
    grid = xr.Dataset(
        {"loss": ("lam", loss), "recall": (("lam", "class"), np.zeros((len(loss), 3)))}, coords={"lam": lam}
    )
    return Line(PLACE, "Gau.1", Walk(), grid, name_curve(lam, loss))


def test_a_line_is_the_loss_along_its_direction(small: Dataset) -> None:
    torch.manual_seed(0)
    here = Directions(build_model("mlp", input_shape=(3, 8, 8), classes=3, width=4), small.train)
    line = walks.draw(here, "Gau.2", small.train, Walk("global", "keep", 0.5, points=5), place=PLACE)
    direction = here["Gau.2"] * (here.weights.norm() / here["Gau.2"].norm())
    x, y = small.train
    for lam, loss in zip([-0.5, -0.25, 0, 0.25, 0.5], line.loss.values, strict=True):
        moved = build_model("mlp", input_shape=tuple(x.shape[1:]), classes=3, width=4)
        nn.utils.vector_to_parameters(here.weights + lam * direction, moved.parameters())
        assert loss == pytest.approx(F.cross_entropy(moved.eval()(x), y).item(), rel=1e-4)
    assert line.chance == pytest.approx(np.log(3))
    assert (line.place, line.direction) == (PLACE, "Gau.2")
    assert str(line.walk) == "Norm, No UpBN, s=0.5"


def test_high_walls_do_not_hide_a_peak() -> None:
    low = line_of([-2, -1, 0, 1, 2], [3, 1, 2, 1, 3]).grid
    high = line_of([-2, -1, 0, 1, 2], [900, 1, 2, 1, np.inf]).grid
    assert walks.tolerance(low) == pytest.approx(0.01 * (2 * np.log(3) - 1))
    assert walks.tolerance(high) == pytest.approx(walks.tolerance(low))
    assert walks.tolerance(line_of([-1, 0, 1], [np.nan] * 3).grid) == 1e-3


def test_the_depth_of_a_peak_is_its_shallower_side() -> None:
    assert walks.two_sided_drop(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 1.5, 4])) == 0.5
    assert walks.two_sided_drop(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 2.5, 4])) == 0.0
    assert walks.fall(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 2.5, 4])) == 1.5
    assert walks.fall(line_of([-1, 0, 1], [3, 2, 2.5])) == 0.0


def test_the_way_from_the_model_to_the_target_is_cut_out() -> None:
    way = walks.between(line_of([-1, -0.5, 0, 0.5, 1, 1.5, 2], [9, 9, 1, 2, 3, 9, 9]))
    assert way.tolist() == [1, 2, 3]


def test_lines_of_different_length_are_padded_for_saving() -> None:
    lines = [line_of([-1, 0, 1], [2, 1, 2]), line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 1.5, 4])]
    saved = walks.table(lines)
    assert saved["loss"].isnull().sum() == 2
    assert saved["stationary"].values.tolist() == [1, 3]


def test_the_way_back_is_where_neither_side_is_below_the_model(small: Dataset) -> None:
    torch.manual_seed(0)
    model = build_model("mlp", input_shape=(3, 8, 8), classes=3, width=8)
    here = Directions(model, small.train, k=2, progress=False)
    back = walks.way_back(here, "Neg. Grad.", small.train, within=0.05)
    step = here["Neg. Grad."] * (here.weights.norm() / here["Neg. Grad."].norm())
    x, y = small.train

    def loss(share: float) -> float:
        moved = build_model("mlp", input_shape=(3, 8, 8), classes=3, width=8)
        nn.utils.vector_to_parameters(here.weights + share * step, moved.parameters())
        return F.cross_entropy(moved.eval()(x), y).item()

    assert min(loss(back / 1.06), loss(-back / 1.06)) < loss(0)
    assert min(loss(back * 1.06), loss(-back * 1.06)) >= loss(0)
    mean = walks.way_back(here, "Neg. Grad.", small.train, within=0.05, on_average=True)
    assert loss(mean / 1.06) + loss(-mean / 1.06) < 2 * loss(0)
    assert loss(mean * 1.06) + loss(-mean * 1.06) >= 2 * loss(0)
    assert mean < back


def test_a_loss_that_falls_to_neither_side_is_soon_given_up(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    @contextmanager
    def evaluating(*args: object, **how: object) -> Iterator[Callable[[np.ndarray], dict[str, np.ndarray]]]:
        yield lambda places: (asked.append(abs(places).max()), {"loss": places[:, 0] ** 2})[1]

    monkeypatch.setattr(walks.evaluate, "evaluating", evaluating)
    here = Directions(build_model("mlp", input_shape=(3, 8, 8), classes=3, width=4), small.train, progress=False)
    assert walks.LEAST_WAY / 2 < walks.way_back(here, "Gau.", small.train) < walks.LEAST_WAY
    assert min(asked[1:]) == walks.LEAST_WAY


def test_a_wall_on_the_shorter_side_does_not_hide_a_peak() -> None:
    lam, loss = [-3, -2, -1, 0, 1, 2, 3], [900, 3.0, 1.98, 2.0, 1.9, 1.5, 2.1]
    whole = line_of(lam, loss)
    assert whole.shape.name != "w-peak"
    assert walks.named_by_depth(whole).shape.name == "w-peak"
    assert walks.named_by_depth(whole).shape.tolerance == pytest.approx(0.01 * 1.0)
    basin = line_of([-2, -1, 0, 1, 2], [3, 1.5, 1, 1.5, 3])
    assert walks.named_by_depth(basin).shape.name == "v-basin"


def test_without_the_models_loss_there_is_no_fall() -> None:
    lost = line_of([-2, -1, 0, 1, 2], [3, 1, np.nan, 1, 3])
    assert np.isnan(walks.fall(lost))
    assert np.isnan(walks.two_sided_drop(lost))
