"""UMAP itself, which takes half a minute to compile: here, and not among the quick tests."""

import numpy as np

from landscape_utils.embeddings import neighbour_accuracy, plane


def test_umap_gives_the_same_plane_for_the_same_seed() -> None:
    random = np.random.default_rng(0)
    features = np.concatenate([random.normal(size=(25, 5)), 20 + random.normal(size=(25, 5))]).astype(np.float32)
    first = plane(features, seed=3)
    assert first.shape == (50, 2)
    assert np.array_equal(first, plane(features, seed=3))
    assert neighbour_accuracy(first, np.repeat([0, 1], 25)) == (50, 50)
