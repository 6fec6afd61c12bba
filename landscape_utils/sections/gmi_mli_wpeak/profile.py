"""What 04_gmi_mli_wpeak computes at each profile; `paper-finetuned` starts from ImageNet's weights, on other data."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import POSITIVE, Rule, at_least

# The paper's numbers, at every profile but quick.
_LINES: dict[str, Any] = {
    "draws": 5,
    "reach": 0.1,
    "peak": {"epochs": 60, "lr": 0.005, "batch_size": 128},
    "vvv": {"epochs": 60, "lr": 0.1, "batch_size": 128},
}

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "difficulty": 0.6,
        "architectures": ["mlp", "resnet8"],
        "overrides": {"resnet8": {"model_options": {"width": 0.5}}},
        "recipes": ["anneal-lr"],
        "epochs": 20,
        "checkpoints": [5],
        "seeds": [0, 1],
        "train_size": 2000,
        "test_size": 1000,
        "own": {
            "images": 100,
            "draws": 5,
            "reach": 0.1,
            "peak": {"epochs": 160, "lr": 0.005, "batch_size": 10},
            "vvv": {"epochs": 40, "lr": 0.1, "batch_size": 20},
        },
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["mlp", "resnet32", "resnet56-ns", "resnet110-ns"],
        "recipes": ["anneal-lr"],
        "epochs": 60,
        "checkpoints": [5, 20],
        "seeds": [0, 1],
        "precision": "bf16",
        "own": {"images": 2000, **_LINES},
    },
    "paper": {
        "dataset": "cifar100",
        "architectures": ["mlp", "resnet32", "resnet56-ns", "resnet110", "resnet110-ns"],
        "recipes": ["anneal-lr"],
        "epochs": 200,
        "checkpoints": [10, 50, 100],
        "seeds": [0, 1],
        "own": {"images": 50_000, **_LINES},
    },
    "paper-finetuned": {
        "dataset": "cub200",
        "architectures": ["mobilenet_v2", "resnext101"],
        "recipes": ["finetune"],
        "epochs": 200,
        "checkpoints": [10, 50, 100],
        "seeds": [0, 1],
        "own": {"images": 500, **_LINES},
    },
}

RULES: dict[str, Rule] = {
    "images": at_least(1),
    "draws": at_least(1),
    "reach": POSITIVE,
}
