"""What the notebooks on memorization compute at each profile; `paper-tiny-imagenet` is the paper's second data set."""

from __future__ import annotations

from typing import Any

_EPOCHS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70]

# The trainings that 06, 07 and 10 share.
_MEMORIZED: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "glyphs10",
        "difficulty": 0.6,
        "train_size": 3000,
        "test_size": 1000,
        "architectures": ["vgg11"],
        "overrides": {"vgg11": {"model_options": {"width": 0.125}, "lr": 0.001, "batch_size": 128}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 40,
        "checkpoints": "all",
        "seeds": [0, 1, 2],
    },
    "standard": {
        "dataset": "cifar100",
        "architectures": ["vgg16"],
        "overrides": {"vgg16": {"lr": 0.001, "batch_size": 256}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 100,
        "checkpoints": _EPOCHS,
        "seeds": [0, 1, 2],
        "precision": "bf16",
    },
    "paper": {
        "dataset": "cifar100",
        "architectures": ["vgg16", "alexnet", "resnet18"],
        "overrides": {"vgg16": {"model_options": {"head": "table3"}}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 1000,
        "checkpoints": [*_EPOCHS, 100, 200, 300, 500, 700],
        "seeds": list(range(10)),
    },
    "paper-tiny-imagenet": {
        "dataset": "tiny_imagenet",
        "architectures": ["resnet18"],
        "overrides": {"resnet18": {"model_options": {"stem": "imagenet"}}},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 1000,
        "checkpoints": [*_EPOCHS, 100, 200, 300, 500, 700],
        "seeds": list(range(10)),
    },
}

# Each notebook's own numbers.
_OWN: dict[str, dict[str, dict[str, Any]]] = {
    "06_mftma": {profile: {} for profile in _MEMORIZED},
    "07_rewinding": {
        "quick": {"images": 500, "test_images": 1000},
        "standard": {"images": 2000, "test_images": 4000},
        "paper": {"images": 10_000, "test_images": 10_000},
        "paper-tiny-imagenet": {"images": 10_000, "test_images": 10_000},
    },
    "10_gradient_split": {profile: {} for profile in _MEMORIZED},
}

# What a notebook trains beside or in place of them: MG-7 speaks of ResNet18 too.
_CHANGED: dict[tuple[str, str], dict[str, Any]] = {
    ("07_rewinding", "standard"): {
        "architectures": ["vgg16", "resnet18"],
        "overrides": {name: {"lr": 0.001, "batch_size": 256} for name in ("vgg16", "resnet18")},
    },
}

MEMORIZATION: dict[str, dict[str, dict[str, Any]]] = {
    notebook: {
        profile: {**_MEMORIZED[profile], **_CHANGED.get((notebook, profile), {}), "own": own}
        for profile, own in profiles.items()
    }
    for notebook, profiles in _OWN.items()
}
