import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from landscape_utils.engine import engine, space
from landscape_utils.kit import store
from landscape_utils.training.models import build_model


def prepared(model: nn.Module, x: torch.Tensor, y: torch.Tensor, **how: object) -> engine.Engine:
    directions = [space.gaussian_direction(model, seed=s) for s in (1, 2)]
    return engine.Engine(model, x, y, origin=space.flatten(model), directions=directions, **how)


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(60, 3, 16, 16), torch.arange(60) % 3


class Residual(nn.Module):
    """Shares its input with a later layer, and scales it by a parameter of its own first if asked."""

    def __init__(self, scaled: bool = False, twice: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)
        self.scaled, self.twice = scaled, twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(self.scale * x if self.scaled else x).relu()
        return self.second((self.first(h) if self.twice else h) + x)


@pytest.mark.parametrize(
    ("model", "reused"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), True),
        (Residual(), True),
        (Residual(scaled=True), False),
        (Residual(twice=True), False),
        (nn.Linear(6, 3), False),  # the whole model: nothing to save
        (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), False),
        (nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3)), True),
    ],
)
def test_the_first_layer_is_reused_only_where_no_parameter_comes_before_it(model: nn.Module, reused: bool) -> None:
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    tool = prepared(model, x, y)
    assert (tool._first is not None) == reused
    if any(isinstance(m, nn.BatchNorm1d) for m in model.modules()):  # its statistics would be a point's own
        assert prepared(model, x, y, bn="update")._first is None


def test_tied_weights_move_together() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.b(self.a(x).relu()).relu())

    model = Tied()
    x, y = torch.randn(30, 4), torch.arange(30) % 3
    tool = prepared(model, x, y)
    assert tool._first is None
    moved = copy.deepcopy(model)
    vector = space.flatten(model) + 0.5 * space.gaussian_direction(model, seed=1)
    for p, part in zip(moved.parameters(), space.split(vector, model), strict=True):
        p.data.copy_(part)
    right = tool.at((0.5, 0.0)).right
    assert right.sum() == (moved(x).argmax(1) == y).sum()


def test_recurrent_layers_move_too() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    model = Reader()
    tool = prepared(model, torch.randn(30, 5, 4), torch.arange(30) % 3)
    assert not torch.allclose(tool.at((0.0, 0.0)).loss, tool.at((1.0, 0.0)).loss)


def test_no_tensor_of_the_callers_is_moved(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = build_model("resnet8", input_shape=(3, 16, 16), classes=3)
    before = copy.deepcopy(model.state_dict())
    tool = prepared(model, *data, bn="update")
    tool.at((1.0, 1.0))
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_batch_size_is_measured_once_and_remembered(
    data: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model("resnet8", input_shape=(3, 16, 16), classes=3)
    first = prepared(model, *data, points=10_000).batch
    monkeypatch.setattr(engine, "best_batch", lambda *args: pytest.fail("measured again"))
    assert prepared(copy.deepcopy(model), *data).batch == first
    assert first in engine.CANDIDATES["cpu"]


def test_the_best_batch_size_is_the_quickest_an_example_within_memory() -> None:
    seconds = {10: 1.0, 20: 3.0, 40: 2.0, 80: torch.inf}
    assert engine.best_batch(seconds.__getitem__, list(seconds), passes=1000) == (10, True)
    assert engine.best_batch(seconds.__getitem__, list(seconds), passes=0) == (40, False)


def test_a_batch_size_that_was_not_looked_for_long_is_not_remembered(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = build_model("resnet8", input_shape=(3, 16, 16), classes=3)
    prepared(model, *data, points=0)
    assert not store.shelves("batch-sizes")
    prepared(model, *data, points=10_000)
    assert len(store.shelves("batch-sizes")) == 1


@pytest.mark.parametrize("reading", [lambda h: h.detach(), lambda h: h.round()])
def test_a_layer_whose_input_moves_where_autograd_does_not_see_it_is_not_computed_ahead(reading: Callable) -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.body, self.head = nn.Parameter(torch.full((6,), 3.0)), nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(reading(self.scale * x)).relu())

    model, (x, y) = Cut(), (torch.randn(20, 6), torch.arange(20) % 3)
    assert prepared(model, x, y)._first is None


def test_running_out_of_memory_makes_a_batch_size_infinitely_slow(
    data: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = prepared(build_model("mlp", input_shape=(3, 16, 16), classes=3), *data)

    def full(part: slice) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(tool, "_forward", full)
    assert tool._timed(50) == torch.inf


def test_hooks_and_own_readings_of_the_first_layer_are_respected() -> None:
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    hooked = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    hooked[0].register_forward_hook(lambda module, args, out: out * 3)
    tool = prepared(hooked, x, y)
    assert tool._first is None
    losses = torch.nn.functional.cross_entropy(hooked(x), y, reduction="sum")
    torch.testing.assert_close(tool.at((0.0, 0.0)).loss.sum().float(), losses.detach(), rtol=1e-5, atol=0)

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x.to(self.a.weight.dtype)).relu())

    assert prepared(Reading(), x, y)._first is None
    spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3))
    assert prepared(spectral, x, y)._first is None
