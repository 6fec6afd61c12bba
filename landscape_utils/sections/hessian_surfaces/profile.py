"""What 09_hessian_surfaces computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import ODD, POSITIVE, Rule, at_least

TRAININGS = "gmi_mli_wpeak"

# The paper's numbers, at every profile but quick.
_SURFACES: dict[str, Any] = {
    "draws": 100,
    "reach": 0.1,
    "points": 25,
    "fine_points": 41,
    "steps": 80,
    "probes": 4,
    "peak": {"epochs": 60, "lr": 0.005, "batch_size": 128},
}

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "own": {
            "images": 100,
            "draws": 60,
            "reach": 0.1,
            "points": 11,
            "fine_points": 13,
            "steps": 32,
            "probes": 2,
            "peak": {"epochs": 160, "lr": 0.005, "batch_size": 10},
        }
    },
    "standard": {"own": {"images": 2000, **_SURFACES}},
    "paper": {"own": {"images": 50_000, **_SURFACES}},
    "paper-finetuned": {"own": {"images": 500, **_SURFACES}},
}

RULES: dict[str, Rule] = {
    "images": at_least(1),
    "draws": at_least(1),
    "reach": POSITIVE,
    "points": ODD,
    "fine_points": ODD,
}
