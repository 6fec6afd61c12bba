"""What comes before a changed layer is taken from memory, and the logits are those of a whole pass."""

import pytest
import torch
from torch import Tensor, nn

from landscape_utils import build_model
from landscape_utils.engine.layers import main_layers
from landscape_utils.memorization.replay import Replay

NETWORKS = {"vgg11": {"width": 0.1}, "resnet8": {}, "mlp": {"width": 8}}


def network(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = build_model(name, input_shape=(3, 8, 8), classes=4, **NETWORKS[name]).eval().requires_grad_(False)
    return model, torch.randn(3, 3, 8, 8)


class Stack(nn.Module):
    """A network of one's own in which the second layer is what a test makes it."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 4), middle, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)))


def change(layer: nn.Module) -> None:
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(-1.1).add_(0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rest_of_a_pass_gives_what_a_whole_pass_gives(name: str) -> None:
    model, x = network(name)
    for layer in main_layers(model, x):
        replay, conv = Replay(model, x), model.get_submodule(layer.name)
        before = model(x)
        change(conv)
        assert replay.agrees({layer.name})
        got = replay.after({layer.name})
        assert torch.equal(got, model(x))
        assert not torch.equal(got, before)


def test_what_comes_before_the_layer_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network("vgg11")
    replay, calls = Replay(model, x), []
    convolution = nn.functional.conv2d
    monkeypatch.setattr("torch.nn.functional.conv2d", lambda *a, **k: calls.append(1) or convolution(*a, **k))
    names = [layer.name for layer in main_layers(model, x)]
    for left_out, name in enumerate(names):
        calls.clear()
        replay.after({name})
        assert len(calls) == 8 - left_out
    calls.clear()
    replay.after({names[5], names[2]})
    assert len(calls) == 6


def test_a_module_that_serves_twice_answers_with_what_it_gave_each_time() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 3))
    replay = Replay(model, torch.randn(2, 4))
    change(model[4])
    assert replay.agrees({"4"})


def test_modules_compute_again_afterwards() -> None:
    model, x = network("mlp")
    Replay(model, x).after({main_layers(model, x)[-1].name})
    assert not any("forward" in vars(module) for module in model.modules())
    patched = Stack(nn.Identity())
    own = patched.middle.forward = lambda x: 2 * x
    Replay(patched, torch.ones(1, 4)).after({"last"})
    assert patched.middle.forward is own


def test_tied_weights_are_noticed() -> None:
    model, x = Stack(nn.Linear(4, 4)), torch.randn(2, 4)
    model.middle.weight = model.first.weight
    replay = Replay(model, x)
    assert replay.agrees({"middle"})
    change(model.middle)
    assert not replay.agrees({"middle"})
    assert replay.agrees({"first", "middle"})


class Spoiling(nn.Module):
    """Works in place on what it is given, by itself or by another module."""

    def __init__(self, act: nn.Module | None) -> None:
        super().__init__()
        self.inner, self.act = nn.Linear(4, 4), act

    def forward(self, x: Tensor) -> Tensor:
        if self.act is None:
            x += 1
            return self.inner(x)
        y = self.inner(x)
        return y + self.act(x)


def test_what_is_worked_on_in_place_is_copied() -> None:
    for name in ("middle.inner", "last"):
        replay = Replay(Stack(Spoiling(None)), torch.randn(2, 4))
        assert replay.agrees({name})
        assert torch.equal(replay.after({name}), replay.after({"first"}))


def test_a_module_that_works_in_place_on_what_is_remembered_is_noticed() -> None:
    model, x = Stack(Spoiling(nn.ReLU(inplace=True))), torch.randn(2, 4)
    assert not Replay(model, x).agrees({"middle.inner"})
    assert Replay(model, x).agrees({"last"})
    assert Replay(model, x).agrees({"first"})


class Pair(nn.Module):
    """Gives no tensor, but two."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, 2 * x


class Adding(nn.Module):
    """Has a parameter of its own, and a module without children that gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.pair, self.own = Pair(), nn.Parameter(torch.ones(4))
        self.middle, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.pair(x)
        return self.last(self.middle(self.own * (a + b)))


def test_what_is_not_remembered_runs() -> None:
    model = Adding()
    replay = Replay(model, torch.randn(2, 4))
    change(model.last)
    assert replay.agrees({"last"})
    assert replay.agrees({"pair", "last"})
    with torch.no_grad():
        model.own.add_(1)
    assert replay.agrees({"", "last"})
    assert not replay.agrees({"last"})
