"""What 01_cctm computes at each profile."""

from __future__ import annotations

from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "architectures": ["mlp", "resnet8", "vgg11"],
        # In ten epochs, 0.1 leaves a VGG at chance now and then.
        "overrides": {"vgg11": {"model_options": {"width": 0.25}, "lr": 0.05}},
        "recipes": ["anneal-lr"],
        "epochs": 10,
        "seeds": [0],
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["vgg16", "resnet18", "googlenet", "dla"],
        "recipes": ["anneal-lr"],
        "epochs": 30,
        "seeds": [0],
        "precision": "bf16",
    },
    "paper": {
        "dataset": "cifar10",
        "architectures": ["vgg19", "resnet18", "googlenet", "dla"],
        "recipes": ["anneal-lr"],
        "epochs": 200,
        "seeds": [0],
    },
}
