import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

from landscape_utils.engine import space
from landscape_utils.kit import store
from landscape_utils.landscape import hessian, hessian_operator, lanczos, traces
from landscape_utils.landscape.hessian_operator import HessianOperator


class Tied(nn.Module):
    """Uses one weight twice, and has a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.b.weight = self.a.weight
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x.flatten(1)[:, :6]).tanh()).tanh())


class Attention(nn.Module):
    """Has a kernel whose fast versions have no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(x.flatten(2)[..., :4]).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.ReLU(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


def conv() -> nn.Module:
    first = [nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    second = [nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 4)]
    return nn.Sequential(*first, *second)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(32, 3), nn.ReLU(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)
    ),
    "conv": conv,
    "tied": Tied,
    "attention": Attention,
}


def network(name: str) -> nn.Module:
    """Build a float64 classifier of 2x4x4 images whose BatchNorm has seen data, in training mode."""
    torch.manual_seed(3)
    model = BUILDERS[name]().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    for _ in range(5):
        model(1 + 2 * torch.randn(40, 2, 4, 4, dtype=torch.float64))
    return model.train()


def images(count: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 2, 4, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(4, (count,), generator=generator)


def dense(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    """Differentiate the plain loss twice, shape (P, P)."""
    own = copy.deepcopy(model).eval()
    names = [name for name, _ in own.named_parameters()]

    def loss(weights: Tensor) -> Tensor:
        named = dict(zip(names, space.split(weights, own), strict=True))
        return F.cross_entropy(functional_call(own, named, (data[0],)), data[1])

    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(loss, space.flatten(own))


def matrix(operator: HessianOperator) -> Tensor:
    return torch.stack([operator(row) for row in torch.eye(operator.size, dtype=operator.dtype)])


def quiet(model: nn.Module, data: object, k: int = 5, **how: object) -> xr.Dataset:
    return hessian.hessian_eigenpairs(model, data, k, progress=False, **how)


# --- products --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [100, 7])
@pytest.mark.parametrize("name", BUILDERS)
def test_products_equal_the_dense_hessian(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian_operator, "CPU_BATCH", batch)
    model, data = network(name), images()
    want = dense(model, data)[::5]
    operator = HessianOperator(model, data)
    got = torch.stack([operator(row) for row in torch.eye(operator.size, dtype=torch.float64)[::5]])
    assert float((got - want).abs().max()) < 1e-8 * float(want.abs().max())


def test_an_expansion_equals_finite_differences_elsewhere() -> None:
    model, data = network("conv"), images()
    operator, v = HessianOperator(model, data), space.gaussian_direction(model, seed=1)
    at, step = operator.origin + 0.01 * space.gaussian_direction(model, seed=2), 1e-6
    got = operator.expand(v, at=at)
    ahead, behind = (operator.expand(v, at=at + s * v) for s in (step, -step))
    assert float(got.gradient @ v) == pytest.approx((ahead.loss - behind.loss) / (2 * step), rel=1e-6)
    torch.testing.assert_close(got.product, (ahead.gradient - behind.gradient) / (2 * step), rtol=1e-5, atol=1e-7)


def test_a_block_is_the_dense_hessians_block() -> None:
    model, data = network("conv"), images()
    whole = dense(model, data)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    index = dict(zip(sizes, torch.arange(sum(sizes.values())).split(list(sizes.values())), strict=True))
    for asked, names in ((["9", "0"], ["0.weight", "9.weight", "9.bias"]), ("1.bias", ["1.bias"])):
        operator = HessianOperator(model, data, parameters=asked)
        assert operator.names == names
        rows = torch.cat([index[name] for name in names])
        torch.testing.assert_close(matrix(operator), whole[rows][:, rows], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(operator.origin, space.flatten(model)[rows])


def test_a_tied_parameter_answers_to_all_its_names() -> None:
    model = network("tied")
    assert HessianOperator(model, images(), parameters="b").names == ["a.weight", "b.bias"]


def test_names_do_not_match_by_halves() -> None:
    with pytest.raises(ValueError, match="unknown layer or parameter 'hea'; the nearest valid names are: head"):
        HessianOperator(network("tied"), images(), parameters="hea")
    with pytest.raises(ValueError, match="names no layer"):
        HessianOperator(network("tied"), images(), parameters=[])


def test_frozen_and_unused_parameters_are_part_of_the_vector() -> None:
    model, data = network("tied"), images()
    want = dense(model, data)
    for p in model.parameters():
        p.requires_grad_(False)
    got = matrix(HessianOperator(model, data))
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-12)
    assert not got[:2].any()  # the unused one comes first
    assert not got[:, :2].any()


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
    assert store.shelves("spectra") == [] if fail else len(store.shelves("spectra")) == 1


def test_passes_are_of_bounded_size_whatever_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian_operator, "CPU_BATCH", 8)
    model, seen = network("mlp"), []
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    HessianOperator(model, images(100))(space.gaussian_direction(model))
    assert max(seen[2:]) <= 16  # the probe aside
    monkeypatch.setattr(hessian_operator, "EXAMPLE_VALUES", 12)
    operator, sizes = HessianOperator(network("mlp"), images(20)), []
    slope = operator._slope
    monkeypatch.setattr(operator, "_slope", lambda p, x, y: (sizes.append(len(x)), slope(p, x, y))[1])
    operator(operator.origin)
    assert sizes == [3] * 6 + [2]  # larger images come in smaller batches


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_graphs_are_kept_as_far_as_there_is_room_and_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian_operator, "CPU_BATCH", 8)
    model, data = network(name), images(40)
    vectors = [space.gaussian_direction(model, seed=s) for s in range(3)]
    without = HessianOperator(model, data)
    without._room = 0
    expected = [without(v) for v in vectors]
    assert not without._kept
    probe = HessianOperator(model, data)
    probe(vectors[0])
    assert len(probe._kept) == 5
    each = (hessian_operator.GRAPHS - probe._room) / 5
    for batches in (2, 5):
        operator, made = HessianOperator(model, data), []
        operator._room = int((batches + 0.5) * each)
        slope = operator._slope
        monkeypatch.setattr(operator, "_slope", lambda p, x, y: (made.append(len(x)), slope(p, x, y))[1])  # noqa: B023
        for v, want in zip(vectors, expected, strict=True):
            torch.testing.assert_close(operator(v), want, rtol=1e-12, atol=1e-12)
        assert len(operator._kept) == batches
        assert len(made) == 5 + 2 * (5 - batches)
    moved = operator.expand(vectors[0], at=operator.origin + 0.1)
    assert not torch.allclose(moved.product, expected[0])
    torch.testing.assert_close(operator(vectors[0]), expected[0], rtol=1e-12, atol=1e-12)


def test_a_loader_and_other_precisions_are_taken() -> None:
    model, data = network("conv"), images()
    loader = DataLoader(TensorDataset(*data), batch_size=7)
    v = space.gaussian_direction(model)
    want = HessianOperator(model, data)(v)
    torch.testing.assert_close(HessianOperator(model, loader)(v), want)
    single = HessianOperator(model.float(), data)(v)
    assert single.dtype == torch.float32
    double = HessianOperator(model, data, dtype=torch.float64)(v)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, want, rtol=1e-4, atol=1e-4)  # the weights were rounded
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    assert next(model.parameters()).dtype == model[1].running_mean.dtype == torch.float32


def test_products_are_taken_also_where_the_caller_takes_no_gradients() -> None:
    model, data = network("conv"), images()
    operator, v = HessianOperator(model, data), space.gaussian_direction(model)
    with torch.no_grad():
        assert torch.equal(operator(v), operator(v))


def test_wrong_vectors_and_weights_are_refused() -> None:
    model, data = network("mlp"), images()
    with pytest.raises(ValueError, match=r"the vector has shape \(3,\); this Hessian's are flat, \(\d+,\)"):
        HessianOperator(model, data)(torch.ones(3))
    with torch.no_grad():
        model[1].weight[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        quiet(model, data)
    with pytest.raises(ValueError, match="targets must be 0 to 3"):
        HessianOperator(network("mlp"), (data[0], data[1] + 4))


# --- eigenpairs ------------------------------------------------------------------------------------------------


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


def extremal(a: Tensor, largest: int, smallest: int, **how: object) -> lanczos.Extremal:
    start = torch.randn(len(a), generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    how = {"tol": 1e-8, "max_products": 3000, "tick": lambda *_: None, **how}
    return lanczos.extremal_pairs(lambda v: a @ v, start, largest, smallest, **how)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(size=st.integers(1, 60), largest=st.integers(0, 4), smallest=st.integers(0, 4), seed=st.integers(0, 99))
def test_both_ends_of_any_symmetric_matrix(size: int, largest: int, smallest: int, seed: int) -> None:
    largest = max(1, min(largest, size))
    smallest = min(smallest, size - largest)
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    a = a + a.T
    found = extremal(a, largest, smallest, basis=max(20, size // 2))
    exact = torch.linalg.eigvalsh(a)
    want = torch.cat([exact.flip(0)[:largest], exact[:smallest]])
    torch.testing.assert_close(found.values, want, rtol=1e-7, atol=1e-7)
    true = (found.vectors @ a - found.values[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, true, rtol=1e-3, atol=1e-9)


def test_a_small_basis_restarts_and_finds_the_same() -> None:
    values = torch.cat([torch.linspace(-1, 1, 400), torch.tensor([1.2, 1.1, -1.2, -1.1])]).double()
    q = torch.linalg.qr(torch.randn(404, 404, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    a = q * values @ q.T
    whole, restarted = extremal(a, 3, 2, basis=404), extremal(a, 3, 2, basis=25)
    torch.testing.assert_close(restarted.values, torch.tensor([1.2, 1.1, 1, -1.2, -1.1]).double())
    torch.testing.assert_close(whole.values, restarted.values)
    assert float(restarted.ratios.max()) <= 1e-8
    assert whole.products < restarted.products < 3 * whole.products


def test_zeros_that_have_company_are_all_found() -> None:
    """A Hessian without negative curvature: one Krylov space sees a single one of its zero eigenvectors."""
    values = torch.cat([torch.zeros(200), torch.linspace(0.5, 4, 30)]).double()
    q = torch.linalg.qr(torch.randn(230, 230, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    found = extremal(q * values @ q.T, 2, 3)
    torch.testing.assert_close(found.values[2:], torch.zeros(3).double(), rtol=0, atol=1e-7)
    model, data = nn.Sequential(nn.Flatten(), nn.Linear(32, 4)).double(), images()
    np.testing.assert_allclose(quiet(model, data, 4).eigenvalue[4:], 0, atol=1e-7)


def test_eigenvalues_that_are_there_several_times_are_all_found() -> None:
    found = extremal(torch.diag(torch.tensor([3.0, 3, 2, 1, 1] + [1.5] * 50)).double(), 3, 2)
    torch.testing.assert_close(found.values, torch.tensor([3.0, 3, 2, 1, 1]).double())


def test_a_zero_operator_has_zeros_only() -> None:
    found = extremal(torch.zeros(30, 30, dtype=torch.float64), 2, 2)
    assert not found.values.any()
    assert not found.ratios.any()


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


def test_a_spent_krylov_space_leaves_nodes_without_weight() -> None:
    model = network("tied")
    got = hessian.hessian_density(model, images(), steps=99, probes=2, parameters=["unused", "a.bias"], progress=False)
    assert got.sizes["node"] == 8
    assert (got.weight.values[:, -1] < 1e-20).all()
    np.testing.assert_allclose(got.weight.sum("node"), 1)


def test_traces_lie_in_their_stated_intervals() -> None:
    model, data = network("conv"), images()
    h = dense(model, data)
    operator = HessianOperator(model, data)
    both = traces.trace_estimates(operator, operator.size, 60, progress=False)
    assert both[0].value == traces.hessian_trace(model, data, probes=60, progress=False).value
    for got, want in zip(both, (h.trace(), (h @ h).trace()), strict=True):
        assert got.low < float(want) < got.high
        assert got.standard_error == pytest.approx(got.draws.std(ddof=1) / 60**0.5)
        assert got.high - got.value == pytest.approx(2.001 * got.standard_error, rel=1e-3)


def test_the_stated_intervals_hold_the_truth_as_often_as_they_say() -> None:
    a = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = a + a.T
    inside = []
    for seed in range(400):
        first, second = traces.trace_estimates(lambda v: a @ v, 30, 20, seed=seed, progress=False)
        inside.append([e.low < t < e.high for e, t in ((first, a.trace()), (second, (a @ a).trace()))])
    shares = np.mean(inside, axis=0)
    assert (shares > 0.92).all()
    assert (shares < 0.98).all()


def test_densities_and_traces_refuse_too_little() -> None:
    model, data = network("mlp"), images()
    with pytest.raises(ValueError, match="steps is 0; it must be at least 1"):
        hessian.hessian_density(model, data, steps=0)
    with pytest.raises(ValueError, match="probes is 1; a standard error needs at least 2"):
        traces.hessian_trace(model, data, probes=1)
