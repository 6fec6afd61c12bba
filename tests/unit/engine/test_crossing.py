import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_utils.engine.crossing import LEAST, REACH, crossing


@given(rise=st.floats(-38, 2.99), start=st.floats(-40, 4), within=st.sampled_from([0.5, 0.05, 1e-4]))
@settings(max_examples=200, deadline=None)
def test_a_crossing_is_found_from_any_start(rise: float, start: float, within: float) -> None:
    """Both are powers of two; a bracket's geometric middle is off by half of it at most."""
    asked: list[float] = []

    def flat(distance: float) -> bool:
        asked.append(distance)
        return distance <= 2**rise

    got = crossing(flat, 2**start, within)
    assert abs(math.log(got / 2**rise)) <= math.log(1 + within) / 2 + 1e-9
    assert len(asked) <= abs(rise - start) + 3 + math.log2(math.log(2) / math.log(1 + within))


@given(start=st.floats(-40, 3))
def test_a_ray_that_is_flat_to_its_end_has_no_crossing_and_one_that_is_flat_nowhere_ends_at_once(start: float) -> None:
    assert crossing(lambda distance: distance <= 2 * REACH, 2**start, 0.05) == np.inf
    assert 0 < crossing(lambda distance: False, 2**start, 0.05) < LEAST
