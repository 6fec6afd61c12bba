import copy
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from landscape_utils.engine import class_gradients, space
from landscape_utils.engine.class_gradients import mean_gradient
from landscape_utils.engine.derivatives import BatchNormStatistics
from landscape_utils.kit import store
from landscape_utils.kit.store import DamagedFileWarning
from landscape_utils.landscape import mining
from landscape_utils.landscape.mining import Mined, cosines, mine_peak, mine_vvv, peak_schedule
from landscape_utils.training.state import epoch_seed
from tests import ROOT

Data = tuple[Tensor, Tensor]
N, BATCH = 50, 16


class Net(nn.Module):
    """Has a convolution, BatchNorm, dropout and two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.a, self.b, self.head = nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.norm(self.conv(x)).tanh()).mean((2, 3))
        return self.head(self.b(self.a(h).tanh()).tanh())


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = Net().double()
    net(torch.randn(20, 2, 6, 6, dtype=torch.float64) + 1)  # BatchNorm has seen data
    return net.train()


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(N) % 3
    return torch.randn(N, 2, 6, 6, dtype=torch.float64, generator=generator) + targets[:, None, None, None], targets


@pytest.fixture
def phi(model: nn.Module) -> Tensor:
    torch.manual_seed(5)
    return space.flatten(Net().double())


def peak(model: nn.Module, data: Data, **how: object) -> Mined:
    return mine_peak(model, data, **{"epochs": 3, "lr": 0.5, "batch_size": BATCH, "progress": False, **how})  # type: ignore[arg-type]


def vvv(model: nn.Module, data: Data, phi: Tensor, **how: object) -> Mined:
    return mine_vvv(model, data, phi, **{"epochs": 3, "lr": 0.5, "batch_size": BATCH, "progress": False, **how})  # type: ignore[arg-type]


# --- what an epoch does ---


def drawn(seed: int, epoch: int, low: float, high: float) -> list[tuple[Tensor, float]]:
    """The batches of an epoch and their lambdas."""
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    batches = torch.randperm(N, generator=generator).tensor_split(-(-N // BATCH))
    assert all(len(batch) <= BATCH for batch in batches)
    return [(b, low + (high - low) * float(u)) for b, u in zip(batches, torch.rand(len(batches), generator=generator))]  # noqa: B905


def gradient(model: nn.Module, weights: Tensor, x: Tensor, y: Tensor, bn: str) -> tuple[Tensor, float]:
    """The loss and its gradient at other weights, with nothing shared with the code under test."""
    copied = copy.deepcopy(model).eval()
    copied.norm.train(bn == "batch")  # type: ignore[union-attr, operator]
    names = [name for name, _ in copied.named_parameters()]
    weights = weights.clone().requires_grad_()
    parts = dict(zip(names, space.split(weights, copied), strict=True))
    loss = F.cross_entropy(functional_call(copied, parts, (x,)), y)
    return torch.autograd.grad(loss, weights)[0], loss.item()


@pytest.mark.parametrize("bn", ["keep", "batch"])
def test_algorithm_1_is_a_hand_written_loop(model: nn.Module, data: Data, bn: str) -> None:
    theta, (x, y), lr, norms, losses = space.flatten(model), data, 0.5, [], []
    eps = torch.zeros_like(theta)
    for epoch in (1, 2, 3):
        alpha, total = epoch / 3, 0.0
        for batch, lam in drawn(7, epoch, -alpha, alpha):
            g, loss = gradient(model, theta + lam * eps, x[batch], y[batch], bn)
            eps = eps - lr * lam * g
            total += loss * len(batch)
        norms.append(float(eps.norm()))
        losses.append(total / N)
    got = peak(model, data, lr=lr, bn=bn, seed=7)
    torch.testing.assert_close(got.direction, eps, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.history.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(got.history.norm, norms, rtol=1e-9)
    assert got.history.epoch.values.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("alpha", "gamma"), [(0.0, 0.1), (0.3, 0.9), (0.5, 0.0)])
def test_algorithm_2_is_a_hand_written_loop(
    model: nn.Module, data: Data, phi: Tensor, alpha: float, gamma: float
) -> None:
    theta, (x, y), lr, norms, losses, given = space.flatten(model), data, 0.5, [], [], phi.clone()
    moved = phi
    for epoch in (1, 2):
        total = 0.0
        for batch, lam in drawn(7, epoch, 0.5 - alpha, 0.5 + alpha):
            end, end_loss = gradient(model, moved, x[batch], y[batch], "batch")
            between, loss = gradient(model, (1 - lam) * theta + lam * moved, x[batch], y[batch], "batch")
            moved = moved - lr * (end + gamma * lam * between)
            total += (end_loss + gamma * loss) * len(batch)
        norms.append(float((moved - theta).norm()))
        losses.append(total / N)
    got = vvv(model, data, phi, alpha=alpha, gamma=gamma, epochs=2, lr=lr, seed=7)
    torch.testing.assert_close(got.direction, moved - theta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.history.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(got.history.norm, norms, rtol=1e-9)
    assert torch.equal(phi, given)


class Saddle(nn.Module):
    """Two logits, w' A w for each example and 0: the loss of class 0 has Hessian -A near w = 0."""

    def __init__(self, a: Tensor, w: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        rise = (self.w @ self.a @ self.w).expand(len(x))
        return torch.stack([rise, torch.zeros_like(rise)], 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_direction_of_most_negative_curvature_is_found(seed: int) -> None:
    torch.manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    curvatures = torch.tensor([-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5, 1.0], dtype=torch.float64)
    model = Saddle(basis @ torch.diag(-curvatures) @ basis.T, 1e-3 * torch.randn(8, dtype=torch.float64))
    data = torch.zeros(64, 1, dtype=torch.float64), torch.zeros(64, dtype=torch.long)
    found = peak(model, data, epochs=60, lr=0.5)
    similar = cosines(found.direction, basis.T)
    assert similar.argmax() == 0
    assert similar[0] > 0.99


def test_it_lowers_what_it_minimises(model: nn.Module, data: Data, phi: Tensor) -> None:
    """Algorithm 2's loss is that at phi and half way; a fresh phi starts at chance."""
    loss = vvv(model, data, phi, epochs=40, gamma=0.5).history.loss
    assert loss[-1] < 0.5 * loss[0]


def test_a_bar_says_where_it_stands(model: nn.Module, data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    peak(model, data, progress=True)
    assert "mining" in capsys.readouterr().err
    peak(model, data, seed=1)
    assert capsys.readouterr().err == ""


# --- kept on disk ---


def same(a: Mined, b: Mined) -> bool:
    xr.testing.assert_identical(a.history, b.history)
    return torch.equal(a.direction, b.direction) and a.settings == b.settings


ALGORITHMS: dict[str, Callable[[nn.Module, Data, Tensor], Mined]] = {
    "peak": lambda model, data, phi: peak(model, data),
    "vvv": lambda model, data, phi: vvv(model, data, phi),
}


@pytest.mark.parametrize("which", ALGORITHMS)
def test_a_finished_mining_is_read_back(
    model: nn.Module, data: Data, phi: Tensor, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ALGORITHMS[which](model, data, phi)
    monkeypatch.setattr(mining, "_epoch", lambda *_: pytest.fail("mined twice"))
    again = ALGORITHMS[which](model, data, phi)
    assert same(first, again)
    assert again.direction.dtype == torch.float64
    (shelf,) = store.shelves("mined")
    assert [p.name.split(".")[0] for p in shelf.folder.iterdir()] == ["mined"]


@pytest.mark.parametrize("which", ALGORITHMS)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_interrupted_it_leaves_the_model_and_goes_on_bit_identically(
    model: nn.Module, data: Data, phi: Tensor, which: str, stop: int, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    want = ALGORITHMS[which](model, data, phi)
    subprocess.run(["rm", "-r", str(home / "mined")], check=True)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    next(model.parameters()).requires_grad_(False)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    whole, epochs = mining._epoch, []
    monkeypatch.setattr(store, "SAVING", math.inf)  # after every epoch

    def interrupted(*arguments: object) -> float:
        epochs.append(arguments[4])
        loss = whole(*arguments)  # type: ignore[arg-type]
        if len(epochs) == stop:
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(mining, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ALGORITHMS[which](model, data, phi)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()][:2] == [False, True]
    assert all(bool((p.grad == 1).all()) for p in model.parameters())  # type: ignore[union-attr]
    assert same(ALGORITHMS[which](model, data, phi), want)
    assert epochs == [*range(1, stop + 1), *range(stop, 4)]


def mine_on_one_thread() -> Tensor:
    """What the process that is killed and the one that goes on both mine: 12 epochs of 5 batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(40, 36)
    mined = mine_peak(model, (inputs, torch.arange(40) % 3), epochs=12, batch_size=8, progress=False)
    torch.set_num_threads(threads)
    return mined.direction


def mine_and_wait_in_epoch_5() -> None:
    """Mine up to the third batch of epoch 5, say so, and wait to be killed."""
    add, batches = mining.Slope.add, []

    def waiting(*arguments: object) -> Tensor:
        batches.append(1)
        if len(batches) == 4 * 5 + 3:
            print("waiting", flush=True)
            time.sleep(600)
        return add(*arguments)  # type: ignore[arg-type]

    mining.Slope.add, store.SAVING = waiting, math.inf  # type: ignore[method-assign]
    mine_on_one_thread()


def test_killed_while_mining_it_resumes_bit_identically(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"from {__name__} import mine_and_wait_in_epoch_5 as mine; mine()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGKILL)
    (shelf,) = store.shelves("mined")
    assert [p.name.split(".")[0] for p in shelf.folder.iterdir()] == ["state"]
    epochs, whole = [], mining._epoch
    monkeypatch.setattr(mining, "_epoch", lambda *a: epochs.append(a[4]) or whole(*a))
    resumed = mine_on_one_thread()
    assert epochs == list(range(5, 13))
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "other"))
    assert torch.equal(resumed, mine_on_one_thread())
    assert len(epochs) == 8 + 12


def test_where_one_only_looks_nothing_is_mined(model: nn.Module, data: Data) -> None:
    with store.only_looking(), pytest.raises(store.NotKeptError):
        peak(model, data)
    first = peak(model, data)
    with store.only_looking():
        assert same(peak(model, data), first)


@pytest.mark.parametrize("victim", ["mined", "state"])
def test_a_damaged_file_is_set_aside_and_mined_again(
    model: nn.Module, data: Data, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = store.Shelf.drop
    with monkeypatch.context() as patch:
        patch.setattr(store.Shelf, "drop", lambda shelf, name: None)
        first = peak(model, data)
    (shelf,) = store.shelves("mined")
    if victim == "state":
        drop(shelf, "mined")
    (path,) = shelf.folder.glob(f"{victim}.*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(DamagedFileWarning):
        again = peak(model, data)
    assert same(first, again)


CHANGES: dict[str, Callable[[nn.Module, Data], dict[str, object]]] = {
    "a weight": lambda m, d: {"": m.conv.weight.data.add_(1e-6)},  # type: ignore[union-attr, operator]
    "a running mean": lambda m, d: {"": m.norm.running_mean.add_(1e-6)},  # type: ignore[union-attr, operator]
    "an input": lambda m, d: {"": d[0].add_(1e-6)},
    "a target": lambda m, d: {"": d[1].copy_(d[1].flip(0))},
    "epochs": lambda m, d: {"epochs": 2},
    "lr": lambda m, d: {"lr": 0.4},
    "batch_size": lambda m, d: {"batch_size": 25},
    "bn": lambda m, d: {"bn": "batch"},
    "seed": lambda m, d: {"seed": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_a_direction_names_it(model: nn.Module, data: Data, change: str) -> None:
    first = peak(model, data)
    how = {name: value for name, value in CHANGES[change](model, data).items() if name}
    assert not torch.equal(peak(model, data, **how).direction, first.direction)
    assert len(store.shelves("mined")) == 2


# --- what it refuses ---


def test_divergence_is_one_sentence_and_nothing_is_called_finished(data: Data) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 3))
    phi = space.flatten(model) / 2
    said = r"^mining diverged: the loss is \S+ .* in epoch \d of 3 at learning rate 1e\+30; try a smaller lr$"
    for mine in (lambda: vvv(model, data, phi, lr=1e30), lambda: peak(model, data, lr=1e30)):
        with pytest.raises(FloatingPointError, match=said):
            mine()
    assert not any(shelf.has("mined") for shelf in store.shelves("mined"))


BAD: dict[str, dict[str, object]] = {
    "epochs is 0; it must be 1 or above": {"epochs": 0},
    "batch_size is 0; it must be 1 or above": {"batch_size": 0},
    "lr is 0; it must be above 0": {"lr": 0},
    "lr is nan; it must be above 0": {"lr": math.nan},
    "alpha is -0.1; it must lie in [0, 0.5]": {"alpha": -0.1},
    "alpha is 0.6; it must lie in [0, 0.5]": {"alpha": 0.6},
    "alpha is nan; it must lie in [0, 0.5]": {"alpha": math.nan},
    "gamma is -1; it must be 0 or above": {"gamma": -1},
    "gamma is inf; it must be 0 or above": {"gamma": math.inf},
}


@pytest.mark.parametrize("said", BAD)
def test_numbers_out_of_range_are_told_in_a_sentence(
    model: nn.Module, data: Data, phi: Tensor, said: str, home: Path
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        vvv(model, data, phi, **BAD[said])
    if not {"alpha", "gamma"} & BAD[said].keys():
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            peak(model, data, **BAD[said])
    assert not home.exists()


def test_wrong_weights_statistics_and_data_are_refused(model: nn.Module, data: Data, phi: Tensor) -> None:
    for wrong in (phi[1:], phi[None], phi / 0):
        with pytest.raises(ValueError, match="give finite weights, flat, of shape"):
            vvv(model, data, wrong)
    with pytest.raises(ValueError, match="unknown bn 'kep'; the nearest valid names are: keep"):
        peak(model, data, bn="kep")
    with pytest.raises(ValueError, match="a target lies outside"):
        peak(model, (data[0], data[1] + 1))
    with pytest.raises(ValueError, match="at least one"):
        peak(model, (data[0][:0], data[1][:0]))


# --- cosines ---


@pytest.mark.parametrize("bn", ["keep", "batch"])
def test_the_mean_gradient_is_that_of_all_examples_together(
    model: nn.Module, data: Data, bn: BatchNormStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy.deepcopy(model.state_dict())
    expected, _ = gradient(model, space.flatten(model), *data, bn)
    torch.testing.assert_close(mean_gradient(model, data, bn=bn), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    if bn == "keep":
        monkeypatch.setattr(class_gradients, "CPU_GRADIENT_BATCH", 7)
        torch.testing.assert_close(mean_gradient(model, data, bn=bn), expected)


@given(largest=st.floats(0.1, 100), smallest=st.floats(0.01, 10), batches=st.integers(1, 50))
def test_the_schedule_is_stable_and_grows_as_it_says(largest: float, smallest: float, batches: int) -> None:
    rate, epochs = peak_schedule([largest, 0.0, -smallest], batches, growth=8.0, most=10**9)
    assert rate * largest < 2
    grown = rate * smallest * epochs * batches / 9
    assert 8 <= grown <= 8 + rate * smallest * batches / 9 + 1e-9  # whole epochs
    assert peak_schedule([largest, -smallest], batches, most=3)[1] <= 3


def test_on_a_quadratic_loss_the_negative_direction_grows_by_the_power_that_was_asked_for() -> None:
    """eps <- eps - eta lam (g + lam h eps), as algorithm 1 does."""
    generator = np.random.default_rng(0)
    rate, epochs = peak_schedule([2.0, -0.1], 20, growth=6.0)
    up, down = 1.0, 1.0
    for epoch in range(1, epochs + 1):
        for lam in generator.uniform(-epoch / epochs, epoch / epochs, 20):
            up, down = up - rate * lam * (lam * 2.0 * up), down - rate * lam * (lam * -0.1 * down)
    assert abs(np.log(down) - 6) < 0.6
    assert abs(up) < 1


def test_without_a_curvature_upwards_there_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="no eigenvalue is above zero"):
        peak_schedule([-1.0], 3)


def test_cosines_are_absolute_and_scale_free() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6)).Q.T
    direction = 3 * basis[0] - 4 * basis[1]
    torch.testing.assert_close(
        cosines(direction, 7 * basis)[:3], torch.tensor([0.6, 0.8, 0.0]).double(), atol=1e-6, rtol=0
    )
    assert cosines(direction, torch.zeros(1, 6)).isnan().all()
    for vectors in (basis[0], basis[:, :5]):
        with pytest.raises(ValueError, match=re.escape("must be (P,) and (k, P)")):
            cosines(direction, vectors)


def test_random_directions_have_the_cosine_that_the_docstring_states() -> None:
    vectors = torch.randn(20000, 50, generator=torch.Generator().manual_seed(0))
    assert float(cosines(torch.ones(50), vectors).mean()) == pytest.approx(math.sqrt(2 / (math.pi * 50)), rel=0.02)
