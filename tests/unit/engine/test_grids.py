import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_utils.engine import grids, points


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10, 19, 41])
def test_levels_are_nested_and_end_with_all(count: int) -> None:
    levels = grids.nested(count)
    for coarse, fine in itertools.pairwise(levels):
        assert set(coarse) < set(fine)
        assert {coarse[0], coarse[-1]} == {0, count - 1}
    assert list(levels[-1]) == list(range(count))


@given(span=st.floats(1e-6, 1e6), count=st.integers(2, 20))
def test_a_grid_twice_as_fine_has_the_same_points(span: float, count: int) -> None:
    coarse, fine = grids.grid_axis(-span, span, count), grids.grid_axis(-span, span, 3 * count - 2)
    assert [points.name([x]) for x in coarse] == [points.name([x]) for x in fine[::3]]
    assert 0.0 in grids.grid_axis(-span, span, 2 * count - 1)
