"""What 00_tour trains; what it shows of it comes from the other notebooks' sections."""

from __future__ import annotations

from landscape_utils.suite import profiles
from landscape_utils.suite.session import Session, session
from landscape_utils.training.recipes import RunSpec


def every_training(setup: Session) -> dict[str, list[RunSpec]]:
    """List what the notebook trains, by what it is for: one run of 01, six of 05 and one of 06, at their own data."""
    plateau = session("05_bias_plateau")
    groups = profiles.every_training(plateau)
    deep = f"fcn on {plateau.own['simple']}, init_scale {min(plateau.own['scales']['fcn'])}"
    (memory,) = session("06_mftma", profile=setup.profile, seeds=[0]).specs().values()
    return {
        **{name: specs[:1] for name, specs in setup.specs().items()},
        "plateau": [*groups[deep][:3], *groups[f"{deep}, bias False"][:3]],
        "memorization": memory,
    }
