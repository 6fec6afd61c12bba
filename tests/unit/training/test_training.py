import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from landscape_utils.data.datasets import Dataset, load_dataset
from landscape_utils.data.labels import permute_labels
from landscape_utils.engine.inference import outcomes
from landscape_utils.interference import cctm
from landscape_utils.kit.store import DamagedFileWarning
from landscape_utils.training import training
from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RECIPES, RunSpec
from landscape_utils.training.training import learning_rate, train
from tests.conftest import small_arrays


def spec_of(path: Path | str = "small", **changes: object) -> RunSpec:
    return RunSpec(**{"dataset": str(path), "model": "mlp", "epochs": 3, **changes})  # type: ignore[arg-type]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


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


def test_history_is_what_the_kept_weights_give(small: Dataset) -> None:
    run = train(spec_of(model="resnet8", lr=0.02, epochs=4, checkpoints=(2,)), data=small, progress=False)
    history = run.history
    assert history.epoch.values.tolist() == [0, 1, 2, 3, 4]
    for epoch in run.epochs:
        model = run.model(epoch)
        for part in ("train", "test"):
            result = outcomes(model, getattr(small, part))
            assert float(history[f"{part}_accuracy"].sel(epoch=epoch)) == pytest.approx(result.accuracy)
            assert float(history[f"{part}_loss"].sel(epoch=epoch)) == pytest.approx(result.loss, rel=1e-4)
            rates = cctm(model, getattr(small, part))
            np.testing.assert_allclose(history[f"{part}_cctm"].sel(epoch=epoch), rates, atol=1e-6)
        np.testing.assert_allclose(history.last_bias.sel(epoch=epoch), list(model.modules())[-1].bias.detach())
    assert run.best_epoch == int(np.argmax(history.test_accuracy.values[1:])) + 1
    assert set(run.epochs) == {0, 2, 4, run.best_epoch}
    assert history.attrs["data"] == "small: 60 training and 30 test images"
    assert np.isnan(history.learning_rate[0])
    assert float(history.learning_rate[-1]) < float(history.learning_rate[1])


def test_subset_accuracies_follow_the_four_subsets(small: Dataset) -> None:
    run = train(spec_of(epsilon=0.5, epochs=2), data=small, progress=False)
    labels = permute_labels(small, 0.5)
    for epoch in (0, 2):
        for name in run.history.subset.values:
            want = outcomes(run.model(epoch), labels.subset(name)).accuracy
            assert float(run.history.subset_accuracy.sel(epoch=epoch, subset=name)) == pytest.approx(want)
    whole = train(spec_of(epsilon=1.0, epochs=1), data=small, progress=False).history.subset_accuracy
    assert np.isnan(whole.sel(subset="unpermuted")).all()
    assert "subset_accuracy" not in train(spec_of(epochs=1), data=small, progress=False).history


def test_memorize_stops_when_it_has(small: Dataset) -> None:
    run = train(spec_of(recipe="memorize", lr=0.01, epochs=200, batch_size=16, epsilon=0.3), data=small, progress=False)
    accuracy = run.history.train_accuracy.values
    assert accuracy[-1] > 0.99
    assert (accuracy[:-1] <= 0.99).all()
    assert len(accuracy) < 200


def test_learning_rates() -> None:
    assert learning_rate(RECIPES["big-lr"], 7, 10) == 0.01
    anneal = RECIPES["anneal-lr"]
    assert learning_rate(anneal, 0, 10) == 0.1
    assert learning_rate(anneal, 5, 10) == pytest.approx(0.05)
    assert learning_rate(anneal, 10, 10) == pytest.approx(0)


def test_recipes_are_the_papers() -> None:
    rates = {name: RECIPES[name].lr for name in ("small-lr", "big-lr", "anneal-lr", "memorize", "finetune")}
    assert rates == {"small-lr": 1e-4, "big-lr": 1e-2, "anneal-lr": 0.1, "memorize": 1e-4, "finetune": 1e-2}
    for name in ("small-lr", "big-lr", "anneal-lr", "finetune"):
        recipe = RECIPES[name]
        assert (recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.batch_size) == ("sgd", 0.9, 5e-4, 128)
        assert recipe.augment
    memorize = RECIPES["memorize"]
    assert (memorize.optimizer, memorize.batch_size, memorize.weight_decay, memorize.augment) == (
        "adam",
        1024,
        0,
        False,
    )


def test_the_callers_random_numbers_are_left_alone(small: Dataset) -> None:
    torch.manual_seed(3)
    want = torch.rand(4)
    torch.manual_seed(3)
    run = train(
        spec_of(model="vgg11", model_options={"width": 0.1, "head": "table3"}, epochs=1), data=small, progress=False
    )
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
    assert not training.is_trained(spec, small)


# --- once for each specification ---


def test_a_goal_that_the_initialisation_meets_still_trains_an_epoch(small: Dataset) -> None:
    run = train(spec_of(stop_at=1e-9, epochs=5), data=small, progress=False)
    assert run.epochs == [0, 1]
    assert equal(run.weights("best"), run.weights("final"))
    assert not equal(run.weights("initial"), run.weights("final"))


def test_a_run_says_when_its_data_have_changed(small_npz: Path) -> None:
    run = train(spec_of(small_npz, epochs=1), progress=False)
    arrays = small_arrays(seed=1)
    np.savez(small_npz, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    with pytest.raises(ValueError, match="other bytes than the run was trained on"):
        run.labels()


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


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_interrupted_between_epochs_it_goes_on_bit_identically(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    spec = spec_of(model="resnet8", optimizer=optimizer, lr=0.01, epochs=4, epsilon=0.2)
    whole = train(spec, data=small, progress=False)
    weights, history = whole.weights(), whole.history
    subprocess.run(["rm", "-r", str(whole.shelf.folder)], check=True)
    measure, calls = training.history.measure, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training.history, "measure", interrupted)
        # Save after every epoch, however short it is.
        patch.setattr(training.State, "save_soon", training.State.save)
        with pytest.raises(KeyboardInterrupt):
            train(spec, data=small, progress=False)
    epochs = []
    monkeypatch.setattr(training.history, "measure", lambda *a: epochs.append(1) or measure(*a))
    again = train(spec, data=small, progress=False)
    assert len(epochs) == 2  # epochs 3 and 4; the first two were remembered
    assert equal(again.weights(), weights)
    assert again.history.drop_attrs().equals(history.drop_attrs())


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


def start(path: Path, home: Path, model: str = "resnet8", epochs: int = 12) -> "subprocess.Popen[str]":
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
    arrays = small_arrays(train=600, size=12)
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


# --- reading a run ---


def test_epochs_that_were_not_kept_are_refused_with_those_that_were(small: Dataset) -> None:
    run = train(spec_of(epochs=6, checkpoints=(2,)), data=small, progress=False)
    missing = next(e for e in range(6) if e not in run.epochs)
    with pytest.raises(KeyError, match=r"there are \[0, "):
        run.model(missing)
    assert not run.model("best").training
    every = train(replace(run.spec, checkpoints="all"), data=small, progress=False)
    assert every.epochs == list(range(7))


def test_a_run_loads_its_data_again(small_npz: Path) -> None:
    run = train(spec_of(small_npz, epsilon=0.2, train_size=30, epochs=1), progress=False)
    labels = run.labels()
    assert labels.dataset.train.size == 30
    assert int(labels.permuted.sum()) == 6
    assert labels.dataset.test.size == load_dataset(str(small_npz)).test.size


# --- specifications that cannot be ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "anneal"}, "unknown recipe 'anneal'; the nearest valid names are: anneal-lr"),
        ({"model": "resnet9"}, "unknown model 'resnet9'"),
        ({"model_options": {"widht": 3}}, "unknown option of mlp 'widht'; the nearest valid names are: width"),
        ({"optimizer": "adm"}, "nearest valid names are: adam"),
        ({"schedule": "cos"}, "nearest valid names are: cosine"),
        ({"precision": "bf17"}, "nearest valid names are: bf16"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"epsilon": 1.5}, "must lie in"),
        ({"checkpoints": (7,)}, "checkpoint 7 lies outside the epochs 0 to 3"),
        ({"recipe": "finetune"}, "mlp has none"),
    ],
)
def test_bad_specifications_are_refused_before_anything_is_loaded(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(**change)
