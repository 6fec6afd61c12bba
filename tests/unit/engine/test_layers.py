"""A network's layers are read off the tensors that pass between its modules."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from landscape_utils import build_model
from landscape_utils.engine.layers import layers, main_layers


def test_a_layer_has_its_normalisation_and_its_nonlinearity() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    )
    first, last = layers(model, torch.zeros(1, 1, 8, 8))
    assert (first.modules, first.output, first.nonlinear) == (("0", "1"), "3", True)
    assert (last.modules, last.output, last.nonlinear) == (("5",), "5", False)
    entries = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert first.entries(model.state_dict()) == entries


def test_a_relu_that_serves_twice_is_told_apart_by_its_calls() -> None:
    model = build_model("resnet8", input_shape=(3, 8, 8), classes=4)
    found = {layer.name: layer for layer in layers(model, torch.zeros(2, 3, 8, 8))}
    first, second = found["layer1.0.conv1"], found["layer1.0.conv2"]
    assert (first.output, first.call) == ("layer1.0.relu", 0)
    assert (second.output, second.call) == ("layer1.0.relu", 1)


def test_projections_on_skip_connections_are_no_main_layers() -> None:
    model, inputs = build_model("resnet18", input_shape=(3, 8, 8), classes=4, width=0.1), torch.zeros(1, 3, 8, 8)
    left_out = {layer.name for layer in layers(model, inputs)} - {layer.name for layer in main_layers(model, inputs)}
    assert left_out == {f"layer{i}.0.downsample.0" for i in (2, 3, 4)}


class Skip(nn.Module):
    """A branch of two layers and a projection around it, added up in one of several ways, and one ReLU behind all."""

    def __init__(self, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.around, self.relu = nn.Linear(3, 3), nn.Linear(3, 2), nn.Linear(3, 2), nn.ReLU()
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        around = self.around(x)
        return self.relu(self.add(self.second(self.relu(self.first(x))), around))


WAYS = {
    "branch + skip": lambda branch, skip: branch + skip,
    "skip + branch": lambda branch, skip: skip + branch,
    "in place": lambda branch, skip: branch.add_(skip),
    "torch.add": torch.add,
    "by name": lambda branch, skip: torch.add(input=skip, other=branch),
    "twice": lambda branch, skip: 1.0 + (skip + branch),
}


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
def test_what_follows_a_sum_belongs_to_its_branch(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    found = {layer.name: (layer.output, layer.call) for layer in layers(Skip(add), torch.zeros(1, 3))}
    assert found == {"around": ("around", 0), "first": ("relu", 0), "second": ("relu", 1)}


class Stream(nn.Module):
    """Two residual branches with the normalisation before each, as a transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.first, self.between, self.second = (
            nn.LayerNorm(3),
            nn.Linear(3, 3),
            nn.LayerNorm(3),
            nn.Linear(3, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(self.before(x))
        return x + self.second(self.between(x))


def test_a_normalisation_behind_a_sum_is_of_no_layer() -> None:
    found = layers(Stream(), torch.zeros(1, 3))
    assert [(layer.name, layer.modules) for layer in found] == [("first", ("first",)), ("second", ("second",))]


class Shared(nn.Module):
    """One layer that is used twice, and a nonlinearity that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(torch.relu(self.inner(x)))))


def test_without_a_nonlinear_module_every_layer_counts_and_ends_at_itself() -> None:
    found = main_layers(Shared(), torch.zeros(1, 3))
    assert [(layer.name, layer.output, layer.nonlinear) for layer in found] == [
        ("inner", "inner", False),
        ("last", "last", False),
    ]


def test_the_model_stays_as_it_was() -> None:
    model = build_model("vgg11", input_shape=(1, 8, 8), classes=3, width=0.1).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layers(model, torch.zeros(2, 1, 8, 8))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="ReLU has no convolution and no linear layer"):
        layers(nn.ReLU(), torch.zeros(1, 3))
