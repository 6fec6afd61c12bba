import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import engine, evaluate, shadow, space
from landscape_utils.kit import store
from landscape_utils.training.models import build_model

NETWORKS = {"mlp": {}, "vgg11": {"width": 0.25}, "resnet8": {}}
SHAPE = (3, 16, 16)


def network(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Build a model whose BatchNorm has seen data."""
    torch.manual_seed(0)
    model = build_model(name, input_shape=SHAPE, classes=4, **NETWORKS[name]).to(dtype)
    model(torch.randn(40, *SHAPE, dtype=dtype))
    return model


def images(order: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw 48 images of classes 0, 1 and 3 (class 2 is missing), in some order."""
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(48, *SHAPE, generator=generator, dtype=dtype), torch.tensor([0, 1, 3]).repeat(16)
    shuffled = torch.randperm(48, generator=torch.Generator().manual_seed(order)) if order else torch.argsort(y)
    return x[shuffled], y[shuffled]


def plain(
    model: nn.Module, data: tuple[torch.Tensor, torch.Tensor], weights: torch.Tensor, bn: engine.BnHandling
) -> dict[str, Any]:
    """Load a point's weights into a copy of the model and look at every example: what anyone would write."""
    moved, (x, y) = copy.deepcopy(model), data
    nn.utils.vector_to_parameters(weights, moved.parameters())
    if bn == "update" and len(x) > shadow.TOGETHER:
        shuffled = x[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
        update_bn(shuffled.split(shadow.NORM_BATCH), moved)
    moved.eval()
    for module in moved.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(bn == "update" and len(x) <= shadow.TOGETHER)
    with torch.no_grad():
        logits = moved(x)
    losses, right = F.cross_entropy(logits, y, reduction="none"), logits.argmax(1) == y
    by_class = [(losses[y == c].mean().item(), right[y == c].double().mean().item()) for c in range(4)]
    return {
        "loss": losses.mean().item(),
        "mistake_rate": 1 - right.double().mean().item(),
        "class_loss": [a for a, _ in by_class],
        "recall": [b for _, b in by_class],
    }


@pytest.mark.parametrize(("bn", "together"), [("keep", True), ("update", True), ("update", False)])
@pytest.mark.parametrize(("dtype", "tolerance", "order"), [(torch.float64, 1e-10, 0), (torch.float32, 1e-5, 1)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_surface_equals_the_plain_loop(
    name: str,
    dtype: torch.dtype,
    tolerance: float,
    order: int,
    bn: engine.BnHandling,
    together: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadow, "TOGETHER", shadow.TOGETHER if together else 0)
    model, data = network(name, dtype), images(order, dtype)
    d1, d2 = (space.normalise(space.gaussian_direction(model, seed=s), model, "filter") for s in (1, 2))
    got = evaluate.surface(model, data, d1, d2, span=0.4, points=3, bn=bn, progress=False)
    for i, j in ((0, 0), (1, 1), (2, 1), (0, 2)):
        point = got.isel(lam1=i, lam2=j)
        weights = space.flatten(model) + float(point.lam1) * d1 + float(point.lam2) * d2
        for variable, expected in plain(model, data, weights, bn).items():
            np.testing.assert_allclose(point[variable], expected, rtol=tolerance, atol=1e-12, err_msg=variable)


@pytest.mark.parametrize("bn", ["keep", "update"])
def test_the_order_of_the_data_changes_nothing_but_what_batchnorm_is_given(bn: engine.BnHandling) -> None:
    model = network("resnet8")
    d = space.gaussian_direction(model) * 0.02
    ordered, mixed = (
        evaluate.curve(model, images(order), d, [0.5], bn=bn, progress=False)["class_loss"] for order in (0, 1)
    )
    # 48 examples are a single batch: its mean and variance do not know an order.
    np.testing.assert_allclose(mixed, ordered, rtol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_curve_is_a_row_of_the_surface(name: str) -> None:
    model, data = network(name), images()
    d1, d2 = (space.gaussian_direction(model, seed=s) * 0.02 for s in (1, 2))
    plane = evaluate.surface(model, data, d1, d2, points=3, progress=False)
    line = evaluate.curve(model, data, d1, [-1, 0, 1], progress=False)
    for variable in ("loss", "mistake_rate", "class_loss", "recall"):
        np.testing.assert_allclose(line[variable], plane[variable].sel(lam2=0), rtol=1e-10)
    assert line.attrs["norm_1"] == pytest.approx(float(d1.norm()))


def test_the_origin_can_be_any_other_point() -> None:
    model, data = network("mlp"), images()
    d = space.gaussian_direction(model) * 0.02
    moved = evaluate.curve(model, data, d, [0, 1], origin=space.flatten(model) + d, progress=False)
    np.testing.assert_allclose(moved.loss, evaluate.curve(model, data, d, [1, 2], progress=False).loss, rtol=1e-10)


def test_the_callers_model_is_as_before_also_after_an_interrupt() -> None:
    model, data = network("resnet8", torch.float32), images(dtype=torch.float32)
    model.train()
    model.get_parameter("conv1.weight").requires_grad_(False)
    before, grads = copy.deepcopy(model.state_dict()), [p.grad for p in model.parameters()]
    d = space.gaussian_direction(model)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    for bn in ("keep", "update"):
        with pytest.raises(KeyboardInterrupt):
            evaluate.surface(model, data, d, d, points=5, bn=bn, progress=interrupt)
        evaluate.curve(model, data, d, [0, 1], bn=bn, progress=False)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert [p.grad for p in model.parameters()] == grads
    assert [p.requires_grad for p in model.parameters()][:2] == [False, True]
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_training_goes_on_bit_for_bit_beside_an_evaluation() -> None:
    def losses(looking: bool) -> list[float]:
        model, (x, y) = network("resnet8", torch.float32), images(dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        found = []
        for _ in range(3):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            if looking:
                evaluate.curve(model, (x, y), space.gaussian_direction(model), [0, 1], bn="update", progress=False)
            optimizer.step()
            found.append(loss.item())
        return found

    assert losses(looking=True) == losses(looking=False)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    """Note every point that is really evaluated."""
    seen: list[tuple[float, ...]] = []
    at = engine.Engine.at

    def noting(self: engine.Engine, coordinates: tuple[float, ...]) -> engine.Sums:
        seen.append(tuple(coordinates))
        return at(self, coordinates)

    monkeypatch.setattr(engine.Engine, "at", noting)
    return seen


def test_coarse_grids_come_first_and_hold_the_same_numbers() -> None:
    model, data = network("mlp"), images()
    d1, d2 = (space.gaussian_direction(model, seed=s) * 0.02 for s in (1, 2))
    grids = list(evaluate.refine(model, data, d1, d2, points=6, progress=False))
    assert [dict(g.sizes)["lam1"] for g in grids] == [2, 3, 5, 6]
    for grid in grids:
        xr.testing.assert_identical(grid.loss, grids[-1].loss.sel(lam1=grid.lam1, lam2=grid.lam2))


def test_an_interrupted_or_refined_grid_computes_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network("mlp"), images()
    d1, d2 = (space.gaussian_direction(model, seed=s) * 0.02 for s in (1, 2))
    seen = counted(monkeypatch)

    def stop(done: int, total: int) -> None:
        assert total == 25
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.surface(model, data, d1, d2, points=5, progress=stop)
    assert len(seen) == 7
    whole = evaluate.surface(model, data, d1, d2, points=5, progress=False)
    assert len(seen) == len(set(seen)) == 25
    finer = evaluate.surface(model, data, d1, d2, points=9, progress=False)
    assert len(seen) == len(set(seen)) == 81
    xr.testing.assert_identical(finer.loss.isel(lam1=slice(None, None, 2), lam2=slice(None, None, 2)), whole.loss)
    evaluate.surface(model, data, d1, d2, points=5, progress=False, cache=False)
    assert len(seen) == 81 + 25


@pytest.mark.parametrize("bn", ["keep", "update"])
def test_evaluating_gives_any_places_the_numbers_of_the_plain_loop(bn: engine.BnHandling) -> None:
    model, data = network("resnet8"), images()
    before = copy.deepcopy(model.state_dict())
    d1, d2 = (space.normalise(space.gaussian_direction(model, seed=s), model, "filter") for s in (1, 2))
    places = np.array([[0.3, -0.2], [0.0, 0.0], [-0.4, 0.1], [0.3, -0.2], [0.0, 0.25]])
    with evaluate.evaluating(model, data, [d1, d2], len(places), bn=bn) as at:
        got = [at(places[:3]), at(places[3:])]
    assert [part.place.values.tolist() for part in got] == [[0, 1, 2], [0, 1]]
    for i, (first, second) in enumerate(places):
        point = got[i // 3].isel(place=i % 3)
        weights = space.flatten(model) + first * d1 + second * d2
        for variable, expected in plain(model, data, weights, bn).items():
            np.testing.assert_allclose(point[variable], expected, rtol=1e-10, atol=1e-12, err_msg=variable)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_evaluating_gives_what_curve_gives() -> None:
    model, data = network("mlp"), images()
    d, origin = space.gaussian_direction(model), 2 * space.flatten(model)
    how: evaluate.Options = {"normalisation": "layer", "leave_out_1d": True, "origin": origin, "cache": False}
    how["progress"] = False
    line = evaluate.curve(model, data, d, [-0.5, 0, 0.2], **how)
    with evaluate.evaluating(model, data, [d], 3, **how) as at:
        got = at(np.array([[0.2], [-0.5], [0.0]])).isel(place=[1, 2, 0])
    xr.testing.assert_allclose(line, got.rename(place="lam").assign_coords(lam=line.lam), rtol=1e-10)
    assert got.attrs == line.attrs


def test_where_one_only_looks_no_point_is_computed() -> None:
    model, data = network("mlp"), images()
    d = space.gaussian_direction(model)

    def walk(points: list[float]) -> xr.Dataset:
        return evaluate.curve(model, data, d, points, progress=False)

    whole = walk([0, 1])
    with store.only_looking():
        xr.testing.assert_equal(walk([0, 1]), whole)
        with pytest.raises(store.NotKeptError):
            walk([0, 1, 2])


def test_a_place_is_computed_once_also_by_the_next_search_or_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network("mlp"), images()
    d = space.gaussian_direction(model) * 0.02
    seen = counted(monkeypatch)
    found: list[np.ndarray] = []

    def search(*places: float, cache: bool = True) -> None:
        with evaluate.evaluating(model, data, [d], 4, cache=cache) as at:
            found.extend(at(np.array([[place], [0.3]])).loss.values for place in places)
            if 2.0 in places:
                raise KeyboardInterrupt

    search(0.1 + 0.2, 0.0, -0.0)
    assert seen == [(0.3,), (0.0,)]
    with pytest.raises(KeyboardInterrupt):
        search(1.0, 2.0)
    assert seen[2:] == [(1.0,), (2.0,)]
    line = evaluate.curve(model, data, d, [0, 0.3, 1, 2, 3], progress=False)
    assert seen[4:] == [(3.0,)]
    search(3.0, 0.0)
    assert len(seen) == 5
    assert [tuple(pair) for pair in found] == [(line.loss[i], line.loss[1]) for i in (1, 0, 0, 2, 3, 4, 0)]
    search(0.0, 0.0, cache=False)
    assert seen[5:] == [(0.0,), (0.3,)]


def test_a_changed_forward_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(x)

    torch.manual_seed(0)
    model, data = Net(), (torch.randn(20, 4), torch.arange(20) % 3)
    d = space.gaussian_direction(model)
    before = evaluate.curve(model, data, d, [0, 1], progress=False)
    monkeypatch.setattr(Net, "forward", lambda self, x: self.layer(x).tanh())
    after = evaluate.curve(model, data, d, [0, 1], progress=False)
    assert not np.allclose(before.loss, after.loss)


def test_what_diverges_stays_and_is_counted() -> None:
    model, data = network("mlp", torch.float32), images(dtype=torch.float32)
    d = space.gaussian_direction(model)
    got = evaluate.curve(model, data, d, [-1e30, 0, 1e30], progress=False)
    assert np.isnan(got.loss.values[[0, 2]]).all()
    assert np.isnan(got.mistake_rate.values[[0, 2]]).all()
    assert np.isfinite(got.loss.values[1])
    assert got.attrs["nonfinite_points"] == 2
    again = evaluate.curve(model, data, d, [-1e30, 0, 1e30], progress=False)
    xr.testing.assert_identical(got, again)


def test_an_infinite_loss_is_no_nan() -> None:
    model = nn.Linear(1, 2, bias=False)
    model.weight.data.zero_()
    data = (torch.ones(2, 1), torch.tensor([0, 1]))
    got = evaluate.curve(model, data, torch.tensor([-3e38, 3e38]), [0, 1], progress=False)
    assert np.isposinf(got.loss.values[1])
    assert got.mistake_rate.values[1] == 0.5
    assert got.attrs["nonfinite_points"] == 1


def test_bf16_tells_its_error_against_float32() -> None:
    model, data = network("mlp", torch.float32), images(dtype=torch.float32)
    d1, d2 = (space.gaussian_direction(model, seed=s) * 0.01 for s in (1, 2))
    half = evaluate.surface(model, data, d1, d2, points=3, precision="bf16", progress=False)
    full = evaluate.surface(model, data, d1, d2, points=3, progress=False)
    assert 0 < float(abs(half.loss / full.loss - 1).max()) < 0.02
    assert half.attrs["bf16_points_checked"] == evaluate.CHECKED
    assert 0 < half.attrs["bf16_relative_loss_error"] <= float(abs(half.loss / full.loss - 1).max()) * (1 + 1e-9)
    assert "bf16_relative_loss_error" not in full.attrs


def test_classes_are_named_by_the_data_or_the_caller(small: Dataset) -> None:
    model = build_model("mlp", input_shape=(3, 8, 8), classes=3)
    d = space.gaussian_direction(model)
    line = evaluate.curve(model, small.train, d, [0], progress=False)
    assert list(line["class"].values) == ["class0", "class1", "class2"]
    assert line.examples.values.tolist() == [20, 20, 20]
    line = evaluate.curve(model, tuple(small.train), d, [0], classes=("a", "b", "c"), progress=False)
    assert list(line["class"].values) == ["a", "b", "c"]


def searched(model: nn.Module, data: Any, direction: torch.Tensor, **how: Any) -> None:
    with evaluate.evaluating(model, data, [direction], 1, **how):
        pass


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, d: evaluate.curve(m, x, d, [1, 0]), "lambdas must be finite numbers that increase"),
        (lambda m, x, d: evaluate.curve(m, x, d, []), "one at least"),
        (lambda m, x, d: evaluate.curve(m, x, d, [0, np.nan]), "finite"),
        (lambda m, x, d: evaluate.curve(m, x, d[:-1], [0]), "direction has shape"),
        (lambda m, x, d: evaluate.surface(m, x, d, d, span=0), "increasing ranges"),
        (lambda m, x, d: evaluate.surface(m, x, d, d, points=0), "one point at least"),
        (lambda m, x, d: evaluate.curve(m, (x[0], x[1] + 2), d, [0]), "targets must be 0 to 2"),
        (lambda m, x, d: searched(m, x, d[:-1]), "direction has shape"),
        (lambda m, x, d: searched(m, (x[0], x[1] + 2), d), "targets must be 0 to 2"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(call: Callable[..., object], message: str) -> None:
    model, data = nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 3)
    with pytest.raises(ValueError, match=message):
        call(model, data, torch.ones(15))


@pytest.mark.parametrize("call", [lambda m, x, d, **how: evaluate.curve(m, x, d, [0], **how), searched])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"bn": "reset"}, "unknown bn 'reset'"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"classes": ("a",)}, "1 names for 3; give one name each"),
        ({"normalisation": "row"}, "unknown normalisation 'row'"),
        ({"normalization": "filter"}, "unknown option 'normalization'"),
    ],
)
def test_unknown_options_are_refused(call: Callable[..., object], how: dict[str, Any], message: str) -> None:
    model, data = nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 3)
    with pytest.raises(ValueError, match=message):
        call(model, data, torch.ones(15), **how)


def test_a_grid_that_is_looked_at_does_not_keep_others_waiting() -> None:
    model, data = network("mlp"), images()
    d1, d2 = (space.gaussian_direction(model, seed=s) * 0.02 for s in (1, 2))
    grids = evaluate.refine(model, data, d1, d2, points=3, progress=False)
    coarse = next(grids)
    whole = evaluate.surface(model, data, d1, d2, points=3, progress=False)
    xr.testing.assert_identical(evaluate.last(grids).loss, whole.loss)
    xr.testing.assert_identical(coarse.loss, whole.loss.sel(lam1=coarse.lam1, lam2=coarse.lam2))


def test_an_activation_that_changed_behind_a_zero_head_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
            nn.init.zeros_(self.head.weight)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.body(x).relu())

    torch.manual_seed(0)
    model, data = Net(), (torch.randn(20, 4), torch.arange(20) % 3)
    d = space.gaussian_direction(model)
    before = evaluate.curve(model, data, d, [0, 1], progress=False)
    monkeypatch.setattr(Net, "forward", lambda self, x: self.head(self.body(x).tanh()))
    after = evaluate.curve(model, data, d, [0, 1], progress=False)
    assert not np.allclose(before.loss, after.loss)


def test_the_last_batch_for_batchnorm_never_holds_one_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "TOGETHER", 0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    data = (torch.randn(shadow.NORM_BATCH + 1, 4), torch.arange(shadow.NORM_BATCH + 1) % 3)
    got = evaluate.curve(model, data, space.gaussian_direction(model), [0, 1], bn="update", progress=False)
    assert np.isfinite(got.loss).all()


def test_global_normalisation_takes_the_norm_of_the_origin() -> None:
    model, data = network("mlp"), images()
    d, origin = space.gaussian_direction(model), 3 * space.flatten(model)
    got = evaluate.curve(model, data, d, [0], origin=origin, normalisation="global", progress=False)
    assert got.attrs["norm_1"] == pytest.approx(got.attrs["weight_norm"]) == pytest.approx(float(origin.norm()))
