"""What each notebook computes at each profile.

`paper-finetuned` is the part of the paper profile that starts from ImageNet's weights; it has other data.
"""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.memorization_tables import MEMORIZATION

# The trainings of 04, which 09 reads back.
_CURVED: dict[str, dict[str, Any]] = {
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
    },
    "standard": {
        "dataset": "cifar10",
        "architectures": ["mlp", "resnet32", "resnet56-ns", "resnet110-ns"],
        "recipes": ["anneal-lr"],
        "epochs": 60,
        "checkpoints": [5, 20],
        "seeds": [0, 1],
        "precision": "bf16",
    },
    "paper": {
        "dataset": "cifar100",
        "architectures": ["mlp", "resnet32", "resnet56-ns", "resnet110", "resnet110-ns"],
        "recipes": ["anneal-lr"],
        "epochs": 200,
        "checkpoints": [10, 50, 100],
        "seeds": [0, 1],
    },
    "paper-finetuned": {
        "dataset": "cub200",
        "architectures": ["mobilenet_v2", "resnext101"],
        "recipes": ["finetune"],
        "epochs": 200,
        "checkpoints": [10, 50, 100],
        "seeds": [0, 1],
    },
}

# The papers' numbers, at every profile but quick.
_PEAK = {"epochs": 60, "lr": 0.005, "batch_size": 128}
_LINES: dict[str, Any] = {
    "draws": 5,
    "reach": 0.1,
    "peak": _PEAK,
    "vvv": {"epochs": 60, "lr": 0.1, "batch_size": 128},
}
_SURFACES: dict[str, Any] = {
    "draws": 100,
    "reach": 0.1,
    "points": 25,
    "fine_points": 41,
    "steps": 80,
    "probes": 4,
    "peak": _PEAK,
}

_INTERFERING: dict[str, dict[str, Any]] = {
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

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    # One of 01's networks; what it shows of memorization is set by the other notebooks' tables.
    "00_tour": {
        "quick": {**_INTERFERING["quick"], "architectures": ["mlp"], "own": {"images": 200}},
        "standard": {**_INTERFERING["standard"], "architectures": ["resnet18"], "own": {"images": 500}},
        "paper": {**_INTERFERING["paper"], "architectures": ["resnet18"], "own": {"images": 500}},
    },
    "01_cctm": _INTERFERING,
    "02_ego_flatness": {
        "quick": {
            "dataset": "glyphs10",
            "difficulty": 0.6,
            "train_size": 2000,
            "test_size": 1500,
            "architectures": ["vgg11", "resnet8"],
            # Recipes compared before each has fitted compare nothing: without augmentation, with small batches and
            # with raised rates every one of them fits in a dozen epochs.
            "overrides": {
                "vgg11": {
                    "model_options": {"width": 0.125},
                    "batch_size": 32,
                    "epochs": 5,
                    "small-lr": {"lr": 0.002},
                    "big-lr": {"lr": 0.02},
                    "anneal-lr": {"lr": 0.05},
                },
                "resnet8": {
                    "model_options": {"width": 0.5},
                    "batch_size": 16,
                    "small-lr": {"lr": 0.01},
                    "big-lr": {"lr": 0.05},
                },
            },
            "recipes": ["small-lr", "big-lr", "anneal-lr"],
            "augment": False,
            "epochs": 12,
            "seeds": [0, 1],
            "own": {"pairs": None, "sigma": None, "reach": 0.02, "points": 9, "fine_points": 19, "images": 500},
        },
        "standard": {
            "dataset": "cifar10",
            "architectures": ["vgg16", "resnet18"],
            "overrides": {name: {"small-lr": {"lr": 0.001}} for name in ("vgg16", "resnet18")},
            "recipes": ["small-lr", "big-lr", "anneal-lr"],
            "epochs": 60,
            "seeds": [0, 1],
            "precision": "bf16",
            "own": {"pairs": None, "sigma": None, "reach": 0.02, "points": 19, "fine_points": 37, "images": 2000},
        },
        "paper": {
            "dataset": "cifar10",
            "architectures": ["vgg19", "resnet18"],
            "recipes": ["small-lr", "big-lr", "anneal-lr"],
            "epochs": 200,
            "seeds": [0],
            "own": {"pairs": None, "sigma": None, "reach": 0.02, "points": 19, "fine_points": 19, "images": 50_000},
        },
    },
    "03_label_dancing": {
        "quick": {
            "dataset": "glyphs10",
            "architectures": ["resnet8", "vgg11"],
            # In a short training, 0.1 leaves a VGG at chance now and then.
            "overrides": {"vgg11": {"model_options": {"width": 0.25}, "lr": 0.05}},
            "recipes": ["anneal-lr"],
            "epochs": 24,
            "seeds": [0],
            "train_size": 2000,
            "test_size": 1000,
        },
        "standard": {
            "dataset": "cifar10",
            "architectures": ["vgg16", "resnet18"],
            "recipes": ["anneal-lr"],
            "epochs": 60,
            "seeds": [0],
            "precision": "bf16",
        },
        "paper": {
            "dataset": "cifar10",
            "architectures": ["vgg19", "googlenet", "dla"],
            "recipes": ["anneal-lr"],
            "epochs": 200,
            "seeds": [0],
        },
    },
    "04_gmi_mli_wpeak": {
        "quick": {
            **_CURVED["quick"],
            "own": {
                "images": 100,
                "draws": 5,
                "reach": 0.1,
                "peak": {"epochs": 160, "lr": 0.005, "batch_size": 10},
                "vvv": {"epochs": 40, "lr": 0.1, "batch_size": 20},
            },
        },
        "standard": {
            **_CURVED["standard"],
            "own": {"images": 2000, **_LINES},
        },
        "paper": {
            **_CURVED["paper"],
            "own": {"images": 50_000, **_LINES},
        },
        "paper-finetuned": {
            **_CURVED["paper-finetuned"],
            "own": {"images": 500, **_LINES},
        },
    },
    "05_bias_plateau": {
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
    },
    "09_hessian_surfaces": {
        "quick": {
            **_CURVED["quick"],
            "own": {
                "images": 100,
                "draws": 60,
                "reach": 0.1,
                "points": 11,
                "fine_points": 13,
                "steps": 32,
                "probes": 2,
                "peak": {"epochs": 160, "lr": 0.005, "batch_size": 10},
            },
        },
        "standard": {
            **_CURVED["standard"],
            "own": {"images": 2000, **_SURFACES},
        },
        "paper": {
            **_CURVED["paper"],
            "own": {"images": 50_000, **_SURFACES},
        },
        "paper-finetuned": {
            **_CURVED["paper-finetuned"],
            "own": {"images": 500, **_SURFACES},
        },
    },
    **MEMORIZATION,
}
