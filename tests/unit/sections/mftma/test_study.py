"""The manifolds of a run are those of its layers' activations, subset by subset, and are read back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from landscape_utils import RunSpec, ball_capacity, class_manifolds, empirical_capacity, mftma, train
from landscape_utils.kit import store
from landscape_utils.memorization import embeddings
from landscape_utils.memorization.centres import without_structure
from landscape_utils.memorization.memorized import trained
from landscape_utils.sections.mftma import study
from landscape_utils.suite.session import session
from landscape_utils.training.runs import Run

KIND = {"dataset": "glyphs10", "model": "fcn", "train_size": 120, "test_size": 60, "epochs": 1, "augment": False}
OPTIONS = {"depth": 3, "width": 16}
SAMPLING = study.Sampling(classes=4, points=4, n_t=10)


def spec(seed: int = 0, epsilon: float = 0.5) -> RunSpec:
    return RunSpec(**KIND, model_options=OPTIONS, seed=seed, data_seed=seed, epsilon=epsilon)  # type: ignore[arg-type]


@pytest.fixture
def run() -> Run:
    return train(spec(), progress=False)


def test_geometry_is_that_of_the_activations(run: Run) -> None:
    found = study.geometries([(run, "final")], SAMPLING)[0]
    assert found["layer"].values.tolist() == ["pixels", "1", "3"]  # without the logits
    assert found["depth"].values.tolist() == [0, 1, 2]
    clouds = class_manifolds(run.model(), run.labels().subset("restored"), classes=4, points=4)["3"]
    alone, one = mftma(clouds, n_t=10), found.sel(subset="restored", layer="3")
    assert float(one["capacity"]) == pytest.approx(float(alone["capacity"]))
    assert float(one["radius"]) == pytest.approx(float(alone["manifold_radius"].median()))
    assert float(one["ball_capacity"]) == pytest.approx(ball_capacity(float(one["radius"]), float(one["dimension"])))
    assert float(one["lower_bound"]) == pytest.approx(2 * 4 / sum(map(len, clouds.values())))
    with torch.no_grad():
        assert not torch.equal(clouds["O"], torch.zeros_like(clouds["O"]))


def test_restored_and_permuted_examples_differ_in_the_labels_by_which_they_are_gathered(run: Run) -> None:
    found = study.geometries([(run, "final")], SAMPLING, layers=["pixels"])[0]["capacity"]
    values = found.values.ravel()
    assert len(np.unique(values)) == 4


def test_what_was_measured_is_read_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = study.geometries([(run, "final")], SAMPLING)[0]
    monkeypatch.setattr(study, "geometry", None)
    assert study.geometries([(run, run.about["last"])], SAMPLING)[0].identical(first)
    with pytest.raises(TypeError):  # another number of points is measured anew
        study.geometries([(run, "final")], study.Sampling(4, 3, 10))[0]


def test_seeds_and_epochs_are_gathered() -> None:
    runs = trained([spec(0), spec(1)], progress=False)
    found = study.by_epoch(runs, SAMPLING, ("initial", "final"), progress=False)
    assert found["capacity"].dims == ("seed", "epoch", "subset", "layer")
    assert found.sel(seed=1, epoch="final", drop=True)["capacity"].equals(
        study.geometries([(runs[1], "final")], SAMPLING)[0]["capacity"]
    )
    pixels = found["capacity"].sel(layer="pixels")
    xr.testing.assert_equal(pixels.sel(epoch="initial", drop=True), pixels.sel(epoch="final", drop=True))


def test_shares_have_the_subsets_that_there_are(run: Run) -> None:
    found = study.by_epsilon([run], [0.0, 1.0], SAMPLING, ["1", "3"], seeds=1)
    assert found["epsilon"].values.tolist() == [0.0, 0.5, 1.0]
    missing = found["capacity"].isnull().all(("seed", "layer"))
    assert missing.sel(epsilon=0.0).values.tolist() == [False, True, True, False]
    assert missing.sel(epsilon=1.0).values.tolist() == [True, False, False, False]
    assert not missing.sel(epsilon=0.5).any()
    assert found["train_accuracy"].shape == (3, 1)


def test_the_first_the_middle_and_the_last_layer() -> None:
    names = ["pixels", *"abcdefgh"]
    assert study.three_layers(xr.Dataset(coords={"layer": names})) == ["a", "d", "h"]


def test_capacity_is_counted_where_the_features_suffice(run: Run) -> None:
    found = study.capacities([run], ["1", "3"], study.Counting(points=2, n_t=10, dichotomies=10, classes=8))
    assert found["mean_field"].shape == (1, 4, 2)
    counted = found["empirical"]
    assert counted.notnull().any()
    assert bool((found["low"] <= counted).where(counted.notnull(), True).all())
    few = study.capacities([run], ["3"], study.Counting(10, 6, 10, 10))  # 60 points in 16 dimensions
    assert few["empirical"].isnull().any()
    assert few["mean_field"].notnull().all()


def test_capacities_are_both_without_what_the_centres_share(run: Run) -> None:
    found = study.capacities([run], ["3"], study.Counting(points=2, n_t=10, dichotomies=10, classes=8))
    clouds = class_manifolds(run.model(), run.labels().subset("test"), classes=8, points=2, pixels=False)["3"]
    counted = empirical_capacity(without_structure(clouds), dichotomies=10, progress=False)
    one = found.sel(seed=0, subset="test", layer="3")
    assert float(one["empirical"]) == counted.capacity
    assert float(one["mean_field"]) == float(mftma(clouds, n_t=10)["capacity"])


@pytest.mark.parametrize("kind", ["geometry", "capacities"])
def test_what_was_interrupted_measures_no_layer_twice(
    kind: str, run: Run, kept_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> xr.Dataset:
        if kind == "geometry":
            return study.geometries([(run, "final")], SAMPLING, progress=False)[0]
        return study.capacities([run], ["1", "3"], study.Counting(points=2, n_t=10, dichotomies=10, classes=8))

    def counted(*args: object, **how: object) -> xr.Dataset:
        taken.append(1)
        if len(taken) == stop:
            raise KeyboardInterrupt
        return mftma(*args, **how)  # type: ignore[arg-type]

    taken, stop = list[int](), 6
    monkeypatch.setattr(study, "mftma", counted)
    with pytest.raises(KeyboardInterrupt):
        found()
    stop = 0
    resumed = found()
    assert len(taken) == resumed.sizes["subset"] * resumed.sizes["layer"] + 1
    for shelf in store.shelves("geometry"):
        assert [path.name.split(".")[0] for path in shelf.folder.iterdir()] == [kind]
        shelf.drop(kind)
    xr.testing.assert_identical(found(), resumed)


def test_planes_of_several_runs_tell_how_many_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "plane", lambda features, seed: np.asarray(features)[:, :2])
    runs = trained([spec(0), replace(spec(1), train_size=40)], progress=False)
    found = study.planes_of(runs, ["3"], count=25, classes=None, progress=False)
    assert found["agreement"].dims == ("seed", "epoch", "layer", "subset")
    with pytest.raises(ValueError, match="each must be a number from 0 to 9"):
        study.planes_of(runs, ["3"], count=25, classes=[0, 10], progress=False)
    assert found.attrs["numbers"] == list(range(10))
    for seed in (0, 1):
        one = found.sel(seed=seed, epoch="final", layer="3")
        label = one["label"].sel(subset="restored").values
        share = embeddings.neighbour_share(one["position"].values[label >= 0], label[label >= 0])
        assert float(one["agreement"].sel(subset="restored")) == share


def test_many_classes_are_trained_on_where_the_profile_says_so() -> None:
    laptop, quick = (session("06_mftma", profile=profile) for profile in ("laptop", "quick"))
    specs = study.many_specs(laptop)
    assert {s.dataset for s in specs} == {"cifar100"}
    assert [(s.seed, s.data_seed, s.epsilon) for s in specs] == [(i, i, 0.5) for i in laptop.seeds]
    assert study.every_training(laptop)["many classes"] == specs
    assert not study.many_specs(quick)
    assert "many classes" not in study.every_training(quick)


def test_spheres_are_drawn_anew_for_each_seed() -> None:
    specs = study.sphere_specs({"model": "fcn"}, 0.5, seeds=2, size=200)
    assert {s.train_size for s in specs} == {200}
    assert [(s.dataset, s.seed, s.data_seed, s.epsilon) for s in specs] == [("spheres", i, i, 0.5) for i in range(2)]
