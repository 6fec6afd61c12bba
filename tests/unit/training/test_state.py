import math
import subprocess

import pytest

from landscape_utils.data.datasets import Dataset
from landscape_utils.kit import store
from landscape_utils.training import training
from landscape_utils.training.training import train
from tests.unit.training.conftest import equal, spec_of


def test_memorize_stops_when_it_has(small: Dataset) -> None:
    run = train(spec_of(recipe="memorize", lr=0.01, epochs=200, batch_size=16, epsilon=0.3), data=small, progress=False)
    accuracy = run.history.train_accuracy.values
    assert accuracy[-1] > 0.99
    assert (accuracy[:-1] <= 0.99).all()
    assert len(accuracy) < 200


def test_a_goal_that_the_initialisation_meets_still_trains_an_epoch(small: Dataset) -> None:
    run = train(spec_of(stop_at=1e-9, epochs=5), data=small, progress=False)
    assert run.epochs == [0, 1]
    assert equal(run.weights("best"), run.weights("final"))
    assert not equal(run.weights("initial"), run.weights("final"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_interrupted_between_epochs_it_goes_on_bit_identically(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    spec = spec_of(model="resnet8", optimizer=optimizer, lr=0.01, epochs=4, epsilon=0.2)
    whole = train(spec, data=small, progress=False)
    weights, history = whole.weights(), whole.history
    subprocess.run(["rm", "-r", str(whole.shelf.folder)], check=True)
    measure, calls = training.history.measure_epoch, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training.history, "measure_epoch", interrupted)
        # Save after every epoch, however short it is.
        patch.setattr(store, "SAVING", math.inf)
        with pytest.raises(KeyboardInterrupt):
            train(spec, data=small, progress=False)
    epochs = []
    monkeypatch.setattr(training.history, "measure_epoch", lambda *a: epochs.append(1) or measure(*a))
    again = train(spec, data=small, progress=False)
    assert len(epochs) == 2  # epochs 3 and 4; the first two were remembered
    assert equal(again.weights(), weights)
    assert again.history.drop_attrs().equals(history.drop_attrs())
