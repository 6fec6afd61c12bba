"""What 07_rewinding computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import Rule, at_least
from landscape_utils.training.recipes import NEVER

TRAININGS = "mftma"

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"own": {"images": 300, "test_images": 800}},
    "laptop": {"own": {"images": 1000, "test_images": 2000}},
    "standard": {
        "architectures": ["vgg16", "resnet18"],  # the paper speaks of both
        "overrides": {name: {"lr": 0.001, "batch_size": 256, "stop_at": NEVER} for name in ("vgg16", "resnet18")},
        "own": {"images": 2000, "test_images": 4000},
    },
    "paper": {"own": {"images": 10_000, "test_images": 10_000}},
    "paper-tiny-imagenet": {"own": {"images": 10_000, "test_images": 10_000}},
}

FINDINGS = ("gains", "course")  # pictures of the laptop profile that are kept

RULES: dict[str, Rule] = {
    "images": at_least(1),
    "test_images": at_least(2, "it must be at least 2: one half chooses, the other measures"),
}
