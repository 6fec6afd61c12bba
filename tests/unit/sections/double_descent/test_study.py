"""Networks of several widths are gathered alike, however they were trained."""

import runpy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from torch import nn

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.sections.double_descent import study
from landscape_utils.suite.exercises import check_function
from landscape_utils.training.recipes import RunSpec
from tests import ROOT


def family(data: Dataset, model: str, **options: Any) -> study.Family:
    how: dict[str, Any] = {"recipe": "memorize", "lr": 3e-3, "epsilon": 0.4, "batch_size": 30, **options}
    return study.Family([RunSpec(dataset="small", model=model, seed=s, data_seed=s, **how) for s in (3, 4)], data)


@pytest.mark.parametrize(("model", "widths", "epochs"), [("mlp", [2, 5], 40), ("resnet8", [0.125, 0.25], 2)])
def test_both_kinds_of_networks_give_the_same_table(
    small: Dataset, model: str, widths: list[float], epochs: int
) -> None:
    kind = family(small, model, epochs=epochs)
    networks = {width: kind.train(width, progress=False) for width in widths}
    table = study.by_moment(networks, small.test, points=8, n_t=20, progress=False)
    assert dict(table.sizes) == {"width": 2, "seed": 2, "moment": 2}
    assert set(table.data_vars) == {*study.ACCURACIES, *study.GEOMETRY, "parameters"}
    for width, some in networks.items():
        course = some.course
        assert course.sizes == {"seed": 2, "step": len(kind.looks) + 1}
        assert course["step"].values.tolist() == [0, *kind.looks]
        for seed in (3, 4):
            at, own = table.sel(width=width, seed=seed), course.sel(seed=seed)
            assert float(at["test_accuracy"].sel(moment="best")) == float(own["test_accuracy"][1:].max())
            assert float(at["train_accuracy"].sel(moment="final")) == float(own["train_accuracy"][-1])
            assert at["step"].sel(moment="final") == epochs
            assert own["test_accuracy"].sel(step=at["step"].sel(moment="best")) == at["test_accuracy"].sel(
                moment="best"
            )
            for moment in table["moment"].values:
                right = some.model(seed, moment)(small.test.inputs).argmax(1) == small.test.targets
                assert float(right.double().mean()) == pytest.approx(float(at["test_accuracy"].sel(moment=moment)))
        sizes = [p.numel() for p in some.model(3, "final").parameters()]
        assert int(table["parameters"].sel(width=width)) == sum(sizes)
    assert table["dimension"].notnull().all()
    assert (table["dimension"] <= table["bound"]).all()


def test_the_manifolds_are_the_hidden_layers_of_test_examples(small: Dataset) -> None:
    model = family(small, "mlp", epochs=30).train(6, progress=False).model(3, "final")
    got = study.geometry(model, small.test, points=10, n_t=30, seed=1)
    with torch.no_grad():
        hidden = torch.relu(model[1](small.test.inputs.flatten(1)))  # type: ignore[index]
    clouds = [hidden[small.test.targets == c] for c in range(3)]  # ten each: all are drawn, in another order
    wanted = lu.mftma(clouds, n_t=2000, seed=5, rank=0)
    for name in study.LABELS:
        assert got[name] == pytest.approx(float(wanted[name]), rel=0.15)
    assert got["centre_correlation"] == pytest.approx(float(wanted["centre_correlation"]), rel=1e-4)
    assert got["bound"] == 6


def test_a_layer_whose_units_are_all_dead_has_no_geometry(small: Dataset) -> None:
    model = lu.build_model("mlp", input_shape=small.input_shape, classes=3, width=4)
    nn.init.constant_(model[1].bias, -1e3)  # type: ignore[index,arg-type]
    got = study.geometry(model, small.test, points=5)
    assert all(np.isnan(got[name]) for name in study.LABELS)
    assert got["bound"] == 4


def test_other_noise_is_another_familys(small: Dataset) -> None:
    noisy = family(small, "mlp", epochs=20).with_noise(0.0, seeds=1)
    assert [(s.seed, s.epsilon, s.data_seed) for s in noisy.specs] == [(3, 0.0, 3)]
    clean, dirty = (f.train(4, progress=False).course for f in (noisy, family(small, "mlp", epochs=20)))
    assert clean.sizes["seed"] == 1
    assert not clean["train_accuracy"].equals(dirty["train_accuracy"].sel(seed=[3]))


def test_a_hidden_layer_has_no_half_units(small: Dataset) -> None:
    with pytest.raises(ValueError, match=r"width 2.5: .* whole number"):
        family(small, "mlp", epochs=5).train(2.5)


def course(steps: list[int]) -> xr.Dataset:
    values = np.arange(2.0 * len(steps)).reshape(2, -1)
    found = {name: (("seed", "step"), values) for name in ("train_accuracy", "test_accuracy", "test_loss")}
    return xr.Dataset(found, coords={"seed": [0, 1], "step": steps})


def test_courses_are_of_one_length() -> None:
    stacked = study.courses({4: course([0, 1, 2]), 8: course([0, 1, 2])})
    assert dict(stacked.sizes) == {"width": 2, "seed": 2, "step": 3}
    with pytest.raises(ValueError, match="exact"):
        study.courses({4: course([0, 1, 2]), 8: course([0, 1])})


def test_a_network_that_has_fitted_trains_on(small: Dataset) -> None:
    run = family(small, "resnet8", epochs=3, stop_at=1e-9)
    assert run.train(0.125, progress=False).course["step"].values.tolist() == [0, 1, 2, 3]


@given(nps.arrays(float, st.integers(4, 9), elements=st.floats(-5, 5)), st.integers(0, 1))
@settings(deadline=None, max_examples=60)
def test_turning_points_are_the_best_of_all(curve, leftmost) -> None:
    dip, peak = study.turning_points(curve, leftmost=leftmost)
    n = len(curve)
    assert leftmost <= dip < peak < n - 1
    assert curve[dip] == curve[leftmost:peak].min()
    heights = [min(curve[b] - curve[leftmost:b].min(), curve[b] - curve[-1]) for b in range(leftmost + 1, n - 1)]
    assert heights[peak - leftmost - 1] == max(heights)
    changes = study.changes_between(curve, dip, peak)
    assert changes == (curve[0] - curve[dip], curve[peak] - curve[dip], curve[peak] - curve[-1])


def test_who_memorizes_nothing_fits_the_labels_by_skill_and_chance() -> None:
    draw, n, classes, epsilon = np.random.default_rng(0), 400_000, 4, 0.3
    true, predicted = draw.integers(0, classes, (2, n))
    predicted = np.where(draw.random(n) < 0.6, true, predicted)
    labels = np.where(draw.random(n) < epsilon, draw.integers(0, classes, n), true)
    got = study.unmemorized(np.mean(predicted == true), epsilon, classes)
    assert got == pytest.approx(np.mean(predicted == labels), abs=4e-3)


def test_the_solution_of_the_exercise_is_the_librarys_curve() -> None:
    mine = runpy.run_path(str(ROOT / "notebooks" / "solutions" / "08_double_descent.py"))["my_curve"]
    accuracy = np.linspace(0.1, 0.9, 7)
    assert check_function(mine, study.unmemorized(accuracy, 0.2, 10), accuracy, 0.2, 10, hint="") == "Right."


@pytest.mark.parametrize(("fits", "at"), [([0.5, 0.985, 0.99, 1.0], 6), ([1.0, 1.0, 1.0, 1.0], 2)])
def test_the_threshold_is_where_the_mean_network_fits(fits: list[float], at: float) -> None:
    accuracy = np.array(fits)[:, None, None] * np.ones((1, 2, 2))
    table = xr.Dataset(
        {"train_accuracy": (("width", "seed", "moment"), accuracy)},
        coords={"width": [2, 4, 6, 8], "moment": ["best", "final"]},
    )
    assert study.threshold(table) == at
    assert np.isnan(study.threshold(table * 0.5))


def test_labels_of_single_examples_may_lack_names(small: Dataset) -> None:
    model = family(small, "mlp", epochs=20).train(6, progress=False).model(3, "best")
    unnamed = Labelled(*small.test)
    assert study.geometry(model, unnamed, points=8) == study.geometry(model, small.test, points=8)
