"""Runs that memorize are gathered with their ends."""

import numpy as np
import pytest

from landscape_utils import RunSpec
from landscape_utils.memorization.memorized import accuracies, trained


def test_courses_of_unequal_length_are_gathered(home: object) -> None:
    kind = {"dataset": "glyphs10", "model": "mlp", "train_size": 60, "test_size": 30, "epsilon": 0.5}
    runs = trained([RunSpec(**kind, seed=s, data_seed=s, epochs=1 + s) for s in (0, 1)], progress=False)  # type: ignore[arg-type]
    found = accuracies(runs)
    assert found.sizes == {"seed": 2, "epoch": 3, "subset": 4}
    assert found["last"].values.tolist() == [1, 2]
    assert np.isnan(found["subset_accuracy"].sel(seed=0, epoch=2)).all()
    assert found["subset_accuracy"].sel(seed=1).equals(runs[1].history["subset_accuracy"].assign_coords(seed=1))
    assert found["best"].values.tolist() == [run.best_epoch for run in runs]


def test_without_permuted_labels_there_is_nothing_to_memorize() -> None:
    with pytest.raises(ValueError, match=r"seed 3 permutes no labels"):
        trained([RunSpec(dataset="glyphs10", model="mlp", seed=3)])
