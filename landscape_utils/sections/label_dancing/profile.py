"""What 03_label_dancing computes at each profile."""

from __future__ import annotations

from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "architectures": ["resnet8", "vgg11"],
        "image_size": 16,
        # On trial seeds the training recalls climb from a half to nearly one between the fourth and the 18th epoch:
        # long enough to dance. In a short training a rate of 0.1 leaves a VGG at chance now and then.
        "overrides": {
            "resnet8": {"model_options": {"width": 0.5}},
            "vgg11": {"model_options": {"width": 0.125}, "lr": 0.05},
        },
        "recipes": ["anneal-lr"],
        "epochs": 24,
        "seeds": [0, 1, 2],
        "train_size": 2000,
        "test_size": 1000,
    },
    # The trainings are those of 01.
    "laptop": {
        "dataset": "cifar10",
        "image_size": 16,
        "architectures": ["resnet8", "vgg11"],
        "overrides": {"vgg11": {"model_options": {"width": 0.25}, "lr": 0.05}},
        "recipes": ["anneal-lr"],
        "epochs": 15,
        "seeds": [0, 1, 2],
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["vgg16", "resnet18"],
        "recipes": ["anneal-lr"],
        "epochs": 60,
        "seeds": [0, 1, 2],
        "precision": "bf16",
    },
    "paper": {
        "dataset": "cifar10",
        "architectures": ["vgg19", "googlenet", "dla"],
        "recipes": ["anneal-lr"],
        "epochs": 200,
        "seeds": [0],
    },
}

FINDINGS = ("dance", "pair-correlations")  # pictures of the laptop profile that are kept
