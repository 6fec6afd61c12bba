import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.kit.store import DamagedFileWarning
from landscape_utils.training import architectures, training
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RECIPES
from landscape_utils.training.training import learning_rate, train
from tests.conftest import small_arrays
from tests.unit.training.conftest import equal, spec_of

# --- what training does ---


def test_equals_a_hand_written_loop(small: Dataset) -> None:
    """Momentum, weight decay, cosine schedule and order of examples, written out once more in float64."""
    spec = spec_of(lr=0.05, batch_size=16, seed=5)
    run = train(spec, data=small, progress=False)
    torch.manual_seed(training.epoch_seed(5, 0))
    model = build_model("mlp", input_shape=(3, 8, 8), classes=3)
    model.load_state_dict(run.weights("initial"))
    model = model.double()
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    x, y, step, steps = small.train.inputs.double(), small.train.targets, 0, 3 * 4
    for epoch in (1, 2, 3):
        order = torch.randperm(60, generator=torch.Generator().manual_seed(training.epoch_seed(5, epoch)))
        # The augmentation draws from the same generator, batch by batch, after the order.
        generator = torch.Generator().manual_seed(training.epoch_seed(5, epoch))
        torch.randperm(60, generator=generator)
        fill = -torch.tensor(small.mean) / torch.tensor(small.std)
        for batch in order.split(16):
            inputs = training.crop_and_flip(x[batch], generator, fill=fill)
            loss = F.cross_entropy(model(inputs), y[batch])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            lr = 0.05 / 2 * (1 + np.cos(np.pi * step / steps))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    v.mul_(0.9).add_(g + 5e-4 * p)
                    p.sub_(lr * v)
            step += 1
    for name, want in model.state_dict().items():
        torch.testing.assert_close(run.weights("final")[name].double(), want, rtol=1e-4, atol=1e-6)


def test_learning_rates() -> None:
    assert learning_rate(RECIPES["big-lr"], 7, 10) == 0.01
    anneal = RECIPES["anneal-lr"]
    assert learning_rate(anneal, 0, 10) == 0.1
    assert learning_rate(anneal, 5, 10) == pytest.approx(0.05)
    assert learning_rate(anneal, 10, 10) == pytest.approx(0)


def test_the_callers_random_numbers_are_left_alone(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def head(features: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Dropout(), nn.Linear(features, classes))

    monkeypatch.setitem(architectures._HEADS, "linear", head)
    torch.manual_seed(3)
    want = torch.rand(4)
    torch.manual_seed(3)
    run = train(spec_of(model="vgg11", model_options={"width": 0.1}, epochs=1), data=small, progress=False)
    run.model()
    assert torch.equal(torch.rand(4), want)


def test_bfloat16_autocast_trains(small: Dataset) -> None:
    run = train(spec_of(model="resnet8", precision="bf16", epochs=1, lr=0.02), data=small, progress=False)
    assert all(v.dtype != torch.bfloat16 for v in run.weights().values())
    assert np.isfinite(run.history.train_loss).all()


def test_divergence_is_told_and_nothing_is_called_finished(small: Dataset) -> None:
    spec = spec_of(lr=1e30)
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        train(spec, data=small, progress=False)
    assert training.finished(spec, small) is None


# --- once for each specification ---


def test_the_same_specification_trains_once(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(spec_of(), data=small, progress=False)
    monkeypatch.setattr(training, "_fit", lambda *_: pytest.fail("trained twice"))
    second = train(spec_of(), data=small, progress=False)
    assert second.shelf == first.shelf
    assert equal(first.weights(), second.weights())
    # The recipe's own number, spelled out, is the same training.
    assert train(spec_of(lr=0.1, momentum=0.9), data=small, progress=False).shelf == first.shelf


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 0.05},
        {"epochs": 4},
        {"model_options": {"width": 64}},
        {"epsilon": 0.1},
        {"checkpoints": (1,)},
    ],
)
def test_any_change_is_another_run(small: Dataset, change: dict[str, object]) -> None:
    assert training.find(spec_of(**change), small) != training.find(spec_of(), small)


def test_other_bytes_under_the_same_name_are_another_run(small: Dataset, small_npz: Path) -> None:
    first = train(spec_of(small_npz), progress=False)
    arrays = small_arrays(seed=1)
    np.savez(small_npz, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    second = train(spec_of(small_npz), progress=False)
    assert second.shelf != first.shelf
    assert not equal(first.weights(), second.weights())


PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import torch, landscape_utils as lu
torch.set_num_threads(1)
print("ready", flush=True)
run = lu.train(
    lu.RunSpec(dataset=sys.argv[1], model=sys.argv[2], epochs=int(sys.argv[3]), lr=0.02, checkpoints=(1, 2)),
    progress=False,
)
print(run.about["seconds"], flush=True)
"""


def start(path: Path, home: Path, model: str = "resnet8", epochs: int = 6) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(path), model, str(epochs)]
    environment = {**os.environ, "LANDSCAPE_HOME": str(home)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: "subprocess.Popen[str]") -> str:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out


def check_every_file(home: Path) -> None:
    """Whatever has its final name holds exactly what was written."""
    for path in (home / "runs").glob("*/*"):
        if not path.name.startswith(".tmp-"):
            assert path.suffix != ".damaged"
            assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == path.name.split(".")[1]


def test_killed_at_random_moments_it_resumes_bit_identically(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "data.npz"
    arrays = small_arrays(train=400, size=10)
    np.savez(path, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    begun = time.monotonic()
    process = start(path, whole)
    assert process.stdout is not None
    process.stdout.readline()
    ready = time.monotonic() - begun
    finish(process)
    length = time.monotonic() - begun - ready
    chance, killed = random.Random(0), 0
    kills = request.config.getoption("--kills")
    while killed < kills:
        process = start(path, broken)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.1, 0.5) * length)
        if process.poll() is not None:  # it finished first: begin again from nothing, to be killed again
            finish(process)
            subprocess.run(["rm", "-r", str(broken)], check=True)
            continue
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
        check_every_file(broken)
    finish(start(path, broken))
    check_every_file(broken)
    names = [sorted(p.name for p in (home / "runs").glob("*/weights-*")) for home in (whole, broken)]
    assert names[0] == names[1]  # the digests of all weights are in the names
    assert len(names[0]) >= 4


def test_two_processes_that_want_the_same_run_train_it_once(tmp_path: Path, small_npz: Path) -> None:
    home = tmp_path / "shared"
    both = [start(small_npz, home, "mlp", 30) for _ in range(2)]
    for process in both:
        finish(process)
    (folder,) = (home / "runs").iterdir()
    # Trained twice, the record (with its seconds) would have been written twice.
    assert len(list(folder.glob("run.*"))) == 1
    times = {p.stat().st_mtime_ns for p in folder.glob("weights-0000.*")}
    record = next(folder.glob("run.*")).stat().st_mtime_ns
    assert len(times) == 1
    assert max(times) < record


@pytest.mark.parametrize("harm", ["truncated", "flipped"])
@pytest.mark.parametrize("victim", ["weights-0000", "weights-0003", "history", "run"])
def test_a_truncated_or_flipped_file_is_noticed_and_recomputed(small: Dataset, harm: str, victim: str) -> None:
    first = train(spec_of(), data=small, progress=False)
    want = {name: first.weights(name) for name in ("initial", "final")}
    (path,) = first.shelf.folder.glob(f"{victim}.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content if harm == "flipped" else content[: len(content) // 2])
    with pytest.warns(DamagedFileWarning, match=path.name):
        second = train(spec_of(), data=small, progress=False)
    assert all(equal(second.weights(name), w) for name, w in want.items())
    assert path.with_name(path.name + ".damaged").exists()
    assert second.history.sizes["epoch"] == 4


def interrupt_before_the_end(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, but stop when all epochs are done and nothing is called finished yet."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(spec_of(), data=data, progress=False)


def test_a_damaged_checkpoint_of_an_interrupted_training_is_made_again(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_before_the_end(small, monkeypatch)
    (path,) = training.find(spec_of(), small).folder.glob("weights-0000.*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(DamagedFileWarning, match="weights-0000"):
        run = train(spec_of(), data=small, progress=False)
    assert run.weights("initial")


@pytest.mark.parametrize("harm", ["truncated", "flipped"])
def test_a_truncated_or_flipped_resume_file_costs_only_time(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    want = train(spec_of(), data=small, progress=False)
    weights = want.weights()
    subprocess.run(["rm", "-r", str(want.shelf.folder)], check=True)

    interrupt_before_the_end(small, monkeypatch)
    (path,) = want.shelf.folder.glob("resume.*")
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x10
    path.write_bytes(content if harm == "flipped" else content[:-100])
    with pytest.warns(DamagedFileWarning, match="resume"):
        again = train(spec_of(), data=small, progress=False)
    assert equal(again.weights(), weights)
