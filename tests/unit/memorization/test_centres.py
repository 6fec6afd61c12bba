import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from torch import Tensor

from landscape_utils.memorization import centres


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shared(count: int = 20, features: int = 60, rank: int = 3, seed: int = 0) -> Tensor:
    """Random centres plus a strong structure that they share."""
    return draw(count, features, seed=seed) + 4 * draw(count, rank, seed=seed + 1) @ draw(rank, features, seed=seed + 2)


def test_the_cost_is_half_the_squared_cosines_and_its_gradient_is_right() -> None:
    points, columns = draw(7, 6).numpy(), draw(6, 2, seed=1).numpy()
    products = points @ points.T
    basis = np.linalg.qr(columns)[0]
    rest = points - points @ basis @ basis.T
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    cost = centres._cost(points, products, columns)[0]
    assert cost == pytest.approx(np.square(rest @ rest.T).sum() / 2)

    def at(flat: np.ndarray) -> tuple[float, np.ndarray]:
        return centres._cost(points, products, flat.reshape(columns.shape))

    assert check_grad(lambda f: at(f)[0], lambda f: at(f)[1], columns.ravel()) < 1e-5


def test_a_shared_structure_is_found_and_taken_out() -> None:
    points = shared(features=100)
    found = centres.centre_structure(points)
    assert found.basis.shape == (100, 3)
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(3, dtype=torch.float64))
    rest = points - points.mean(0)
    assert found.correlation == pytest.approx(centres.mean_cosine(rest.numpy()))
    rest = rest - rest @ found.basis @ found.basis.T
    assert found.left[3] == found.left.min() == pytest.approx(centres.mean_cosine(rest.numpy()), rel=1e-5)
    assert found.left[0] == pytest.approx(found.correlation, rel=1e-5)
    assert found.left[3] < 0.4 * found.correlation


def test_random_starts_find_hardly_better() -> None:
    """Twelve descents from random directions in the centres' span, against the two from principal directions."""
    points = centres._coordinates(shared(12, 30) - shared(12, 30).mean(0))[0]
    for rank in (1, 2, 3, 5):
        found = [centres._least_correlated(points, draw(11, rank, seed=seed).numpy()) for seed in range(12)]
        best = min(centres._cost_without(points, basis) for basis in found)
        ours = centres._by_rank(points, rank, 99)[0][-1]
        assert centres._cost_without(points, ours) <= 1.015 * best


def test_turned_moved_and_scaled_centres_have_the_same_structure() -> None:
    points = shared(30, 50, 6)
    turn = torch.linalg.qr(draw(50, 50, seed=5)).Q
    one, other = centres.centre_structure(points), centres.centre_structure(3 * points @ turn + draw(50, seed=6))
    np.testing.assert_allclose(one.left, other.left, rtol=1e-9)
    torch.testing.assert_close(one.basis @ one.basis.T, turn @ other.basis @ other.basis.T @ turn.T)


def test_unrelated_centres_keep_everything() -> None:
    assert centres.centre_structure(draw(20, 500)).basis.shape == (500, 0)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_centres(count: int) -> None:
    found = centres.centre_structure(draw(count, 9))
    assert len(found.left) <= max(1, count - 1)
    assert found.basis.shape[1] <= count - 2
    assert np.isfinite(found.left).all()


def test_two_centres_are_opposite() -> None:
    found = centres.centre_structure(draw(2, 9))
    assert found.correlation == pytest.approx(1)


def test_centres_in_a_subspace_allow_fewer_ranks() -> None:
    found = centres.centre_structure(draw(10, 2) @ draw(2, 40, seed=1))
    assert len(found.left) == 2
    with pytest.raises(ValueError, match="rank is 2; these 10 centres allow 0 to 1"):
        centres.centre_structure(draw(10, 2) @ draw(2, 40, seed=1), 2)


def test_a_rank_can_be_asked_for() -> None:
    found = centres.centre_structure(shared(), 7)
    assert found.basis.shape == (60, 7)
    assert len(found.left) == 8
    with pytest.raises(ValueError, match="rank is 19; these 20 centres allow 0 to 18"):
        centres.centre_structure(shared(), 19)


def test_no_structure_takes_a_whole_centre_away() -> None:
    """Four centres on one axis, and one beside it: without that axis four would vanish."""
    points = torch.tensor([[1.0, 0, 0], [2, 0, 0], [3, 0, 0], [-10, 0, 0], [4, 1, 0.5]], dtype=torch.float64)
    found = centres.centre_structure(points)
    centred = points - points.mean(0)
    rest = centred - centred @ found.basis @ found.basis.T
    assert float((rest.norm(dim=1) / centred.norm(dim=1)).min()) > centres.KEPT


def test_a_centre_far_from_the_others_is_no_overflow() -> None:
    """Along its own direction nothing of it is left, and rounding makes the square of that zero or negative."""
    for seed in range(30):
        points = draw(4, 4, seed=seed)
        points[0] += 10.0 ** (seed % 6)
        found = centres.centre_structure(points)
        assert np.isfinite(found.left[int(found.basis.shape[1])])
