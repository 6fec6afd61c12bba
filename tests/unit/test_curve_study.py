import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_utils as lu
from landscape_utils import curve_study as study
from landscape_utils import space
from landscape_utils.curve_study import Line, Walk
from landscape_utils.data import Dataset
from landscape_utils.models import build_model


@pytest.fixture
def around(small: Dataset) -> study.Around:
    runs = {
        "mlp": [
            lu.train(
                lu.RunSpec(dataset="small", model="mlp", seed=s, epochs=3, checkpoints=[1], model_options={"width": 4}),
                data=small,
                progress=False,
            )
            for s in (0, 1)
        ]
    }
    mining = {"epochs": 1}
    return study.around_runs(runs, small.train, [0, 1, 3], k=1, peak=mining, vvv=mining, progress=False)


def line_of(lam: list[float], loss: list[float]) -> Line:
    """A line with these losses, three classes."""
    import xarray as xr

    from landscape_utils.curves import name_curve

    grid = xr.Dataset(
        {"loss": ("lam", loss), "recall": (("lam", "class"), np.zeros((len(loss), 3)))}, coords={"lam": lam}
    )
    return Line("mlp", 1, "Gau.1", Walk(), grid, name_curve(lam, loss))


def test_a_line_is_the_loss_along_its_direction(around: study.Around, small: Dataset) -> None:
    here = around["mlp"][1]
    line = study.draw(here, "Gau.2", small.train, Walk("global", "keep", 0.5, points=5), architecture="mlp", epoch=1)
    direction = here["Gau.2"] * (here.weights.norm() / here["Gau.2"].norm())
    x, y = small.train
    for lam, loss in zip([-0.5, -0.25, 0, 0.25, 0.5], line.loss.values, strict=True):
        moved = build_model("mlp", input_shape=tuple(x.shape[1:]), classes=3, width=4)
        nn.utils.vector_to_parameters(here.weights + lam * direction, moved.parameters())
        assert loss == pytest.approx(F.cross_entropy(moved.eval()(x), y).item(), rel=1e-4)
    assert line.chance == pytest.approx(np.log(3))
    assert (line.architecture, line.epoch, line.direction) == ("mlp", 1, "Gau.2")
    assert str(line.walk) == "Norm, No UpBN, s=0.5"


def test_high_walls_do_not_hide_a_peak() -> None:
    low = line_of([-2, -1, 0, 1, 2], [3, 1, 2, 1, 3]).grid
    high = line_of([-2, -1, 0, 1, 2], [900, 1, 2, 1, np.inf]).grid
    assert study.tolerance(low) == pytest.approx(0.01 * (2 * np.log(3) - 1))
    assert study.tolerance(high) == pytest.approx(study.tolerance(low))
    assert study.tolerance(line_of([-1, 0, 1], [np.nan] * 3).grid) == 1e-3


def test_the_depth_of_a_peak_is_its_shallower_side() -> None:
    assert study.two_sided_drop(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 1.5, 4])) == 0.5
    assert study.two_sided_drop(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 2.5, 4])) == 0.0
    assert study.fall(line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 2.5, 4])) == 1.5
    assert study.fall(line_of([-1, 0, 1], [3, 2, 2.5])) == 0.0


def test_the_way_from_the_model_to_the_target_is_cut_out() -> None:
    way = study.rises_along(line_of([-1, -0.5, 0, 0.5, 1, 1.5, 2], [9, 9, 1, 2, 3, 9, 9]))
    assert way.tolist() == [1, 2, 3]


def test_the_best_of_many_gaussian_directions_is_the_nearest_and_as_long_as_the_gradient(around: study.Around) -> None:
    here = around["mlp"][1]
    best, angles = study.most_overlapping(here, draws=20)
    descent = here["Neg. Grad."]
    drawn = [space.gaussian_direction(here.model, seed=1000 + i) for i in range(20)]
    expected = [np.degrees(np.arccos(float(F.cosine_similarity(d.double(), descent.double(), dim=0)))) for d in drawn]
    np.testing.assert_allclose(angles, expected, rtol=1e-5)
    torch.testing.assert_close(
        best / best.norm(), drawn[int(np.argmin(expected))] / drawn[int(np.argmin(expected))].norm()
    )
    assert best.norm() == pytest.approx(float(descent.norm()))
    np.testing.assert_allclose(study.gaussian_angles(here, "Neg. Grad.", draws=20), angles)


def test_overlaps_are_cosines_with_the_eigenvectors(around: study.Around) -> None:
    here = around["mlp"][1]
    found = study.overlaps(here, "P.E.1")
    assert found["rank"].values.tolist() == ["P.E.1", "N.E.1"]
    np.testing.assert_allclose(found, [1, 0], atol=1e-5)


def test_every_condition_has_its_draws(around: study.Around, small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "BASE", Walk(points=5))
    monkeypatch.setattr(study, "ELSEWHERE", tuple(w._replace(points=5) for w in study.ELSEWHERE))
    lines = study.gaussian_lines(around, small.train, draws=2)
    conditions = {(x.epoch, x.walk) for x in lines}
    without_norm_layers = [w for w in study.ELSEWHERE if w.bn == "update"]
    assert conditions == {(e, study.BASE) for e in (0, 1, 3)} | {(3, w) for w in without_norm_layers}
    assert len(lines) == 2 * len(conditions)
    saved = study.table(lines)
    assert saved.sizes == {"line": len(lines), "point": 5}
    assert set(study.by_model(lines)) == {"mlp, E=0", "mlp, E=1", "mlp, E=3"} == set(study.dimensions(around))


def test_named_lines_are_drawn_where_there_are_such(around: study.Around, small: Dataset) -> None:
    walk = Walk(None, span=study.TOWARDS, points=7)
    lines = study.lines_along(around, ["E=3", "E'=1"], small.train, walk, [1, 3])
    assert [(x.epoch, x.direction) for x in lines] == [(1, "E=3"), (1, "E'=1"), (3, "E'=1")]
    titles = study.panels(lines, lambda x: x.direction)
    assert {title: len(found) for title, found in titles.items()} == {"E=3": 1, "E'=1": 2}


def test_the_sets_of_curves_that_the_notebook_draws(around: study.Around, small: Dataset) -> None:
    pairs = study.descents(around, small.train, [1])
    ((descent, gaussian),) = pairs.values()
    assert [x.walk.scale for x in gaussian] == [10 * x.walk.scale for x in descent] == pytest.approx([0.1, 1, 10])
    mined, negative = study.mined_peaks(around, small.train, [1])
    length = float(around["mlp"][1]["Mine"].norm())
    assert mined["mlp, E=1"].walk.scale == 1
    assert [x.walk.scale for x in negative["mlp, E=1"]] == [pytest.approx(length)]
    seconds = study.second_models(around, small.train, 1, alphas=(0.0,), gammas=(0.1, 0.9))
    assert [x.direction for x in seconds["mlp"]] == ["alpha=0, gamma=0.1", "alpha=0, gamma=0.9"]


def test_lines_of_different_length_are_padded_for_saving() -> None:
    lines = [line_of([-1, 0, 1], [2, 1, 2]), line_of([-2, -1, 0, 1, 2], [3, 0.5, 2, 1.5, 4])]
    saved = study.table(lines)
    assert saved["loss"].isnull().sum() == 2
    assert saved["stationary"].values.tolist() == [1, 3]
    both = study.stacked({"a": [1, 2], "b": [3, 4]}, "angle")
    assert both["angle"].sel(of="b").values.tolist() == [3, 4]
    assert list(itertools.chain(both["of"].values)) == ["a", "b"]
