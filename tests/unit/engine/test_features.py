"""Activations are what the layers give, and manifolds are their rows by class."""

import pytest
import torch
from torch import nn

from landscape_utils import build_model
from landscape_utils.data.datasets import Labelled
from landscape_utils.engine.features import activations, class_manifolds


def vgg() -> nn.Sequential:
    torch.manual_seed(0)
    model = build_model("vgg11", input_shape=(1, 8, 8), classes=3, width=0.1)
    assert isinstance(model, nn.Sequential)
    return model


def test_activations_are_those_of_the_modules_one_after_the_other() -> None:
    model, inputs = vgg(), torch.randn(7, 1, 8, 8)
    found = activations(model, inputs, batch=3)
    model.eval()
    x, expected = inputs, {}
    with torch.no_grad():
        for name, module in model.features.named_children():  # type: ignore[union-attr]
            x = module(x)
            if isinstance(module, nn.ReLU):
                expected[name] = x.flatten(1)
        logits = model(inputs)
    assert list(found)[-1] == "classifier"
    torch.testing.assert_close(found.pop("classifier"), logits)
    for (name, rows), truth in zip(found.items(), expected.values(), strict=True):
        assert rows.shape[0] == 7, name
        torch.testing.assert_close(rows, truth)


def test_modules_can_be_named_and_unknown_ones_are_refused() -> None:
    model, inputs = vgg(), torch.randn(2, 1, 8, 8)
    found = activations(model, inputs, ["features.0", "features.1", "avgpool"])
    assert (found["features.0"] >= 0).all()  # after its ReLU
    assert (found["features.1"] < 0).any()  # the BatchNorm's own output
    assert found["avgpool"].shape == (2, 51)
    with pytest.raises(KeyError, match=r"no module 'conv9'; its layers are features\.0"):
        activations(model, inputs, ["conv9"])
    with pytest.raises(ValueError, match="no examples"):
        activations(model, inputs[:0])


def test_a_module_that_is_not_used_is_refused() -> None:
    model = vgg()
    model.add_module("classifier", nn.Linear(51, 3))
    model.features.spare = nn.Identity()  # type: ignore[union-attr]
    model.features.forward = lambda x: nn.Sequential(*list(model.features)[:-1])(x)  # type: ignore[union-attr,arg-type]
    with pytest.raises(ValueError, match=r"module features\.spare is not used"):
        activations(model, torch.randn(2, 1, 8, 8), ["features.spare"])


def test_manifolds_hold_each_class_and_its_points() -> None:
    model, inputs = vgg(), torch.randn(20, 1, 8, 8)
    targets = torch.tensor([0] * 8 + [2] * 9 + [1] * 3)
    data = Labelled(inputs, targets, ("a", "b", "c"))
    clouds = class_manifolds(model, data, points=5, seed=1)
    assert next(iter(clouds)) == "pixels"
    assert {name: len(cloud) for name, cloud in clouds["pixels"].items()} == {"a": 5, "b": 3, "c": 5}
    rows = {tuple(row.tolist()) for row in clouds["pixels"]["c"]}
    assert len(rows) == 5
    assert rows < {tuple(row.tolist()) for row in inputs[8:17].flatten(1)}
    again = activations(model, clouds["pixels"]["a"].reshape(-1, 1, 8, 8))
    torch.testing.assert_close(clouds["features.0"]["a"], again["features.0"])
    assert {len(cloud) for cloud in class_manifolds(model, data, pixels=False)["classifier"].values()} == {3}
    assert list(class_manifolds(model, data, classes=2, points=1)["pixels"]) == ["a", "b"]


def test_one_class_makes_no_manifolds() -> None:
    with pytest.raises(ValueError, match="1 class has examples"):
        class_manifolds(vgg(), Labelled(torch.randn(2, 1, 8, 8), torch.zeros(2, dtype=torch.long)))
