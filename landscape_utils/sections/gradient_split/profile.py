"""What 10_gradient_split computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import Rule, at_least

TRAININGS = "mftma"

# None: all epochs that are kept, all images. Ten seeds' images are in memory at once.
PROFILES: dict[str, dict[str, Any]] = {
    # The initialisation has seen no image: it is looked at over more of them than were trained on.
    "quick": {"own": {"at_epochs": [0, 1, 2, 4, 8, 16], "images": None, "scaling_size": 16_000, "chunk": 125}},
    "laptop": {"own": {"at_epochs": [0, 1, 2, 4, 8, 16], "images": None, "scaling_size": None, "chunk": 125}},
    "standard": {"own": {"at_epochs": None, "images": 10_000, "scaling_size": None, "chunk": 100}},
    "paper": {"own": {"at_epochs": None, "images": None, "scaling_size": None, "chunk": 100}},
    "paper-tiny-imagenet": {"own": {"at_epochs": None, "images": 20_000, "scaling_size": None, "chunk": 200}},
}

FINDINGS = ("shares-vgg8", "scaling-vgg8")  # pictures of the laptop profile that are kept

RULES: dict[str, Rule] = {
    "at_epochs": (lambda epochs: min(epochs, default=-1) >= 0, "name one epoch at least; they count from 0"),
    "images": at_least(1),
    "scaling_size": at_least(2),
    "chunk": at_least(1),
}
