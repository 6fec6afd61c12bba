"""Architectures by name, for any channels, any image size and any number of classes.

What papers use is fitted to small images here, by torchvision's names: stems that keep the resolution, pools that
round up, and one global average, so that 8x8 to 224x224 inputs pass.

    name                                  options (defaults)
    mlp                                   width=128
    fcn                                   depth=4, width=128, bias=True | False | "last"
    feedforward                           -
    resnet8/20/32/56/110, each also -ns   -                                  (-ns: no skip connections)
    resnet18                              width=1.0, stem="cifar" | "imagenet"
    vgg8                                  width=1.0
    vgg11/16/19                           batchnorm=True, bias (as fcn's), width=1.0, head="linear" | "table3"
    googlenet, dla, alexnet               -
    mobilenet_v2, resnext101              pretrained=False
    timm/<any name>                       pretrained=False, and whatever timm takes

Every model has init_scale=None beside these (fcn: 1.0): Glorot weights times this scale and zero biases, in place of
the model's own initialisation.

Weights are drawn from torch's global generator, which the caller seeds. "Table" is a table of
"On the geometry of generalization and memorization in deep neural networks", appendix A.10.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from landscape_utils.kit.errors import unknown
from landscape_utils.training import architectures
from landscape_utils.training.architectures import Shape


def build_model(name: str, *, input_shape: Shape, classes: int, **options: Any) -> nn.Module:
    """Build a freshly initialised classifier by name.

    >>> model = build_model("mlp", input_shape=(3, 32, 32), classes=10)
    >>> sum(p.numel() for p in model.parameters())
    394634

    Args:
        name: one of `model_names()`, or "timm/<any name>".
        input_shape: (channels, height, width) of one input.
        classes: number of classes C; the logits have shape (N, C).
        options: what `model_options(name)` lists; timm's models take timm's own options too.

    Returns:
        The model in training mode, on the CPU.

    Raises:
        ValueError: an unknown model or option, or sizes that no model has.
        ConnectionError: pretrained weights are asked for that are neither cached nor can be downloaded.
    """
    if len(input_shape) != 3 or min(*input_shape, classes) < 1:
        raise ValueError(
            "a model needs input_shape=(channels, height, width) and classes, all at least 1; "
            f"got {tuple(input_shape)} and {classes}"
        )
    valid = model_options(name)
    for option in options:
        if option not in valid and not name.startswith("timm/"):
            raise unknown(f"option of {name}", option, valid)
    scale = options.pop("init_scale", valid["init_scale"])
    if scale is not None and not scale > 0:
        raise ValueError(f"init_scale is {scale}; it must be above 0, or None for the model's own initialisation")
    if scale is not None and options.get("pretrained"):
        raise ValueError(f"{name} starts from pretrained weights; leave init_scale out")
    model = _builder(name)(tuple(input_shape), classes, **options)
    if scale is not None:
        architectures.glorot(model, scale)
    return model


def model_names() -> list[str]:
    """List the names of the registry ("timm/<any name>" is accepted in addition)."""
    return sorted(_BUILDERS)


def model_options(name: str) -> dict[str, object]:
    """Map each option of a model to its default.

    >>> model_options("resnet18")
    {'width': 1.0, 'stem': 'cifar', 'init_scale': None}

    Raises:
        ValueError: an unknown model.
    """
    parameters = inspect.signature(_builder(name)).parameters.values()
    own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {**own, "init_scale": _INIT_SCALES.get(name)}


def _builder(name: str) -> Callable[..., nn.Module]:
    if name in _BUILDERS:
        return _BUILDERS[name]
    if not name.startswith("timm/"):
        raise unknown("model", name, model_names())
    import timm

    arch = name.removeprefix("timm/")
    # With a tag ("resnet18.a1_in1k") a name is listed among the pretrained ones only.
    if arch not in timm.list_models() and arch not in timm.list_models(pretrained=True):
        raise unknown("timm model", arch, timm.list_models())
    return partial(architectures.from_timm, arch)


_INIT_SCALES = {"fcn": 1.0}  # others keep their own initialisation

# ---- registry ----------------------------------------------------------------------------------------

# A builder takes (input shape, classes); its keyword-only parameters are the model's options.
_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": architectures.mlp,
    "fcn": architectures.fcn,
    "feedforward": architectures.feedforward,
    **{f"resnet{depth}": partial(architectures.cifar_resnet, depth, True) for depth in (8, 20, 32, 56, 110)},
    **{f"resnet{depth}-ns": partial(architectures.cifar_resnet, depth, False) for depth in (8, 20, 32, 56, 110)},
    "resnet18": architectures.resnet18,
    "vgg8": architectures.vgg8,
    "vgg11": partial(architectures.vgg, (1, 1, 2, 2, 2)),
    "vgg16": partial(architectures.vgg, (2, 2, 3, 3, 3)),
    "vgg19": partial(architectures.vgg, (2, 2, 4, 4, 4)),
    "googlenet": architectures.googlenet,
    "dla": architectures.dla,
    "alexnet": architectures.alexnet,
    "mobilenet_v2": partial(architectures.from_torchvision, "mobilenet_v2"),
    "resnext101": partial(architectures.from_torchvision, "resnext101_32x8d"),
}
