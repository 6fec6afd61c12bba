import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.stats import norm

from landscape_utils.memorization.capacity import (
    TooFewFeatures,
    _crossing,
    _fewest_features,
    ball_capacity,
    empirical_capacity,
    separable,
)
from landscape_utils.memorization.manifolds import mftma


@pytest.mark.parametrize("kappa", [0.0, 0.5, -1.0])
@pytest.mark.parametrize(("radius", "dimension"), [(0.0, 5), (0.3, 2), (1.0, 20), (4.0, 7.5)])
def test_balls_by_quadrature(radius: float, dimension: float, kappa: float) -> None:
    reach = radius * np.sqrt(dimension) + kappa
    integral = quad(lambda t: (reach - t) ** 2 * norm.pdf(t), -20, reach)[0]
    assert ball_capacity(radius, dimension, kappa) == pytest.approx((1 + radius**2) / integral, rel=1e-7)


def test_balls_without_extent_are_points_and_huge_ones_are_subspaces() -> None:
    assert ball_capacity(0, 10) == pytest.approx(2)
    assert ball_capacity(1e4, 10) == pytest.approx(1 / 10, rel=1e-3)
    with pytest.raises(ValueError, match="neither may be negative"):
        ball_capacity(-1, 2)


def linear_programme(signed: np.ndarray) -> bool:
    return linprog(np.zeros(signed.shape[1]), A_ub=-signed, b_ub=-np.ones(len(signed)), bounds=(None, None)).status == 0


@pytest.mark.parametrize("seed", range(25))
def test_separability_is_that_of_a_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rng.integers(1, 40), rng.integers(1, 20)))
    points[: len(points) // 3] = points[:1]  # duplicates
    assert separable(points) == linear_programme(points)


@pytest.mark.parametrize("guess", [1, 7, 30])
def test_the_fewest_features_whatever_the_guess(guess: int) -> None:
    points = np.random.default_rng(0).normal(size=(25, 30))
    want = next(n for n in range(1, 31) if separable(points[:, :n]))
    assert _fewest_features(points, guess) == want
    assert _fewest_features(np.vstack([points, -points]), guess) == np.inf


def test_half_of_the_dichotomies() -> None:
    critical = np.array([3, 4, 4, 5, 5, 5, 5, np.inf])
    assert _crossing(critical, 0.5) == pytest.approx(4.25)
    assert _crossing(critical, 0.95) == np.inf


def test_points_have_covers_capacity() -> None:
    """At 2 points a dimension half of all dichotomies separate; the removed mean takes one point."""
    points = np.random.default_rng(0).normal(size=(30, 1, 60))
    found = empirical_capacity(list(points), dichotomies=200, progress=False)
    assert found.low < 2 < found.high or found.capacity == pytest.approx(2, rel=0.04)
    again = empirical_capacity(list(points), dichotomies=200, progress=False)
    np.testing.assert_array_equal(found.critical, again.critical)


def test_gaussian_clouds_have_the_capacity_that_mftma_predicts() -> None:
    rng = np.random.default_rng(0)
    axes = 0.4 * rng.normal(size=(30, 6, 150)) / np.sqrt(6)
    clouds = list(rng.normal(size=(30, 1, 150)) + rng.normal(size=(30, 6, 6)) @ axes)
    measured = empirical_capacity(clouds, dichotomies=150, progress=False)
    assert float(mftma(clouds, n_t=500).capacity) == pytest.approx(measured.capacity, rel=0.05)


def test_half_numbers_that_require_gradients_are_measured() -> None:
    points = torch.randn(12, 1, 24, generator=torch.Generator().manual_seed(0)).half()
    found = empirical_capacity(list(points.clone().requires_grad_()), dichotomies=20, progress=False)
    want = empirical_capacity(list(points.double()), dichotomies=20, progress=False)
    np.testing.assert_array_equal(found.critical, want.critical)


def test_too_few_features_are_refused() -> None:
    clouds = list(np.random.default_rng(0).normal(size=(10, 8, 3)))
    with pytest.raises(TooFewFeatures, match=r"with all 3 dimensions that the data have, .* at most 50% may be"):
        empirical_capacity(clouds, dichotomies=10, progress=False)
    with pytest.raises(ValueError, match="dichotomies is 9; an interval needs at least 10"):
        empirical_capacity(clouds, dichotomies=9)
