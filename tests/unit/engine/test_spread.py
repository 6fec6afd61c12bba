"""Points over workers that are threads of this process; test_cluster.py has real ones, and kills them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr
from distributed import Client, LocalCluster
from distributed.client import FutureCancelledError

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import evaluate, spread
from landscape_utils.engine.space import gaussian_direction
from landscape_utils.training.models import build_model


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def model(small: Dataset) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("mlp", input_shape=small.input_shape, classes=3).double().eval()


def plane(model: torch.nn.Module, data: Dataset, **how: object) -> xr.Dataset:
    train = (data.train.inputs.double(), data.train.targets)
    d1, d2 = (gaussian_direction(model, seed=s) for s in (1, 2))
    return evaluate.surface(model, train, d1, d2, points=5, progress=False, **how)


def test_a_cluster_gives_the_same_surface(client: Client, model: torch.nn.Module, small: Dataset) -> None:
    here = plane(model, small, cache=False)
    there = plane(model, small, cache=False, client=client)
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-12)
    np.testing.assert_array_equal(there.mistake_rate, here.mistake_rate)


def test_only_missing_points_go_to_the_cluster_and_all_are_kept(
    client: Client, model: torch.nn.Module, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    original = spread.spread

    def counting(client: Client, walk: dict, points: list) -> Iterator:
        sent.append(len(points))
        return original(client, walk, points)

    monkeypatch.setattr(evaluate, "spread", counting)
    first = plane(model, small, client=client)
    assert sum(sent) == 25
    again = plane(model, small, client=client)
    assert sum(sent) == 25
    xr.testing.assert_identical(first, again)


def test_a_reader_that_stops_takes_its_tasks_back(client: Client, model: torch.nn.Module, small: Dataset) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise Stopped

    train = (small.train.inputs.double(), small.train.targets)
    d1, d2 = (gaussian_direction(model, seed=s) for s in (1, 2))
    with pytest.raises(Stopped):
        evaluate.surface(model, train, d1, d2, points=5, progress=stop, client=client)
    seen: list[int] = []
    evaluate.surface(model, train, d1, d2, points=5, progress=lambda done, total: seen.append(total), client=client)
    assert 0 < seen[0] <= 25 - 7 + 1  # what was finished is kept


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_closed_client_gets_one_sentence(when: str, client: Client, model: torch.nn.Module, small: Dataset) -> None:
    guest = Client(client.cluster, set_as_default=False)

    def stop(done: int, total: int) -> None:
        guest.close()

    if when == "before":
        guest.close()
    train = (small.train.inputs.double(), small.train.targets)
    with pytest.raises(ConnectionError, match="the Dask client is closed; give one that is connected"):
        evaluate.curve(model, train, gaussian_direction(model), range(40), progress=stop, client=guest)


class Losing:
    """A client whose workers die with the landscape, so many times."""

    status = "running"

    def __init__(self, times: int) -> None:
        self.times = times

    def scatter(self, walks: object, **how: object) -> list[object]:
        return [type("Held", (), {"key": "k"})()]

    def submit(self, *given: object, **how: object) -> object:
        return given[-1]

    def scheduler_info(self, n_workers: int) -> dict[str, object]:
        return {"workers": {"a": 1}}

    def cancel(self, tasks: object) -> None:
        pass


@pytest.mark.parametrize("times", [2, 3])
def test_a_landscape_that_is_lost_is_sent_again_but_not_for_ever(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client, points = Losing(times), [(float(i),) for i in range(6)]
    monkeypatch.setattr("distributed.as_completed", list)

    def result(task: list) -> list:
        if client.times and task[0] != (0.0,):  # the first part arrives each time
            client.times -= 1
            raise FutureCancelledError("k", None)
        return [(point, "sums") for point in task]

    monkeypatch.setattr(spread, "_result", result)
    if times == 3:
        with pytest.raises(RuntimeError, match="died 3 times"):
            list(spread.spread(client, {}, points))
    else:
        assert sorted(point for point, _ in spread.spread(client, {}, points)) == points
