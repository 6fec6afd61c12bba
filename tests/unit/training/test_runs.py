from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landscape_utils.data.datasets import Dataset, load_dataset
from landscape_utils.training.training import train
from tests.conftest import small_arrays
from tests.unit.training.conftest import spec_of


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


def test_a_run_says_when_its_data_have_changed(small_npz: Path) -> None:
    run = train(spec_of(small_npz, epochs=1), progress=False)
    arrays = small_arrays(seed=1)
    np.savez(small_npz, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    with pytest.raises(ValueError, match="other bytes than the run was trained on"):
        run.labels()
