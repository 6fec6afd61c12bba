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


def table(error=ERROR, dimension=BUMP, radius=UP, correlation=UP, *, seeds=5, noise=0.01):
    rng = np.random.default_rng(0)
    given_ = {"dimension": dimension, "radius": radius, "centre_correlation": correlation}
    given_ |= {"test_accuracy": 1 - np.array(error), "train_accuracy": np.linspace(0.5, 1.3, 7).clip(0, 1)}
    found = {}
    for name, curve in given_.items():
        shape = (len(WIDTHS), seeds, 2)
        found[name] = (("width", "seed", "moment"), np.array(curve)[:, None, None] + noise * rng.normal(size=shape))
    bound = np.minimum(WIDTHS, 50)[:, None, None] * np.ones((1, seeds, 2))
    found["bound"] = (("width", "seed", "moment"), bound)
    return xr.Dataset(found, coords={"width": WIDTHS, "seed": range(seeds), "moment": ["best", "final"]})


def test_error_and_dimension_of_a_double_descent() -> None:
    got = verdicts.double_descent(table(noise=0.001))
    assert (got.id, got.verdict) == ("MG-9", "reproduced")
    assert got.part.effect == pytest.approx(0.2, abs=0.02)
    assert got.part.interval[0] < 0.2 < got.part.interval[1]
    assert "60 at 2, 20 at 4, 40 at 16, 15 at 128" in got.part.measured
    assert "6.0 at 2, 4.0 at 4, 7.0 at 16, 4.5 at 128" in got.part.measured
    assert "from width 32 on" in got.part.measured
    assert got.part.reason == "up to width 32 the layer's few features bound the dimension"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"error": np.linspace(0.6, 0.1, 7)}, "error rises"),
        ({"error": [0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1]}, "error falls"),
        ({"error": [0.6, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4]}, "error falls again"),
        ({"dimension": UP}, "dimension falls again"),
        ({"dimension": [1.0, 2.0, 3.0, 5.0, 4.0, 3.0, 2.0]}, "dimension falls"),
        ({"radius": BUMP}, "radius is monotonic"),
        ({"correlation": BUMP}, "centre correlation is monotonic"),
    ],
    ids=["one descent", "no first descent", "no second descent", "rising", "one bump", "radius", "correlation"],
)
def test_each_part_of_the_criterion_can_fail(change, part) -> None:
    got = verdicts.double_descent(table(**change))
    assert got.verdict in ("not reproduced", "undecided")  # a change of nothing at all is no clear one
    assert part in got.part.reason.removeprefix("close to its criterion; not so: ").removeprefix("not so: ").split(
        "; "
    )[0].split(", ")


def test_seeds_that_disagree_are_no_double_descent() -> None:
    got = verdicts.double_descent(table(noise=0.3, dimension=np.multiply(BUMP, 100)))
    assert got.verdict == "not reproduced"
    assert "error rises" in got.part.reason


def test_falling_curves_are_monotonic_too() -> None:
    assert verdicts.double_descent(table(radius=UP[::-1], correlation=UP[::-1])).verdict == "reproduced"


def test_turning_points_are_chosen_on_the_other_seeds() -> None:
    """A peak that only one seed has does not count for it."""
    curves = np.tile([5.0, 1.0, 1.0, 2.0, 0.0], (4, 1))
    curves[0] = [5.0, 1.0, 9.0, 1.0, 0.0]
    changes = verdicts.held_out_changes(curves)
    assert changes[0].tolist() == [4, 0, 1]
    assert changes[1:].tolist() == [[4, 0, 1]] * 3  # their mean with the first has its peak where they have none


@given(nps.arrays(float, st.integers(4, 9), elements=st.floats(-5, 5)))
@settings(deadline=None, max_examples=60)
def test_turning_points_are_the_best_of_all(curve) -> None:
    dip, peak = verdicts.turning_points(curve)
    n = len(curve)
    assert 0 <= dip < peak < n - 1

    assert curve[dip] == curve[:peak].min()
    heights = [min(curve[b] - curve[:b].min(), curve[b] - curve[-1]) for b in range(1, n - 1)]
    assert heights[peak - 1] == max(heights)


@given(nps.arrays(float, st.integers(2, 9), elements=st.floats(-5, 5)))
@example(np.array([0, 1e-313, 0]))
@settings(deadline=None, max_examples=60)
def test_a_wobble_is_the_largest_way_back(curve) -> None:
    sign = 1 if curve[-1] >= curve[0] else -1
    back = max(sign * (a - b) for i, a in enumerate(curve) for b in curve[i:])
    if np.ptp(curve) > 0:
        assert verdicts.wobble(curve) == pytest.approx(back / np.ptp(curve))
    else:
        assert verdicts.wobble(curve) == 0


def test_three_widths_are_not_judged() -> None:
    got = verdicts.double_descent(table().isel(width=[0, 1, 2]))
    assert got.verdict == "not tested"
    assert "four widths" in got.part.reason


def test_widths_without_a_geometry_are_left_out() -> None:
    lame = table()
    lame["dimension"][0, 0] = np.nan
    assert "4.0 at 4" in verdicts.double_descent(lame).part.measured
    lame["dimension"][:4, 0] = np.nan
    assert verdicts.double_descent(lame).part.reason == "too few widths have manifolds with a geometry"
