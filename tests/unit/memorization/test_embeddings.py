"""Planes show the same examples everywhere, coloured as each subset labels them."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from landscape_utils import RunSpec, train
from landscape_utils.memorization import embeddings
from landscape_utils.memorization.embeddings import neighbour_share, planes


def test_neighbours_vote_and_the_example_itself_does_not() -> None:
    random = np.random.default_rng(0)
    apart = np.concatenate([random.normal(size=(20, 2)), 100 + random.normal(size=(15, 2)), [[50.0, 50.0]]])
    label = np.array([0] * 20 + [2] * 15 + [-1])
    assert neighbour_share(apart, label) == 1
    label[0] = 2  # an example among others of another class
    assert neighbour_share(apart, label) == 34 / 35


def test_an_example_alone_has_no_neighbours() -> None:
    assert np.isnan(neighbour_share(np.zeros((3, 2)), np.array([-1, 4, -1])))


def test_neighbours_agree_with_a_count_by_hand() -> None:
    random = np.random.default_rng(1)
    position, label = random.normal(size=(40, 2)), random.integers(0, 3, 40)
    hits = 0
    for i in range(40):
        distance = np.linalg.norm(position - position[i], axis=1)
        distance[i] = np.inf
        votes = np.bincount(label[np.argsort(distance)[:10]], minlength=3)
        hits += int(votes.argmax() == label[i])
    assert neighbour_share(position, label) == hits / 40


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_the_same_seed_gives_the_same_plane_and_leaves_torch_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("umap.umap_.fast_knn_indices")  # which takes long to compile, and is not needed
    random, threads = np.random.default_rng(0), torch.get_num_threads()
    features = np.concatenate([random.normal(size=(30, 5)), 20 + random.normal(size=(30, 5))]).astype(np.float32)
    torch.set_num_threads(1)
    try:
        found = embeddings.plane(features, seed=3)
        assert torch.get_num_threads() == 1
        assert np.array_equal(found, embeddings.plane(features, seed=3))
    finally:
        torch.set_num_threads(threads)
    assert not np.array_equal(found, embeddings.plane(features, seed=4))
    assert neighbour_share(found, np.repeat([0, 1], 30)) == 1


@pytest.fixture
def first_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the features' first two columns in UMAP's place, which takes seconds to compile."""
    monkeypatch.setattr(embeddings, "plane", lambda features, seed: np.asarray(features)[:, :2])


def test_permuted_and_restored_are_the_same_examples(first_columns: None) -> None:
    kind: Mapping[str, object] = {"dataset": "glyphs10", "model": "fcn", "train_size": 80, "test_size": 40, "epochs": 1}
    run = train(RunSpec(**kind, epsilon=0.5), progress=False)  # type: ignore[arg-type]
    (found,) = planes([run], ("initial", "final"), ["1"], count=30, classes=[0, 2, 5], progress=False)
    assert found["position"].dims == ("epoch", "layer", "example", "axis")
    label = found["label"]
    assert set(np.unique(label)) == {-1, 0, 2, 5}
    shown = label >= 0
    either = shown.sel(subset="permuted") | shown.sel(subset="restored")
    assert bool((either + shown.sel(subset="unpermuted") + shown.sel(subset="test") == 1).all())  # each in one
    both = shown.sel(subset="permuted") & shown.sel(subset="restored")
    assert bool((label.sel(subset="permuted") != label.sel(subset="restored")).where(both, False).any())
    assert found.attrs["classes"] == list("OCF")
    assert not np.array_equal(*found["position"].values)


def test_planes_that_were_interrupted_are_embedded_once(kept_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        taken.append(1)
        if len(taken) == 3:
            raise KeyboardInterrupt
        return np.asarray(features)[:, :2]

    taken: list[int] = []
    monkeypatch.setattr(embeddings, "plane", counted)
    kind: Mapping[str, object] = {"dataset": "glyphs10", "model": "fcn", "train_size": 80, "test_size": 40, "epochs": 1}
    run = train(RunSpec(**kind, epsilon=0.5), progress=False)  # type: ignore[arg-type]
    how = {"count": 30, "classes": [0, 2, 5], "progress": False}
    with pytest.raises(KeyboardInterrupt):
        planes([run], ("initial", "final"), ["1", "3"], **how)  # type: ignore[arg-type]
    (found,) = planes([run], ("initial", "final"), ["1", "3"], **how)  # type: ignore[arg-type]
    assert len(taken) == 5
    assert len(np.unique(found["position"].values.reshape(4, -1), axis=0)) == 4
