import numpy as np
import pytest

from landscape_utils.data.datasets import Dataset
from landscape_utils.data.labels import permute_labels
from landscape_utils.engine.inference import outcomes
from landscape_utils.interference.cctm import cctm
from landscape_utils.training.training import train
from tests.unit.training.conftest import spec_of


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
