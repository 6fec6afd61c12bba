"""Rewound networks over seeds: the subsets, the courses, and what is read off them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_utils import RunSpec
from landscape_utils.memorization import rewinding
from landscape_utils.memorization.memorized import trained
from landscape_utils.sections.rewinding import study
from landscape_utils.training.runs import Run
from tests.conftest import small_arrays


@pytest.fixture(scope="module")
def runs(module_home: Path) -> list[Run]:
    """Train two runs of unequal length, once."""
    path, arrays = module_home / "small.npz", small_arrays()
    np.savez(path, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    how = {
        "dataset": str(module_home / "small.npz"),
        "model": "vgg11",
        "model_options": {"width": 0.05},
        "epsilon": 0.5,
    }
    how |= {"recipe": "memorize", "lr": 0.01, "batch_size": 20, "checkpoints": "all"}
    specs = [RunSpec(**how, seed=i, data_seed=i, epochs=2 + i) for i in (0, 1)]
    return trained(specs, progress=False)


@pytest.fixture
def subjects(runs: list[Run]) -> list[study.Subject]:
    return [study.subject(run, images=60, test_images=30) for run in runs]


def test_the_network_of_an_epoch_has_the_accuracies_of_its_history(subjects: list[study.Subject]) -> None:
    for one in subjects:
        found, history = one.accuracies().sel(rewound="all"), one.run.history
        np.testing.assert_allclose(found.sel(subset="train"), history.train_accuracy)
        np.testing.assert_allclose(found.sel(subset="test"), history.test_accuracy)
        four = ["unpermuted", "permuted", "restored", "test"]
        np.testing.assert_allclose(found.sel(subset=four), history.subset_accuracy.sel(subset=four))


def test_images_are_drawn_apart_from_the_labels_that_were_permuted(runs: list[Run]) -> None:
    """With one generator and one seed for both, only permuted images would be drawn."""
    run = runs[0]
    one = study.subject(run, images=24, test_images=11)
    labels, subsets = run.labels(), one.subsets
    assert one.inputs.shape[0] == 24 + 11
    sizes = {name: len(rows) for name, (rows, _) in subsets.items()}
    assert sizes["unpermuted"] + sizes["permuted"] == sizes["train"] == 24
    assert 6 <= sizes["permuted"] <= 18
    assert (sizes["half 1"], sizes["half 2"], sizes["test"]) == (5, 6, 11)
    assert torch.equal(torch.cat([subsets[half][0] for half in study.HALVES]), subsets["test"][0])
    known = {image.numpy().tobytes(): i for i, image in enumerate(labels.dataset.train.inputs)}
    places = [known[image.numpy().tobytes()] for image in one.inputs[:24]]
    assert len(set(places)) == 24
    for name, targets in (("unpermuted", labels.dataset.train.targets), ("restored", labels.original)):
        rows, mine = subsets[name]
        assert torch.equal(mine, targets[[places[int(row)] for row in rows]])
    assert torch.equal(subsets["restored"][0], subsets["permuted"][0])


def test_rewinding_is_exact_and_a_fault_would_show(subjects: list[study.Subject], monkeypatch) -> None:
    assert list(study.identities(subjects[0]).values()) == [True, True]
    monkeypatch.setattr(study, "rewind", lambda final, earlier, layers=None: dict(final))
    assert list(study.identities(subjects[0]).values()) == [True, False]
    wrong = {key: value + 1 for key, value in subjects[0].run.weights().items()}
    monkeypatch.setattr(study, "rewind", lambda final, earlier, layers=None: wrong)
    assert list(study.identities(subjects[0]).values()) == [False, False]


def test_a_run_that_has_stopped_stays_as_it_is(subjects: list[study.Subject]) -> None:
    table = study.by_layer(subjects, progress=False)
    assert dict(table.sizes) == {"seed": 2, "rewound": 10, "epoch": 4, "subset": 7}
    assert table["last"].values.tolist() == [2, 3]
    first = subjects[0].accuracies()
    np.testing.assert_array_equal(
        table["accuracy"].sel(seed=0, epoch=[0, 1, 2]), first.transpose("rewound", "epoch", ...)
    )
    np.testing.assert_array_equal(table["accuracy"].sel(seed=0, epoch=3), first.sel(epoch=2))
    assert table["title"].values.tolist() == [*(f"conv {i}" for i in range(1, 9)), "linear 1", "all"]
    curve = subjects[1].run.history.test_accuracy.values
    assert int(table["stopped"].sel(seed=1)) == int(curve.argmax())
    assert table.attrs == {"architecture": "vgg11", "images": 60, "test_images": 30}


def test_an_epoch_that_one_run_kept_and_another_did_not_is_unknown(runs: list[Run]) -> None:
    coarse = replace(runs[1], about={**runs[1].about, "kept": [0, 3]})
    found = [study.subject(run, images=20, test_images=10) for run in (runs[0], coarse)]
    table = study.by_layer(found, progress=False)["accuracy"]
    assert table.sel(seed=1, epoch=[1, 2]).isnull().all()
    assert table.sel(seed=1, epoch=[0, 3]).notnull().all()
    assert table.sel(seed=0).notnull().all()


def test_the_last_layers_lead_from_the_final_network_to_the_early_stopped_one(subjects: list[study.Subject]) -> None:
    table = study.by_layer(subjects, progress=False)
    found = study.last(subjects, table)
    assert found.dims == ("seed", "last", "subset")
    assert found["last"].values.tolist() == list(range(10))
    np.testing.assert_array_equal(found.sel(last=0), study.final(table))
    stopped = table["accuracy"].sel(rewound="all", epoch=table["stopped"])
    np.testing.assert_array_equal(found.sel(last=9), stopped)
    np.testing.assert_array_equal(
        found.sel(last=1), table["accuracy"].sel(rewound="classifier", epoch=table["stopped"])
    )


def test_batchnorm_is_treated_in_three_ways(subjects: list[study.Subject]) -> None:
    table = study.by_layer(subjects, progress=False)
    found = study.treatments(subjects[1:], table)
    assert found["bn"].values.tolist() == ["rewind", "keep", "update"]
    assert found["title"].values.tolist()[:2] == ["nothing", "conv 1"]
    assert found.sizes["seed"] == 1
    np.testing.assert_array_equal(found.sel(bn="rewind", rewound="nothing", seed=1), study.final(table).sel(seed=1))
    np.testing.assert_array_equal(found.sel(bn="keep", rewound="nothing"), found.sel(bn="rewind", rewound="nothing"))
    epoch, parts = int(table["stopped"].sel(seed=1)), rewinding.single_layers(subjects[1].model, subjects[1].inputs[:1])
    for bn in ("rewind", "keep", "update"):
        alone = subjects[1].accuracies(parts, [epoch], bn=bn).isel(epoch=0)
        np.testing.assert_array_equal(found.sel(bn=bn, seed=1)[1:], alone)


# --- made tables -------------------------------------------------------------------------------------------------


def made(curves: np.ndarray, subset: str = "test", others: float = 0.5) -> xr.Dataset:
    """Make a table from curves (seed, rewound, epoch); the last rewound one is `all`."""
    seeds, count, epochs = curves.shape
    accuracy = np.full((*curves.shape, len(study.SUBSETS)), others)
    accuracy[..., list(study.SUBSETS).index(subset)] = curves
    if subset == "test":
        accuracy[..., -2:] = curves[..., None]
    names = [f"features.{i}" for i in range(count - 1)] + ["all"]
    titles = [f"conv {i + 1}" for i in range(count - 1)] + ["all"]
    coordinates = {"seed": range(seeds), "rewound": names, "epoch": range(epochs), "subset": list(study.SUBSETS)}
    table = xr.Dataset({"accuracy": (("seed", "rewound", "epoch", "subset"), accuracy)}, coords=coordinates)
    stopped = table["accuracy"].sel(rewound="all", subset="test").argmax("epoch").drop_vars(("rewound", "subset"))
    return table.assign(stopped=stopped, last=("seed", [epochs - 1] * seeds)).assign_coords(title=("rewound", titles))


def test_the_half_that_chooses_does_not_measure() -> None:
    table = made(np.random.default_rng(0).uniform(size=(2, 3, 5)))
    halves = np.random.default_rng(1).uniform(size=(2, 3, 5, 2))
    table["accuracy"][..., -2:] = halves
    found = study.best(table)
    for seed in range(2):
        for k in range(3):
            a, b = halves[seed, k, :, 0], halves[seed, k, :, 1]
            expected = (b[a.argmax()] + a[b.argmax()]) / 2
            assert float(found["accuracy"].sel(subset="test")[seed, k]) == pytest.approx(expected)
            assert found["epoch"][:, seed, k].values.tolist() == [a.argmax(), b.argmax()]
    assert found["accuracy"]["subset"].values.tolist() == list(study.SUBSETS[:5])


def test_the_layers_that_matter_are_named_in_their_order() -> None:
    curves = np.full((2, 6, 4), 0.5)
    for layer, gain in ((4, 0.3), (1, 0.2), (3, 0.1)):
        curves[:, layer, 1] += gain
    assert study.that_matter(made(curves)) == ["features.1", "features.3", "features.4"]


def settled_by_hand(curve: list[float], share: float) -> int:
    for epoch in range(len(curve)):
        if all(np.isnan(value) or value >= share * curve[-1] for value in curve[epoch:]) and not np.isnan(curve[epoch]):
            return epoch
    raise AssertionError("the final network is settled")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.one_of(st.floats(0.01, 1), st.just(float("nan"))), min_size=2, max_size=8),
    st.floats(0.01, 1),
    st.floats(0.5, 1),
)
def test_a_layer_has_settled_where_no_later_epoch_does_harm(start: list[float], end: float, share: float) -> None:
    curves = np.array([[[*start, end], [0.1] * len(start) + [end]]])
    found = study.settling(made(curves, "train"), share=share)
    assert found.dims == ("seed", "rewound")
    assert int(found[0, 0]) == settled_by_hand([*start, end], share)
