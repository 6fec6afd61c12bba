import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.engine import space
from landscape_utils.engine.folding import Fold, fold
from landscape_utils.engine.shadow import install, pack, shadow
from landscape_utils.training.models import build_model


def conv(bias: bool = False, **how: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1, bias=bias, **how)


class ReadTwice(nn.Module):
    """Reads the convolution's output before BatchNorm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return (self.norm(h) + h).flatten(1)


class CalledTwice(ReadTwice):
    """Uses one convolution twice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.conv(x))).flatten(1)


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten())


def watched() -> nn.Module:
    model = chain(conv(), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    return model


def unbiased(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    norm.register_parameter("bias", None)
    return norm


NETWORKS = {
    "bare": (chain(conv(), nn.BatchNorm2d(4)), 1),
    "biased": (chain(conv(bias=True), nn.BatchNorm2d(4), nn.ReLU(inplace=True)), 1),
    "grouped": (chain(conv(groups=2), nn.BatchNorm2d(4)), 1),
    "circular": (chain(conv(padding_mode="circular"), nn.BatchNorm2d(4)), 1),
    "without parameters": (chain(conv(), nn.BatchNorm2d(4, affine=False)), 1),
    "without a bias": (chain(conv(), unbiased(nn.BatchNorm2d(4))), 1),
    "without statistics": (chain(conv(), nn.BatchNorm2d(4, track_running_stats=False)), 0),
    "relu between": (chain(conv(), nn.ReLU(inplace=True), nn.BatchNorm2d(4)), 0),
    "norm first": (chain(nn.BatchNorm2d(4), conv()), 0),
    "norm before a wider convolution": (
        chain(conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 2)),
        1,
    ),
    "transposed": (chain(nn.ConvTranspose2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), 0),
    "watched": (watched(), 0),
    "read twice": (ReadTwice(), 0),
    "called twice": (CalledTwice(), 0),
}


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give BatchNorm statistics and parameters that do something."""
    torch.manual_seed(seed)
    for m in model.double().modules():
        if isinstance(m, _BatchNorm) and m.running_mean is not None:
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    return model.eval()


def prepared(model: nn.Module) -> tuple[nn.Module, Tensor]:
    tree = shadow(model)
    weights = pack(space.flatten(model), tree)
    install(tree, weights)
    return tree, weights


def logits_at(model: nn.Module, vector: Tensor, x: Tensor) -> Tensor:
    moved = copy.deepcopy(model)
    nn.utils.vector_to_parameters(vector, moved.parameters())
    with torch.no_grad():
        return moved(x)


def check(model: nn.Module, x: Tensor, expected: int) -> list[Fold]:
    """Fold, move the weights, and compare with the model loaded with the same weights."""
    tree, weights = prepared(model)
    before = weights.clone()
    folds = fold(tree, weights, x[:2])
    assert len(folds) == expected
    assert torch.equal(weights, before)
    vector = space.flatten(model) + 0.3 * space.gaussian_direction(model, seed=3)
    expected_logits = logits_at(model, vector, x)
    with torch.inference_mode():
        weights.copy_(pack(vector, tree))
        for one in folds:
            one.refresh()
        torch.testing.assert_close(tree(x), expected_logits, rtol=1e-10, atol=1e-10)
    return folds


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fold_changes_no_logit_wherever_the_weights_move(name: str) -> None:
    model, expected = NETWORKS[name]
    check(settled(model), torch.randn(5, 4, 6, 6, dtype=torch.float64), expected)


@pytest.mark.parametrize(("name", "expected"), [("resnet8", 7), ("vgg11", 8), ("mlp", 0)])
def test_the_models_of_the_catalogue_fold_completely(name: str, expected: int) -> None:
    model = settled(build_model(name, input_shape=(3, 32, 32), classes=4))
    check(model, torch.randn(3, 3, 32, 32, dtype=torch.float64), expected)


def test_a_wrong_fold_is_found_at_fresh_batchnorm_where_it_would_change_nothing() -> None:
    model = ReadTwice().double().eval()
    assert fold(*prepared(model), torch.randn(2, 4, 6, 6, dtype=torch.float64)) == []
