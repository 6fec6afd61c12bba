import os

import pytest
import torch
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.landscape.directions import Around, Directions, Perturbed
from landscape_utils.landscape.side_by_side import by_model


@pytest.fixture
def around(small: Dataset) -> Around:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    return {
        Perturbed("mlp", seed, 1, "late"): Directions(model, small.train, seed=seed, progress=False) for seed in (4, 5)
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_found_is_filed_by_model_whoever_found_it(
    around: Around, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = by_model(lambda place, here: (place.seed, float(here["Gau."][0]), os.getpid()), around, "x", progress=False)
    assert list(found) == list(around)
    for place, (seed, first, process) in found.items():
        assert (seed, first) == (place.seed, float(around[place]["Gau."][0]))
        assert (process == os.getpid()) == (threads == 1)


def test_around_no_model_there_is_nothing() -> None:
    assert by_model(lambda place, here: 1, {}, "x", progress=False) == {}
