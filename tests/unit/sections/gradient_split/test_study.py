from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from landscape_utils import RunSpec, gradient_split
from landscape_utils.memorization.gradients import WeightGradients, split
from landscape_utils.memorization.memorized import trained
from landscape_utils.sections.gradient_split import study


@pytest.fixture
def trainings(small_npz: Path) -> list[study.Training]:
    how = {"model_options": {"width": 6}, "lr": 0.01, "batch_size": 20, "stop_at": 1.0, "checkpoints": "all"}
    specs = [
        RunSpec(
            dataset=str(small_npz), model="mlp", recipe="memorize", epsilon=0.4, seed=s, data_seed=s, epochs=e, **how
        )
        for s, e in ((3, 3), (4, 2))
    ]
    return [study.Training(run) for run in trained(specs, progress=False)]


def test_the_examples_are_those_trained_on_and_their_subsets(trainings):
    (inputs, targets), subsets = trainings[0].examples
    labels = trainings[0].run.labels()
    assert torch.equal(inputs, labels.dataset.train.inputs)
    assert torch.equal(targets, labels.dataset.train.targets)
    assert {name: int(mask.sum()) for name, mask in subsets.items()} == {"all": 60, "unpermuted": 36, "permuted": 24}
    assert torch.equal(subsets["permuted"], labels.permuted)
    (few, labelled), parts = study.Training(trainings[0].run, 15).examples
    assert len(few) == len(labelled) == len(parts["all"]) == 15
    assert torch.equal(parts["permuted"], ~parts["unpermuted"])
    rows = [int((labels.dataset.train.inputs == image).flatten(1).all(1).nonzero()[0]) for image in few]
    assert torch.equal(labelled, labels.dataset.train.targets[rows])
    assert torch.equal(parts["permuted"], labels.permuted[rows])


@pytest.mark.parametrize("data_seed", [0, 1])
def test_a_part_of_the_examples_has_both_kinds(small_npz, data_seed):
    how = {"epsilon": 0.5, "data_seed": data_seed, "epochs": 1, "model_options": {"width": 2}}
    spec = RunSpec(dataset=str(small_npz), model="mlp", recipe="memorize", **how)
    subsets = study.Training(trained([spec], progress=False)[0], 30).examples[1]
    assert 8 <= int(subsets["permuted"].sum()) <= 22


def test_the_course_holds_each_checkpoints_split_and_each_runs_own_end(trainings):
    course = study.part_norms(trainings, [0, 1], progress=False)
    assert course["epoch"].values.tolist() == ["0", "1", "end"]
    assert course["seed"].values.tolist() == [3, 4]
    assert course["last"].values.tolist() == [3, 2]
    assert course["best"].values.tolist() == [t.run.best_epoch for t in trainings]
    for training in trainings:
        labels = training.run.labels()
        subsets = {"permuted": labels.permuted}
        for name, epoch in (("1", 1), ("end", training.run.about["last"])):
            expected = gradient_split(training.run.model(epoch), labels.dataset.train, subsets)
            found = course.sel(seed=training.run.spec.seed, epoch=name, subset=["permuted"])
            for part in ("total", "dependent", "independent"):
                np.testing.assert_allclose(found[part], expected[part], rtol=1e-6)


def test_what_was_measured_is_looked_up_without_the_data(trainings, monkeypatch):
    first = [
        study.part_norms(trainings, [0], progress=False),
        study.identity(trainings),
        study.scaling(trainings, chunk=5),
    ]
    again = [study.Training(t.run) for t in trainings]
    monkeypatch.setattr(type(trainings[0].run), "labels", None)
    second = [study.part_norms(again, [0], progress=False), study.identity(again), study.scaling(again, chunk=5)]
    for a, b in zip(first, second, strict=True):
        xr.testing.assert_identical(a, b)
    with pytest.raises(TypeError):
        study.scaling(again, chunk=6)
    with pytest.raises(TypeError):
        study.part_norms([study.Training(t.run, 30) for t in trainings], [0], progress=False)


def test_epochs_are_compared_that_every_run_has_kept_and_gone_beyond():
    def made(kept, last):
        return SimpleNamespace(run=SimpleNamespace(epochs=kept, about={"last": last}))

    several = [made([0, 1, 2, 5, 9], 9), made([0, 1, 3, 5, 7], 7)]
    assert study.looked_at(several, None) == [0, 1, 5]
    assert study.looked_at(several, [5, 7, 30]) == [0, 5]
    assert study.looked_at([made([0, 1, 2], 2), made([0, 1], 1)], [1, 2]) == [0]


def test_the_parts_add_up_at_both_ends(trainings):
    found = study.identity(trainings)
    assert dict(found.sizes) == {"seed": 2, "epoch": 2}
    assert float(found["sum"].max()) < 1e-11
    assert float(found["closed_form"].max()) < 1e-11


def test_norms_over_all_are_the_splits_and_those_over_groups_their_root_mean_square(trainings, monkeypatch):
    scaling = study.scaling(trainings, chunk=5, progress=False)
    assert scaling["number"].values.tolist() == [5, 10, 20, 35]
    (data, subsets), model = trainings[1].examples, trainings[1].run.model("initial")
    network = WeightGradients(model, data)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for name, most in (("unpermuted", 35), ("permuted", 20)):
        rows = order[subsets[name][order]]
        at = scaling.sel(seed=4, subset=name)
        assert at["groups"].sel(number=5) == most // 5
        for number in (5, 10, 20, 35):
            found = at["dependent"].sel(number=number).values
            if number > most:
                assert np.isnan(found).all()
                continue
            groups = {str(i): rows[i : i + number] for i in range(0, most - number + 1, number)}
            parts = split(network, groups).dependent.split(list(network.weights.values()), dim=1)
            expected = [float(part.square().sum(1).mean().sqrt()) for part in parts]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_chunks_larger_than_a_subset_are_refused(trainings):
    with pytest.raises(ValueError, match="chunk is 30, and a subset has 24 examples"):
        study.scaling(trainings, chunk=30)


def sizes(noise, signal, numbers=(25, 50, 100, 200), seeds=3, layers=2):
    """Make norms of a signal and of noise that falls with the number of examples."""
    n = np.array(numbers, dtype=float)
    levels = {"unpermuted": np.sqrt(signal**2 + noise**2 / n), "permuted": noise / np.sqrt(n)}
    by_seed = np.linspace(0.9, 1.1, seeds)[:, None, None, None] * np.ones(layers)
    values = np.stack([levels[name][:, None] for name in study.COMPARED])[None] * by_seed
    coordinates = {"subset": list(study.COMPARED), "number": list(numbers), "seed": range(seeds)}
    return xr.Dataset({"dependent": (("seed", "subset", "number", "layer"), values)}, coords=coordinates)


def test_the_exponent_of_pure_noise_is_a_half():
    fitted = study.slopes(sizes(2.0, 0.3))
    np.testing.assert_allclose(fitted.sel(subset="permuted"), -0.5)
    assert (fitted.sel(subset="unpermuted") > -0.5).all()
    short = sizes(2.0, 0.3)
    short["dependent"][:, 1, -1] = np.nan
    np.testing.assert_allclose(study.slopes(short).sel(subset="permuted"), -0.5)


def test_how_many_examples_make_the_ratio_a_half():
    made = sizes(2.0, 0.3, seeds=1)
    needed = study.examples_for(made, 0.5)
    assert needed == pytest.approx(3 * 2.0**2 / 0.3**2)
    there = sizes(2.0, 0.3, numbers=(round(needed),), seeds=1)["dependent"]
    ratio = there.sel(subset="permuted") / there.sel(subset="unpermuted")
    np.testing.assert_allclose(ratio, 0.5, rtol=1e-2)
    assert study.examples_for(sizes(2.0, 0.0), 0.5) == np.inf or study.examples_for(sizes(2.0, 0.0), 0.5) > 1e12


def test_a_typical_norm_is_a_geometric_mean():
    values = xr.DataArray([[1.0, 4.0], [9.0, 1.0]], dims=("seed", "layer"))
    np.testing.assert_allclose(study.typical(values), [2, 3])
    np.testing.assert_allclose(study.typical(values, "seed"), [3, 2])


def test_the_initialisation_is_looked_at_over_more_examples_than_were_trained_on(home: Path) -> None:
    how = {"model": "mlp", "model_options": {"width": 4}, "recipe": "memorize", "epsilon": 0.5, "epochs": 1}
    spec = RunSpec(dataset="glyphs10", train_size=40, test_size=20, image_size=16, **how)
    (run,) = trained([spec], progress=False)
    found = study.scaling([study.Training(run, images=20, scaling_size=200)], chunk=25)
    assert found["number"].values.max() == 100  # of 200, half of them permuted, and of all of these
    alone = study.scaling([study.Training(trained([replace(spec, train_size=200)], progress=False)[0])], chunk=25)
    np.testing.assert_allclose(found["dependent"], alone["dependent"], rtol=1e-5)
