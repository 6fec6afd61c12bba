"""What 08_double_descent computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import Rule, at_least, increasing

# Widths are units of the hidden layer (mlp), or factors of a ResNet's channels. The paper names network, data and
# noise; it leaves the widths open, and the recipe is that of its other networks.
PROFILES: dict[str, dict[str, Any]] = {
    # Chosen on trial seeds from 100 on: among the widths one can just fit its labels, a quarter of the way up. The
    # error has a double descent there, and the dimension at the end has none; nor had it on digits pooled to 4 x 4,
    # with two hidden layers or one, or with three hidden layers on whole ones.
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
            "noises": [0.0, 0.1, 0.2, 0.4],
        },
    },
    # On trial seed 100 width 1/2 can just fit its labels; of the seeds 0 to 2 only width 1, on average. The widths end
    # there for time.
    "laptop": {
        "dataset": "cifar10",
        "image_size": 8,
        "train_size": 4000,
        "test_size": 1000,
        "architectures": ["resnet8"],
        "overrides": {"resnet8": {"lr": 0.003, "batch_size": 200}},
        "recipes": ["memorize"],
        "epsilon": 0.2,
        "epochs": 40,
        "seeds": [0, 1, 2],
        "own": {
            "widths": [n / 16 for n in (1, 2, 4, 6, 8, 12, 16)],
            "examples": 50,
            "n_t": 100,
            "noises": [0.2],
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
            "noises": [0.1],
        },
    },
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
            "noises": [0.1],
        },
    },
}

FINDINGS = ("errors", "dimension")  # pictures of the laptop profile that are kept

RULES: dict[str, Rule] = {
    "widths": increasing(0, "give two widths or more, above 0, the narrowest first"),
    "examples": at_least(2, "a manifold needs at least 2 points"),
    "n_t": at_least(1),
    "noises": (lambda shares: all(0 <= x <= 1 for x in shares), "each share must lie in [0, 1]"),
}
