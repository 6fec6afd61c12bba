import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr

from landscape_utils.plateau import homogeneous
from landscape_utils.plateau.homogeneous import Ensemble, draw, learned_times, train_homogeneous

SMALL = {"classes": 3, "dim": 4, "examples": 5, "noise": 0.05, "init": 0.3}


def losses(batch: Ensemble, r: int) -> torch.Tensor:
    """Give each network's mean cross entropy, written as one would for one network."""
    classes = batch.bias.shape[1]
    targets = torch.arange(classes).repeat_interleave(batch.inputs.shape[2] // classes)
    logits = [(w @ x) ** r + b for w, b, x in zip(batch.weight, batch.bias, batch.inputs, strict=True)]
    return torch.stack([F.cross_entropy(f.T, targets) for f in logits])


def trained_a_little(r: int) -> Ensemble:
    batch = draw(range(300, 303), **SMALL)
    bias = torch.randn(batch.bias.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return batch._replace(weight=3 * batch.weight - 0.3, bias=bias)


@pytest.mark.parametrize("r", [1, 2, 3, 5])
def test_gradients_are_those_of_autograd(r: int) -> None:
    batch = trained_a_little(r)
    leaves = [part.clone().requires_grad_() for part in (batch.weight, batch.bias)]
    wanted = torch.autograd.grad(losses(batch._replace(weight=leaves[0], bias=leaves[1]), r).sum(), leaves)
    got = homogeneous.gradients(batch, homogeneous.forward(batch, r))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_the_hessians_norm_is_within_its_bound(r: int) -> None:
    batch = trained_a_little(r)
    bound = homogeneous.curvature(batch, homogeneous.forward(batch, r))
    for i, most in enumerate(bound.flatten()):
        one = batch.of(torch.arange(3) == i)
        sizes = (one.weight.numel(), one.bias.numel())

        def loss(flat: torch.Tensor, one: Ensemble = one, sizes: tuple[int, int] = sizes) -> torch.Tensor:
            weight, bias = flat.split(sizes)
            return losses(one._replace(weight=weight.view_as(one.weight), bias=bias.view_as(one.bias)), r)[0]

        hessian = torch.autograd.functional.hessian(loss, torch.cat([one.weight.flatten(), one.bias.flatten()]))
        assert torch.linalg.eigvalsh(hessian).abs().max() <= most


@pytest.mark.parametrize("r", [1, 3, 4])
def test_the_weights_part_is_r_homogeneous(r: int) -> None:
    batch = draw(range(300, 302), **SMALL)
    signal, twice = (homogeneous.forward(batch._replace(weight=a * batch.weight), r).signal for a in (1, 2))
    np.testing.assert_allclose(twice, 2**r * signal)


def test_data_are_balanced_and_lie_around_orthogonal_directions() -> None:
    batch = draw(range(300, 400), classes=3, dim=4, examples=5, noise=0.1, init=0.3)
    assert batch.inputs.shape == (100, 4, 15)
    assert batch.inputs.dtype == batch.weight.dtype == torch.float64
    means = batch.inputs.reshape(100, 4, 3, 5).mean((0, 3))
    np.testing.assert_allclose(means, np.eye(4, 3), atol=0.03)
    assert batch.weight.min() > 0
    assert batch.weight.square().mean().sqrt() == pytest.approx(0.3, rel=0.1)
    assert not batch.bias.any()


def test_a_seed_in_a_batch_is_the_seed_alone() -> None:
    batch = train_homogeneous(3, seeds=6, seed=300, **SMALL)
    for i in (0, 5):
        alone, within = train_homogeneous(3, seeds=1, seed=300 + i, **SMALL), batch.isel(seed=[i])
        xr.testing.assert_allclose(alone, within.isel(step=slice(alone.sizes["step"])), rtol=1e-9)
        np.testing.assert_allclose(within["bias"][:, -1], alone["bias"][:, -1], rtol=1e-9)
    xr.testing.assert_identical(batch, train_homogeneous(3, seeds=6, seed=300, **SMALL))


def test_training_ends_when_every_class_of_every_seed_is_learned() -> None:
    got = train_homogeneous(3, seeds=6, seed=300, **SMALL)
    assert homogeneous.finished(got).all()
    late = (got["probability"] < homogeneous.LEARNED).any("class")
    assert not late.isel(step=-1).any()
    assert late.isel(step=-2).any()
    over = late.sum("step").values  # the first checkpoint at which a seed is over
    for i, first in enumerate(over):
        assert (got["bias"][i, first:] == got["bias"][i, first]).all()
        assert (got["time"][i].diff("step") > 0).sum() == first
        assert got["time"][i, first - 1] < got["learned"][i].max() <= got["time"][i, first]


def test_a_seed_that_is_not_learned_in_time_is_told() -> None:
    got = train_homogeneous(4, seeds=3, seed=300, steps=20, **SMALL)
    assert got.sizes["step"] == 5
    assert not homogeneous.finished(got).any()
    assert got["learned"].isnull().any("class").all()


def test_a_classes_time_is_from_when_on_it_stays_learned() -> None:
    time = np.array([[0.0, 1.0, 3.0, 7.0, 8.0]])
    cases = {
        "once": ([0.1, 0.3, 0.8, 1.0, 1.0], 5.0),
        "forgotten in between": ([0.1, 0.95, 0.95, 0.8, 1.0], 7.5),
        "at once": ([0.95] * 5, 0.0),
        "at the end": ([0.1, 0.1, 0.1, 0.5, 0.9], 8.0),
        "forgotten at the end": ([0.1, 0.95, 0.95, 0.95, 0.8], np.nan),
        "never": ([0.1] * 5, np.nan),
    }
    probability = np.array([course for course, _ in cases.values()]).T[None]
    np.testing.assert_allclose(learned_times(probability, time)[0], [wanted for _, wanted in cases.values()])


def made_up(learned: list[list[float]], bias: list[list[float]]) -> xr.Dataset:
    """Make results that hold what the verdict and the ranks look at; probabilities and signals say nothing."""
    final = np.array(bias)[:, None, :]
    over = ("seed", "step", "class")
    variables = {
        "bias": (over, np.concatenate([0 * final, final], axis=1)),
        "probability": (over, np.concatenate([0 * final + 0.1, 0 * final + 0.95], axis=1)),
        "signal": (over, np.ones((len(bias), 2, final.shape[2]))),
        "time": (over[:2], np.tile([0.0, 9.0], (len(bias), 1))),
        "learned": (("seed", "class"), np.array(learned)),
    }
    return xr.Dataset(variables, coords={"class": np.arange(final.shape[2])})


def test_last_class_and_largest_bias() -> None:
    got = made_up([[1, 3, 2], [2, np.nan, 3]], [[0, 2, 1], [5, 0, 1]])
    assert homogeneous.learned_last(got).values.tolist() == [1, 1]
    assert homogeneous.largest_bias(got).values.tolist() == [1, 0]
    assert homogeneous.finished(got).values.tolist() == [True, False]


def test_a_last_class_is_carried_by_its_bias_when_its_signal_is_below() -> None:
    got = made_up([[1, 3, 2], [1, 2, 3]], [[0, 2, 1], [5, 0, 0.5]])
    assert homogeneous.carried_by_bias(got).values.tolist() == [True, False]
    assert homogeneous.carried_by_bias(got.isel(seed=0))


def test_ranks_are_shares_of_the_finished_seeds() -> None:
    got = homogeneous.rank_table(
        made_up([[1, 3, 2], [1, 3, 2], [np.nan, 1, 2]], [[-1, 2, 0.5], [0.5, 2, -1], [9, 8, 7]])
    )
    np.testing.assert_allclose(got.sel(order=3), [0, 0, 1])
    np.testing.assert_allclose(got.sel(order=1), [0.5, 0.5, 0])
    np.testing.assert_allclose(got.sum("rank"), 1)


@pytest.mark.parametrize(
    ("r", "sizes", "word"),
    [(0, {}, "r is 0"), (3, {"classes": 6, "dim": 5}, "6 classes in 5 dimensions"), (3, {"classes": 1}, "1 classes")],
)
def test_what_cannot_be_trained_is_refused(r: int, sizes: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        train_homogeneous(r, **sizes)
