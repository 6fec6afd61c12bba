import math

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from landscape_utils.engine import space
from landscape_utils.landscape import hessian_operator
from landscape_utils.landscape.hessian_operator import HessianOperator
from tests.unit.landscape.conftest import BUILDERS, dense, images, matrix, network, quiet


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


def test_a_bar_guesses_how_many_products_are_left_as_the_ratio_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[tqdm] = []
    monkeypatch.setattr(hessian_operator, "tqdm", lambda **how: bars.append(tqdm(**how)) or bars[0])
    with hessian_operator.products_bar("x", None, True, 1e-6) as tick:
        totals = []
        for i in range(4):
            tick(i, [math.inf, 1.0, 1.0, 1e-2][i])
            totals.append(bars[0].total)
    assert totals == [None, None, None, 8]  # 2 decades in the two products since the first ratio: 4 more
