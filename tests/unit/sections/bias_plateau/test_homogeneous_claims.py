import numpy as np
import pytest
import xarray as xr

from landscape_utils.sections.bias_plateau.homogeneous_claims import learned_last_has_largest_bias
from landscape_utils.suite.claims import wilson
from tests.unit.plateau.test_homogeneous import made_up


def networks(hits: int, *, seeds: int = 40, unlearned: int = 0) -> xr.Dataset:
    """Make seeds that learn class 2 last, the first of which give it the largest bias."""
    learned = np.tile([1.0, 2.0, 3.0], (seeds, 1))
    learned[:unlearned, 2] = np.nan
    bias = [[-1.0, 0.0, 1.0 if i < hits else -2.0] for i in range(seeds)]
    return made_up(learned.tolist(), bias)


@pytest.mark.parametrize(
    ("linear", "cubic", "quartic", "verdict"),
    [(13, 40, 39, "reproduced"), (40, 40, 30, "not reproduced"), (13, 20, 40, "not reproduced")],
)
def test_every_r_of_three_or_more_has_to_agree(linear: int, cubic: int, quartic: int, verdict: str) -> None:
    got = learned_last_has_largest_bias({1: networks(linear), 3: networks(cubic), 4: networks(quartic)})
    assert (got.id, got.verdict) == ("BP-3", verdict)
    assert got.part.effect == min(cubic, quartic) / 40
    assert got.part.interval == wilson(min(cubic, quartic), 40)
    assert f"r = 1: {linear / 40:.0%}" in got.part.measured
    assert "chance 33%" in got.part.measured
    assert "none not learned" in got.part.measured
    assert got.part.measured.endswith("below its bias in 0%, 0%, 0%")


def test_what_is_not_learned_counts_against_the_claim() -> None:
    got = learned_last_has_largest_bias({3: networks(40, unlearned=10)})
    assert got.verdict == "not reproduced"
    assert got.part.effect == 0.75
    assert "10 not learned" in got.part.measured


def test_the_linear_network_alone_decides_nothing() -> None:
    with pytest.raises(ValueError, match="r >= 3"):
        learned_last_has_largest_bias({1: networks(40)})
