"""What 09_hessian_surfaces computes at each profile."""

from __future__ import annotations

from typing import Any

from landscape_utils.suite.profiles import ODD, POSITIVE, Rule, at_least

TRAININGS = "gmi_mli_wpeak"

# The paper tells 100 draws, lambda 0.001 and 0.01, 11 pieces of +-0.05; steps, probes and grids are this project's.
_SURFACES: dict[str, Any] = {
    "draws": 100,
    "reach": 0.1,
    "points": 25,
    "fine_points": 41,
    "steps": 80,
    "probes": 4,
    "eigenvectors": 10,
    "statistics": "batch",
}

_SMALL: dict[str, Any] = {
    "images": 1000,
    "draws": 30,
    "reach": 0.1,
    "points": 13,
    "fine_points": 13,
    "steps": 32,
    "probes": 1,
    "eigenvectors": 10,
    "statistics": "batch",
    "peak": {"batch_size": 100},
}

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"own": _SMALL},
    "laptop": {"own": {**_SMALL, "images": 1000, "peak": {"batch_size": 128}}},
    "standard": {"own": {"images": 2000, **_SURFACES, "peak": {"batch_size": 128}}},
    "paper": {"own": {"images": 50_000, **_SURFACES, "peak": {"batch_size": 128}}},
    "paper-c10": {"own": {"images": 50_000, **_SURFACES, "peak": {"batch_size": 128}}},
    "paper-finetuned": {"own": {"images": 500, **_SURFACES, "peak": {"batch_size": 128}}},
}

FINDINGS = ("spectra", "eigenvectors", "pieces")  # pictures of the laptop profile that are kept

RULES: dict[str, Rule] = {
    "images": at_least(1),
    "draws": at_least(1),
    "reach": POSITIVE,
    "points": ODD,
    "fine_points": ODD,
    "eigenvectors": at_least(2),
    "statistics": (lambda value: value in ("keep", "batch"), "choose keep or batch"),
}
