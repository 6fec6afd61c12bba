"""The gradient's two parts against one autograd pass a subset, and what theory says of them."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from landscape_utils import build_model
from landscape_utils.engine import shadow
from landscape_utils.memorization import gradients as module
from landscape_utils.memorization.gradients import WeightGradients, gradient_split, split

CLASSES = 4
MODELS = {"mlp": {"width": 8}, "vgg11": {"width": 0.1}, "resnet8": {"width": 0.25}}


def net(name: str = "mlp", seed: int = 0) -> nn.Module:
    """Build a small network in float64, with statistics as after some training."""
    torch.manual_seed(seed)
    model = build_model(name, input_shape=(3, 8, 8), classes=CLASSES, **MODELS[name]).double()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.running_mean, std=0.1)
            nn.init.uniform_(m.running_var, 0.5, 2)
    return model


def pairs(n: int = 23, seed: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 3, 8, 8, generator=random, dtype=torch.float64)
    return inputs, torch.randint(0, CLASSES, (n,), generator=random)


SUBSETS = {"few": torch.arange(23) < 5, "more": torch.arange(23) >= 9, "both": torch.tensor([1, 3, 22, 10])}


def naive(model: nn.Module, data: tuple[Tensor, Tensor], rows: Tensor, layers: list[str]) -> dict[str, list[Tensor]]:
    """Differentiate each part's own loss over a subset in one piece, in evaluation mode."""
    twin = copy.deepcopy(model).eval()
    weights = [twin.get_parameter(f"{layer}.weight") for layer in layers]
    (inputs, targets), everything = data, twin(data[0])
    logits, labels = twin(inputs[rows]), targets[rows]
    centre = everything.mean(1).mean()
    losses = {
        "total": F.cross_entropy(logits, labels),
        "dependent": -logits[torch.arange(len(labels)), labels].mean() + centre,
        "independent": logits.exp().sum(1).log().mean() - centre,
    }
    return {name: list(torch.autograd.grad(loss, weights, retain_graph=True)) for name, loss in losses.items()}


@pytest.mark.parametrize("name", MODELS)
def test_norms_and_vectors_are_those_of_one_autograd_pass_a_subset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_BATCH", 4)
    model, data = net(name), pairs()
    norms = gradient_split(model, data, SUBSETS, bn="keep")
    found = split(WeightGradients(model, data, bn="keep"), SUBSETS)
    layers = [str(layer) for layer in norms["layer"].values]
    assert list(norms["subset"].values) == list(SUBSETS)
    assert norms["examples"].values.tolist() == [5, 14, 4]
    assert norms["weights"].values.tolist() == [model.get_parameter(f"{layer}.weight").numel() for layer in layers]
    for i, (subset, given_rows) in enumerate(SUBSETS.items()):
        rows = given_rows.nonzero().ravel() if given_rows.dtype == torch.bool else given_rows
        for part, gradients in naive(model, data, rows, layers).items():
            expected = [float(g.norm()) for g in gradients]
            np.testing.assert_allclose(norms[part].sel(subset=subset), expected, rtol=1e-10)
            torch.testing.assert_close(
                found.parts()[part][i], torch.cat([g.flatten() for g in gradients]), rtol=1e-9, atol=1e-12
            )


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    classes=st.integers(2, 5),
    examples=st.integers(2, 12),
    seed=st.integers(0, 1000),
)
def test_the_parts_add_up_to_the_gradient_in_any_network(
    sizes: list[int], classes: int, examples: int, seed: int
) -> None:
    torch.manual_seed(seed)
    blocks: list[nn.Module] = []
    for a, b in zip(sizes, [*sizes[1:], classes], strict=True):
        blocks += [nn.Linear(a, b), nn.Tanh()]
    model = nn.Sequential(*blocks[:-1]).double()
    inputs, targets = torch.randn(examples, sizes[0]).double(), torch.randint(0, classes, (examples,))
    mask = torch.rand(examples) < 0.5
    mask[0] = True
    layers = [str(2 * i) for i in range(len(sizes))]
    found = split(WeightGradients(model, (inputs, targets)), {"some": mask})
    weights = [model.get_parameter(f"{layer}.weight") for layer in layers]
    loss = F.cross_entropy(model(inputs[mask]), targets[mask])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
    difference = (found.parts()["total"][0] - expected).norm()
    assert difference <= 1e-10 * max(float(expected.norm()), float(found.dependent.norm()))


def test_labels_that_say_nothing_have_no_dependent_part() -> None:
    inputs, _ = pairs(6)
    everything = inputs.repeat(CLASSES, 1, 1, 1), torch.arange(CLASSES).repeat_interleave(6)
    found = split(WeightGradients(net("vgg11"), everything))
    assert found.dependent.norm() < 1e-12 * found.independent.norm()
    one_sided = split(WeightGradients(net("vgg11"), (everything[0], torch.zeros(6 * CLASSES, dtype=torch.long))))
    assert one_sided.dependent.norm() > 0.1 * one_sided.independent.norm()


def test_outputs_that_say_nothing_have_no_independent_part() -> None:
    model, data = net(), pairs()
    last = list(model.modules())[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # the same output for every class, but not for every image
        last.weight.copy_(last.weight[:1].expand_as(last.weight))
        last.bias.zero_()
    found = split(WeightGradients(model, data))
    assert found.independent.norm() < 1e-12 * found.dependent.norm()
    some = split(WeightGradients(model, data), {"some": SUBSETS["few"]})  # its images' mean is not that of all
    assert some.independent.norm() > 0.01 * some.dependent.norm()


def test_a_union_is_the_mean_of_its_parts_by_their_sizes() -> None:
    mask = torch.arange(23) < 7
    found = split(WeightGradients(net(), pairs()), {"all": torch.ones(23, dtype=torch.bool), "a": mask, "b": ~mask})
    for part in found.parts().values():
        torch.testing.assert_close(part[0], (7 * part[1] + 16 * part[2]) / 23)


def test_batchnorm_takes_its_statistics_from_the_training_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "NORM_BATCH", 6)
    model, (inputs, targets) = net("vgg11"), pairs(24)
    moved = copy.deepcopy(model)
    shuffled = inputs[torch.randperm(24, generator=torch.Generator().manual_seed(0))]
    for m in moved.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
    update_bn(shuffled.split(6), moved)
    updated, expected, kept = (
        gradient_split(m, (inputs, targets), bn=bn)["dependent"].values
        for m, bn in ((model, "update"), (moved, "keep"), (model, "keep"))
    )
    np.testing.assert_allclose(updated, expected, rtol=1e-9)
    assert not np.allclose(updated, kept, rtol=0.01)


def test_the_model_is_left_as_it_was() -> None:
    model = net("resnet8").train()
    frozen = next(model.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        norms = gradient_split(model, pairs(), SUBSETS)
    assert float(norms["total"].min()) > 0
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [p is not frozen for p in model.parameters()]
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_projections_on_skip_connections_are_left_out_unless_named() -> None:
    model, (inputs, targets) = build_model("resnet18", input_shape=(3, 8, 8), classes=CLASSES, width=0.05), pairs(8)
    data = inputs.float(), targets
    assert "layer2.0.downsample.0" not in gradient_split(model, data)["layer"].values
    named = gradient_split(model, data, names=["layer2.0.downsample.0", "fc"])
    assert named["layer"].values.tolist() == ["layer2.0.downsample.0", "fc"]


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"subsets": {"s": torch.zeros(23, dtype=torch.bool)}}, "subset s has no examples"),
        ({"subsets": {"s": torch.ones(5, dtype=torch.bool)}}, r"mask of s has shape \(5,\); the data have 23"),
        ({"subsets": {"s": torch.tensor([1, 23])}}, "index of s lies outside the 23 examples"),
        ({"names": ["layer9"]}, "unknown layer 'layer9'"),
        ({"bn": "batch"}, "unknown option 'batch'"),
    ],
)
def test_what_cannot_be_is_refused(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient_split(net(), pairs(), **how)  # type: ignore[arg-type]


def test_models_whose_gradient_is_not_a_layers_own_are_refused() -> None:
    data = torch.randn(6, 3), torch.arange(6) % 3
    with pytest.raises(ValueError, match="layer b has no weight of its own"):
        gradient_split(Tied(), data)
    mixing = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="BatchNorm layer 1 keeps no statistics"):
        gradient_split(mixing, data)
