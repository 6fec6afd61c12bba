"""Capacity by other means than the mean-field theory: of balls in closed form, and measured by separating manifolds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.special import ndtr, ndtri
from tqdm import tqdm

from landscape_utils.kit import Floats
from landscape_utils.kit.bars import BAR
from landscape_utils.memorization.clouds import Clouds, checked_clouds

CONFIDENCE = 0.95


def ball_capacity(radius: float, dimension: float, kappa: float = 0.0) -> float:
    """Return the capacity of balls of radius R, in units of their centres' norm, and dimension D.

    1 / capacity = int_-inf^a Dt (a - t)^2 / (1 + R^2) = ((1 + a^2) Phi(a) + a phi(a)) / (1 + R^2),
    a = R sqrt(D) + kappa, with the Gaussian's distribution Phi and density phi (geometry of memorization, A.1.2). That
    is the limit of many dimensions: against the exact integral over the ball it is off by up to 4 % (R <= 1; 8 % at
    R = 2) for D = 2, by 2 % for D = 5, by 1 % for D = 10.

    Raises:
        ValueError: a negative radius or dimension.
    """
    if radius < 0 or dimension < 0:
        raise ValueError(f"radius is {radius} and dimension {dimension}; neither may be negative")
    reach = radius * dimension**0.5 + kappa
    load = (1 + reach**2) * ndtr(reach) + reach * np.exp(-(reach**2) / 2) / np.sqrt(2 * np.pi)
    return float((1 + radius**2) / load)


# --- empirical capacity ----------------------------------------------------------------------------------------


class TooFewFeatures(ValueError):
    """The data have too few features for half of all dichotomies to be separable."""


class EmpiricalCapacity(NamedTuple):
    """How many manifolds a dimension carries, measured.

    Attributes:
        capacity: manifolds / features.
        low, high: 95 % confidence interval, from the order of the dichotomies.
        features: at which half of all dichotomies are separable, between whole numbers by interpolation.
        critical: fewest features at which each dichotomy is separable, infinite where all do not suffice.
    """

    capacity: float
    low: float
    high: float
    features: float
    critical: Floats


def empirical_capacity(
    manifolds: Clouds, *, dichotomies: int = 100, seed: int = 0, progress: bool = True
) -> EmpiricalCapacity:
    """Measure capacity: P manifolds over the number of random features at which half of all dichotomies separate.

    The global mean is removed, as in `mftma`, and the separating hyperplane goes through the origin. Each dichotomy has
    random labels, one a manifold, and a random Gaussian projection; with every further feature of the projection a
    separable one stays separable, so that bisection finds where it becomes so (geometry of memorization, section 3.2
    and A.1.2).

    Args:
        manifolds: as for `mftma`; they need more features than manifolds / capacity.
        dichotomies: random ones; the standard error of `features` falls as 1 / sqrt(dichotomies).
        seed: of labels and projections.
        progress: a bar over dichotomies.

    Raises:
        ValueError: clouds that `mftma` would refuse for their shape or values, or fewer than ten dichotomies.
        TooFewFeatures: so many are inseparable that the data's features do not suffice.
    """
    if dichotomies < 10:
        raise ValueError(f"dichotomies is {dichotomies}; an interval needs at least 10")
    _, clouds, _ = checked_clouds(manifolds)
    points = _reduced(torch.cat([cloud.cpu() for cloud in clouds]).numpy())
    owners = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    random = np.random.default_rng(seed)
    guess = max(1, len(clouds) // 2)
    critical = np.empty(dichotomies)
    for trial in tqdm(range(dichotomies), desc="dichotomies", disable=not progress, **BAR):
        labels = random.choice([-1.0, 1.0], len(clouds))[owners, None]
        projected = labels * (points @ random.normal(size=(points.shape[1], points.shape[1])))
        critical[trial] = _fewest_features(projected, guess)
        guess = int(np.median(np.minimum(critical[: trial + 1], points.shape[1])))
    reach = ndtri((1 + CONFIDENCE) / 2) / 2 / np.sqrt(dichotomies)
    few, middle, many = (_crossing(critical, share) for share in (0.5 - reach, 0.5, 0.5 + reach))
    if not np.isfinite(middle):
        raise TooFewFeatures(
            f"with all {points.shape[1]} dimensions that the data have, {np.isinf(critical).mean():.0%} of the "
            f"dichotomies are inseparable; at most 50% may be: take more features, or fewer manifolds or points"
        )
    return EmpiricalCapacity(len(clouds) / middle, len(clouds) / many, len(clouds) / few, middle, critical)


def separable(signed: Floats) -> bool:
    """Check whether some w has w . x > 0 for every row x, by the alternative: some mean of the rows is zero.

    The point of the cone of rays (x, 1) nearest to (0, 1) differs from it if and only if the rows are separable, and
    the difference holds w.

    Args:
        signed: points times their labels, shape (points, features).
    """
    scaled = signed / np.maximum(np.linalg.norm(signed, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    rays = np.vstack([scaled.T, np.ones(len(scaled))])
    target = np.append(np.zeros(signed.shape[1]), 1.0)
    weights, _ = nnls(rays, target, maxiter=100 * max(rays.shape))
    return bool((scaled @ (rays @ weights)[:-1] > 0).all())


def _reduced(points: Floats) -> Floats:
    """Remove the mean, and give the points in as few dimensions as they span."""
    centred = points - points.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = sizes > np.finfo(np.float64).eps * max(points.shape) * sizes[0]
    reduced: Floats = (left * sizes)[:, kept]
    return reduced


def _fewest_features(signed: Floats, guess: int) -> float:
    """Find the least n for which the first n columns separate, from a guess outwards; infinite if there is none."""
    most = signed.shape[1]
    low, high, step = 0, most + 1, 1
    at = min(guess, most)
    while high - low > 1:
        if separable(signed[:, :at]):
            high, at = at, max(low + 1, at - step)
        else:
            low, at = at, min(high - 1, at + step)
        step *= 2
        if low > 0 and high <= most:
            at = (low + high) // 2
    return float(high) if high <= most else np.inf


def _crossing(critical: Floats, share: float) -> float:
    """Find where the share of separable dichotomies, linear between whole numbers of features, reaches a value."""
    reached = np.sort(critical)[int(np.ceil(share * len(critical))) - 1]
    if not np.isfinite(reached):
        return np.inf
    before, after = np.mean(critical <= reached - 1), np.mean(critical <= reached)
    return float(reached - 1 + (share - before) / (after - before))
