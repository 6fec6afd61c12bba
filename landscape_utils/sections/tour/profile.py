"""What 00_tour computes at each profile; what it shows of memorization is set by the other notebooks' profiles."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import Rule, at_least

TRAININGS = "cctm"  # one of its networks
LAST = True  # it reads what the others found

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"architectures": ["mlp"], "own": {"images": 200}},
    "standard": {"architectures": ["resnet18"], "own": {"images": 500}},
    "paper": {"architectures": ["resnet18"], "own": {"images": 500}},
}

RULES: dict[str, Rule] = {
    "images": at_least(1),
}
