import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import space
from landscape_utils.landscape import walks
from landscape_utils.landscape.walks import Walk
from landscape_utils.sections.gmi_mli_wpeak import study


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
    saved = walks.table(lines)
    assert saved.sizes == {"line": len(lines), "point": 5}
    assert set(study.by_model(lines)) == {"mlp, E=0", "mlp, E=1", "mlp, E=3"} == set(study.dimensions(around))


def test_named_lines_are_drawn_where_there_are_such(around: study.Around, small: Dataset) -> None:
    walk = Walk(None, span=walks.TOWARDS, points=7)
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


def test_values_are_stacked_by_what_they_belong_to() -> None:
    both = study.stacked({"a": [1, 2], "b": [3, 4]}, "angle")
    assert both["angle"].sel(of="b").values.tolist() == [3, 4]
