"""MFTMA agrees with the method written out one vector at a time, and with what theory says."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine.features import class_manifolds
from landscape_utils.memorization import manifolds
from landscape_utils.memorization.centres import centre_structure
from landscape_utils.memorization.manifolds import mftma
from tests.unit.memorization.conftest import clouds, same
from tests.unit.memorization.test_anchors import slow_anchor

SCALARS = ["capacity", "radius", "dimension", "centre_correlation", "rank"]


def gaussian(drawn: Sequence[np.ndarray], n: int = 15, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(min(cloud.shape) + 1, n)) for cloud in drawn]


def written_out(drawn: list[np.ndarray], t_vectors: list[np.ndarray], kappa: float) -> dict[str, np.ndarray]:
    """Follow the published steps literally, one manifold and one vector at a time."""
    middle = np.concatenate(drawn).mean(0)
    centres = np.stack([cloud.mean(0) for cloud in drawn])
    basis = centre_structure(torch.from_numpy(centres)).basis.numpy()
    numbers = []
    for cloud, t in zip(drawn, t_vectors, strict=True):
        rest = cloud - middle
        rest = rest - rest @ basis @ basis.T
        centre = rest.mean(0)
        vertices = (rest - centre) / np.linalg.norm(centre)
        if vertices.shape[1] > len(vertices):
            vertices = np.linalg.qr(vertices.T)[1].T
        anchors = np.stack([slow_anchor(vertices, one, kappa) for one in t.T])
        along = (anchors * t[:-1].T).sum(1)
        norms = np.linalg.norm(anchors, axis=1)
        loads = np.maximum(t[-1] + along + kappa, 0) ** 2 / (1 + norms**2)
        directions = anchors / np.maximum(norms, 1e-300)[:, None]
        dimension = ((directions * t[:-1].T).sum(1) ** 2).mean()
        cosines = (directions * t[:-1].T).sum(1) / np.linalg.norm(t[:-1], axis=0)
        spread = np.linalg.norm(anchors - anchors.mean(0), axis=1)
        reference = (np.sqrt((spread**2).mean()), (len(t) - 1) * cosines.mean() ** 2)
        numbers.append((1 / loads.mean(), np.sqrt((norms**2).mean()), dimension, *reference))
    names = ("capacity", "radius", "dimension", "reference_radius", "reference_dimension")
    return dict(zip(names, np.array(numbers).T, strict=True))


KINDS = ["random", "correlated", "duplicates", "subspace", "one point", "unequal"]


@pytest.mark.parametrize(("features", "kappa"), [(30, 0.0), (30, 0.5), (6, 0.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_given_vectors_give_the_written_out_numbers(kind: str, features: int, kappa: float) -> None:
    drawn = clouds(kind, features=features)
    t_vectors = gaussian(drawn)
    want = written_out(drawn, t_vectors, kappa)
    got = mftma(drawn, kappa=kappa, t_vectors=t_vectors)
    published = mftma(drawn, kappa=kappa, t_vectors=t_vectors, convention="reference")
    for name in ("capacity", "radius", "dimension"):
        np.testing.assert_allclose(got[f"manifold_{name}"], want[name], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(published.manifold_capacity, want["capacity"], rtol=1e-6)
    for name in ("radius", "dimension"):
        np.testing.assert_allclose(published[f"manifold_{name}"], want[f"reference_{name}"], rtol=1e-6, atol=1e-9)
    assert float(got.capacity) == pytest.approx(1 / np.mean(1 / want["capacity"]), rel=1e-6)
    assert float(got.radius) == pytest.approx(want["radius"].mean(), rel=1e-6)
    assert float(got.dimension) == pytest.approx(want["dimension"].mean(), rel=1e-6)
    assert got.attrs["violation"] < 1e-10
    assert got.attrs["n_t"] == 15


@pytest.mark.parametrize(
    ("kind", "features", "convention"),
    [(kind, 30, how) for kind in ("correlated", "duplicates", "unequal") for how in ("theory", "reference")]
    + [("random", 6, "theory")],
)
def test_turned_moved_and_scaled_clouds_have_the_same_numbers(kind: str, features: int, convention: str) -> None:
    drawn = clouds(kind, features=features)
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(features, features)))[0]
    moved = [0.01 * cloud @ turn + 5 for cloud in drawn]
    same(mftma(drawn, n_t=30, convention=convention), mftma(moved, n_t=30, convention=convention))
    wider = [np.hstack([cloud, np.zeros((len(cloud), 40))]) for cloud in clouds(kind)]
    same(mftma(clouds(kind), n_t=30, convention=convention), mftma(wider, n_t=30, convention=convention))


def test_larger_clouds_have_larger_radius_and_less_capacity() -> None:
    """Points twice as far from their centres: radius doubles where the anchors are vertices, capacity falls."""
    drawn = clouds("random", count=6)
    wide = [cloud.mean(0) + 2 * (cloud - cloud.mean(0)) for cloud in drawn]
    small, large = mftma(drawn, rank=0), mftma(wide, rank=0)
    assert float(large.capacity) < float(small.capacity)
    assert float(small.radius) < float(large.radius) <= 2.2 * float(small.radius)
    assert float(large.centre_correlation) == pytest.approx(float(small.centre_correlation))


def test_vectors_in_the_axes_of_the_cloud_or_of_the_qr_say_the_same_but_for_sampling() -> None:
    drawn = clouds("random", points=8)
    ours = mftma(drawn, n_t=2000)
    theirs = mftma(drawn, t_vectors=gaussian(drawn, 2000))
    assert abs(float(ours.capacity - theirs.capacity)) < 3 * float(np.hypot(ours.capacity_error, theirs.capacity_error))


def test_the_stated_error_is_the_spread_over_seeds() -> None:
    drawn = clouds("random")
    several = [mftma(drawn, n_t=50, seed=seed) for seed in range(60)]
    spread = np.std([float(geo.capacity) for geo in several], ddof=1)
    assert spread == pytest.approx(float(several[0].capacity_error), rel=0.3)


def test_balls_have_their_capacity() -> None:
    """Points on spheres of 3 dimensions, many enough to fill them: the exact integral, to sampling error."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 70, 3))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    points = np.concatenate([points, -points], 1)  # so that the centre is where it should be
    for radius in (0.5, 1.5):
        flat = np.zeros((2, 140, 7))
        flat[:, :, 0] = [[1.0], [-1.0]]
        flat[0, :, 1:4], flat[1, :, 4:] = radius * points
        geo = mftma(flat, n_t=600)
        assert abs(float(geo.capacity) - ball_integral(radius, 3)) < 4 * float(geo.capacity_error)
        assert float(geo.radius) == pytest.approx(radius, rel=0.12)


def ball_integral(radius: float, dimension: int) -> float:
    """Average the ball's own anchors, known in closed form, over 200,000 vectors."""
    rng = np.random.default_rng(1)
    t, t0 = np.sqrt(rng.chisquare(dimension, 200_000)), rng.normal(size=200_000)
    touching = (radius * t + t0) ** 2 / (1 + radius**2)
    inside = t0**2 + t**2  # V is zero
    loads = np.where(t0 <= -radius * t, 0, np.where(t0 >= t / radius, inside, touching))
    return float(1 / loads.mean())


def test_two_classes() -> None:
    rng = np.random.default_rng(0)
    geo = mftma([rng.normal(size=(10, 40)) + 1, rng.normal(size=(10, 40)) - 1])
    assert int(geo["rank"]) == 0
    assert float(geo.centre_correlation) == pytest.approx(1)
    assert 0.2 < float(geo.capacity) < 2


def test_points_alone_have_perceptron_capacity() -> None:
    """One point a manifold: Cover's two manifolds a dimension."""
    rng = np.random.default_rng(0)
    geo = mftma(list(rng.normal(size=(20, 1, 300))), n_t=3000)
    assert abs(float(geo.capacity) - 2) < 4 * float(geo.capacity_error)
    assert float(geo.radius) == float(geo.dimension) == 0
    assert float(geo.lower_bound) == 2


def test_points_without_structure_are_near_the_lower_bound() -> None:
    rng = np.random.default_rng(0)
    geo = mftma(list(rng.normal(size=(6, 20, 400))), n_t=100)
    assert float(geo.lower_bound) == pytest.approx(0.1)
    assert float(geo.capacity) == pytest.approx(0.1, rel=0.35)


def test_names_tensors_and_types() -> None:
    drawn = clouds("unequal")
    named = mftma({f"class{i}": torch.from_numpy(cloud) for i, cloud in enumerate(drawn)}, n_t=20)
    assert list(named.manifold.values) == [f"class{i}" for i in range(5)]
    assert list(named.points.values) == [9, 8, 7, 6, 5]
    single = mftma([cloud.astype(np.float32) for cloud in drawn], n_t=20, dtype=torch.float32)
    assert single.attrs["dtype"] == "float32"
    same(named[["capacity", "radius", "dimension"]], single[["capacity", "radius", "dimension"]], rtol=2e-3)
    same(named[SCALARS], mftma(drawn, n_t=20)[SCALARS])
    other = mftma(drawn, n_t=20, seed=1)
    assert float(other.capacity) != float(named.capacity)
    assert float(other["rank"]) == float(named["rank"])


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = clouds("unequal")
    whole = mftma(drawn, n_t=20)
    monkeypatch.setattr(manifolds, "BATCH", 1)
    same(whole, mftma(drawn, n_t=20), rtol=1e-9)


def test_a_margin_beyond_every_vector_has_capacity_without_bound() -> None:
    assert np.isinf(float(mftma(clouds("random"), n_t=5, kappa=-99.0).capacity))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"manifolds": [np.ones((3, 4))]}, "there is 1 manifold; at least 2 are needed"),
        ({"manifolds": [np.ones((3, 4)), np.ones((3, 5))]}, r"manifold 1 must have shape .* \(3, 5\); the first"),
        ({"manifolds": [np.ones((3, 4)), np.full((3, 4), np.nan)]}, "manifold 1 holds values that are not finite"),
        ({"manifolds": [np.ones((3, 4)), np.ones((3, 4)) + 0j]}, "manifold 1 is complex; give real numbers"),
        ({"manifolds": {1: np.ones((3, 4)), "1": np.eye(3, 4)}}, "the manifolds: two are called '1'"),
        ({"convention": "other"}, "convention is 'other'; it must be 'theory' or 'reference'"),
        ({"n_t": 0}, "n_t is 0; it must be at least 1"),
        ({"rank": 4}, "rank is 4; these 5 centres allow 0 to 3"),
        ({"t_vectors": [np.ones((10, 3))]}, "t_vectors holds 1 arrays; there are 5 manifolds"),
        ({"t_vectors": [np.ones((9, 3))] * 5}, r"manifold 0 have shape \(9, 3\); it must be \(10, n_t\)"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mftma(**{"manifolds": clouds("random"), **change})


ODD = ["random", "copies", "one example", "dead units", "cancel", "one point", "far", "unequal"]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(ODD),
    points=st.integers(1, 12),
    features=st.integers(4, 25),
    unit=st.floats(-8, 8),
    seed=st.integers(0, 99),
)
def test_odd_clouds_have_a_capacity_that_no_unit_changes(
    kind: str, points: int, features: int, unit: float, seed: int
) -> None:
    drawn = clouds("random", 4, points, features, seed)
    first = drawn[0]
    drawn[0] = {
        "copies": lambda: first.repeat(3, 0),
        "one example": lambda: first[:1].repeat(points, 0),
        "cancel": lambda: first.mean(0) + np.concatenate([first - first.mean(0), first.mean(0) - first]),
        "one point": lambda: first[:1],
        "far": lambda: first + 1e3,
        "unequal": lambda: first[: (points + 1) // 2],
    }.get(kind, lambda: first)()
    if kind == "dead units":
        drawn = [np.hstack([np.zeros((len(cloud), 5)), cloud, np.zeros((len(cloud), 5))]) for cloud in drawn]
    found = mftma(drawn, n_t=20)
    assert 0 < float(found.capacity) < np.inf
    assert (found.manifold_capacity > 0).all()
    assert found.attrs["violation"] < 1e-6
    other = mftma([10**unit * cloud for cloud in drawn], n_t=20)
    steady = ["capacity", "centre_correlation", "rank", "manifold_capacity"]
    same(found[steady], other[steady], rtol=1e-5)
    np.testing.assert_allclose(found.manifold_radius, other.manifold_radius, rtol=1e-5, atol=1e-12)
    extended = found.manifold_radius > 1e-9  # copies have a radius, and with it a dimension, of rounding alone
    np.testing.assert_allclose(found.manifold_dimension[extended], other.manifold_dimension[extended], rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_of_a_trained_network_has_a_capacity(seed: int) -> None:
    digits = load_digits()
    inputs, targets = torch.from_numpy(digits.data).float() / 16, torch.from_numpy(digits.target)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 150), nn.ReLU(), nn.Linear(150, 30), nn.ReLU(), nn.Linear(30, 10))
    steps = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        steps.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        steps.step()
    layers = class_manifolds(model, Labelled(inputs, targets), points=20)
    found = {name: mftma(clouds, n_t=50, seed=seed) for name, clouds in layers.items()}
    assert len(found) == 4
    assert all(geo.attrs["violation"] < 1e-6 for geo in found.values())
    assert found["pixels"].capacity < found["4"].capacity < np.inf
