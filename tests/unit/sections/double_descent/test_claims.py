import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from landscape_utils.sections.double_descent import claims as verdicts

WIDTHS = [2, 4, 8, 16, 32, 64, 128]
ERROR = [0.6, 0.2, 0.3, 0.4, 0.25, 0.2, 0.15]
UP = [2.0, 3.0, 4.0, 5.0, 6.0, 6.5, 7.0]
BUMP = [6.0, 4.0, 5.0, 7.0, 6.0, 5.0, 4.5]
BEST = [6.0, 4.0, 4.5, 4.0, 4.0, 4.0, 4.0]


def table(error=ERROR, dimension=BUMP, radius=UP, correlation=UP, *, best=BEST, seeds=5, noise=0.01):
    rng = np.random.default_rng(0)
    given_ = {"dimension": dimension, "radius": radius, "centre_correlation": correlation}
    given_ |= {"test_accuracy": 1 - np.array(error), "train_accuracy": np.linspace(0.5, 1.3, 7).clip(0, 1)}
    found = {}
    for name, curve in given_.items():
        both = np.stack([best if name == "dimension" else curve, curve], axis=-1)[:, None]
        noisy = both + (name != "train_accuracy") * noise * rng.normal(size=(len(WIDTHS), seeds, 2))
        found[name] = (("width", "seed", "moment"), noisy)
    bound = np.minimum(WIDTHS, 50)[:, None, None] * np.ones((1, seeds, 2))
    found["bound"] = (("width", "seed", "moment"), bound)
    return xr.Dataset(found, coords={"width": WIDTHS, "seed": range(seeds), "moment": ["best", "final"]})


def effects(judgement):
    return {part.name: part.effect for part in judgement.parts}


def seen(judgement):
    return {part.name: part.verdict for part in judgement.parts}


def test_a_double_descent_of_error_and_dimension() -> None:
    got = verdicts.double_descent(table(noise=0.001))
    assert (got.id, got.verdict) == ("MG-9", "reproduced")
    wanted = {
        "error_falls": 0.4, "error_rises": 0.2, "error_falls_again": 0.25, "dimension": 2.0, "added_peaks": 2.5,
        "added_near": 1.0, "radius": 0.0, "centre_correlation": 0.0,
    }  # fmt: skip
    assert effects(got) == pytest.approx(wanted, abs=0.01)
    assert "error in % by width: 60 at 2, 20 at 4, 40 at 16, 15 at 128" in got.note
    assert "from width 32 on" in got.note
    assert "Dimension: 6.0 at 2, 4.0 at 4, 7.0 at 16, 4.5 at 128 (up to width 32 the layer's few features" in got.note


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"error": [0.6, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1]}, {"error_rises"}),
        ({"error": [0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.12]}, {"error_falls"}),
        ({"error": [0.6, 0.2, 0.3, 0.4, 0.4, 0.4, 0.42]}, {"error_falls_again"}),
        ({"dimension": np.array(UP) - 1, "best": np.array(UP) - np.subtract(BUMP, BEST)}, {"dimension"}),
        ({"dimension": [1.0, 2.0, 3.0, 5.0, 4.0, 3.0, 2.0], "best": np.zeros(7)}, {"dimension"}),
        ({"best": np.array(BUMP) - UP}, {"added_peaks", "added_near"}),  # at the widest
        ({"best": np.subtract(BUMP, [0, 3, 0.5, 0.4, 0.3, 0.2, 0.1])}, {"added_near"}),
        ({"radius": BUMP}, {"radius"}),
        ({"correlation": BUMP}, {"centre_correlation"}),
    ],
    ids=["one descent", "no first", "no second", "rising", "one bump", "no peak", "far", "radius", "correlation"],
)
def test_each_part_can_fail(change, parts) -> None:
    got = verdicts.double_descent(table(**change))
    assert got.verdict == "partly reproduced"
    assert {name for name, verdict in seen(got).items() if verdict != "seen"} == parts


def test_seeds_that_disagree_are_no_double_descent() -> None:
    got = seen(verdicts.double_descent(table(noise=0.3, dimension=np.multiply(BUMP, 100))))
    assert got["error_rises"] != "seen"
    assert got["dimension"] == "seen"


def test_falling_curves_are_monotonic_too() -> None:
    assert verdicts.double_descent(table(radius=UP[::-1], correlation=UP[::-1])).verdict == "reproduced"


def test_turning_points_are_chosen_on_the_other_seeds() -> None:
    """A peak that only one seed has does not count for it."""
    curves = np.tile([5.0, 1.0, 1.0, 2.0, 0.0], (4, 1))
    curves[0] = [5.0, 1.0, 9.0, 1.0, 0.0]
    changes = verdicts.held_out_changes(curves)
    assert changes[0].tolist() == [4, 0, 1]
    assert changes[1:].tolist() == [[4, 0, 1]] * 3  # their mean with the first has its peak where they have none


@given(nps.arrays(float, st.integers(2, 9), elements=st.floats(-5, 5)))
@example(np.array([0, 1e-313, 0]))
@settings(deadline=None, max_examples=60)
def test_a_wobble_is_the_largest_way_back(curve) -> None:
    sign = 1 if curve[-1] >= curve[0] else -1
    back = max(sign * (a - b) for i, a in enumerate(curve) for b in curve[i:])
    wanted = back / np.ptp(curve) if np.ptp(curve) > 0 else 0
    np.testing.assert_allclose(verdicts.held_out_wobbles(np.stack([curve, curve])), wanted)


def test_a_way_back_that_one_seed_alone_has_is_noise() -> None:
    curves = np.tile([0.0, 1.0, 2.0, 3.0, 4.0], (3, 1))
    curves[0, 2] = -1.0
    assert verdicts.held_out_wobbles(curves)[0] == 0  # the others go forward only
    np.testing.assert_allclose(verdicts.held_out_wobbles(curves)[1:], -1 / 4)  # their mean goes back; they do not


def test_three_widths_and_one_seed_have_no_turning_points_to_judge() -> None:
    for few, words in ((table().isel(width=[0, 1, 2]), "4 widths"), (table(seeds=1), "2 seeds")):
        got = verdicts.double_descent(few)
        assert got.verdict == "not tested"
        assert words in got.parts[0].reason


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_seeds_decide_nothing_and_three_do(seeds: int) -> None:
    got = verdicts.double_descent(table(noise=0.001, seeds=seeds))
    assert got.verdict == ("undecided" if seeds == 2 else "reproduced")


def test_widths_without_a_geometry_are_left_out() -> None:
    lame = table()
    lame["dimension"][0, 0] = np.nan
    assert "Dimension: 4.0 at 4" in verdicts.double_descent(lame).note
    lame["dimension"][:4, 0] = np.nan
    assert "4 widths or more" in verdicts.double_descent(lame).parts[0].reason


def test_labels_that_are_never_fitted_have_no_threshold_to_be_near() -> None:
    never = table()
    never["train_accuracy"] *= 0.5
    assert seen(verdicts.double_descent(never))["added_near"] == "not tested"
