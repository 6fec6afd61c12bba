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
        "belonging": ("difficulty", "train_size", "test_size"),  # to these letters
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

_MANIFOLDS: dict[str, Any] = {
    "classes": 100,
    "examples": 50,
    "n_t": 200,
    "shares": [0.0, 0.25, 0.5, 0.75, 1.0],
    "counted": {"classes": 20, "points": 20, "n_t": 200, "dichotomies": 100},
    "plane_images": 1000,
    "sphere_seeds": 3,
    "sphere_size": 10_000,
    "spheres": {"model": "feedforward", "test_size": 5000, "epochs": 1000},
    "sphere_sampling": {"classes": 100, "points": 50, "n_t": 200},
}

# 08 trains its own: widths are units of the hidden layer (mlp), or factors of ResNet18's channels.
_WIDTHS: dict[str, dict[str, Any]] = {
    "quick": {
        "dataset": "digits",
        "train_size": 800,
        "architectures": ["mlp"],
        "overrides": {"mlp": {"lr": 0.003}},
        "recipes": ["memorize"],
        "epsilon": 0.2,
        "epochs": 2000,
        "seeds": [0, 1, 2, 3, 4],
        "own": {
            "widths": [2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512],
            "examples": 49,
            "n_t": 100,
            "rank": 0,
            "noises": [0.0, 0.1, 0.2, 0.4],
        },
    },
    "standard": {
        "dataset": "cifar100",
        "architectures": ["resnet18"],
        "overrides": {"resnet18": {"lr": 0.001, "batch_size": 256}},
        "recipes": ["memorize"],
        "epsilon": 0.1,
        "epochs": 60,
        "seeds": [0, 1, 2],
        "precision": "bf16",
        "own": {
            "widths": [n / 64 for n in (2, 4, 6, 8, 12, 16, 32, 64)],
            "examples": 50,
            "n_t": 200,
            "rank": None,
            "noises": [0.1],
        },
    },
    # Network, data and noise are the paper's; it leaves the widths open, and the recipe is that of its other networks.
    "paper": {
        "dataset": "cifar100",
        "architectures": ["resnet18"],
        "recipes": ["memorize"],
        "epsilon": 0.1,
        "epochs": 1000,
        "seeds": list(range(10)),
        "own": {
            "widths": [n / 64 for n in (1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 64)],
            "examples": 50,
            "n_t": 200,
            "rank": None,
            "noises": [0.1],
        },
    },
}

# Each other notebook's own numbers.
_OWN: dict[str, dict[str, dict[str, Any]]] = {
    "06_mftma": {
        "quick": {
            "classes": None,
            "examples": 50,
            "n_t": 100,
            "shares": [0.0, 0.25, 0.5, 1.0],
            "share_seeds": 1,
            "counted": {"classes": 10, "points": 15, "n_t": 100, "dichotomies": 30},
            "plane_images": 200,
            "sphere_seeds": 1,
            "sphere_size": 10_000,
            "spheres": {
                "model": "fcn",
                "model_options": {"depth": 6, "width": 256, "init_scale": None},
                "test_size": 2500,
                "lr": 0.001,
                "batch_size": 500,
                "epochs": 40,
            },
            "sphere_sampling": {"classes": 20, "points": 25, "n_t": 100},
        },
        "standard": {**_MANIFOLDS, "share_seeds": 1},
        "paper": {**_MANIFOLDS, "share_seeds": 10},
        "paper-tiny-imagenet": {**_MANIFOLDS, "share_seeds": 10},
    },
    "07_rewinding": {
        "quick": {"images": 500, "test_images": 1000},
        "standard": {"images": 2000, "test_images": 4000},
        "paper": {"images": 10_000, "test_images": 10_000},
        "paper-tiny-imagenet": {"images": 10_000, "test_images": 10_000},
    },
    "10_gradient_split": {
        # None: all epochs that are kept, all images. Ten seeds' images are in memory at once.
        "quick": {"at_epochs": [0, 1, 2, 4, 7], "images": None, "chunk": 25},
        "standard": {"at_epochs": None, "images": 10_000, "chunk": 100},
        "paper": {"at_epochs": None, "images": None, "chunk": 100},
        "paper-tiny-imagenet": {"at_epochs": None, "images": 20_000, "chunk": 200},
    },
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
MEMORIZATION["08_double_descent"] = _WIDTHS
