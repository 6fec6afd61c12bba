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
    "many": None,  # its own classes are
}

_SPHERES: dict[str, Any] = {
    "model": "fcn",
    "model_options": {"depth": 6, "width": 256, "init_scale": None},
    "test_size": 2500,
    "lr": 0.001,
    "batch_size": 500,
    "epochs": 40,
}

_TEN_CLASSES: dict[str, Any] = {
    "classes": None,
    "examples": 50,
    "n_t": 100,
    "shares": [0.0, 1.0],
    "share_seeds": 1,
    "counted": {"classes": 10, "points": 15, "n_t": 100, "dichotomies": 30},
    "sphere_seeds": 3,
    "sphere_size": 10_000,
    "spheres": _SPHERES,
    "sphere_sampling": {"classes": 10, "points": 25, "n_t": 100},
    "many": None,  # for want of time
}

# On trial seeds restored labels reach 60 % in epoch 3, test accuracy its best before epoch 8, and all labels of the
# letters are fitted at the end: with a constant rate, as the paper has it, not within 24 epochs.
_VGG8: dict[str, Any] = {
    "model_options": {"width": 0.5},
    "lr": 0.001,
    "schedule": "cosine",
    "batch_size": 64,
    "stop_at": NEVER,
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
        "overrides": {"vgg8": _VGG8},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 28,
        "checkpoints": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20],
        "seeds": [0, 1, 2],
        # The spheres: on trial seeds 100 to 102 they are fitted in epoch 12 or 13 of 20; twenty classes decide all
        # parts of MG-14, ten do not. 50 vectors a manifold decide what 100 do.
        "own": {
            **_TEN_CLASSES,
            "n_t": 50,
            "counted": {"classes": 10, "points": 15, "n_t": 50, "dichotomies": 30},
            "spheres": {**_SPHERES, "lr": 0.0015, "schedule": "cosine", "epochs": 20},
            "sphere_sampling": {"classes": 20, "points": 25, "n_t": 50},
            "plane_images": 120,
            "plane_classes": [0, 2, 4, 7, 8],  # O, C, E, J and 8: not drawn alike, and no mark as thin as an I
        },
    },
    # On trial seed 100 test accuracy is best in epoch 4 (38 %), and 28 epochs fit 94 % of the labels: 40, then. Of
    # CIFAR-100 the same network fits 61 % in 60 epochs at twice the rate, one of twice the width 88 % in 40. Test
    # accuracy is 7 % at its best there (chance: 1 %), too little for its fall to be seen: so the hundred classes are
    # looked at beside the ten. On trial seeds 100 to 102 ten classes of spheres decide a part of MG-14, thirty all.
    "laptop": {
        "dataset": "cifar10",
        "image_size": 16,
        "train_size": 10_000,
        "test_size": 2000,
        "architectures": ["vgg8"],
        "overrides": {"vgg8": _VGG8},
        "recipes": ["memorize"],
        "epsilon": 0.5,
        "epochs": 40,
        "checkpoints": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 28],
        "seeds": [0, 1, 2],
        "own": {
            **_TEN_CLASSES,
            "share_seeds": 3,
            "plane_images": 200,
            "plane_classes": [0, 1, 4, 5, 8],  # airplane, automobile, deer, dog, ship
            "sphere_sampling": {"classes": 30, "points": 25, "n_t": 100},
            "many": {
                **_VGG8,
                "dataset": "cifar100",
                "model": "vgg8",
                "model_options": {"width": 1.0},
                "train_size": 10_000,
                "test_size": 5000,
                "image_size": 16,
                "epochs": 60,
            },
            "many_sampling": {"classes": 100, "points": 50, "n_t": 100},
            "many_counted": {"classes": 40, "points": 12, "n_t": 100, "dichotomies": 30},
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

FINDINGS = (
    "geometry-vgg8",
    "capacities",
    "shares-vgg8",
    "many",
    "many-capacities",
    "planes-last-vgg8",
)  # pictures of the laptop profile that are kept

RULES: dict[str, Rule] = {
    "classes": at_least(2, "at least 2 manifolds are needed"),
    "examples": at_least(2, "a manifold needs at least 2 points"),
    "n_t": at_least(1),
    "shares": SHARES,
}
