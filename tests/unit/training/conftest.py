from pathlib import Path

import torch
from torch import Tensor, nn

from landscape_utils.training.models import build_model
from landscape_utils.training.recipes import RunSpec

CIFAR = (3, 32, 32)


def build(name, shape=CIFAR, classes=10, **options):
    torch.manual_seed(0)
    return build_model(name, input_shape=shape, classes=classes, **options)


def check_runs(model, shape, classes):
    """Logits of the right shape, and a finite gradient for every parameter."""
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, classes)
    nn.functional.cross_entropy(logits, torch.tensor([0, classes - 1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def spec_of(path: Path | str = "small", **changes: object) -> RunSpec:
    return RunSpec(**{"dataset": str(path), "model": "mlp", "epochs": 3, **changes})  # type: ignore[arg-type]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
