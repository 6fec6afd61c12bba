"""What 06_mftma computes at each profile; `paper-tiny-imagenet` is the paper's second data set."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import SHARES, Rule, at_least
from landscape_utils.training.recipes import NEVER

_EPOCHS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70]

_MANIFOLDS: dict[str, Any] = {
    "classes": 100,
    "examples": 50,
    "n_t": 200,
    "shares": [0.0, 0.25, 0.5, 0.75, 1.0],
    "counted": {"classes": 20, "points": 20, "n_t": 200, "dichotomies": 100},
    "plane_images": 1000,
    "plane_classes": None,
    "sphere_seeds": 3,
    "sphere_size": 10_000,
    "spheres": {"model": "feedforward", "test_size": 5000, "epochs": 1000},
    "sphere_sampling": {"classes": 100, "points": 50, "n_t": 200},
}

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "image_size": 16,
        "difficulty": 0.5,
        "train_size": 2000,
        "test_size": 1000,
        # To these letters; scaling_size is 10's.
        "belonging": ("difficulty", "image_size", "train_size", "test_size", "plane_classes", "scaling_size"),
        "architectures": ["vgg8"],
        # On trial seeds restored labels reach 60 % in epoch 3, test accuracy its best before epoch 8, and all labels
        # are fitted at the end: with a constant rate, as the paper has it, not within 24 epochs.
        "overrides": {
            "vgg8": {
                "model_options": {"width": 0.5},
                "lr": 0.001,
                "schedule": "cosine",
                "batch_size": 64,
                "stop_at": NEVER,
            }
        },
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 28,
        "checkpoints": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20],
        "seeds": [0, 1, 2],
        "own": {
            "classes": None,
            "examples": 50,
            "n_t": 100,
            "shares": [0.0, 1.0],
            "share_seeds": 1,
            "counted": {"classes": 10, "points": 15, "n_t": 100, "dichotomies": 30},
            "plane_images": 120,
            "plane_classes": [0, 2, 4, 6, 8],  # O, C, E, I and 8, which are not drawn alike
            "sphere_seeds": 3,
            "sphere_size": 10_000,
            "spheres": {
                "model": "fcn",
                "model_options": {"depth": 6, "width": 256, "init_scale": None},
                "test_size": 2500,
                "lr": 0.001,
                "batch_size": 500,
                "epochs": 40,
            },
            "sphere_sampling": {"classes": 10, "points": 25, "n_t": 100},
        },
    },
    "standard": {
        "dataset": "cifar100",
        "architectures": ["vgg16"],
        "overrides": {"vgg16": {"lr": 0.001, "batch_size": 256, "stop_at": NEVER}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 100,
        "checkpoints": _EPOCHS,
        "seeds": [0, 1, 2],
        "precision": "bf16",
        "own": {**_MANIFOLDS, "share_seeds": 1},
    },
    "paper": {
        "dataset": "cifar100",
        "architectures": ["vgg16", "alexnet", "resnet18"],
        "overrides": {
            "vgg16": {"model_options": {"head": "table3"}, "stop_at": NEVER},
            "alexnet": {"stop_at": NEVER},
            "resnet18": {"stop_at": NEVER},
        },
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 1000,
        "checkpoints": [*_EPOCHS, 100, 200, 300, 500, 700],
        "seeds": list(range(10)),
        "own": {**_MANIFOLDS, "share_seeds": 10},
    },
    "paper-tiny-imagenet": {
        "dataset": "tiny_imagenet",
        "architectures": ["resnet18"],
        "overrides": {"resnet18": {"model_options": {"stem": "imagenet"}, "stop_at": NEVER}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 1000,
        "checkpoints": [*_EPOCHS, 100, 200, 300, 500, 700],
        "seeds": list(range(10)),
        "own": {**_MANIFOLDS, "share_seeds": 10},
    },
}

RULES: dict[str, Rule] = {
    "classes": at_least(2, "at least 2 manifolds are needed"),
    "examples": at_least(2, "a manifold needs at least 2 points"),
    "n_t": at_least(1),
    "shares": SHARES,
}
