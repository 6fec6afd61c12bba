"""What 05_bias_plateau computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import Rule, at_least, increasing

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "difficulty": 0.6,
        "architectures": ["fcn", "vgg11"],
        # Without BatchNorm a VGG of this initialisation stays at chance with larger rates or smaller weights.
        "overrides": {
            "fcn": {"lr": 0.1, "batch_size": 64, "epochs": 20, "weight_decay": 0.0},
            "vgg11": {
                "model_options": {"batchnorm": False, "width": 0.125, "init_scale": 1.0},
                "batch_size": 16,
                "lr": 0.02,
                "weight_decay": 0.0,
            },
        },
        "recipes": ["anneal-lr"],
        "augment": False,
        "epochs": 8,
        "seeds": [0, 1, 2],
        "train_size": 1500,
        "test_size": 500,
        "own": {
            "simple": "digits",
            "simple_size": None,
            "simple_seeds": 5,
            "others": [],
            "images": 200,
            "depths": [2, 4, 6, 8],
            "scales": {"fcn": [0.25, 0.5, 1.0], "vgg11": [1.0, 1.2]},
            "powers": [1, 3, 4],
            "small": {"train_size": 100, "test_size": 100, "epochs": 60, "seeds": 20},
        },
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["fcn", "vgg16"],
        "overrides": {
            "fcn": {"lr": 0.1, "batch_size": 64, "epochs": 20, "weight_decay": 0.0},
            "vgg16": {
                "model_options": {"batchnorm": False, "init_scale": 1.4},
                "batch_size": 64,
                "lr": 0.02,
                "weight_decay": 0.0,
            },
        },
        "recipes": ["anneal-lr"],
        "augment": False,
        "epochs": 40,
        "seeds": [0, 1, 2],
        "own": {
            "simple": "mnist",
            "simple_size": None,
            "simple_seeds": 5,
            "others": ["fcn on fashion_mnist", "vgg16 on cifar100"],
            "images": 2000,
            "depths": [2, 4, 6, 8],
            "scales": {"fcn": [0.25, 0.5, 1.0], "vgg16": [1.4, 1.6]},
            "powers": [1, 2, 3, 4, 5],
            "small": {"train_size": 100, "test_size": 100, "epochs": 60, "seeds": 20},
        },
    },
    "paper": {
        "dataset": "cifar10",
        "architectures": ["fcn", "vgg16"],
        "overrides": {
            "fcn": {"lr": 0.1, "epochs": 100, "weight_decay": 0.0},
            "vgg16": {
                "model_options": {"batchnorm": False, "init_scale": 1.4},
                "lr": 0.02,
                "weight_decay": 0.0,
            },
        },
        "recipes": ["anneal-lr"],
        "augment": False,
        "epochs": 100,
        "seeds": [0, 1, 2, 3, 4],
        "own": {
            "simple": "mnist",
            "simple_size": None,
            "simple_seeds": 5,
            "others": ["fcn on fashion_mnist", "vgg16 on cifar100"],
            "images": 10_000,
            "depths": [2, 4, 6, 8, 10],
            "scales": {"fcn": [0.25, 0.5, 1.0], "vgg16": [1.4, 1.6]},
            "powers": [1, 2, 3, 4, 5],
            "small": {"train_size": 100, "test_size": 100, "epochs": 60, "seeds": 20},
        },
    },
}

DATASETS = ("simple",)
RULES: dict[str, Rule] = {
    "images": at_least(1),
    "others": (lambda names: all(n.count(" on ") == 1 for n in names), "write each network as architecture on dataset"),
    "depths": increasing(1, "give two depths or more, from 2 layers on, the shallowest first"),
    "powers": (lambda powers: max(powers, default=0) >= 3, "the theorem speaks of r >= 3; give one such r at least"),
}
