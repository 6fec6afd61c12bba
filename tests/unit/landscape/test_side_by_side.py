import inspect
import os
from collections.abc import Callable, Sequence

import pytest
import torch
import xarray as xr
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.kit import store
from landscape_utils.landscape import side_by_side
from landscape_utils.landscape.directions import Around, Directions, Perturbed
from landscape_utils.landscape.side_by_side import by_model


@pytest.fixture
def around(small: Dataset) -> Around:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    return {
        Perturbed("mlp", seed, 1, "late"): Directions(model, small.train, seed=seed, progress=False) for seed in (4, 5)
    }


def computed(place: Perturbed, here: Directions) -> xr.Dataset:
    first, process = float(here["Gau."][0]), os.getpid()
    return xr.Dataset({"seed": place.seed, "first": first, "process": process})


def kept(place: Perturbed, here: Directions) -> xr.Dataset:
    return store.remembered("tried", str(place.seed), "found", lambda: computed(place, here))


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_found_is_filed_by_model_whoever_found_it(
    around: Around, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = by_model(kept, around, "x", progress=False)
    assert list(found) == list(around)
    for place, of in found.items():
        assert (of["seed"], of["first"]) == (place.seed, float(around[place]["Gau."][0]))
        assert (of["process"] == os.getpid()) == (threads == 1)


def test_what_is_kept_is_read_here_and_the_rest_is_computed_in_the_order_of_the_models(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = list(around)[1]
    by_model(kept, {second: around[second]}, "x", progress=False)
    asked: list[int] = []

    def here(work: Callable[..., object], jobs: Sequence[object], **how: object) -> list[object]:
        # What a worker is sent is its own job, and not the other models.
        assert "around" not in inspect.getclosurevars(work).nonlocals
        asked.append(len(jobs))
        return [work(job, int) for job in jobs]

    monkeypatch.setattr(side_by_side, "in_workers", here)
    assert [int(of["seed"]) for of in by_model(kept, around, "x", progress=False).values()] == [4, 5]
    by_model(kept, around, "x", progress=False)
    assert asked == [1]


def test_around_no_model_there_is_nothing() -> None:
    assert by_model(lambda place, here: 1, {}, "x", progress=False) == {}
