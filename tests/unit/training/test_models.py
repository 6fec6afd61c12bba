"""Every architecture runs by its name, and names and options that there are not are refused."""

from __future__ import annotations

import pytest
import torch

from landscape_utils.training.models import build_model, model_names, model_options
from tests.unit.training.conftest import CIFAR, build, check_runs

LIGHT = {
    "mlp": {},
    "fcn": {},
    "resnet8": {},
    "resnet20-ns": {},
    "resnet18": {"width": 0.125},
    "vgg8": {"width": 0.25},
    "vgg16": {"width": 0.125},
    "googlenet": {},
    "dla": {},
    "alexnet": {},
    "mobilenet_v2": {},
}


# ---- every name --------------------------------------------------------------------------------------


def test_the_registry_is_what_the_package_promises():
    ladder = [f"resnet{depth}{suffix}" for depth in (8, 20, 32, 56, 110) for suffix in ("", "-ns")]
    dense = ["mlp", "fcn", "feedforward"]
    conv = [
        "resnet18",
        "vgg8",
        "vgg11",
        "vgg16",
        "vgg19",
        "googlenet",
        "dla",
        "alexnet",
        "mobilenet_v2",
        "resnext101",
    ]
    assert model_names() == sorted(ladder + dense + conv)


@pytest.mark.parametrize("name", model_names())
def test_forward_and_backward(name):
    check_runs(build(name, classes=7), CIFAR, 7)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 64, 64)], ids=str)
@pytest.mark.parametrize("name", LIGHT)
def test_other_sizes_and_channels(name, shape):
    check_runs(build(name, shape, 3, **LIGHT[name]), shape, 3)


@pytest.mark.parametrize("name", ["mlp", "fcn", "feedforward"])
def test_fully_connected_models_take_vectors(name):
    check_runs(build(name, (1024, 1, 1), 2), (1024, 1, 1), 2)


@pytest.mark.parametrize("name", ["resnet8", "alexnet"])
def test_large_images(name):
    model = build(name, (3, 224, 224), 4).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 224, 224)).shape == (1, 4)


@pytest.mark.parametrize("name", ["fcn", "resnet8", "resnet18", "googlenet", "dla"])
def test_the_callers_seed_alone_decides_the_weights(name):
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = build_model(name, input_shape=CIFAR, classes=10).state_dict()  # the generator has moved on
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_options_are_listed_with_their_defaults():
    assert model_options("fcn") == {"depth": 4, "width": 128, "bias": True, "init_scale": 1.0}
    assert model_options("vgg16") == {
        "batchnorm": True,
        "bias": True,
        "width": 1.0,
        "head": "linear",
        "init_scale": None,
    }
    assert model_options("resnet110-ns") == {"width": 1.0, "init_scale": None}
    assert model_options("timm/resnet10t") == {"pretrained": False, "init_scale": None}


@pytest.mark.parametrize("name", ["fcn", "resnet18", "vgg11"])
def test_passing_the_defaults_changes_nothing(name):
    implicit, explicit = build(name).state_dict(), build(name, **model_options(name)).state_dict()
    assert all(torch.equal(implicit[key], explicit[key]) for key in implicit | explicit)


# ---- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet21", {}, "unknown model 'resnet21'.*resnet20"),
        ("timm/resnet10x", {}, "unknown timm model 'resnet10x'.*resnet10t"),
        ("mlp", {"widht": 3}, "unknown option of mlp 'widht'.*width"),
        ("vgg16", {"dropout": 3}, "unknown option of vgg16 'dropout'.*batchnorm, bias, head, init_scale, width"),
        ("alexnet", {"width": 3}, "unknown option of alexnet 'width'.*init_scale"),
        ("resnet18", {"stem": "cifar10"}, "unknown stem of resnet18 'cifar10'.*cifar"),
        ("vgg11", {"head": "table4"}, "unknown head of a VGG 'table4'.*table3"),
        ("timm/resnet10t", {"no_such_thing": 1}, "timm refuses.*no_such_thing"),
        ("fcn", {"bias": "first"}, "bias is 'first'; it is True, False, or 'last'"),
        ("mlp", {"init_scale": 0.0}, "init_scale is 0.0; it must be above 0"),
        ("mobilenet_v2", {"init_scale": 1.0, "pretrained": True}, "starts from pretrained weights; leave init_scale"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest_ones(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, **options)


def test_options_of_an_unknown_model():
    with pytest.raises(ValueError, match=r"unknown model 'alexnet2'.*alexnet"):
        model_options("alexnet2")


@pytest.mark.parametrize(("shape", "classes"), [((32, 32), 10), ((0, 32, 32), 10), (CIFAR, 0)])
def test_sizes_that_no_model_has(shape, classes):
    with pytest.raises(ValueError, match="channels, height, width"):
        build("mlp", shape, classes)
