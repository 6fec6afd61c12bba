import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import space
from landscape_utils.landscape import walks
from landscape_utils.landscape.directions import Around, Directions, Perturbed
from landscape_utils.landscape.walks import Walk
from landscape_utils.sections.gmi_mli_wpeak import study
from landscape_utils.training.runs import Run

MINING = {"epochs": 1, "lr": 0.05}


@pytest.fixture
def runs(small: Dataset) -> dict[str, list[Run]]:
    how = {"dataset": "small", "model": "mlp", "epochs": 3, "model_options": {"width": 4}}
    specs = [lu.RunSpec(seed=s, checkpoints=[1, 2], **how) for s in (0, 1)]  # type: ignore[arg-type]
    return {"mlp": [lu.train(spec, data=small, progress=False) for spec in specs]}


@pytest.fixture
def around(runs: dict[str, list[Run]], small: Dataset) -> Around:
    return study.around_runs(runs, small.train, k=1, peak=MINING, vvv=MINING, progress=False)


def early(around: Around) -> Directions:
    return around[Perturbed("mlp", 0, 1, "early")]


def test_models_are_filed_by_stage_and_the_next_seed_is_independent(around: Around, runs: dict[str, list[Run]]) -> None:
    stages = [(0, "initial"), (1, "early"), (2, "middle"), (3, "late")]
    assert list(around) == [Perturbed("mlp", s, *kept) for s in (0, 1) for kept in stages]
    for place, here in around.items():
        other = runs["mlp"][1 - place.seed]
        weights = space.flatten_state(other.weights(3), here.model)
        torch.testing.assert_close(here.weights + here["E'=3"], weights)
    assert set(study.at(around, "early", "late", seeds=[1])) == {
        Perturbed("mlp", 1, 1, "early"),
        Perturbed("mlp", 1, 3, "late"),
    }
    with pytest.raises(ValueError, match="two at least"):
        study.around_runs({"mlp": runs["mlp"][:1]}, early(around).data)  # type: ignore[arg-type]


def test_the_best_of_many_gaussian_directions_is_the_nearest_and_as_long_as_the_gradient(around: Around) -> None:
    here = early(around)
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


def test_descents_are_measured_against_gaussians_and_one_another(around: Around) -> None:
    gaussian, descent = study.descent_angles(study.at(around, "early", seeds=[0]))
    here = early(around)
    assert [name for _, name in gaussian] == ["Neg. Grad.", "E=3"]
    cosine = float(F.cosine_similarity(here["Neg. Grad."].double(), here["E=3"].double(), dim=0))
    assert list(descent.values()) == [pytest.approx(np.degrees(np.arccos(cosine)))]


def test_overlaps_are_cosines_with_the_eigenvectors(around: Around) -> None:
    found = study.overlaps(early(around), "P.E.1")
    assert found["rank"].values.tolist() == ["P.E.1", "N.E.1"]
    np.testing.assert_allclose(found, [1, 0], atol=1e-5)


def test_every_condition_has_its_draws(around: Around, small: Dataset) -> None:
    lines = study.gaussian_lines(study.at(around, "early", "late"), small.train, draws=2, points=5)
    conditions = {(x.place, x.walk) for x in lines}
    assert len(conditions) == 6  # of two models each: early, late, and the late ones unnormalised
    assert len(lines) == 2 * len(conditions)
    saved = walks.table(lines)
    assert saved.sizes == {"line": 12, "point": 5}
    assert str(saved.line.values[0]).startswith("mlp, E=1, seed 0, Gau.1")


def test_scales_are_walked_at_every_normalisation(around: Around, small: Dataset) -> None:
    lines = study.scaled_lines(study.at(around, "late", seeds=[0]), small.train, [0.1, 1.0], points=5)
    walked = [(x.walk.normalisation, x.walk.scale) for x in lines]
    assert walked == [(n, s) for n in ("global", "layer", "filter") for s in (0.1, 1.0)]


def test_named_lines_are_drawn_where_there_are_such(around: Around, small: Dataset) -> None:
    walk = Walk(None, span=walks.TOWARDS, points=7)
    lines = study.lines_along(study.at(around, "early", "late", seeds=[0]), ["E=3", "E'=1"], small.train, walk)
    assert [(x.place.epoch, x.direction) for x in lines] == [(1, "E=3"), (1, "E'=1"), (3, "E'=1")]
    own = study.to_solutions(study.at(around, "early", "late", seeds=[0]), small.train)
    assert [(x.place.epoch, x.direction) for x in own] == [(1, "E=3")]
    for points, drawn in ((41, 43), (25, 25), (24, 25), (5, 7)):  # both models are on the curve
        lam = study.to_solutions(study.at(around, "early", seeds=[0]), small.train, points=points)[0].grid["lam"].values
        assert len(lam) == drawn
        np.testing.assert_allclose(abs(lam[:, None] - [0, 1]).min(0), 0, atol=1e-12)
    others = study.to_solutions(study.at(around, "late", seeds=[0]), small.train, independent=True)
    assert {x.direction for x in others} == {"E'=1", "E'=2", "E'=3"}


def test_the_sets_of_curves_that_the_notebook_draws(around: Around, small: Dataset) -> None:
    first = study.at(around, "early", seeds=[0])
    ((descent, gaussian),) = study.descents(study.at(around, "early"), small.train, 0, points=5).values()
    assert [x.walk.scale for x in gaussian] == [10 * x.walk.scale for x in descent] == pytest.approx([0.1, 1, 10])
    ((place, mined),) = study.mined_peaks(first, small.train, reach=0.2, points=5).items()
    assert (place.stage, mined.whole.walk.scale) == ("early", 1)
    assert [x.walk.scale for x in mined.negative] == [pytest.approx(float(early(around)["Mine"].norm()))]
    assert (mined.back.direction, mined.back.walk.normalisation) == ("Mine", "global")


def test_large_models_are_looked_at_with_every_seed(
    around: Around, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "LARGE", 100)
    assert [p.seed for p in study.descents(study.at(around, "early"), small.train, 0, points=3)] == [0, 1]


def test_positive_eigenvectors_reach_a_share_and_negative_ones_as_far_as_they_fall(
    around: Around, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = iter([0.3, np.inf])
    monkeypatch.setattr(study, "way_back", lambda *args, **how: next(back))
    lines = study.eigenvector_lines(study.at(around, "early"), small.train, k=5, reach=0.2, points=5)  # there is one
    assert [(x.direction, x.walk.scale) for x in lines] == [
        ("P.E.1", 0.2),
        ("N.E.1", 0.3),
        ("P.E.1", 0.2),
        ("N.E.1", 0.2),
    ]


def test_second_models_start_at_the_independent_solution_and_afresh(around: Around, small: Dataset) -> None:
    lines = study.second_models(study.at(around, "late"), small.train, seed=0, points=5)
    named = [x.direction for x in lines if x.place.seed == 0]
    assert len(named) == 7
    assert named[-1] == "alpha=0, gamma=0.1, fresh"
    assert [x.direction for x in lines if x.place.seed == 1] == ["alpha=0, gamma=0.1, independent"]


def test_values_are_stacked_by_what_they_belong_to() -> None:
    both = study.stacked({"a": [1, 2], (Perturbed("mlp", 4, 1, "early"), "E=3"): [3, 4]}, "angle")
    assert both["angle"].sel(of="mlp, E=1, seed 4, E=3").values.tolist() == [3, 4]
