import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape_utils.data.datasets import Dataset
from landscape_utils.run import costs, execute
from landscape_utils.suite import profiles
from landscape_utils.suite.notebooks import notebook_path
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.state import State
from landscape_utils.training.training import train


def test_estimates_grow_with_the_work(small: Dataset) -> None:
    short, long = (RunSpec(dataset="small", model="mlp", epochs=e) for e in (1, 10))
    assert costs.estimate(long, small).seconds > costs.estimate(short, small).seconds > 0
    cost = costs.estimate(short, small)
    # The checkpoints are the weights of 192 x 128 + 128 + 128 x 3 + 3 numbers; initial, best and final.
    assert cost.disk == 3 * 4 * (192 * 128 + 128 + 128 * 3 + 3)


def test_what_comes_before_the_first_training_is_told_apart(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object) -> State:
        time.sleep(0.2)
        return State(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(costs, "State", slow)
    monkeypatch.setattr(costs, "_seconds", lambda work: 1e-6)
    cost = costs.estimate(RunSpec(dataset="small", model="mlp", epochs=1), small)
    assert cost.start >= 0.2 > cost.seconds


@pytest.mark.parametrize(("taken", "batches"), [(1.0, [3]), (0.1, [3, 9])])
def test_what_is_timed_takes_long_enough(
    taken: float, batches: list[int], small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def part_of(data: Dataset, size: int) -> Dataset:
        sizes.append(size)
        return whole(data, size)

    sizes, whole = list[int](), costs._part_of
    monkeypatch.setattr(costs, "_part_of", part_of)
    monkeypatch.setattr(costs, "_seconds", lambda work: taken)
    costs.estimate(RunSpec(dataset="small", model="mlp", epochs=1, batch_size=2), small)
    assert sizes == [2 * n for n in batches]


def test_a_training_that_may_diverge_is_priced(small: Dataset) -> None:
    wild = RunSpec(dataset="small", model="fcn", model_options={"depth": 8}, epochs=3, lr=1e6)
    assert costs.estimate(wild, small).seconds > 0


def test_several_at_once_have_one_thread_each(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    monkeypatch.setattr(costs, "train_epoch", lambda *_: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for beside in (1, 2):
            costs.estimate(RunSpec(dataset="small", model="mlp", epochs=1), small, beside=beside)
        assert set(threads) == {2, 1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=12), st.integers(1, 4))
def test_side_by_side_no_worker_waits_while_something_is_left(jobs: list[float], workers: int) -> None:
    took, share = costs.side_by_side(jobs, workers), sum(jobs) / workers
    assert max(share, max(jobs)) - 1e-6 <= took <= share + max(jobs) * (1 - 1 / workers) + 1e-6  # Graham 1966
    assert costs.side_by_side(jobs, 1) == pytest.approx(sum(jobs))


def test_a_third_job_begins_where_the_first_of_two_ends() -> None:
    assert costs.side_by_side([3.0, 5.0, 4.0], 2) == 7
    assert costs.side_by_side([], 2) == 0


def test_recipes_of_other_lengths_are_priced_apart() -> None:
    session = execute.session_of(notebook_path("02_ego_flatness"), {})
    assert session is not None
    lengths = {
        name: {kind: len(same) for kind, same in costs.alike(specs).items()} for name, specs in session.specs().items()
    }
    assert lengths["resnet8"] == {("small-lr", 14): 3, ("big-lr", 7): 3, ("anneal-lr", 7): 3}


def test_what_is_finished_or_seen_before_is_not_left(small_npz: Path) -> None:
    specs = [RunSpec(dataset=str(small_npz), model="mlp", epochs=1, seed=seed) for seed in (0, 1, 2)]
    train(specs[1], progress=False)
    seen: set[str] = set()
    assert costs.left_of(specs[:2], seen) == [specs[0]]
    assert costs.left_of(specs, seen) == [specs[2]]


def test_sections_list_what_their_notebooks_train_beside_a_run_a_seed() -> None:
    def counts(notebook: str, **given: object) -> dict[str, int]:
        session = execute.session_of(notebook_path(notebook), given)
        assert session is not None
        return {name: len(specs) for name, specs in profiles.every_training(session).items()}

    assert counts("06_mftma") == {"vgg8": 3, "vgg8, other shares": 2, "spheres": 3}
    plateau = counts("05_bias_plateau")
    assert plateau.pop("fcn on digits, 100 images") == 20
    assert set(plateau.values()) == {5}
    assert "fcn on glyphs10" not in plateau
    assert counts("09_hessian_surfaces") == counts("04_gmi_mli_wpeak") == {"mlp": 3, "resnet8": 3}
    widths = {"widths": [4, 8], "architectures": ["mlp"], "train_size": 40, "test_size": 20}
    assert counts("08_double_descent", **widths) == {}
    one = execute.session_of(notebook_path("08_double_descent"), widths)
    assert one is not None
    assert all(seconds > 0 for seconds in profiles.beside_runs(one).values())
    assert len(profiles.beside_runs(one)) == 2
    resnets = {**widths, "architectures": ["resnet8"], "widths": [0.25, 0.5]}
    assert counts("08_double_descent", **resnets) == {"resnet8 of width 0.25": 5, "resnet8 of width 0.5": 5}
