import numpy as np
import pytest
import xarray as xr

from landscape_utils.sections.bias_plateau.homogeneous_claims import group_shares, learned_last_has_largest_bias
from tests.unit.plateau.test_homogeneous import made_up


def networks(hits: int, *, seeds: int = 40, unlearned: int = 0) -> xr.Dataset:
    """Make seeds that learn class 2 last, the first of which give it the largest bias."""
    learned = np.tile([1.0, 2.0, 3.0], (seeds, 1))
    learned[:unlearned, 2] = np.nan
    bias = [[-1.0, 0.0, 1.0 if i < hits else -2.0] for i in range(seeds)]
    return made_up(learned.tolist(), bias)


def test_the_shares_are_those_of_ten_groups_of_seeds() -> None:
    np.testing.assert_allclose(group_shares(networks(38)), [1] * 9 + [0.5])
    np.testing.assert_allclose(group_shares(networks(2, seeds=3)), [1, 1, 0])


@pytest.mark.parametrize(
    ("linear", "cubic", "quartic", "verdicts"),
    [
        (13, 40, 40, ("seen", "seen")),
        (13, 39, 40, ("undecided", "seen")),
        (40, 40, 20, ("seen", "not seen")),
        (13, 10, 40, ("not seen", "seen")),
    ],
)
def test_r_of_three_and_the_weakest_above_are_judged(
    linear: int, cubic: int, quartic: int, verdicts: tuple[str, str]
) -> None:
    results = {1: networks(linear), 3: networks(cubic), 4: networks(quartic), 5: networks(40)}
    got = learned_last_has_largest_bias(results)
    assert got.id == "BP-3"
    assert tuple(part.verdict for part in got.parts) == verdicts
    assert [part.effect for part in got.parts] == [cubic / 40, quartic / 40]
    assert got.note.startswith(f"r = 1: {linear / 40:.0%}, r = 3: ")
    assert "of 40 seeds (chance 33%)" in got.note
    assert "none not learned" in got.note
    assert got.note.endswith("below its bias in 0%, 0%, 0%, 0%.")


def test_what_is_not_learned_counts_against_the_claim() -> None:
    got = learned_last_has_largest_bias({3: networks(40, unlearned=40)})
    assert [part.verdict for part in got.parts] == ["not seen", "not tested"]
    assert "40 not learned" in got.note


def test_the_linear_network_alone_decides_nothing() -> None:
    with pytest.raises(ValueError, match="r >= 3"):
        learned_last_has_largest_bias({1: networks(40)})
