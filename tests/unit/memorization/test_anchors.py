"""Anchor points are those of an interior-point method, written out here, that solves one vector at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from torch import Tensor

from landscape_utils.memorization import anchors


def interior_point(vertices: np.ndarray, target: np.ndarray, kappa: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise |V - T|^2 / 2 subject to S V <= -kappa, along the central path; give V and the multipliers."""
    rays = np.hstack([vertices, np.ones((len(vertices), 1))])
    v = np.append(np.zeros(vertices.shape[1]), -kappa - 1)  # every slack is one
    slack, multiplier = np.ones(len(rays)), np.ones(len(rays))
    while (gap := slack @ multiplier / len(rays)) > 1e-14:
        newton = np.eye(len(v)) + rays.T * (multiplier / slack) @ rays
        dual = v - target + rays.T @ multiplier
        dv = np.linalg.solve(newton, -dual - rays.T @ ((0.1 * gap - slack * multiplier) / slack))
        ds = -rays @ dv
        da = (0.1 * gap - slack * multiplier - multiplier * ds) / slack
        both, moves = np.concatenate([slack, multiplier]), np.concatenate([ds, da])
        length = min(1.0, 0.99 * np.min(-both[moves < 0] / moves[moves < 0], initial=np.inf))
        v, slack, multiplier = v + length * dv, slack + length * ds, multiplier + length * da
    return v, multiplier


def slow_anchor(vertices: np.ndarray, target: np.ndarray, kappa: float) -> np.ndarray:
    projections = vertices @ target[:-1]
    if projections.max() + target[-1] + kappa <= 0:
        return vertices[projections.argmax()]
    v, multiplier = interior_point(vertices, target, kappa)
    return (target - v)[:-1] / multiplier.sum()


def cloud(kind: str, points: int = 12, dims: int = 8, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    vertices = {
        "random": lambda: draw(points, dims),
        "small": lambda: 0.1 * draw(points, dims),
        "correlated": lambda: 2 * draw(points, dims) * torch.arange(1, dims + 1) ** -1.5,
        "duplicates": lambda: draw(points // 2, dims).repeat(2, 1),
        "nearly duplicates": lambda: draw(points // 2, dims).repeat(2, 1) + 1e-7 * draw(points, dims),
        "subspace": lambda: draw(points, 2) @ draw(2, dims),
        "circle": lambda: torch.nn.functional.normalize(draw(points, 2)),
        "more dimensions": lambda: draw(points, 3 * points),
        "one point": lambda: torch.zeros(1, dims, dtype=torch.float64),
    }[kind]()
    return vertices - vertices.mean(0)


def vectors(vertices: Tensor, n: int, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, vertices.shape[1] + 1, generator=random, dtype=torch.float64)


def solve(vertices: Tensor, t: Tensor, kappa: float = 0.0) -> anchors.Anchors:
    return anchors.anchor_points(vertices[None], torch.ones(1, len(vertices), dtype=torch.bool), t[None], kappa)


KINDS = [
    "random",
    "small",
    "correlated",
    "duplicates",
    "nearly duplicates",
    "subspace",
    "circle",
    "more dimensions",
    "one point",
]


@pytest.mark.parametrize("kappa", [0.0, 0.7, -0.4])
@pytest.mark.parametrize("kind", KINDS)
def test_anchors_are_those_of_an_interior_point_method(kind: str, kappa: float) -> None:
    vertices = cloud(kind)
    t = vectors(vertices, 25)
    found = solve(vertices, t, kappa)
    slow = np.stack([slow_anchor(vertices.numpy(), one, kappa) for one in t.numpy()])
    np.testing.assert_allclose(found.points[0], slow, atol=1e-6)
    assert found.violation < 1e-10


def test_optimality_for_large_clouds() -> None:
    """V meets every constraint, and only those it touches have weight."""
    vertices, t = cloud("random", 60, 40), vectors(cloud("random", 60, 40), 50)
    found = solve(vertices, t)
    rays = torch.cat([vertices, torch.ones(60, 1)], 1)
    left = (t - found.weights[0] @ rays) @ rays.T
    assert float(left.max()) < 1e-12
    assert float((left * found.weights[0]).abs().max()) < 1e-10
    assert float(found.weights.min()) >= 0


def test_where_every_constraint_is_met_the_anchor_is_the_farthest_vertex() -> None:
    vertices = cloud("random")
    t = vectors(vertices, 10)
    t[:, -1] = -50
    found = solve(vertices, t)
    assert not found.weights.any()
    torch.testing.assert_close(found.points[0], vertices[(t[:, :-1] @ vertices.T).argmax(1)])


def test_padding_and_order_change_nothing() -> None:
    one, other = cloud("random", 12), cloud("random", 7, seed=3)
    t = vectors(one, 20)
    padded = torch.cat([other, torch.full((5, 8), 9.0, dtype=torch.float64)])
    present = torch.tensor([[True] * 12, [True] * 7 + [False] * 5])
    found = anchors.anchor_points(torch.stack([one, padded]), present, torch.stack([t, t]), 0.2)
    torch.testing.assert_close(found.points[0], solve(one.flip(0), t, 0.2).points[0])
    torch.testing.assert_close(found.points[1], solve(other, t, 0.2).points[0])
    assert not found.weights[1, :, 7:].any()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rays=st.integers(1, 15),
    dims=st.integers(1, 10),
    copies=st.integers(1, 3),
    decay=st.floats(0, 6),
    seed=st.integers(0, 99),
)
def test_any_cone(rays: int, dims: int, copies: int, decay: float, seed: int) -> None:
    """The nearest point of a cone is unique, whatever its rays; SciPy finds it one target at a time."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(rays, dims, generator=random, dtype=torch.float64)
    drawn = (drawn * torch.arange(1, dims + 1) ** -decay).repeat(copies, 1)
    targets = torch.randn(5, dims, generator=random, dtype=torch.float64)
    present = torch.ones(1, len(drawn), dtype=torch.bool)
    weights = anchors.cone_weights(drawn[None], present, targets[None])[0]
    want = np.stack([drawn.numpy().T @ nnls(drawn.numpy().T, target)[0] for target in targets.numpy()])
    np.testing.assert_allclose(weights @ drawn, want, atol=1e-9)


def test_a_support_that_runs_empty() -> None:
    """The only positive field is zero in single precision, in which the support is guessed."""
    rays, present = torch.eye(2, dtype=torch.float64)[None, :1], torch.ones(1, 1, dtype=torch.bool)
    target = torch.tensor([[[1e-60, 1.0]]], dtype=torch.float64)
    np.testing.assert_allclose(anchors.cone_weights(rays, present, target), [[[1e-60]]], rtol=1e-12)


@pytest.mark.parametrize("guess", ["empty", "full", "random"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_guess_of_the_support_ends_at_the_same_point(
    kind: str, guess: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vertices = cloud(kind)
    t = vectors(vertices, 25)
    want = solve(vertices, t)
    random = torch.Generator().manual_seed(2)
    share = {"empty": 0.0, "full": 1.0, "random": 0.5}[guess]
    monkeypatch.setattr(
        anchors, "_gradient_support", lambda matrix, fields: torch.rand(fields.shape, generator=random) < share
    )
    torch.testing.assert_close(solve(vertices, t).points, want.points, atol=1e-6, rtol=0)


def test_equations_that_cannot_be_factored_go_to_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices = cloud("random")
    t = vectors(vertices, 25)
    want = solve(vertices, t)
    monkeypatch.setattr(anchors, "_positive_solve", lambda block, right, filled: torch.full_like(right, torch.nan))
    torch.testing.assert_close(solve(vertices, t).points, want.points)


@st.composite
def cones(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw rays, shape (M, D), and five targets, with copies, dead features and rays that cancel, in any unit."""
    count, dims = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    random = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    rays = torch.randn(count, dims, generator=random, dtype=torch.float64)
    rays[:, : draw(st.integers(0, dims))] *= draw(st.sampled_from([0.0, 1.0]))
    rays = {
        "as they are": lambda: rays,
        "copies": lambda: rays.repeat(3, 1),
        "one ray": lambda: rays[:1].repeat(count, 1),
        "cancel": lambda: torch.cat([rays, -rays]),
        "cancel in other units": lambda: torch.cat([rays, -7 * rays]),
        "far": lambda: torch.cat([rays, 1e6 * rays[:1] + 1]),
        "units": lambda: rays * 10 ** (16 * torch.rand(count, 1, generator=random, dtype=torch.float64) - 8),
    }[draw(st.sampled_from(["as they are", "copies", "one ray", "cancel", "cancel in other units", "far", "units"]))]()
    targets = torch.randn(5, dims, generator=random, dtype=torch.float64)
    return rays * 10.0 ** draw(st.integers(-8, 8)), targets * 10.0 ** draw(st.integers(-8, 8))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(both=cones(), padding=st.integers(0, 4))
def test_any_rays_in_any_unit(both: tuple[Tensor, Tensor], padding: int) -> None:
    rays, targets = both
    padded = torch.cat([rays, torch.full((padding, rays.shape[1]), 3.0, dtype=torch.float64)])
    present = torch.arange(len(padded))[None] < len(rays)
    weights = anchors.cone_weights(padded[None], present, targets[None])[0]
    assert float(weights.min()) >= 0
    assert not weights[:, len(rays) :].any()
    size = targets.norm(dim=1, keepdim=True)
    units = torch.nn.functional.normalize(rays, eps=1e-300).numpy()
    want = np.stack([units.T @ nnls(units.T, target, maxiter=9999)[0] for target in (targets / size).numpy()])
    np.testing.assert_allclose((weights[:, : len(rays)] @ rays) / size, want, atol=1e-8)


def test_single_precision_gives_four_digits() -> None:
    vertices = cloud("random")
    t = vectors(vertices, 30)
    exact, single = solve(vertices, t), solve(vertices.float(), t.float())
    torch.testing.assert_close(single.points.double(), exact.points, atol=1e-3, rtol=0)


# --- no cloud breaks it ------------------------------------------------------------------------------------------


def test_no_support_breaks_the_equations() -> None:
    """Supports that a gradient in single precision may leave: none, all, and more than the rank."""
    rays = torch.randn(1, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix, fields = rays @ rays.mT, torch.ones(1, 3, 6, dtype=torch.float64)
    support = torch.zeros(1, 3, 6, dtype=torch.bool)
    support[0, 1] = True
    for chosen in ([[True, False, False]], [[True, True, True]]):
        found = anchors._solve(matrix, fields, support, torch.tensor(chosen))
        assert (found[0] == 0).all()
    assert anchors._solve(matrix, fields, support, torch.zeros(1, 3, dtype=torch.bool)).shape == (0, 6)


def test_where_scipys_method_does_not_end_a_ridge_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def circling(cone: np.ndarray, target: np.ndarray, maxiter: int) -> tuple[np.ndarray, float]:
        if len(cone) == 4:
            raise RuntimeError("Maximum number of iterations reached.")
        return nnls(cone, target, maxiter=maxiter)

    cone, target = np.random.default_rng(0).standard_normal((4, 6)), np.ones(4)
    want = cone @ nnls(cone, target)[0]
    monkeypatch.setattr(anchors, "nnls", circling)
    np.testing.assert_allclose(cone @ anchors._nearest(cone, target), want, atol=1e-7)
