import copy

import pytest
import torch
from torch import Tensor, nn

from landscape_utils.engine import first_layer, space
from landscape_utils.engine.first_layer import FirstLayer
from landscape_utils.engine.shadow import install, pack, shadow

EXAMPLES = 23


def networks(bias: bool) -> dict[str, nn.Module]:
    """Give classifiers of (N, 2, 3, 2) images whose first layer is affine in the coordinates."""
    head = nn.Sequential(nn.Tanh(), nn.Linear(5, 3))
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=bias))
    return {
        "plain": nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=bias), nn.Tanh(), nn.Linear(5, 3)),
        "nested": nn.Sequential(inner, head),
        "pooled": nn.Sequential(
            nn.AvgPool2d((1, 2)), nn.Flatten(), nn.Linear(6, 5, bias=bias), nn.Tanh(), nn.Linear(5, 3)
        ),
    }


class Prepared:
    """A model's shadow with weights of its own, and the directions it can move along."""

    def __init__(self, model: nn.Module, directions: int = 2) -> None:
        self.model = model.double()
        self.origin = space.gaussian_direction(model, seed=9)
        self.directions = [space.gaussian_direction(model, seed=s) for s in range(directions)]
        self.tree, self.whole = shadow(model), shadow(model)
        self.vectors = [pack(v, self.tree) for v in (self.origin, *self.directions)]
        self.weights = self.vectors[0].clone()
        install(self.tree, self.weights)

    def found(self, inputs: Tensor) -> FirstLayer | None:
        return FirstLayer.of(self.tree, self.weights, self.vectors, inputs)

    def moved(self, coordinates: list[float]) -> nn.Module:
        """Copy the model to a point: what the first layer must equal."""
        at = self.origin + sum(c * d for c, d in zip(coordinates, self.directions, strict=True))
        copied = copy.deepcopy(self.model).eval()
        nn.utils.vector_to_parameters(at, copied.parameters())
        return copied

    def place(self, first: FirstLayer, coordinates: list[float], part: slice) -> None:
        at = self.origin + sum(c * d for c, d in zip(coordinates, self.directions, strict=True))
        self.weights.copy_(pack(at, self.whole))
        first.coordinates, first.part = coordinates, part


def first_linear(model: nn.Module) -> nn.Linear:
    return next(m for m in model.modules() if isinstance(m, nn.Linear))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(EXAMPLES, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("directions", [0, 1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["plain", "nested", "pooled"])
def test_the_first_layer_equals_linear_at_random_coordinates(
    name: str, bias: bool, directions: int, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_layer, "BATCH", 10)  # its inputs are caught in more batches than one
    tool = Prepared(networks(bias)[name], directions)
    first = tool.found(x)
    assert first is not None
    assert sum(isinstance(m, FirstLayer) for m in tool.tree.modules()) == 1
    for coordinates in torch.randn(3, directions, dtype=torch.float64).tolist():
        moved, caught = tool.moved(coordinates), []
        layer = first_linear(moved)
        layer.register_forward_hook(lambda module, args, output, caught=caught: caught.append(output))
        logits = moved(x)
        for part in (slice(0, EXAMPLES), slice(3, 8), slice(20, EXAMPLES)):
            tool.place(first, coordinates, part)
            torch.testing.assert_close(first(x[part]), caught[0][part], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(tool.tree(x[part]), logits[part], rtol=1e-12, atol=1e-12)


def test_what_was_precomputed_is_never_overwritten(x: Tensor) -> None:
    tool = Prepared(networks(True)["plain"])
    first = tool.found(x)
    tool.place(first, [0.0, 0.0], slice(0, EXAMPLES))
    once = first(x).clone()
    first(x).add_(1)
    assert torch.equal(first(x), once)


def test_the_callers_model_keeps_its_layer(x: Tensor) -> None:
    tool = Prepared(networks(True)["plain"])
    tool.model.train()
    tool.model[1].weight.requires_grad_(False)
    before = copy.deepcopy(tool.model.state_dict())
    assert tool.found(x) is not None
    assert type(tool.model[1]) is nn.Linear
    assert tool.model.training
    assert [p.requires_grad for p in tool.model.parameters()] == [False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in tool.model.state_dict().items())
    assert not any(p.requires_grad for p in tool.tree.parameters())
    assert not any(m._forward_pre_hooks for m in (*tool.model.modules(), *tool.tree.modules()))


@pytest.mark.parametrize("directions", [1, 2])
def test_no_more_memory_is_taken_than_allowed(directions: int, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = (1 + directions) * EXAMPLES * 5 * 8  # the origin's and the directions' outputs, float64
    monkeypatch.setattr(first_layer, "BYTES", needed - 1)
    tool = Prepared(networks(True)["plain"], directions)
    assert tool.found(x) is None
    assert type(tool.tree[1]) is nn.Linear
    torch.testing.assert_close(tool.tree(x), tool.moved([0.0] * directions)(x), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(first_layer, "BYTES", needed)
    first = tool.found(x)
    assert first is not None
    assert sum(t.numel() * t.element_size() for t in first._terms) == needed


class Tokens(nn.Module):
    """Runs its first layer on rows of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(2, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x.flatten(1, 2)).tanh().mean(1))


class Twice(nn.Module):
    """Runs its first layer on the images and on their mirror images."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(12, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x.flatten(1)).tanh() + self.first(x.flip(3).flatten(1)).tanh())


class Reading(nn.Module):
    """Uses its first layer's weights once more, by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(12, 5), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.linear(self.first(x.flatten(1)).tanh(), self.first.weight.T))


def hooked(factor: float | None) -> nn.Module:
    """Its hook changes the output, or only looks at it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    model[1].register_forward_hook(lambda module, args, output: None if factor is None else factor * output)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3))
    model[3].weight = model[1].weight
    return model


@pytest.mark.parametrize(
    "model",
    [
        Tokens(),
        Twice(),
        tied(),
        Reading(),
        hooked(3.0),
        hooked(None),
        nn.Sequential(nn.Conv2d(2, 2, 2), nn.Flatten(), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 3)),
        nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.Flatten()),
    ],
    ids=[
        "rows of rows",
        "run twice",
        "tied",
        "read elsewhere",
        "changed",
        "watched",
        "a convolution first",
        "a norm first",
        "none at all",
    ],
)
def test_other_first_layers_stay_as_they_are(model: nn.Module, x: Tensor) -> None:
    tool = Prepared(model)
    kinds = [type(m) for m in tool.tree.modules()]
    assert tool.found(x) is None
    assert [type(m) for m in tool.tree.modules()] == kinds
    torch.testing.assert_close(tool.tree(x), tool.moved([0.0, 0.0])(x), rtol=1e-12, atol=1e-12)
    assert not any(p.requires_grad for p in tool.tree.parameters())
