from collections.abc import Callable

import pytest
import torch
from torch import nn

from landscape_utils.engine import points
from landscape_utils.engine.engine import Sums
from landscape_utils.kit import store
from landscape_utils.kit.store import DamagedFileWarning


def sums(value: float) -> Sums:
    return Sums(torch.full((3,), value, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))


LOGITS = torch.eye(3)


def test_points_come_back_and_a_name_survives_rounding() -> None:
    def walk() -> None:
        with points.kept("abc", LOGITS) as finished:
            finished.add((0.1, -0.0), sums(float("nan")))
            finished.add((0.2, 1.0), sums(float("inf")))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk()
    with points.kept("abc", LOGITS) as finished:
        assert set(finished) == {points.name((0.3 - 0.2, 0.0)), points.name((0.2, 1.0))}
        assert finished[points.name((0.1, 0.0))].loss.isnan().all()
        assert finished[points.name((0.2, 1.0))].loss.isposinf().all()


def test_without_a_fingerprint_nothing_is_kept(home: object) -> None:
    with points.kept(None, LOGITS) as finished:
        finished.add((0.0,), sums(1.0))
    assert store.shelves("points") == []


def test_a_model_that_answers_otherwise_starts_anew() -> None:
    with points.kept("abc", LOGITS) as finished:
        finished.add((0.0,), sums(1.0))
    with points.kept("abc", LOGITS + 0.1) as finished:
        assert not finished


def test_a_damaged_file_is_set_aside() -> None:
    with points.kept("abc", LOGITS) as finished:
        finished.add((0.0,), sums(1.0))
    (path,) = store.shelf("points", "abc").folder.glob("points.*")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(DamagedFileWarning), points.kept("abc", LOGITS) as finished:
        assert not finished


def test_points_are_saved_while_the_walk_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(store.time, "monotonic", lambda: float(next(clock)))
    with points.kept("abc", LOGITS) as finished:
        finished.add((0.0,), sums(1.0))
        assert store.shelf("points", "abc").has("points")


CHANGES: dict[str, Callable[[nn.Module, list[torch.Tensor], dict[str, str]], object]] = {
    "a weight": lambda m, t, s: m[0].weight.data.add_(1e-6),
    "a running mean": lambda m, t, s: m[1].running_mean.add_(1e-6),
    "an input": lambda m, t, s: t[0].add_(1e-6),
    "a setting": lambda m, t, s: s.update(bn="update"),
    "a module": lambda m, t, s: m.append(nn.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_a_point_is_in_its_fingerprint(change: str) -> None:
    model, tensors, settings = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), [torch.zeros(2, 3)], {"bn": "keep"}
    before = store.fingerprint(model, tensors, settings)
    assert store.fingerprint(model, tensors, settings) == before
    CHANGES[change](model, tensors, settings)
    assert store.fingerprint(model, tensors, settings) != before
