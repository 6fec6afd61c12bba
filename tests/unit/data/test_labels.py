import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landscape_utils.data.datasets import Dataset
from landscape_utils.data.labels import SUBSETS, permute_labels

same_data = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@same_data
@given(epsilon=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_redraws_the_asked_share_and_nothing_else(small: Dataset, epsilon: float, seed: int) -> None:
    labels = permute_labels(small, epsilon, seed=seed)
    new, old, permuted = labels.dataset.train.targets, small.train.targets, labels.permuted
    assert int(permuted.sum()) == round(epsilon * len(old))
    assert torch.equal(new[~permuted], old[~permuted])
    assert torch.equal(labels.original, old)
    assert labels.dataset.test is small.test
    sizes = {name: labels.subset(name).size for name in SUBSETS}
    assert sizes["unpermuted"] + sizes["permuted"] == len(old)
    assert sizes["restored"] == sizes["permuted"]
    assert torch.equal(labels.subset("restored").targets, old[permuted])
    assert torch.equal(labels.subset("permuted").targets, new[permuted])


def test_redrawn_labels_are_uniform_and_chance_hits_stay_in() -> None:
    from landscape_utils.data.datasets import from_arrays
    from tests.conftest import small_arrays

    data = from_arrays("many", small_arrays(classes=4, train=8000, test=4, size=1))
    labels = permute_labels(data, 1.0, seed=3)
    counts = np.bincount(labels.dataset.train.targets, minlength=4)
    assert (abs(counts - 2000) < 5 * np.sqrt(8000 * 0.25 * 0.75)).all()
    hits = float((labels.dataset.train.targets == labels.original).double().mean())
    assert abs(hits - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 8000)
    assert bool(labels.permuted.all())


def test_the_same_seed_redraws_alike(small: Dataset) -> None:
    first, second = (permute_labels(small, 0.5, seed=1).dataset.train.targets for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, permute_labels(small, 0.5, seed=2).dataset.train.targets)


def test_other_labels_have_another_fingerprint(small: Dataset) -> None:
    assert permute_labels(small, 0.5).dataset.fingerprint != small.fingerprint


@pytest.mark.parametrize("epsilon", [-0.1, 1.1])
def test_share_outside_0_to_1_is_refused(small: Dataset, epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        permute_labels(small, epsilon)


def test_unknown_subset_is_refused(small: Dataset) -> None:
    with pytest.raises(KeyError, match="unpermuted, permuted, restored, test"):
        permute_labels(small, 0.5).subset("validation")
