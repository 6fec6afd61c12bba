"""What 01_cctm computes at each profile."""

from __future__ import annotations

from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "architectures": ["mlp", "resnet8", "vgg11"],
        "image_size": 16,
        "train_size": 3000,
        "test_size": 2000,
        "belonging": ("difficulty", "image_size", "train_size", "test_size"),
        # Narrow, so that five seeds take half a minute, and in few epochs: on trial seeds 18 to 27 % of the test
        # letters are still taken for another one. A rate of 0.1 leaves a VGG at chance now and then.
        "overrides": {
            "resnet8": {"model_options": {"width": 0.5}},
            "vgg11": {"model_options": {"width": 0.125}, "lr": 0.05},
        },
        "recipes": ["anneal-lr"],
        "epochs": 7,
        "seeds": [0, 1, 2, 3, 4],
    },
    "laptop": {
        "dataset": "cifar10",
        "image_size": 16,
        "architectures": ["mlp", "resnet8", "vgg11"],
        "overrides": {"vgg11": {"model_options": {"width": 0.25}, "lr": 0.05}},
        "recipes": ["anneal-lr"],
        "epochs": 15,
        "seeds": [0, 1, 2],
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["vgg16", "resnet18", "googlenet", "dla"],
        "recipes": ["anneal-lr"],
        "epochs": 30,
        "seeds": [0, 1, 2],
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

FINDINGS = ("heatmaps", "symmetry", "recalls")  # pictures of the laptop profile that are kept
