from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape_utils.engine.spelled_out import spell_out


def derivatives(layer: nn.Module, start: Tensor) -> list[Tensor]:
    """Return a layer's output, the gradients of a function of it, and those of a function of these."""
    x = start.clone().requires_grad_()
    y = layer(x)
    own = [x, *layer.parameters()]
    first = torch.autograd.grad((y.sin() * y).sum(), own, create_graph=True)
    return [y, *first, *torch.autograd.grad(sum(g.cos().sum() for g in first), own)]


def check(layer: nn.Module, start: Tensor) -> None:
    """Check that a layer spelled out has its own values and both derivatives."""
    expected = derivatives(layer, start)
    spell_out(layer)
    assert vars(layer).keys() & {"forward", "_conv_forward"}
    for spelled, wanted in zip(derivatives(layer, start), expected, strict=True):
        torch.testing.assert_close(spelled, wanted, rtol=1e-9, atol=1e-11)


CONVOLUTIONS: list[tuple[type[nn.Module], tuple[int, ...], dict[str, Any]]] = [
    (nn.Conv1d, (3, 4, 9), {"stride": 2}),
    (nn.Conv2d, (3, 4, 7, 6), {}),
    (nn.Conv2d, (3, 4, 7, 6), {"padding": 1, "bias": False}),
    (nn.Conv2d, (3, 4, 9, 8), {"stride": 2, "dilation": 2, "padding": (1, 2)}),
    (nn.Conv2d, (3, 4, 5, 5), {"groups": 2, "padding": 1}),
    (nn.Conv2d, (4, 5, 6), {"padding": 1}),  # a single example
    (nn.Conv3d, (2, 4, 5, 4, 3), {"padding": 1}),
]


@pytest.mark.parametrize(("kind", "shape", "how"), CONVOLUTIONS)
def test_convolutions_spelled_out_have_torchs_values_and_both_derivatives(
    kind: type[nn.Module], shape: tuple[int, ...], how: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    check(kind(4, 6, 3, **how).double(), torch.randn(shape, dtype=torch.float64))


@pytest.mark.parametrize("wanted", ["weight", "bias", "x"])
def test_what_is_not_asked_for_is_left_out(wanted: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3).double()
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=wanted == "x")
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name == wanted)
    own = x if wanted == "x" else getattr(layer, wanted)

    def second() -> Tensor:
        (first,) = torch.autograd.grad(layer(x).pow(3).sum(), own, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), own)[0]

    expected = second()
    spell_out(layer)
    torch.testing.assert_close(second(), expected, rtol=1e-9, atol=1e-11)


def test_convolutions_that_pad_otherwise_or_are_of_a_class_of_their_own_stay_as_they_are() -> None:
    class Standardised(nn.Conv2d):
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return super()._conv_forward(x, weight - weight.mean(), bias)

    circular, same = nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), nn.Conv2d(2, 2, 3, padding="same")
    tree = nn.Sequential(circular, same, Standardised(2, 2, 3))
    spell_out(tree)
    assert not any("_conv_forward" in vars(layer) for layer in tree)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (6, 4, 3, 2), (2, 4, 3, 2, 2)])
def test_batchnorm_spelled_out_has_the_fused_layers_values_and_both_derivatives(
    shape: tuple[int, ...], affine: bool
) -> None:
    torch.manual_seed(0)
    kind = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 2]
    layer = kind(4, affine=affine).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    check(layer, 3 + torch.randn(shape, dtype=torch.float64))


def test_a_layer_with_a_forward_of_its_own_or_in_evaluation_mode_stays_as_it_is() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    tree = nn.Sequential(Own(3), nn.BatchNorm2d(3).eval(), nn.BatchNorm2d(3))
    spell_out(tree)
    assert ["forward" in vars(layer) for layer in tree] == [False, False, True]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        tree[2](torch.randn(1, 3, 1, 1))
