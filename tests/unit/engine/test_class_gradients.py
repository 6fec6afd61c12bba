import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import class_gradients as class_gradient
from landscape_utils.interference import ego

CLASSES = ("cat", "automobile", "ship", "dog")


class Tied(nn.Module):
    """Uses one weight twice, and has a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.b.weight = self.a.weight
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x.flatten(1)[:, :6]).tanh()).tanh())


def network(name: str) -> nn.Module:
    """Build a float64 classifier of 2x4x4 images whose BatchNorm has seen data, in training mode."""
    torch.manual_seed(0)
    norm, dense = nn.BatchNorm2d(3), nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 4))
    model = {
        "dense": lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 7), nn.Tanh(), nn.Linear(7, 4)),
        "norm and dropout": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), norm, nn.Tanh(), nn.Dropout(0.3), dense),
        "tied": Tied,
    }[name]().double()
    model(torch.randn(40, 2, 4, 4, dtype=torch.float64))
    return model.train()


NETWORKS = ("dense", "norm and dropout", "tied")


def images(classes: tuple[int, ...] = (0, 1, 2, 3)) -> Labelled:
    """Draw 30 images in no order of their classes, of which some classes have more."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(30, 2, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.tensor(classes)[torch.randint(len(classes), (30,), generator=generator)]
    y[: len(classes)] = torch.tensor(classes)
    return Labelled(x, y, CLASSES)


def plain_gradient(model: nn.Module, data: Labelled, c: int) -> Tensor:
    """Differentiate one class's mean loss in a copy: what anyone would write."""
    own = copy.deepcopy(model).eval()
    for p in own.parameters():
        p.requires_grad_(True)
        p.grad = None
    mine = data.targets == c
    F.cross_entropy(own(data.inputs[mine]), data.targets[mine]).backward()
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in own.parameters()])


def distance(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("batch", [100, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_class_gradients_equal_a_plain_backward(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_gradient, "CPU_GRADIENT_BATCH", batch)
    model, data = network(name), images()
    got = class_gradient.class_gradients(model, data)
    assert got.shape == (4, sum(p.numel() for p in model.parameters()))
    for c in range(4):
        assert distance(got[c], plain_gradient(model, data, c)) < 1e-10


def test_class_gradients_average_to_the_whole_gradient() -> None:
    model, data = network("dense").eval(), images()
    counts = torch.bincount(data.targets).double()
    F.cross_entropy(model(data.inputs), data.targets).backward()
    whole = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    assert distance(counts @ class_gradient.class_gradients(model, data) / counts.sum(), whole) < 1e-10


def test_a_class_without_examples_has_no_gradient() -> None:
    model, data = network("dense"), images((0, 1, 3))
    got = class_gradient.class_gradients(model, data)
    assert got.isnan().all(1).tolist() == [False, False, True, False]
    assert got.isnan().any(1).tolist() == [False, False, True, False]
    assert class_gradient.class_gradients(model, data, ["ship"]).isnan().all()


def test_classes_are_named_shortened_or_counted() -> None:
    model, data = network("dense"), images()
    every = class_gradient.class_gradients(model, data)
    some = class_gradient.class_gradients(model, data, ["dog", "car", 0, "automobile"])
    assert torch.equal(some, every[[3, 1, 0, 1]])
    assert torch.equal(class_gradient.class_gradients(model, tuple(data), [2, 0]), every[[2, 0]])


def test_a_loader_is_gone_through_once() -> None:
    model, data = network("norm and dropout"), images()
    loader, seen = DataLoader(TensorDataset(*data), batch_size=7, shuffle=True), 0

    class Counting(DataLoader):
        def __iter__(self) -> Iterator[list[Tensor]]:
            nonlocal seen
            for batch in loader:
                seen += len(batch[1])
                yield batch

    got = class_gradient.class_gradients(model, Counting(TensorDataset(*data)))
    assert seen == 30
    for c in range(4):
        assert distance(got[c], plain_gradient(model, data, c)) < 1e-10


def test_unusable_data_have_no_gradients() -> None:
    data = images()
    with pytest.raises(ValueError, match="30 inputs and 29 targets"):
        class_gradient.class_gradients(network("dense"), (data.inputs, data.targets[:-1]))


@pytest.mark.parametrize("which", [99, -1])
def test_a_class_that_is_not_there_is_refused(which: int) -> None:
    model, data = nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 2)
    with pytest.raises(ValueError, match="out of range"):
        ego.ego_surface(model, data, 0, which, points=3, progress=False)
    with pytest.raises(ValueError, match="class 2 has no example"):
        ego.ego_surface(model, data, 0, 2, points=3, progress=False)


def test_gradients_are_taken_also_where_the_caller_takes_none() -> None:
    model, data = nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 3)
    with torch.no_grad():
        got = class_gradient.class_gradients(model, data)
    assert torch.equal(got, class_gradient.class_gradients(model, data))


def test_targets_outside_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="targets must be 0 to 2"):
        class_gradient.class_gradients(nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 3 + 1))
