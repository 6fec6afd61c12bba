"""The split by other ways."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape_utils.memorization import gradients as splitting
from landscape_utils.memorization.gradient_identity import closed_form, deviations, loss_gradient
from landscape_utils.memorization.gradients import WeightGradients, split
from tests.unit.memorization.test_gradients import CLASSES, MODELS, net, pairs

MASKS = {"few": torch.arange(23) < 5, "more": torch.arange(23) >= 9, "all": torch.ones(23, dtype=torch.bool)}


@pytest.mark.parametrize("name", MODELS)
def test_the_sum_is_the_gradient_and_the_last_layer_has_its_closed_form(name: str) -> None:
    found = deviations(WeightGradients(net(name), pairs()), MASKS)
    assert found["sum"] < 1e-12
    assert found["closed_form"] < 1e-12


def test_a_wrong_part_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "partition_term", lambda logits, targets: 1.001 * logits.logsumexp(1).sum())
    found = deviations(WeightGradients(net(), pairs()), MASKS)
    assert found["sum"] > 1e-4
    assert found["closed_form"] > 1e-4


def test_the_loss_gradient_is_autograds() -> None:
    model, (inputs, targets) = net("vgg11").eval(), pairs()
    network = WeightGradients(model, (inputs, targets), bn="keep")
    few = MASKS["few"]
    F.cross_entropy(model(inputs[few]), targets[few]).backward()
    for layer, g in zip(network.weights, loss_gradient(network, few), strict=True):
        torch.testing.assert_close(g, model.get_parameter(f"{layer}.weight").grad)


def equation_16(phi: torch.Tensor, chances: torch.Tensor, subset: torch.Tensor) -> torch.Tensor:
    """Average P (phi - mean phi) over a subset, as printed."""
    centred = phi - phi.mean(0)
    return torch.stack([chances[i][:, None] * centred[i] for i in subset.nonzero().ravel()]).mean(0)


@pytest.mark.parametrize(("balanced", "same"), [(True, True), (False, False)])
def test_equation_16_as_printed_is_for_balanced_labels(balanced: bool, same: bool) -> None:
    inputs, targets = pairs(5 * CLASSES)
    targets = torch.arange(5 * CLASSES) % CLASSES if balanced else targets
    network = WeightGradients(net(), (inputs, targets))
    everything = torch.ones(5 * CLASSES, dtype=torch.bool)
    body = nn.Sequential(*list(network.tree.children())[:-1])
    phi = body(inputs).detach()
    printed = -equation_16(phi, F.one_hot(targets, CLASSES).double(), everything)
    known = closed_form(network, everything)
    assert known is not None
    assert torch.allclose(printed, known[0], atol=1e-12) is same
    exact = split(network).dependent[0][-known[0].numel() :].view_as(known[0])
    torch.testing.assert_close(known[0], exact)


def test_what_is_no_linear_output_has_no_closed_form() -> None:
    data = torch.randn(6, 3, 4, 4), torch.arange(6) % 2
    convolutional = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 2), nn.Flatten())
    assert closed_form(WeightGradients(convolutional, data), torch.ones(6, dtype=torch.bool)) is None
    only_first = WeightGradients(net(), pairs(), names=["1"])
    assert closed_form(only_first, MASKS["few"]) is None
    found = deviations(only_first, MASKS)
    assert found["closed_form"] != found["closed_form"]
    assert found["sum"] < 1e-12
