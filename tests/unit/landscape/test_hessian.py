import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.func import functional_call

from landscape_utils.engine import space
from landscape_utils.kit import store
from landscape_utils.landscape import hessian, traces
from landscape_utils.landscape.hessian_operator import HessianOperator
from tests.unit.landscape.conftest import dense, images, matrix, network, quiet

# --- eigenpairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("name", ["conv", "tied"])
def test_the_callers_model_is_as_before(name: str, fail: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network(name), images()
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, float(i)) if i % 2 else None
    next(model.parameters()).requires_grad_(False)
    next(model.children()).eval()
    before, asked = copy.deepcopy(model.state_dict()), [p.requires_grad for p in model.parameters()]
    places = [p.data_ptr() for p in model.parameters()]
    grads = [None if p.grad is None else (p.grad, p.grad.clone()) for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    if fail:
        monkeypatch.setattr(HessianOperator, "_slope", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            quiet(model, data, 2)
    else:
        quiet(model, data, 2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == asked
    assert [p.data_ptr() for p in model.parameters()] == places
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert p.grad is (grad and grad[0])
        assert grad is None or torch.equal(grad[0], grad[1])
    (place,) = store.shelves("spectra")
    assert place.has(hessian.PAIRS) != fail


def test_with_the_batchs_statistics_the_eigenpairs_are_those_of_training_mode() -> None:
    model, data = network("conv"), images()
    before = copy.deepcopy(model.state_dict())
    own = copy.deepcopy(model).eval()
    for module in own.modules():
        module.train(isinstance(module, nn.BatchNorm2d))
    names = [name for name, _ in own.named_parameters()]

    def loss(weights: Tensor) -> Tensor:
        named = dict(zip(names, space.split(weights, own), strict=True))
        return F.cross_entropy(functional_call(own, named, (data[0],)), data[1])

    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, space.flatten(own))).numpy()
    got = quiet(model, data, 3, bn="batch")
    np.testing.assert_allclose(got.eigenvalue, [*exact[::-1][:3], *exact[:3]], rtol=1e-5, atol=1e-7 * exact[-1])
    assert got.attrs["bn"] == "batch"
    assert abs(got.eigenvalue - quiet(model, data, 3).eigenvalue).max() > 0.01 * exact[-1]  # kept apart on disk, too
    density = hessian.hessian_density(model, data, bn="batch", steps=40, probes=1, progress=False)
    assert float(density.eigenvalue.max()) == pytest.approx(exact[-1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="unknown bn 'batches'"):
        quiet(model, data, bn="batches")


@pytest.mark.parametrize("name", ["mlp", "conv", "tied"])
def test_five_eigenpairs_at_each_end_are_the_dense_ones(name: str) -> None:
    model, data = network(name), images()
    h = dense(model, data)
    exact = torch.linalg.eigvalsh(h).numpy()
    got = quiet(model, data)
    want = np.concatenate([exact[::-1][:5], exact[:5]])
    np.testing.assert_allclose(got.eigenvalue, want, rtol=1e-5, atol=1e-7 * exact[-1])
    assert got["rank"].values.tolist() == [f"{end}.E.{i}" for end in "PN" for i in range(1, 6)]
    v = torch.from_numpy(got.eigenvector.values)
    residuals = (v @ h - torch.from_numpy(got.eigenvalue.values)[:, None] * v).norm(dim=1)
    np.testing.assert_allclose(got.residual, residuals, atol=1e-10)
    scale = np.maximum(abs(got.eigenvalue), 0.01 * abs(got.eigenvalue).max())
    np.testing.assert_allclose(got.residual_ratio, got.residual / scale)
    assert float(got.residual_ratio.max()) == got.attrs["largest_residual_ratio"] <= 1e-6
    assert bool(got.converged.all())
    torch.testing.assert_close(v @ v.T, torch.eye(10, dtype=torch.float64), rtol=0, atol=1e-8)
    assert (v.gather(1, v.abs().argmax(1, keepdim=True)) > 0).all()
    assert got.attrs["parameters"] == "all"


def test_more_pairs_than_parameters_give_all_of_them() -> None:
    model, data = network("conv"), images()
    got = quiet(model, data, 5, parameters="1.bias")
    assert got["rank"].values.tolist() == ["P.E.1", "P.E.2", "N.E.1"]
    block = matrix(HessianOperator(model, data, parameters="1.bias"))
    exact = torch.linalg.eigvalsh(block).numpy()
    np.testing.assert_allclose(got.eigenvalue, exact[[2, 1, 0]], rtol=1e-8)
    assert got.attrs["parameters"] == "1.bias"
    assert got.attrs["products"] == 3


def test_float32_models_meet_a_fine_tolerance_in_float64() -> None:
    model, data = network("mlp").float(), images()
    got = quiet(model, data, 3)
    assert got.attrs["dtype"] == "float64"
    exact = torch.linalg.eigvalsh(dense(model.double(), data)).numpy()
    np.testing.assert_allclose(got.eigenvalue, exact[[-1, -2, -3, 0, 1, 2]], rtol=1e-5)
    coarse = quiet(model.float(), data, 3, tol=1e-2)
    assert coarse.attrs["dtype"] == "float32"
    np.testing.assert_allclose(coarse.eigenvalue, got.eigenvalue, atol=2e-4 * exact[-1])


def test_a_repeated_call_reads_the_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network("mlp"), images()
    first = quiet(model, data, 2)
    density = hessian.hessian_density(model, data, steps=5, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(HessianOperator, "expand", lambda *a, **how: pytest.fail("computed again"))
        xr.testing.assert_identical(quiet(model, data, 2), first)
        xr.testing.assert_identical(hessian.hessian_density(model, data, steps=5, progress=False), density)
    taken: list[int] = []
    plain = HessianOperator.expand
    monkeypatch.setattr(HessianOperator, "expand", lambda *a, **how: taken.append(1) or plain(*a, **how))
    quiet(model, data, 2, cache=False)
    for other in ({"k": 3}, {"tol": 1e-5}, {"seed": 1}, {"parameters": "5"}):
        taken.clear()
        quiet(model, data, **{"k": 2, **other})
        assert taken
    with torch.no_grad():
        model[1].weight.mul_(1.1)
    taken.clear()
    quiet(model, data, 2)
    assert taken


def test_what_has_not_converged_says_so() -> None:
    model, data = network("mlp"), images()
    for _ in range(2):  # from the shelf too
        with pytest.warns(hessian.ConvergenceWarning, match=r"after 12 products .* residuals above tol=1e-06"):
            got = quiet(model, data, max_products=12)
        assert not bool(got.converged.all())
        assert got.attrs["largest_residual_ratio"] > 1e-6


def test_the_seed_decides_the_start_and_not_the_result() -> None:
    model, data = network("conv"), images()
    one, same, other = (quiet(model, data, 3, seed=s, cache=False) for s in (0, 0, 1))
    xr.testing.assert_identical(one, same)
    assert not one.identical(other)
    np.testing.assert_allclose(one.eigenvalue, other.eigenvalue, rtol=1e-6)
    np.testing.assert_allclose(one.eigenvector, other.eigenvector, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"k": 0}, "k is 0; it must be at least 1"),
        ({"tol": 0.0}, "tol is 0.0; it must be between 0 and 1"),
        ({"tol": np.nan}, "tol is nan"),
        ({"max_products": 3}, "max_products is 3; 5 pairs at each end need 10"),
        ({"parameters": "nine"}, "unknown layer or parameter 'nine'"),
    ],
)
def test_wrong_settings_are_refused(how: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        quiet(network("mlp"), images(), **how)


def test_where_the_products_rounding_is_too_large_float64_takes_over() -> None:
    """Examples that are learned by heart leave second derivatives that are mostly rounding in float32."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    x = torch.randn(1, 4).expand(12, -1)
    first, second = model(x[:1]).topk(2).values[0].tolist()
    with torch.no_grad():
        for parameter in model[4].parameters():
            parameter *= 15 / (first - second)
    y = model(x).argmax(dim=1)
    found = hessian.hessian_eigenpairs(model, (x, y), 2, tol=1e-2, progress=False)
    assert found.attrs["dtype"] == "float64"
    assert found.attrs["products"] < 50
    assert found.eigenvector.dtype == np.float32
    exact = np.linalg.eigvalsh(dense(model.double(), (x.double(), y)))
    np.testing.assert_allclose(found.eigenvalue, exact[[-1, -2, 0, 1]], atol=1e-4 * exact[-1])


# --- density and traces ----------------------------------------------------------------------------------------


def test_the_density_is_close_to_the_exact_spectrum() -> None:
    model, data = network("mlp"), images()
    exact = torch.linalg.eigvalsh(dense(model, data)).numpy()
    got = hessian.hessian_density(model, data, steps=40, probes=10, progress=False)
    assert dict(got.sizes) == {"probe": 10, "node": 40}
    np.testing.assert_allclose(got.weight.sum("node"), 1)
    weights = got.weight.values.ravel() / 10
    off = wasserstein_distance(got.eigenvalue.values.ravel(), exact, weights)
    assert off < 0.01 * (exact[-1] - exact[0])
    smooth = hessian.smoothed_density(got)
    assert float(smooth.integrate("eigenvalue")) == pytest.approx(1, abs=1e-3)
    mean = float((smooth * smooth.eigenvalue).integrate("eigenvalue"))
    assert mean == pytest.approx(float((got.weight * got.eigenvalue).sum("node").mean()), abs=1e-3)


def test_the_pairs_products_give_a_density_beside() -> None:
    model = network("mlp")
    pairs = quiet(model, images(), 3, tol=1e-5)
    beside = hessian.density_beside(pairs)
    assert beside.sizes == {"probe": 1, "node": pairs.attrs["products"]}
    assert beside.attrs["steps"] == pairs.attrs["products"]
    assert float(beside.weight.sum()) == pytest.approx(1)
    np.testing.assert_allclose(beside.eigenvalue[0, [-1, 0]], pairs.eigenvalue[[0, 3]], rtol=1e-4)


def test_a_spent_krylov_space_leaves_nodes_without_weight() -> None:
    model = network("tied")
    got = hessian.hessian_density(model, images(), steps=99, probes=2, parameters=["unused", "a.bias"], progress=False)
    assert got.sizes["node"] == 8
    assert (got.weight.values[:, -1] < 1e-20).all()
    np.testing.assert_allclose(got.weight.sum("node"), 1)


def test_densities_and_traces_refuse_too_little() -> None:
    model, data = network("mlp"), images()
    with pytest.raises(ValueError, match="steps is 0; it must be at least 1"):
        hessian.hessian_density(model, data, steps=0)
    with pytest.raises(ValueError, match="probes is 1; a standard error needs at least 2"):
        traces.hessian_trace(model, data, probes=1)


@pytest.mark.parametrize("kind", ["eigenpairs", "density"])
def test_a_spectrum_that_was_interrupted_repeats_no_product_and_keeps_none_in_the_end(
    kind: str, kept_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(**how: bool) -> xr.Dataset:
        if kind == "eigenpairs":
            return hessian.hessian_eigenpairs(model, data, 2, progress=False, **how)
        return hessian.hessian_density(model, data, steps=6, probes=2, progress=False, **how)

    model, data = network("mlp"), images()
    whole = found(cache=False)
    stop, taken, multiply = 8, 0, HessianOperator.__call__

    def counted(operator: HessianOperator, vector: Tensor) -> Tensor:
        nonlocal taken
        if taken == stop:
            raise KeyboardInterrupt
        taken += 1
        return multiply(operator, vector)

    monkeypatch.setattr(HessianOperator, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        found()
    (place,) = store.shelves("spectra")
    assert list(place.folder.glob("*-part-*"))
    stop = -1
    xr.testing.assert_identical(found(), whole)
    assert taken == whole.attrs.get("products", 12)
    assert not list(place.folder.glob("*-part-*"))


def test_products_of_a_model_that_answered_otherwise_are_not_gone_on_from(
    kept_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Net(nn.Linear):
        scale = 1.0

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1)) * self.scale

    x, y = images()
    model, taken, multiply = Net(x[0].numel(), 4).double(), 0, HessianOperator.__call__

    def stopped(operator: HessianOperator, vector: Tensor) -> Tensor:
        nonlocal taken
        taken += 1
        if taken == 4:
            raise KeyboardInterrupt
        return multiply(operator, vector)

    with monkeypatch.context() as patch:
        patch.setattr(HessianOperator, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            hessian.hessian_eigenpairs(model, (x, y), 1, progress=False)
    Net.scale = 2.0
    fresh = hessian.hessian_eigenpairs(model, (x, y), 1, progress=False, cache=False)
    xr.testing.assert_identical(hessian.hessian_eigenpairs(model, (x, y), 1, progress=False), fresh)
