"""Architectures have the layers that their papers print, and mean what their options say."""

from __future__ import annotations

import math
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import resnet, vgg

from landscape_utils.training.architectures import BasicBlock
from landscape_utils.training.models import build_model
from tests.unit.training.conftest import CIFAR, build, check_runs


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "module", "side"),
    [
        ("dla", "level2", 32),
        ("dla", "level5", 4),
        ("googlenet", "inception3a", 32),
        ("googlenet", "inception5b", 8),
    ],
)
def test_cifar_stems_keep_the_resolution(name, module, side):
    model, seen = build(name), []
    model.get_submodule(module).register_forward_hook(lambda _m, _x, out: seen.append(tuple(out.shape[2:])))
    model(torch.randn(2, *CIFAR))
    assert seen == [(side, side)]


def test_odd_sizes_are_rounded_up_in_dla():
    # 28 -> 14 -> 7 -> 4: a pool that rounded down would give 3 beside the convolution's 4.
    model, seen = build("dla", (1, 28, 28)), []
    model.level5.register_forward_hook(lambda _m, _x, out: seen.append(tuple(out.shape[2:])))
    model(torch.randn(2, 1, 28, 28))
    assert seen == [(4, 4)]


# ---- the papers' tables ------------------------------------------------------------------------------

ROW = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AdaptiveAvgPool2d)


SUFFIX = {nn.BatchNorm2d: "bn", nn.ReLU: "relu", nn.Dropout: "dropout"}


def describe(module):
    if isinstance(module, nn.Conv2d):
        return "conv {} {}x{}".format(module.out_channels, *module.kernel_size)
    if isinstance(module, nn.Linear):
        return f"linear {module.in_features}x{module.out_features}"
    if isinstance(module, nn.MaxPool2d):
        return f"maxpool {module.kernel_size}x{module.kernel_size} stride {module.stride}"
    return f"avgpool {module.output_size}"


def layers(model, shape):
    """The table of a model: one row a convolution, linear layer or pool, in the order they are executed."""
    rows = []

    def record(module, inputs, output):
        if isinstance(module, nn.AdaptiveAvgPool2d) and inputs[0].shape == output.shape:
            return  # The papers do not list an average over one pixel.
        if isinstance(module, ROW):
            rows.append(describe(module))
        else:
            rows[-1] += " " + SUFFIX[type(module)]

    for module in model.modules():
        if isinstance(module, (*ROW, *SUFFIX)):
            module.register_forward_hook(record)
    with torch.no_grad():
        model(torch.randn(2, *shape))
    return rows


POOL = "maxpool 2x2 stride 2"


TABLE_1 = ["linear 1024x1024 relu"] * 5 + ["linear 1024x100"]


TABLE_2 = [
    "conv 64 11x11 relu",
    POOL,
    "conv 192 5x5 relu",
    POOL,
    "conv 384 3x3 relu",
    "conv 256 3x3 relu",
    "conv 1024 3x3 relu",
    POOL,
    "linear 1024x100",
]


TABLE_3 = [
    *["conv 64 3x3 bn relu"] * 2,
    POOL,
    *["conv 128 3x3 bn relu"] * 2,
    POOL,
    *["conv 256 3x3 bn relu"] * 3,
    POOL,
    *["conv 512 3x3 bn relu"] * 3,
    POOL,
    *["conv 512 3x3 bn relu"] * 3,
    POOL,
    "linear 512x4096 relu dropout",
    "linear 4096x4096 relu dropout",
    "linear 4096x100",
]


RESNET18_BODY = [
    *["conv 64 3x3 bn relu"] * 4,
    "conv 128 3x3 bn relu",
    "conv 128 3x3 bn",
    "conv 128 1x1 bn relu",
    *["conv 128 3x3 bn relu"] * 2,
    "conv 256 3x3 bn relu",
    "conv 256 3x3 bn",
    "conv 256 1x1 bn relu",
    *["conv 256 3x3 bn relu"] * 2,
    "conv 512 3x3 bn relu",
    "conv 512 3x3 bn",
    "conv 512 1x1 bn relu",
    *["conv 512 3x3 bn relu"] * 2,
    "avgpool 1",
]


TABLE_4 = ["conv 64 3x3 bn relu", *RESNET18_BODY, "linear 512x100"]


TABLE_5 = ["conv 64 7x7 bn relu", "maxpool 3x3 stride 2", *RESNET18_BODY, "linear 512x200"]


@pytest.mark.parametrize(
    ("name", "options", "shape", "classes", "table", "rows"),
    [
        pytest.param("feedforward", {}, (1024, 1, 1), 100, TABLE_1, 6, id="table 1"),
        pytest.param("alexnet", {}, CIFAR, 100, TABLE_2, 9, id="table 2"),
        pytest.param("vgg16", {"head": "table3"}, CIFAR, 100, TABLE_3, 21, id="table 3"),
        pytest.param("resnet18", {}, CIFAR, 100, TABLE_4, 22, id="table 4"),
        pytest.param("resnet18", {"stem": "imagenet"}, (3, 64, 64), 200, TABLE_5, 23, id="table 5"),
    ],
)
def test_layers_are_those_of_the_paper(name, options, shape, classes, table, rows):
    assert len(table) == rows  # the last number in the paper's table
    assert layers(build(name, shape, classes, **options), shape) == table


def test_alexnet_keeps_sizes_but_for_its_first_convolution():
    first, *others = [m for m in build("alexnet").modules() if isinstance(m, nn.Conv2d)]
    assert (first.stride, first.padding) == ((4, 4), (5, 5))
    assert [(m.stride[0], m.padding[0]) for m in others] == [(1, 2), (1, 1), (1, 1), (1, 1)]


# ---- parameter counts --------------------------------------------------------------------------------


def test_mlp_has_395_thousand_parameters():
    assert count(build("mlp")) == 394_634
    assert count(build("mlp", width=16)) == 3072 * 16 + 16 + 16 * 10 + 10


def test_feedforward_has_5_2_million_weights_before_its_output():
    model = build("feedforward", (1024, 1, 1), 100)
    hidden = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)][:-1]
    assert sum(hidden) == 5 * 1024**2 == 5_242_880
    assert count(model) == 5_350_500


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", "0.27"), ("resnet32", "0.46"), ("resnet56", "0.85"), ("resnet110", "1.7")],
)
def test_cifar_resnets_have_the_parameters_of_he_et_al(name, millions):
    digits = len(millions.split(".")[1])
    assert f"{count(build(name)) / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize("depth", [8, 20, 32, 56, 110])
def test_depth_counts_convolutions_and_the_linear_layer(depth):
    weighted = [m for m in build(f"resnet{depth}").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth


@pytest.mark.parametrize(("classes", "parameters"), [(10, 11_173_962), (100, 11_220_132)])
def test_resnet18_has_the_known_number_of_parameters(classes, parameters):
    assert count(build("resnet18", classes=classes)) == parameters


# ---- no skip connections -----------------------------------------------------------------------------


def silence(block):
    """Let the block's branch give zero whatever comes in."""
    for conv in (block.conv1, block.conv2):
        nn.init.zeros_(conv.weight)


@pytest.mark.parametrize("depth", [8, 20, 32, 56, 110])
def test_plain_networks_have_as_many_parameters(depth):
    assert count(build(f"resnet{depth}-ns")) == count(build(f"resnet{depth}"))


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer3"])
def test_plain_networks_have_no_identity_path(layer):
    images = torch.randn(2, *CIFAR)
    plain, residual = build("resnet20-ns").eval(), build("resnet20").eval()
    for model in (plain, residual):
        silence(model.get_submodule(layer)[0])
    assert type(plain.get_submodule(layer)[0]).__name__ == "PlainBlock"
    with torch.no_grad():
        assert torch.equal(plain(images), plain(-images))
        assert not torch.allclose(residual(images), residual(-images))


def test_shortcut_takes_every_other_pixel_and_pads_with_zero_channels():
    block = build("resnet8").eval().layer2[0]
    silence(block)
    x = torch.rand(2, 16, 7, 7)
    with torch.no_grad():
        out = block(x)
    assert out.shape == (2, 32, 4, 4)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_convolutions_are_drawn_as_he_et_al_do():
    conv = build("resnet18").layer4[0].conv1  # 256 to 512: fan_out is not fan_in
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=0.01)


# ---- options -----------------------------------------------------------------------------------------


def linears(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("depth", [1, 2, 4, 9])
def test_fcn_depth_counts_linear_layers(depth):
    model = build("fcn", (1, 28, 28), depth=depth, width=32)
    assert len(linears(model)) == depth
    assert sum(isinstance(m, nn.ReLU) for m in model.modules()) == depth - 1
    assert [m.out_features for m in linears(model)] == [32] * (depth - 1) + [10]


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_fcn_weights_are_glorots_times_the_scale_and_biases_zero(scale):
    for layer in linears(build("fcn", (1, 28, 28), width=512, init_scale=scale)):
        glorot = math.sqrt(2 / (layer.in_features + layer.out_features))
        assert layer.weight.std().item() == pytest.approx(scale * glorot, rel=0.03)
        assert not layer.bias.any()


@pytest.mark.parametrize(
    "name", ["mlp", "resnet8", "resnet110-ns", "resnet18", "vgg11", "googlenet", "alexnet", "timm/resnet10t"]
)
def test_every_model_takes_glorots_weights_and_zero_biases(name):
    model = build(name, init_scale=0.5)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            bound = 0.5 * math.sqrt(6 / (fan_in + fan_out))
            assert 0.8 * bound < module.weight.abs().max().item() <= bound * (1 + 1e-6)
    biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
    assert biases
    assert not any(b.any() for b in biases)


def test_fcn_without_biases():
    assert all(parameter.ndim == 2 for parameter in build("fcn", bias=False).parameters())


def test_fcn_refuses_a_depth_of_zero():
    with pytest.raises(ValueError, match="at least 1 linear layer, got 0"):
        build("fcn", depth=0)


def additive(model):
    return [name for name, _ in model.named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize("head", ["linear", "table3"])
@pytest.mark.parametrize("batchnorm", [True, False])
def test_vgg_without_biases_has_no_additive_term(batchnorm, head):
    options = {"batchnorm": batchnorm, "head": head, "width": 0.125}
    model = build("vgg11", bias=False, **options)
    assert additive(build("vgg11", **options))
    assert not additive(model)
    # What is left in one dimension are BatchNorm's factors.
    gammas = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {name for name, p in model.named_parameters() if p.ndim == 1} == gammas
    assert len(gammas) == (8 if batchnorm else 0)
    check_runs(model, CIFAR, 10)


@pytest.mark.parametrize("bias", [True, False])
def test_vgg_is_positively_homogeneous_only_without_biases(bias):
    model = build("vgg16", batchnorm=False, bias=bias, width=0.25).double().eval()
    images = torch.randn(2, *CIFAR, dtype=torch.float64)
    with torch.no_grad():
        scaled, logits = model(3 * images), 3 * model(images)
        same = bool((scaled - logits).norm() < 1e-12 * logits.norm())
    assert same == (not bias)


@pytest.mark.parametrize(("name", "options"), [("fcn", {}), ("vgg11", {"width": 0.1}), ("vgg11", {"batchnorm": False})])
def test_a_bias_can_be_left_on_the_last_layer_alone(name, options):
    model = build(name, bias="last", **options)
    (left,) = additive(model)
    assert model.get_parameter(left).shape == (10,)


@pytest.mark.parametrize("batchnorm", [True, False])
@pytest.mark.parametrize(("name", "letter"), [("vgg11", "A"), ("vgg16", "D"), ("vgg19", "E")])
def test_vgg_stacks_what_torchvision_does(name, letter, batchnorm):
    theirs = vgg.make_layers(vgg.cfgs[letter], batchnorm)
    for pool in theirs:
        pool.ceil_mode = True  # ours round up, theirs down: the same at 32x32
    assert repr(build(name, batchnorm=batchnorm).features) == repr(theirs)


@pytest.mark.parametrize("stride", [1, 2])
def test_basic_block_is_torchvisions(stride):
    downsample = [None if stride == 1 else nn.Conv2d(4, 4, 1, stride) for _ in range(2)]
    ours, theirs = BasicBlock(4, 4, stride, downsample[0]), resnet.BasicBlock(4, 4, stride, downsample[1])
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(3, 4, 8, 8)
    assert torch.equal(ours(images), theirs(images))


def test_vgg_batchnorm_can_be_left_out():
    assert any(isinstance(m, nn.BatchNorm2d) for m in build("vgg11", width=0.1).modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in build("vgg11", width=0.1, batchnorm=False).modules())


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_width_scales_every_layers_channels(name):
    def channels(width):
        return [m.out_channels for m in build(name, width=width).modules() if isinstance(m, nn.Conv2d)]

    assert channels(0.5) == [c // 2 for c in channels(1.0)]
    assert set(channels(0.001)) == {1}
    # Almost all weights are products of two widths.
    assert count(build(name, width=0.5)) / count(build(name)) == pytest.approx(0.25, rel=0.01)


# ---- timm and pretrained weights ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timm/resnet10t", "timm/test_vit"])
def test_timm_models_by_name(name):
    # A transformer's image size is fixed when it is built (test_vit's own is 160x160).
    check_runs(build(name, (1, 32, 32), 5), (1, 32, 32), 5)


def test_timm_options_are_passed_on():
    assert build("timm/resnet10t", drop_rate=0.25).drop_rate == 0.25


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache without a network."""

    def offline(*_args, **_kwargs):
        raise URLError("no network here")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnext101"])
def test_weights_that_cannot_be_had_are_one_clear_sentence(name, hub):
    with pytest.raises(ConnectionError, match=r"could not be downloaded.*no network here") as caught:
        build(name, pretrained=True)
    assert name.split("_")[0] in str(caught.value).lower()
    assert str(hub) in str(caught.value)
    assert isinstance(caught.value.__cause__, URLError)


def test_timm_weights_that_cannot_be_had_are_one_clear_sentence(monkeypatch):
    def offline(*_args, **_kwargs):
        raise FileNotFoundError("no network here")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(ConnectionError, match=r"timm/resnet10t could not be downloaded.*no network here"):
        build("timm/resnet10t", pretrained=True)


def test_pretrained_weights_are_loaded_and_only_what_must_be_is_fresh(hub):
    source = build("mobilenet_v2", classes=1000).state_dict()
    hub.mkdir()
    torch.save(source, hub / "mobilenet_v2-b0353104.pth")
    torch.manual_seed(1)
    same = build_model("mobilenet_v2", input_shape=CIFAR, classes=1000, pretrained=True).state_dict()
    other = build_model("mobilenet_v2", input_shape=(1, 8, 8), classes=7, pretrained=True).state_dict()
    assert all(torch.equal(same[key], source[key]) for key in source)
    fresh = {key for key in source if not torch.equal(other[key], source[key])}
    assert fresh == {"features.0.0.weight", "classifier.1.weight", "classifier.1.bias"}
    assert other["features.0.0.weight"].shape == (32, 1, 3, 3)
    assert other["classifier.1.weight"].shape == (7, 1280)


def test_the_width_of_a_small_resnet_scales_its_channels() -> None:
    half = build_model("resnet8", input_shape=(3, 32, 32), classes=10, width=0.5)
    assert [half.conv1.out_channels, half.fc.in_features] == [8, 32]
