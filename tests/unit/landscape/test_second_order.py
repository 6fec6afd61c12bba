import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape_utils.engine import space
from landscape_utils.landscape import second_order
from landscape_utils.landscape.hessian_operator import HessianOperator
from landscape_utils.landscape.traces import Estimate, trace_estimates


def network() -> nn.Module:
    """Build a float64 classifier of 1x4x4 images, trained a little, whose BatchNorm has seen data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)).double()
    x, y = images()
    for _ in range(20):
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradients, strict=True):
                p.sub_(0.1 * g)
    return model


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(40, 1, 4, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (40,), generator=generator)


def loss_at(model: nn.Module, weights: Tensor) -> float:
    own = copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(weights, own.parameters())
    with torch.no_grad():
        return float(F.cross_entropy(own(images()[0]), images()[1]))


def known(value: float) -> Estimate:
    return Estimate.of(np.array([value, value]))


def test_slope_and_curvature_are_the_curves_derivatives() -> None:
    model, d, step = network(), 0.3 * space.gaussian_direction(network(), seed=1), 1e-4
    got = second_order.slope_and_curvature(model, images(), d, [-1, 0, 0.5], progress=False)
    w = space.flatten(model)
    for lam in got.lam.values:
        behind, here, ahead = (loss_at(model, w + (lam + s) * d) for s in (-step, 0, step))
        point = got.sel(lam=lam)
        assert float(point.loss) == pytest.approx(here, rel=1e-12)
        assert float(point.slope) == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)
        assert float(point.curvature) == pytest.approx((ahead + behind - 2 * here) / step**2, rel=1e-5)
    assert got.attrs["norm_1"] == pytest.approx(float(d.norm()))
    assert torch.equal(space.flatten(model), w)


@pytest.mark.parametrize("lambdas", [[], [[0.0]], [np.nan], 0.0])
def test_lambdas_are_finite_numbers_in_one_dimension(lambdas: object) -> None:
    model = network()
    with pytest.raises(ValueError, match="lam must be finite numbers"):
        second_order.slope_and_curvature(model, images(), space.flatten(model), lambdas)


def test_a_direction_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the vector has shape \(3,\)"):
        second_order.slope_and_curvature(network(), images(), torch.ones(3), [0.0], progress=False)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(size=st.integers(1, 12), lam=st.floats(0.1, 2), sigma=st.floats(0.1, 2), seed=st.integers(0, 99))
def test_moments_of_a_quadratic_are_those_of_its_samples(size: int, lam: float, sigma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, h = rng.standard_normal(size), rng.standard_normal((size, size))
    h = h + h.T
    traces = known(float(np.trace(h))), known(float(np.trace(h @ h)))
    got = second_order.quadratic_moments(float(np.linalg.norm(g)), *traces, np.array([lam]), sigma)
    x = lam * sigma * rng.standard_normal((40_000, size))
    change = x @ g + 0.5 * np.einsum("ni,ij,nj->n", x, h, x)
    spread = float(change.std())
    assert float(got["mean"][0]) == pytest.approx(change.mean(), abs=5 * spread / 200)
    kurtosis = float(((change - change.mean()) ** 4).mean()) / spread**4
    assert float(got["variance"][0]) == pytest.approx(spread**2, rel=6 * np.sqrt(kurtosis / 40_000))
    assert not got.mean_error.any()


def test_moments_of_a_network_agree_with_the_dense_hessian_and_with_measurement() -> None:
    model, data, sigma = network(), images(), 0.05
    lam = np.array([0.5, 1.0])
    got = second_order.gaussian_moments(model, data, lam, sigma, probes=200, progress=False)
    operator = HessianOperator(model, data)
    h = torch.stack([operator(row) for row in torch.eye(operator.size, dtype=torch.float64)])
    g = operator.expand(operator.origin).gradient
    s2 = (lam * sigma) ** 2
    assert (abs(got["mean"] - s2 * float(h.trace()) / 2) < 4 * got.mean_error).all()
    exact = s2 * float(g @ g) + s2**2 * float((h @ h).trace()) / 2
    assert (abs(got.variance - exact) < 4 * got.variance_error).all()
    measured = second_order.gaussian_changes(model, data, lam, sigma, 120, progress=False)
    assert dict(measured.sizes) == {"draw": 120, "sign": 2, "lam": 2}
    curved = measured.mean("sign")
    error = curved.std("draw") / np.sqrt(120)
    assert (error < 0.5 * measured.std(("draw", "sign")) / np.sqrt(240)).all()  # without the slope less is left
    assert (abs(curved.mean("draw") - got["mean"]) < 4 * error + 0.1 * abs(got["mean"])).all()
    np.testing.assert_allclose(measured.var(("draw", "sign"), ddof=1), got.variance, rtol=0.4)


def test_errors_scale_as_the_moments_do() -> None:
    trace, square = Estimate.of(np.array([1.0, 3.0])), Estimate.of(np.array([5.0, 9.0]))
    got = second_order.quadratic_moments(2.0, trace, square, np.array([0.0, 2.0]), 0.5)
    assert got["mean"].values.tolist() == [0, 1]  # (2 * 0.5)^2 * 2 / 2
    assert got.mean_error.values.tolist() == [0, 0.5]
    assert got.variance.values.tolist() == [0, 4 + 3.5]
    assert got.variance_error.values.tolist() == [0, 1]


def test_changes_are_those_of_the_plain_model_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(second_order, "TOGETHER", 2)
    got = second_order.gaussian_changes(model, images(), [0.5, 2], 0.1, draws=3, seed=3, progress=False)
    eps = [space.gaussian_direction(model, seed=int(s)) for s in np.random.SeedSequence(3).generate_state(3)]
    w = space.flatten(model)
    for draw, sign, lam in ((0, -1, 0.5), (1, 1, 2), (2, -1, 2)):
        want = loss_at(model, w + sign * lam * 0.1 * eps[draw]) - loss_at(model, w)
        assert float(got.sel(sign=sign, lam=lam)[draw]) == pytest.approx(want, rel=1e-8)
    one = second_order.gaussian_changes(model, images(), 2.0, 0.1, draws=3, seed=3, progress=False)
    np.testing.assert_allclose(one[..., 0], got.sel(lam=2), rtol=1e-8)


def test_wrong_settings_are_refused() -> None:
    model, data = network(), images()
    for sigma in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match=r"sigma is .*; it must be above 0"):
            second_order.gaussian_changes(model, data, 1.0, sigma)
        with pytest.raises(ValueError, match=r"sigma is .*; it must be above 0"):
            second_order.gaussian_moments(model, data, 1.0, sigma, probes=2, progress=False)
    with pytest.raises(ValueError, match="draws is 0"):
        second_order.gaussian_changes(model, data, 1.0, 0.1, 0)
    for lam in (0.0, [-1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="it must increase from above 0"):
            second_order.gaussian_changes(model, data, lam, 0.1)


def test_angles_are_in_degrees() -> None:
    e = torch.eye(3)
    got = second_order.angles(torch.stack([e[0], e[0] + e[1]]), torch.stack([2 * e[0], -e[0], e[2], 0 * e[0]]))
    torch.testing.assert_close(got[:, :3], torch.tensor([[0.0, 180, 90], [45, 135, 90]]).double())
    assert got[:, 3].isnan().all()
    assert second_order.angles(e[0], e[1]).tolist() == [[90.0]]
    with pytest.raises(ValueError, match="3 and 2 entries"):
        second_order.angles(e[0], torch.ones(2))


def test_random_directions_are_as_orthogonal_as_predicted() -> None:
    drawn = torch.randn(2, 300, 500, generator=torch.Generator().manual_seed(0))
    found = second_order.angles(*drawn)
    assert float(found.mean()) == pytest.approx(90, abs=0.05)
    assert float(found.std()) == pytest.approx(np.rad2deg(500**-0.5), rel=0.02)


def test_a_matrix_operators_traces_feed_the_moments() -> None:
    h = torch.diag(torch.tensor([1.0, -2, 4])).double()
    traces = trace_estimates(lambda v: h @ v, 3, 5, progress=False)
    got = second_order.quadratic_moments(0.0, *traces, np.array([1.0]), 1.0)  # signs see a diagonal exactly
    assert float(got["mean"][0]) == pytest.approx(1.5)
    assert float(got.variance[0]) == pytest.approx(10.5)
