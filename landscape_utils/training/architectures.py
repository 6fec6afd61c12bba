"""How each architecture is built; `models.build_model` finds them by name.

A builder takes the input shape (C, H, W) and the number of classes; its keyword-only parameters are the model's
options. Importing torchvision or timm takes seconds, so each is imported where a model is built from it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape_utils.kit.errors import unknown

Shape = tuple[int, int, int]


# ---- parts -------------------------------------------------------------------------------------------


def _he_init(model: nn.Module) -> None:
    """Draw convolutions as He et al. do (fan_out, so that gradients keep their size); zero their biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _round_pools_up(model: nn.Module) -> None:
    """Keep the last row of an odd size, and a single pixel at all: 28 -> 14 -> 7 -> 4 -> 2 -> 1 -> 1."""
    for module in model.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = True


def _fit_channels(model: nn.Module, channels: int) -> None:
    """Replace the first convolution by a fresh one where it takes another number of channels."""
    name, conv = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    if conv.in_channels != channels:
        size, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        fresh = nn.Conv2d(channels, conv.out_channels, size, stride, padding, bias=conv.bias is not None)
        model.set_submodule(name, fresh)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def glorot(model: nn.Module, scale: float) -> None:
    """Draw the weights of linear layers and convolutions as Glorot and Bengio do, times a scale; zero all biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=scale)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _keep_biases(model: nn.Module, kept: bool | str) -> None:
    """Remove additive learned terms (of convolutions, linear layers, and BatchNorm's beta): none, all, or all but
    the last layer's.
    """
    if kept not in (True, False, "last"):
        raise ValueError(f"bias is {kept!r}; it is True, False, or 'last' for a bias on the last layer alone")
    biased = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    for module in biased[:-1] if kept == "last" else [] if kept else biased:
        module.register_parameter("bias", None)


# ---- fully connected ---------------------------------------------------------------------------------


def _dense(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mlp(shape: Shape, classes: int, *, width: int = 128) -> nn.Module:
    """Build one hidden layer between the pixels and the classes."""
    return _dense([math.prod(shape), width, classes])


def fcn(shape: Shape, classes: int, *, depth: int = 4, width: int = 128, bias: bool | str = True) -> nn.Module:
    """Stack `depth` linear layers (the bias plateau's FCN4)."""
    if depth < 1:
        raise ValueError(f"fcn needs a depth of at least 1 linear layer, got {depth}")
    model = _dense([math.prod(shape), *[width] * (depth - 1), classes])
    _keep_biases(model, bias)
    return model


def feedforward(shape: Shape, classes: int) -> nn.Module:
    """Table 1."""
    return _dense([math.prod(shape), *[1024] * 5, classes])


# ---- residual ----------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    """Add two convolutions to what comes in; its parts are named as torchvision's."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        """Take a module that gives what comes in the shape of what is added to it, where they differ."""
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = downsample

    def convolved(self, x: Tensor) -> Tensor:
        """Return what is added."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum's positive part."""
        summed = self.convolved(x)
        summed += x if self.downsample is None else self.downsample(x)
        return self.relu(summed)  # type: ignore[no-any-return]


class PlainBlock(BasicBlock):
    """The same without the way around."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolutions' positive part."""
        return self.relu(self.convolved(x))  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Convolve without a bias, for BatchNorm follows; a stride of 1 keeps the size."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _zero_padding(inputs: int, outputs: int) -> nn.Module:
    """Match shapes without parameters: every other pixel, zeros for new channels (option A)."""
    front = (outputs - inputs) // 2
    pad = nn.ZeroPad3d((0, 0, 0, 0, front, outputs - inputs - front))
    return nn.Sequential(nn.AvgPool2d(1, stride=2), pad)


def _projection(inputs: int, outputs: int) -> nn.Module:
    """Match shapes by a strided 1x1 convolution (option B)."""
    return nn.Sequential(_conv(inputs, outputs, 1, stride=2), nn.BatchNorm2d(outputs))


def _resnet(
    stem: dict[str, nn.Module],
    widths: Sequence[int],
    blocks: int,
    classes: int,
    block: Callable[..., nn.Module],
    shortcut: Callable[[int, int], nn.Module],
) -> nn.Module:
    """Build stages of `blocks` blocks on a stem; each stage but the first halves the resolution."""
    # The names are torchvision's, so that layers are called the same in every ResNet.
    model = nn.Sequential(OrderedDict(stem))
    for stage, (inputs, width) in enumerate(pairwise([widths[0], *widths]), start=1):
        first = block(inputs, width) if stage == 1 else block(inputs, width, 2, shortcut(inputs, width))
        rest = [block(width, width) for _ in range(blocks - 1)]
        model.add_module(f"layer{stage}", nn.Sequential(first, *rest))
    model.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc", nn.Linear(widths[-1], classes))
    _he_init(model)
    return model


def _cifar_stem(channels: int, width: int) -> dict[str, nn.Module]:
    return {"conv1": _conv(channels, width, 3), "bn1": nn.BatchNorm2d(width), "relu": nn.ReLU(inplace=True)}


def _imagenet_stem(channels: int, width: int) -> dict[str, nn.Module]:
    conv = _conv(channels, width, 7, stride=2)
    return {**_cifar_stem(channels, width), "conv1": conv, "maxpool": nn.MaxPool2d(3, stride=2, padding=1)}


_STEMS = {"cifar": _cifar_stem, "imagenet": _imagenet_stem}


def cifar_resnet(depth: int, skip: bool, shape: Shape, classes: int, *, width: float = 1.0) -> nn.Module:
    """He et al.'s ResNets for CIFAR: 6n + 2 layers, 16-32-64 channels times the width."""
    blocks, widths = (depth - 2) // 6, [_scaled(channels, width) for channels in (16, 32, 64)]
    block = BasicBlock if skip else PlainBlock
    return _resnet(_cifar_stem(shape[0], widths[0]), widths, blocks, classes, block, _zero_padding)


def resnet18(shape: Shape, classes: int, *, width: float = 1.0, stem: str = "cifar") -> nn.Module:
    """Table 4; with stem="imagenet", Table 5."""
    if stem not in _STEMS:
        raise unknown("stem of resnet18", stem, _STEMS)
    widths = [_scaled(channels, width) for channels in (64, 128, 256, 512)]
    return _resnet(_STEMS[stem](shape[0], widths[0]), widths, 2, classes, BasicBlock, _projection)


# ---- convolutional -----------------------------------------------------------------------------------


def _table3_head(features: int, classes: int) -> nn.Module:
    first = [nn.Linear(features, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    second = [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    return nn.Sequential(*first, *second, nn.Linear(4096, classes))


_HEADS: dict[str, Callable[[int, int], nn.Module]] = {"linear": nn.Linear, "table3": _table3_head}
_STAGES = (64, 128, 256, 512, 512)


def vgg(
    convolutions: Sequence[int],
    shape: Shape,
    classes: int,
    *,
    batchnorm: bool = True,
    bias: bool | str = True,
    width: float = 1.0,
    head: str = "linear",
) -> nn.Module:
    """Stack so many convolutions a stage, a global average and a head; vgg16 with "table3" is Table 3."""
    if head not in _HEADS:
        raise unknown("head of a VGG", head, _HEADS)
    sizes: list[int | str] = []
    for channels, many in zip(_STAGES, convolutions, strict=True):
        sizes += [*[channels] * many, "M"]
    model = _stacked(sizes, width, shape, _HEADS[head](_scaled(512, width), classes), batchnorm=batchnorm)
    _keep_biases(model, bias)
    return model


def vgg8(shape: Shape, classes: int, *, width: float = 1.0) -> nn.Module:
    """Stack eight convolutions, narrow early and wide late, and three linear layers: Table 3 in small, for 16x16."""
    last = _scaled(256, width)
    head = _dense([last, last, last, classes])[1:]
    return _stacked([16, 16, "M", 32, 32, "M", 128, 128, "M", 256, 256], width, shape, head)


def _stacked(
    sizes: Sequence[int | str], width: float, shape: Shape, head: nn.Module, *, batchnorm: bool = True
) -> nn.Module:
    """Put a VGG's convolutions and pools, a global average and a head together."""
    features: list[nn.Module] = []
    inputs = shape[0]
    for size in sizes:
        if isinstance(size, str):
            features.append(nn.MaxPool2d(2, ceil_mode=True))
            continue
        outputs = _scaled(size, width)
        features.append(nn.Conv2d(inputs, outputs, 3, padding=1))
        features += [*([nn.BatchNorm2d(outputs)] if batchnorm else []), nn.ReLU(inplace=True)]
        inputs = outputs
    parts = {
        "features": nn.Sequential(*features),
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "classifier": head,
    }
    model = nn.Sequential(OrderedDict(parts))
    _he_init(model)
    return model


def alexnet(shape: Shape, classes: int) -> nn.Module:
    """Table 2; the average does nothing at 32x32, where one pixel is left."""

    def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, size, stride, padding=size // 2), nn.ReLU(inplace=True)]

    features = [*conv(shape[0], 64, 11, stride=4), nn.MaxPool2d(2), *conv(64, 192, 5), nn.MaxPool2d(2)]
    features += [*conv(192, 384, 3), *conv(384, 256, 3), *conv(256, 1024, 3), nn.MaxPool2d(2)]
    model = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, classes))
    _round_pools_up(model)
    return model


def googlenet(shape: Shape, classes: int) -> nn.Module:
    """Build torchvision's GoogLeNet with one 3x3 convolution for a stem, so that 32x32 ends at 8x8."""
    from torchvision.models.googlenet import BasicConv2d, GoogLeNet

    model = GoogLeNet(num_classes=classes, aux_logits=False, init_weights=False)
    model.conv1 = BasicConv2d(shape[0], 192, kernel_size=3, padding=1)
    for name in ("maxpool1", "conv2", "conv3", "maxpool2"):
        model.set_submodule(name, nn.Identity())
    return model


def dla(shape: Shape, classes: int) -> nn.Module:
    """Build timm's DLA with a 3x3 stem and full resolution up to level 2, so that 32x32 ends at 4x4."""
    from timm.layers.classifier import create_classifier
    from timm.models.dla import DLA, DlaBasic

    model = DLA(levels=(1, 1, 1, 2, 2, 1), channels=(16, 32, 64, 128, 256, 512), block=DlaBasic)
    # timm's head is a 1x1 convolution, drawn far too large for 10 classes: a linear layer instead.
    pool, head = create_classifier(model.num_features, classes)
    parts = {
        "base_layer.0": _conv(shape[0], 16, 3),
        "level1.0": _conv(16, 32, 3),
        "level2.downsample": nn.Identity(),
        "level2.tree1.conv1": _conv(32, 64, 3),
        "global_pool": pool,
        "fc": head,
    }
    for name, part in parts.items():
        model.set_submodule(name, part)
    _round_pools_up(model)
    _he_init(model)
    return model


# ---- from a library, with its weights ----------------------------------------------------------------


def _download(weights: Any) -> dict[str, Any]:
    try:
        return dict(weights.get_state_dict(check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise ConnectionError(
            f"the pretrained weights {weights} could not be downloaded ({error}); "
            f"where there is no network, put the file of {weights.url} at {file}"
        ) from error


def from_torchvision(name: str, shape: Shape, classes: int, *, pretrained: bool = False) -> nn.Module:
    """Take torchvision's ImageNet model; other channels or classes get a fresh first or last layer."""
    from torchvision.models import get_model, get_model_weights

    model: nn.Module = get_model(name, weights=None, num_classes=1000 if pretrained else classes)
    if pretrained:
        # V1 is what torchvision gave for pretrained=True when the papers were written.
        model.load_state_dict(_download(get_model_weights(name).IMAGENET1K_V1))  # type: ignore[attr-defined]
        name, last = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
        if classes != last.out_features:
            model.set_submodule(name, nn.Linear(last.in_features, classes))
    _fit_channels(model, shape[0])
    return model


def from_timm(arch: str, shape: Shape, classes: int, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Take any of timm's models; what timm refuses is told in one sentence."""
    import timm

    # Transformers have a position for every patch: these must know the image size, others must not be told.
    config = timm.get_pretrained_cfg(arch)
    if config is not None and config.fixed_input_size and config.input_size[1:] != shape[1:]:
        options = {"img_size": shape[1:], **options}
    try:
        return timm.create_model(arch, pretrained, num_classes=classes, in_chans=shape[0], **options)
    except OSError as error:
        raise ConnectionError(
            f"the pretrained weights of timm/{arch} could not be downloaded ({error}); "
            "where there is no network, copy them into Hugging Face's cache (the folder $HF_HOME)"
        ) from error
    except TypeError as error:
        raise ValueError(f"timm refuses the options {options} of {arch}: {error}") from error
