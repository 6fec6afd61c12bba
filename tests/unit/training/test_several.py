from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from loky import get_reusable_executor

from landscape_utils.data.datasets import Dataset
from landscape_utils.training import several
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.several import train_each, train_what_fits
from landscape_utils.training.training import train
from tests.unit.training.test_training import equal, spec_of


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "at_once", lambda jobs: 2)


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    get_reusable_executor().shutdown(kill_workers=True)


def specs(**changed: Any) -> list[RunSpec]:
    return [replace(spec_of(**changed), seed=seed) for seed in (4, 2, 3)]


def test_side_by_side_they_end_as_alone(small: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    together = [run.weights() for run in train_each(specs(), data=small, progress=False)]
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(several, "at_once", lambda jobs: 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker
    alone = train_each(specs(), data=small, progress=False)
    torch.set_num_threads(threads)
    assert [run.spec.seed for run in alone] == [4, 2, 3]
    for weights, run in zip(together, alone, strict=True):
        assert equal(weights, run.weights())


def test_what_is_trained_is_read_back(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = specs()
    known = train(second, data=small, progress=False)
    assert [run.spec for run in train_each(specs(), data=small, progress=False)] == [first, second, third]
    assert train(second, data=small, progress=False).about["seconds"] == known.about["seconds"]
    monkeypatch.setattr(several, "in_workers", lambda *_, **__: pytest.fail("trained twice"))
    assert [run.spec.seed for run in train_each(specs(), data=small, progress=False)] == [4, 2, 3]


@pytest.mark.parametrize("beside", [1, 2])
def test_divergence_costs_the_others_nothing(small: Dataset, monkeypatch: pytest.MonkeyPatch, beside: int) -> None:
    monkeypatch.setattr(several, "at_once", lambda jobs: beside)
    wild, tame = spec_of(lr=1e30), spec_of()
    failed, run = train_what_fits([wild, tame], data=small, progress=False)
    assert isinstance(failed, FloatingPointError)
    assert not isinstance(run, FloatingPointError)
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        train_each([wild, tame], data=small, progress=False)
