"""Networks that train together are the ones that train alone, as torch trains them."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.data.labels import permute_labels
from landscape_utils.memorization import double_descent as dd
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.training import train

SHAPE, EXAMPLES = (5, 3), 24


def blobs(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Labelled, Labelled]:
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 5, generator=random, dtype=torch.float64)

    def draw(n: int) -> Labelled:
        targets = torch.arange(n) % 3
        noise = torch.randn(n, 5, generator=random, dtype=torch.float64)
        return Labelled((centres[targets] + noise).to(dtype), targets, ("a", "b", "c"))

    return draw(EXAMPLES), draw(12)


def alone(seed: int, width: int, targets: Tensor, inputs: Tensor, steps: int, lr: float) -> nn.Module:
    """Train one network as anyone would."""
    model = dd.fresh(seed, width, SHAPE).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model


def test_networks_are_those_of_autograd_and_torchs_adam() -> None:
    (x, y), test = blobs()
    seeds, steps, lr = [4, 7], 150, 0.01
    got = dd.train_width((x, y), test, 6, seeds=seeds, epsilon=0.5, steps=steps, lr=lr, progress=False)
    for seed in seeds:
        labels = dd.redraw(y, 3, 0.5, seed=seed)[0]
        wanted = alone(seed, 6, labels, x, steps, lr)
        for name, value in got.model(seed).state_dict().items():
            torch.testing.assert_close(value, wanted.state_dict()[name], rtol=0, atol=1e-10)
        end = got.course.sel(seed=seed, step=steps)
        with torch.no_grad():
            assert float(end["train_accuracy"]) == float((wanted(x).argmax(1) == labels).double().mean())
            assert float(end["test_loss"]) == pytest.approx(float(F.cross_entropy(wanted(test.inputs), test.targets)))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**31))
def test_gradients_are_those_of_autograd(count: int, width: int, d: int, classes: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    size = width * d + width + classes * width + classes
    flat = torch.randn(count, size, generator=random, dtype=torch.float64, requires_grad=True)
    x = torch.randn(9, d, generator=random, dtype=torch.float64)
    targets = torch.randint(0, classes, (count, 9), generator=random)
    F.cross_entropy(dd.forward(dd.views(flat, width, (d, classes)), x.T), targets, reduction="sum").div(9).backward()

    gradient, hidden, inner = torch.zeros_like(flat), *torch.empty(2, count, width, 9, dtype=torch.float64)
    with torch.no_grad():
        parameters = dd.views(flat, width, (d, classes))
        errors = dd.forward(parameters, x.T, out=hidden).softmax(1) - F.one_hot(targets, classes).mT
        rows = x.expand(count, -1, -1)
        dd.backward(parameters, dd.views(gradient, width, (d, classes)), rows, hidden, errors / 9, out=inner)
    torch.testing.assert_close(gradient, flat.grad, rtol=1e-10, atol=1e-12)


def test_a_seed_is_the_same_alone_and_among_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    how: dict[str, Any] = {"epsilon": 0.3, "steps": 80, "progress": False}
    together = dd.train_width(*blobs(), 5, seeds=[1, 2, 3], **how)
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "another"))
    single = dd.train_width(*blobs(), 5, seeds=[2], **how)
    for moment in dd.MOMENTS:
        torch.testing.assert_close(single.weights[moment][0], together.weights[moment][1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(single.course["test_loss"][0], together.course["test_loss"][1], atol=1e-10)


def test_it_is_the_registrys_training_where_that_takes_all_examples_in_every_step(small: Dataset) -> None:
    spec = RunSpec(
        dataset="small", model="mlp", recipe="memorize", epochs=10, lr=3e-3, stop_at=1.0, batch_size=60, epsilon=0.4,
        model_options={"width": 7}, seed=5, data_seed=5,
    )  # fmt: skip
    run = train(spec, data=small, device="cpu", progress=False)
    got = dd.train_width(small.train, small.test, 7, seeds=[5], epsilon=0.4, steps=10, progress=False)
    for name in dd.MEASURED:
        np.testing.assert_allclose(got.course[name].sel(seed=5), run.history[name][[0, 10]], atol=1e-4)
    for (_, a), b in zip(got.model(5).named_parameters(), run.model().parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    labels = permute_labels(small, 0.4, seed=5).dataset.train.targets
    assert torch.equal(dd.redraw(small.train.targets, 3, 0.4, seed=5)[0], labels)


def test_the_best_weights_are_those_of_the_first_best_look() -> None:
    data, seeds = blobs(), range(6)
    how: dict[str, Any] = {"epsilon": 0.5, "lr": 0.02, "progress": False}
    got = dd.train_width(*data, 4, seeds=seeds, steps=120, **how)
    assert got.course["step"].values.tolist() == [*range(0, 121, 10)]
    bests = 1 + got.course["test_accuracy"].values[:, 1:].argmax(1)  # numpy's is the first of equals
    assert min(bests) < 12
    for seed, best in zip(seeds, bests.tolist(), strict=True):
        until = dd.train_width(*data, 4, seeds=[seed], steps=10 * best, **how)
        torch.testing.assert_close(got.weights["best"][seed], until.weights["final"][0], rtol=0, atol=1e-10)


def test_a_model_is_the_callers_own() -> None:
    got = dd.train_width(*blobs(), 3, seeds=[0, 1], steps=10, progress=False)
    before = got.weights["final"].clone()
    with torch.no_grad():
        for p in got.model(1).parameters():
            p.zero_()
    assert torch.equal(got.weights["final"], before)


def test_networks_are_kept_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"steps": 20, "progress": False}
    first = dd.train_width(*blobs(), 3, seeds=[0, 1], **how)
    trained: list[int] = []
    fit = dd._fit

    def noted(task: Any, width: int, seeds: Any, *rest: Any) -> Any:
        trained.extend(seeds)
        return fit(task, width, seeds, *rest)

    monkeypatch.setattr(dd, "_fit", noted)
    again = dd.train_width(*blobs(), 3, seeds=[1, 0], **how)
    assert trained == []
    assert again.course.sel(seed=[0, 1]).equals(first.course)
    dd.train_width(*blobs(), 3, seeds=[0, 1, 2], **how)
    assert trained == [2]
    for other in ({"steps": 10}, {"epsilon": 0.1}, {"lr": 0.1}):
        trained.clear()
        dd.train_width(*blobs(), 3, seeds=[0], **{**how, **other})
        assert trained == [0]
    for data in (blobs(1), tuple(reversed(blobs()))):
        trained.clear()
        dd.train_width(*data, 3, seeds=[0], **how)
        assert trained == [0]
    trained.clear()
    dd.train_width(*blobs(), 4, seeds=[0], **how)
    assert trained == [0]


def test_a_training_that_is_stopped_leaves_nothing_half_done() -> None:
    def stop(done: int, of: int) -> None:
        assert of == 50
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dd.train_width(*blobs(), 3, seeds=[0], steps=50, progress=stop)
    looks: list[int] = []
    dd.train_width(*blobs(), 3, seeds=[0], steps=50, progress=lambda done, of: looks.append(done))
    assert looks == [0, 10, 20, 30, 40, 50]


def test_what_is_left_is_told_and_nothing_is_kept_of_the_trial() -> None:
    train_data, test = blobs()
    how: dict[str, Any] = {"seeds": [0, 1], "epsilon": 0.0, "lr": 0.01}
    left = dd.seconds_left(train_data, test, 4, steps=500, **how)
    assert 0 < left < dd.seconds_left(train_data, test, 4, steps=50_000, **how)
    dd.train_width(train_data, test, 4, steps=500, progress=False, **{**how, "seeds": [0]})
    assert dd.seconds_left(train_data, test, 4, steps=500, **how) > 0
    dd.train_width(train_data, test, 4, steps=500, progress=False, **how)
    assert dd.seconds_left(train_data, test, 4, steps=500, **how) == 0


def test_pairs_without_names_and_images_are_taken(small: Dataset) -> None:
    (x, y), (test_x, test_y) = small.train, small.test
    got = dd.train_width((x, y), (test_x, test_y), 3, seeds=[0], steps=5, progress=False)
    assert got.shape == (3 * 8 * 8, 3)
    assert got.course["step"].values.tolist() == [0, 5]
    assert got.model(0)(test_x).shape == (30, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "of width 0"),
        ({"steps": 0}, "for 0 steps"),
        ({"seeds": []}, "0 seeds"),
        ({"epsilon": 1.5}, "share of permuted labels"),
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dd.train_width(*blobs(), **{"width": 3, "seeds": [0], "steps": 5, "progress": False, **change})


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(FloatingPointError, match="diverged at width 3"):
        dd.train_width(*blobs(dtype=torch.float32), 3, seeds=[0], steps=20, lr=1e30, progress=False)
