import numpy as np
import pytest
import torch

from landscape_utils.memorization.clouds import reduce_cloud
from landscape_utils.memorization.manifolds import mftma
from tests.unit.memorization.conftest import clouds, same


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_centre_that_vanishes_is_named(dtype: type) -> None:
    rng = np.random.default_rng(0)
    drawn = {name: rng.normal(size=(8, 20)).astype(dtype) for name in ("cat", "dog", "owl")}
    drawn["owl"] += drawn["cat"].mean(0) / 2 + drawn["dog"].mean(0) / 2 - drawn["owl"].mean(0)
    with pytest.raises(ValueError, match="the centre of manifold owl vanishes: it lies at the mean of all points"):
        mftma(drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_short_numbers_are_taken_as_the_numbers_that_they_are(dtype: torch.dtype) -> None:
    """With norms beyond what half precision holds, and centres closer than its rounding of them."""
    for scale, shift in ((300.0, 0.0), (0.02, 5.0)):
        short = [torch.from_numpy(scale * cloud + shift).to(dtype) for cloud in clouds("random", features=1000)]
        want = mftma([cloud.double() for cloud in short], n_t=20)
        same(mftma([cloud.clone().requires_grad_() for cloud in short], n_t=20), want, rtol=1e-12)


@pytest.mark.parametrize("invariant", [True, False])
@pytest.mark.parametrize("features", [30, 6])
def test_a_reduced_cloud_keeps_its_inner_products_without_what_is_removed(features: int, invariant: bool) -> None:
    points, basis = torch.randn(9, features).double(), torch.linalg.qr(torch.randn(features, 2).double()).Q
    reduced = reduce_cloud(points, basis, torch.tensor(2.0).double(), invariant=invariant)
    rest = (points - points @ basis @ basis.T) / 2
    assert reduced.vertices.shape == (9, min(features, 9))
    torch.testing.assert_close(reduced.vertices @ reduced.vertices.T, rest @ rest.T)
