import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate, space
from landscape_utils.engine.class_gradients import class_gradients
from landscape_utils.interference import ego
from tests.unit.engine.test_class_gradients import NETWORKS, distance, images, network, plain_gradient


@pytest.mark.parametrize("name", NETWORKS)
def test_the_callers_model_is_as_before(name: str) -> None:
    model, data = network(name), images()
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, float(i)) if i % 2 else None
    next(model.parameters()).requires_grad_(False)
    next(model.children()).eval()
    before, asked = copy.deepcopy(model.state_dict()), [p.requires_grad for p in model.parameters()]
    grads = [None if p.grad is None else (p.grad, p.grad.clone()) for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    got = class_gradients(model, data)
    ego.ego_surface(model, data, 0, 1, points=3, progress=False)
    assert distance(got[1], plain_gradient(model, data, 1)) < 1e-10  # that of the frozen parameter too
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == asked
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert p.grad is (grad and grad[0])
        assert grad is None or torch.equal(grad[0], grad[1])


def plain_point(model: nn.Module, data: Labelled, weights: Tensor) -> dict[str, object]:
    """Load weights into a copy of the model and look at every example."""
    own = copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(weights, own.parameters())
    with torch.no_grad():
        logits = own(data.inputs)
    losses = F.cross_entropy(logits, data.targets, reduction="none")
    right = (logits.argmax(1) == data.targets).double()
    mine = [data.targets == c for c in range(4)]
    return {
        "loss": losses.mean().item(),
        "mistake_rate": 1 - right.mean().item(),
        "class_loss": [losses[m].mean().item() for m in mine],
        "recall": [right[m].mean().item() for m in mine],
    }


def assert_points(got: xr.Dataset, model: nn.Module, data: Labelled, g1: Tensor, g2: Tensor) -> None:
    w = space.flatten(model)
    for i, j in itertools.product(range(got.sizes["theta1"]), range(got.sizes["theta2"])):
        point = got.isel(theta1=i, theta2=j)
        moved = w - (float(point.theta1) * g1 + float(point.theta2) * g2)
        for variable, expected in plain_point(model, data, moved).items():
            dims = ("class",) if variable in ("class_loss", "recall") else ()
            assert point[variable].dims == dims
            np.testing.assert_allclose(point[variable], expected, rtol=1e-10, atol=1e-12, err_msg=variable)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_ego_surface_equals_the_plain_loop(name: str) -> None:
    model, data = network(name), images()
    g1, g2 = (plain_gradient(model, data, c) for c in (3, 1))
    got = ego.ego_surface(model, data, "dog", "car", sigma=2.0, points=5, progress=False)
    assert got.theta1.values.tolist() == got.theta2.values.tolist() == [-2, -1, 0, 1, 2]
    assert_points(got, model, data, g1, g2)


def test_a_surface_knows_its_classes_and_how_far_it_walks() -> None:
    model, data = network("dense"), images()
    g1, g2, w = plain_gradient(model, data, 3), plain_gradient(model, data, 1), space.flatten(model)
    got = ego.ego_surface(model, data, 3, "car", sigma=0.5, points=3, progress=False)
    assert {k: got.attrs[k] for k in ("first", "second", "sigma")} == {
        "first": "dog",
        "second": "automobile",
        "sigma": 0.5,
    }
    cosine = float(g1 @ g2 / (g1.norm() * g2.norm()))
    for key, want in {"cosine": cosine, "norm_1": g1.norm(), "norm_2": g2.norm(), "weight_norm": w.norm()}.items():
        assert got.attrs[key] == pytest.approx(float(want), rel=1e-10)
    for axis, g in ((1, g1), (2, g2)):
        walked = got[f"walked{axis}"]
        assert walked.dims == (f"theta{axis}",)
        assert walked.attrs == {"units": "share of the weights' norm"}
        scale = float(g.norm() / w.norm())
        np.testing.assert_allclose(walked, np.array([-0.5, 0, 0.5]) * scale, rtol=1e-10)
    assert got.attrs["norm_1"] != pytest.approx(got.attrs["norm_2"], rel=1e-3)  # so that the axes cannot be mixed up


def test_pairs_without_names_are_called_by_their_indices() -> None:
    model, data = network("dense"), images()
    got = ego.ego_surface(model, tuple(data), 3, 1, points=3, progress=False)
    assert (got.attrs["first"], got.attrs["second"]) == ("3", "1")
    named = ego.ego_surface(model, data, "dog", "car", points=3, progress=False)
    np.testing.assert_array_equal(got.loss, named.loss)


def test_a_step_along_a_gradient_lowers_its_own_class_first() -> None:
    model, data = network("dense"), images()
    got = ego.ego_surface(model, data, "cat", "dog", sigma=1e-3, points=3, progress=False).class_loss
    cat, dog = (got.sel({"class": name}) for name in ("cat", "dog"))
    assert (np.diff(cat.sel(theta2=0)) < 0).all()
    assert (np.diff(dog.sel(theta1=0)) < 0).all()


def test_gradients_that_are_given_are_walked_along(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network("dense"), images()
    given = tuple(space.gaussian_direction(model, seed=s) for s in (1, 2))
    monkeypatch.setattr(ego, "class_gradients", lambda *args: pytest.fail("taken again"))
    got = ego.ego_surface(model, data, 0, 1, points=3, gradients=given, progress=False)
    assert_points(got, model, data, *given)
    assert got.attrs["cosine"] == pytest.approx(float(F.cosine_similarity(*given, 0)))


def test_a_normalised_unit_walks_the_weights_norm() -> None:
    model, data, w = network("dense"), images(), space.flatten(network("dense"))
    g1, g2 = (plain_gradient(model, data, c) for c in (0, 1))
    got = ego.ego_surface(model, data, 0, 1, points=3, normalisation="global", progress=False)
    assert_points(got, model, data, g1 * (w.norm() / g1.norm()), g2 * (w.norm() / g2.norm()))
    for axis in (1, 2):
        assert got.attrs[f"norm_{axis}"] == pytest.approx(got.attrs["weight_norm"], rel=1e-10)
        np.testing.assert_allclose(got[f"walked{axis}"], got[f"theta{axis}"], rtol=1e-10)
    assert got.attrs["cosine"] == pytest.approx(float(F.cosine_similarity(g1, g2, 0)))


def test_coarse_ego_grids_come_first_and_hold_the_same_numbers() -> None:
    model, data = network("dense"), images()
    grids = list(ego.refine_ego(model, data, "cat", "dog", sigma=0.4, points=6, progress=False))
    assert [(g.sizes["theta1"], g.sizes["theta2"]) for g in grids] == [(2, 2), (3, 3), (5, 5), (6, 6)]
    whole = ego.ego_surface(model, data, "cat", "dog", sigma=0.4, points=6, progress=False)
    xr.testing.assert_identical(grids[-1], whole)
    for grid in grids:
        xr.testing.assert_equal(grid, whole.sel(theta1=grid.theta1, theta2=grid.theta2))
        assert grid.attrs["first"] == "cat"
        assert float(grid.walked1[-1]) == pytest.approx(0.4 * grid.attrs["norm_1"] / grid.attrs["weight_norm"])


def test_two_ego_models_make_an_interference_model() -> None:
    w, g1, g2 = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0])
    assert ego.ego_weights(w, g1, 0.5).tolist() == [0.5, 2.0]
    assert ego.interference_weights(w, g1, g2, 2.0, -1.0).tolist() == [2.0, 3.0]


def test_walked_coordinates_follow_from_the_norms() -> None:
    grid = xr.Dataset(coords={"theta1": [-1.0, 1.0], "theta2": [0.0]}, attrs={"norm_1": 3.0, "norm_2": 5.0})
    got = ego.walked(grid.assign_attrs(weight_norm=2.0))
    assert got.walked1.values.tolist() == [-1.5, 1.5]
    assert ego.walked(grid.assign_coords(theta2=[2.0]).assign_attrs(weight_norm=2.0)).walked2.values.tolist() == [5.0]


def test_the_window_is_the_geometric_mean_of_all_ratios() -> None:
    one, two = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    one.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    two.weight.data.copy_(torch.tensor([[0.0, 2.0]]))
    models = [(one, torch.tensor([[1.0, 0.0], [0.0, 10.0]])), (two, torch.tensor([[0.0, 0.1]]))]
    ratios = (5 / 1, 5 / 10, 2 / 0.1)
    assert ego.window(models) == pytest.approx(0.1 * float(np.prod(ratios)) ** (1 / 3))
    assert ego.window(models, 0.3) == pytest.approx(3 * ego.window(models))


def test_at_the_windows_edge_a_single_class_has_walked_the_share() -> None:
    model, data = network("dense"), images()
    sigma = ego.window([(model, class_gradients(model, data, ["cat"]))], 0.2)
    got = ego.ego_surface(model, data, "cat", "dog", sigma=sigma, points=3, progress=False)
    assert float(got.walked1[-1]) == pytest.approx(0.2)


@pytest.mark.parametrize("sigma", [0.0, -0.1, np.nan, np.inf])
def test_a_window_has_a_width(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma is .*; it must be above 0"):
        ego.ego_surface(network("dense"), images(), 0, 1, sigma=sigma, progress=False)


def test_unknown_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network("dense"), images()
    monkeypatch.setattr(evaluate, "Engine", lambda *args, **how: pytest.fail("evaluated"))
    for call in (
        lambda which: class_gradients(model, data, [which]),
        lambda which: ego.ego_surface(model, data, "cat", which, points=3, progress=False),
    ):
        with pytest.raises(ValueError, match="unknown class 'dgo'; the nearest valid names are: dog"):
            call("dgo")
        for index in (4, -1):
            with pytest.raises(ValueError, match=rf"class index {index} is out of range; there are 4 classes, 0 to 3"):
                call(index)
