import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import interpolate, stats
from torch import Tensor, nn

from landscape_utils.engine import space
from landscape_utils.interference import flatness

Rate = Callable[[np.ndarray, np.ndarray], np.ndarray]
GAP = flatness.FLAT / 10  # how far a rate stays off the tolerance where rounding must not decide


def space_of(
    rates: np.ndarray | list[list[float]] | Rate,
    *,
    points: int = 41,
    sigma: tuple[float, float] = (1.0, 1.0),
    norms: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> xr.Dataset:
    """An interference space whose mistake rates are given, as numbers or as a function of theta1 and theta2."""
    if callable(rates):
        x, y = (np.linspace(-s, s, points) for s in sigma)
        rates = rates(x[:, None], y[None, :])
    rates = np.asarray(rates, float)
    axes = {f"theta{i + 1}": np.linspace(-s, s, n) for i, (s, n) in enumerate(zip(sigma, rates.shape, strict=True))}
    attrs = dict(zip(("norm_1", "norm_2", "weight_norm"), norms, strict=True))
    return xr.Dataset({"mistake_rate": (("theta1", "theta2"), rates)}, coords=axes, attrs=attrs)


def numbers(area: xr.Dataset) -> tuple[float, float, bool]:
    return float(area.theta), float(area.share), bool(area.cut_off)


# --- the flat area ---


@pytest.mark.parametrize(("a", "b", "points"), [(0.5, 0.5, 41), (0.8, 0.3, 61), (0.25, 0.9, 61)])
def test_a_paraboloid_is_flat_on_an_ellipse(a: float, b: float, points: int) -> None:
    tolerance, centre = 0.1, 0.2
    bowl = space_of(lambda x, y: centre + tolerance * ((x / a) ** 2 + (y / b) ** 2), points=points)
    theta, share, cut_off = numbers(flatness.flat_area(bowl, tolerance=tolerance))
    assert theta == pytest.approx(math.pi * a * b, rel=0.03)
    assert share == pytest.approx(theta / 4)
    assert not cut_off


def test_the_flat_area_of_a_bowl_grows_as_the_tolerance() -> None:
    bowl = space_of(lambda x, y: 1.2 * (x**2 + y**2), points=61)
    ratio = flatness.flat_area(bowl, tolerance=0.8).theta / flatness.flat_area(bowl, tolerance=0.2).theta
    assert float(ratio) == pytest.approx(4, rel=0.03)
    assert float(flatness.flat_area(bowl).theta) == float(flatness.flat_area(bowl, tolerance=0.1).theta)


@pytest.mark.parametrize("along", [0, 1])
def test_a_plane_is_flat_up_to_a_line(along: int) -> None:
    """The line lies at 0.37, between grid points."""
    slope = 0.1 / 0.37
    theta, share, cut_off = numbers(flatness.flat_area(space_of(lambda x, y: 0.5 + slope * (x, y)[along] + 0 * x * y)))
    fine = 2 / 40 / flatness.SUBDIVISIONS
    assert theta == pytest.approx(2 * 1.37, abs=2 * fine)
    assert share == pytest.approx(1.37 / 2, abs=fine)
    assert cut_off


def test_a_window_that_is_flat_everywhere_is_cut_off() -> None:
    got = flatness.flat_area(space_of(np.full((5, 7), 0.3), sigma=(2.0, 0.5), norms=(3.0, 4.0, 2.0)))
    assert numbers(got) == (4.0, 1.0, True)
    assert float(got.walked) == pytest.approx(4.0 * 3 * 4 / 2**2)


@pytest.mark.parametrize("sigma", [(1.0, 1.0), (0.01, 3.0), (50.0, 0.2)])
def test_theta_and_walked_follow_each_axis_own_scale(sigma: tuple[float, float]) -> None:
    """The same picture on other axes has the same share; the areas scale with both windows and both gradients."""
    norms = (0.3, 20.0, 5.0)
    bowl = space_of(lambda x, y: 0.4 * ((x / sigma[0]) ** 2 + (y / sigma[1]) ** 2), points=41, sigma=sigma, norms=norms)
    got = flatness.flat_area(bowl)
    radius = 0.5  # of the window
    assert float(got.share) == pytest.approx(math.pi * radius**2 / 4, rel=0.03)
    assert float(got.theta) == pytest.approx(float(got.share) * 4 * sigma[0] * sigma[1])
    assert float(got.walked) == pytest.approx(float(got.theta) * 0.3 * 20 / 5**2)


def test_a_second_island_does_not_count() -> None:
    def islands(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where((abs(x) < 0.35) & (abs(y) < 0.35) | (x > 0.65), 0.0, 1.0)

    apart = space_of(islands, points=21)
    joined = space_of(lambda x, y: np.where((abs(y) < 0.05) & (x > 0), 0.0, islands(x, y)), points=21)
    one, both = flatness.flat_area(apart), flatness.flat_area(joined)
    assert float(one.theta) == pytest.approx(0.6**2, rel=0.15)  # squares of points that are 0 within 0.3, 1 at 0.4
    assert not bool(one.cut_off)
    assert float(both.theta) > float(one.theta) + 0.3 * 2
    assert bool(both.cut_off)


def test_the_centre_is_where_theta_is_zero_and_not_the_lowest_rate() -> None:
    lower_elsewhere = space_of(
        lambda x, y: np.where(abs(x) + abs(y) < 1e-9, 0.5, np.where(x < -0.5, 0.0, 1.0)), points=9
    )
    assert 0 < float(flatness.flat_area(lower_elsewhere).share) < 0.01


@pytest.mark.parametrize(("cells", "unresolved"), [(0.9, True), (1.1, False)])
def test_an_area_of_less_than_a_cell_is_unresolved(cells: float, unresolved: bool) -> None:
    """The area is one step of an eighth of a cell wide, and as many steps long as a share of 64 asks for."""
    x, y = np.arange(-3, 4)[:, None], np.arange(-5, 6)[None, :]  # in cells
    reach = (cells * flatness.SUBDIVISIONS**2 / 2 + 0.5) / flatness.SUBDIVISIONS
    got = flatness.flat_area(space_of(abs(x) + flatness.FLAT * abs(y) / reach))
    assert float(got.share) * 6 * 10 == pytest.approx(cells, abs=0.03)
    assert bool(got.unresolved) == unresolved


def test_at_most_the_tolerance_is_flat() -> None:
    for rise, flat in ((0.1, True), (0.1 + GAP, False)):
        rates = np.full((5, 5), rise)
        rates[2, 2] = 0.0
        assert bool(flatness.flat_area(space_of(rates)).share == 1) == flat


def test_rates_between_points_are_interpolated_linearly() -> None:
    """Along one axis 0.1 is reached at 1 / 4 of a cell: 2 of 8 steps to each side, and the far edges cut it off."""
    got = flatness.flat_area(space_of([[0.4] * 3, [0.0] * 3, [0.4] * 3]))
    steps = 2 * flatness.SUBDIVISIONS
    assert float(got.share) == pytest.approx(5 / steps)
    assert bool(got.cut_off)


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_what_is_no_number_is_not_flat(nothing: float) -> None:
    """A corner's cell goes: of 32 fine steps along each side 8, less half a one at its border."""
    rates = np.zeros((5, 5))
    rates[0, 0] = nothing
    assert float(flatness.flat_area(space_of(rates)).share) == pytest.approx(1 - (7.5 / 32) ** 2)


def test_nan_beside_a_number_takes_its_cells_alone() -> None:
    """Without the first of four rows of cells 24 of 32 fine steps stay, and half of one at its border."""
    rates = np.zeros((5, 5))
    rates[0] = np.nan
    got = flatness.flat_area(space_of(rates))
    assert float(got.share) == pytest.approx(24.5 / 32)
    assert bool(got.cut_off)


def test_a_wall_of_nan_ends_the_flat_area() -> None:
    rates = np.zeros((9, 9))
    rates[[1, -2]] = np.nan
    rates[:, [1, -2]] = np.nan
    got = flatness.flat_area(space_of(rates))
    assert float(got.share) == pytest.approx((33 / 64) ** 2)
    assert not bool(got.cut_off)


def test_a_centre_that_is_nan_has_no_flat_area() -> None:
    rates = np.zeros((3, 3))
    rates[1, 1] = np.nan
    assert numbers(flatness.flat_area(space_of(rates))) == (0.0, 0.0, False)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (2, 2)])
def test_a_grid_without_its_centre_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"no point \(0, 0\); take an odd number of points"):
        flatness.flat_area(space_of(np.zeros(shape)))


def flooded(grid: xr.Dataset, tolerance: float) -> float:
    """Interpolate with scipy, flood from the centre cell by cell, and integrate by the trapezoidal rule."""
    axes = (grid.theta1.values, grid.theta2.values)
    fine = [np.linspace(a[0], a[-1], (len(a) - 1) * flatness.SUBDIVISIONS + 1) for a in axes]
    rate = interpolate.RegularGridInterpolator(axes, grid.mistake_rate.values)
    values = rate(np.stack(np.meshgrid(*fine, indexing="ij"), -1))
    i, j = (len(f) // 2 for f in fine)
    seen, todo = np.zeros(values.shape), [(i, j)]
    while todo:
        a, b = todo.pop()
        inside = 0 <= a < values.shape[0] and 0 <= b < values.shape[1]
        if inside and not seen[a, b] and values[a, b] <= values[i, j] + tolerance:
            seen[a, b] = 1
            todo += [(a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)]
    return float(np.trapezoid(np.trapezoid(seen, fine[1]), fine[0]))


@pytest.mark.parametrize("seed", range(4))
def test_the_flat_area_equals_a_flood_from_the_centre(seed: int) -> None:
    rates = np.random.default_rng(seed).random((7, 5))
    grid = space_of(rates, sigma=(1.0, 0.3))
    for tolerance in (0.0, 0.3):
        got = flatness.flat_area(grid, tolerance=tolerance)
        assert float(got.theta) == pytest.approx(flooded(grid, tolerance), rel=1e-9)
    assert float(got.theta) > 0


RATES = arrays.arrays(float, (5, 5), elements=st.floats(0, 1) | st.just(np.nan))


@given(rates=RATES, tolerances=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=60, deadline=None)
def test_the_flat_area_never_shrinks_as_the_tolerance_grows(rates: np.ndarray, tolerances: tuple[float, float]) -> None:
    grid = space_of(rates)
    less, more = (flatness.flat_area(grid, tolerance=t) for t in sorted(tolerances))
    assert 0 <= float(less.share) <= float(more.share) <= 1
    assert bool(less.cut_off) <= bool(more.cut_off)


@given(rates=RATES)
@settings(max_examples=30, deadline=None)
def test_the_flat_area_has_no_preferred_axis(rates: np.ndarray) -> None:
    """Interpolated tenths are multiples of 0.1 / 64, so that rounding decides nothing at a tolerance of 0.11."""
    want = numbers(flatness.flat_area(space_of(np.round(rates, 1)), tolerance=0.1 + GAP))
    for turned in (rates.T, rates[::-1], rates[:, ::-1]):
        assert numbers(flatness.flat_area(space_of(np.round(turned, 1)), tolerance=0.1 + GAP)) == pytest.approx(want)


def test_the_order_of_dimensions_does_not_matter() -> None:
    grid = space_of(np.random.default_rng(1).random((5, 7)))
    assert numbers(flatness.flat_area(grid.transpose())) == numbers(flatness.flat_area(grid))


# --- cuts ---


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(1)


def plain(model: nn.Module, data: tuple[Tensor, Tensor], weights: Tensor) -> tuple[float, float]:
    """Give a point's mistake rate and loss."""
    own, (x, y) = copy.deepcopy(model), data
    nn.utils.vector_to_parameters(weights, own.parameters())
    with torch.no_grad():
        logits = own(x)
    return float((logits.argmax(1) != y).double().mean()), float(F.cross_entropy(logits, y))


def assert_line(line: xr.Dataset, model: nn.Module, data: tuple[Tensor, Tensor], direction: Tensor) -> None:
    """Compare a cut with a walk along a direction, one unit of which is the weights' norm."""
    w = space.flatten(model)
    for walked in line.walked.values:
        want = plain(model, data, w + walked * w.norm() * direction / direction.norm())
        at = line.sel(walked=walked)
        np.testing.assert_allclose((at.mistake_rate, at.loss), want, rtol=1e-10, atol=1e-12)


def test_cuts_equal_plain_evaluations(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    g1, g2 = space.gaussian_direction(model, seed=1), 3 * space.gaussian_direction(model, seed=2)
    angles = [0, 90, 135, 200.5]
    got = flatness.cuts(model, data, g1, g2, angles, reach=0.5, points=5, progress=False)
    assert got.angle.values.tolist() == angles
    np.testing.assert_allclose(got.walked, [-0.5, -0.25, 0, 0.25, 0.5])
    assert set(got.data_vars) == {"mistake_rate", "loss"}
    assert got.mistake_rate.dims == ("angle", "walked")
    for angle in angles:
        phi = math.radians(angle)
        assert_line(got.sel(angle=angle), model, data, -(math.cos(phi) * g1 + math.sin(phi) * g2))
    assert np.ptp(got.mistake_rate.values) > 0


def test_random_cuts_equal_plain_evaluations(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    got = flatness.random_cuts(model, data, count=3, seed=7, reach=0.4, points=3, progress=False)
    assert dict(got.sizes) == {"cut": 3, "walked": 3}
    for i in range(3):
        assert_line(got.isel(cut=i), model, data, space.gaussian_direction(model, seed=7 + i))
    other = flatness.random_cuts(model, data, count=3, seed=70, reach=0.4, points=3, progress=False)
    assert not np.allclose(got.loss, other.loss)


def test_options_reach_the_curve(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    seen: list[tuple[int, int]] = []
    how = {"cache": False, "progress": lambda *ticks: seen.append(ticks)}
    flatness.random_cuts(model, data, count=2, points=3, **how)
    assert len(seen) == 6


def test_sharpness_is_the_mean_rise() -> None:
    rate = [[0.5, 0.1, 0.3], [0.1, 0.1, 0.1], [0.0, 0.3, 0.0], [0.2, 0.1, np.nan]]
    cut = xr.Dataset(
        {"mistake_rate": (("angle", "walked"), rate)}, coords={"angle": [0, 45, 90, 135], "walked": [-1.0, 0.0, 1.0]}
    )
    got = flatness.sharpness(cut)
    np.testing.assert_allclose(got, [0.2, 0.0, -0.2, np.nan], atol=1e-12)
    assert got.dims == ("angle",)
    assert set(got.coords) == {"angle"}
    assert got.name == "sharpness"


# --- class losses ---


def losses_of(surfaces: dict[str, np.ndarray | list[list[float]]]) -> xr.Dataset:
    values = np.stack([np.asarray(v, float) for v in surfaces.values()], -1)
    axes = {f"theta{i + 1}": np.linspace(-1, 1, n) for i, n in enumerate(values.shape[:2])}
    return xr.Dataset({"class_loss": (("theta1", "theta2", "class"), values)}, coords={**axes, "class": list(surfaces)})


def test_a_class_rise_is_its_median_above_the_centre() -> None:
    up, down = np.arange(9.0).reshape(3, 3), -np.arange(9.0).reshape(3, 3)
    up[1, 1] = 1.0  # the median of 0 1 1 2 3 5 6 7 8 is 3
    down[0, 0] = -4.5
    got = flatness.class_rises(losses_of({"a": up, "b": down, "c": np.full((3, 3), 7.0)}))
    assert got.values.tolist() == [3.0 - 1.0, -4.5 + 4.0, 0.0]
    assert got.dims == ("class",)
    assert set(got.coords) == {"class"}
    assert got.name == "rise"


def test_what_diverges_rises_most_and_a_missing_class_nowhere() -> None:
    half, few = np.zeros((3, 3)), np.arange(9.0).reshape(3, 3)
    half[[0, 2]] = np.nan
    few[0] = np.nan  # 3 4 5 6 7 8 and three that are infinite: the median is 7
    got = flatness.class_rises(losses_of({"half": half, "few": few, "missing": np.full((3, 3), np.nan)}))
    assert got.values[:2].tolist() == [np.inf, 7.0 - 4.0]
    assert np.isnan(got.values[2])


def test_a_missing_class_has_no_similarity_and_costs_the_others_none() -> None:
    x, y = np.random.default_rng(0).random((2, 3, 3))
    x[0, 0] = np.nan
    got = flatness.surface_similarity(losses_of({"a": x, "missing": np.full((3, 3), np.nan), "b": y}))
    assert np.isnan(got.values).tolist() == [[False, True, False], [True] * 3, [False, True, False]]
    assert float(got[0, 2]) == pytest.approx(stats.spearmanr(x.ravel()[1:], y.ravel()[1:]).statistic)


@pytest.mark.parametrize("seed", range(3))
def test_surface_similarity_is_spearmans(seed: int) -> None:
    rng = np.random.default_rng(seed)
    surfaces = {"a": rng.random((3, 5)), "b": rng.random((3, 5)), "c": rng.integers(0, 4, (3, 5))}  # c has ties
    surfaces["d"] = np.exp(5 * surfaces["a"]) + 0.2 * rng.random((3, 5))
    got = flatness.surface_similarity(losses_of(surfaces))
    want = [[stats.spearmanr(x.ravel(), y.ravel()).statistic for y in surfaces.values()] for x in surfaces.values()]
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert got.dims == ("class", "other")
    assert got["class"].values.tolist() == got["other"].values.tolist() == list("abcd")


def test_similarity_looks_at_ranks_alone() -> None:
    x = np.random.default_rng(0).random((3, 3))
    got = flatness.surface_similarity(losses_of({"a": x, "b": np.exp(9 * x), "c": -(x**3)}))
    np.testing.assert_allclose(got, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-12)


def test_a_constant_surface_is_like_no_other() -> None:
    rng = np.random.default_rng(0)
    got = flatness.surface_similarity(
        losses_of({"a": rng.random((3, 3)), "b": np.ones((3, 3)), "c": rng.random((3, 3))})
    )
    assert np.isnan(got.values).tolist() == [[False, True, False], [True, True, True], [False, True, False]]


def test_an_infinite_loss_has_the_highest_rank() -> None:
    x, y = np.random.default_rng(0).random((2, 3, 3))
    infinite, large = x.copy(), x.copy()
    infinite[0, 1], large[0, 1] = np.inf, 1e9
    a, b = (flatness.surface_similarity(losses_of({"a": v, "b": y})) for v in (infinite, large))
    xr.testing.assert_equal(a, b)
    assert float(a[0, 1]) != pytest.approx(float(flatness.surface_similarity(losses_of({"a": x, "b": y}))[0, 1]))


def test_points_at_which_a_class_is_nan_are_left_out() -> None:
    x, y = np.random.default_rng(0).random((2, 3, 3))
    x[0, 0] = y[2, 1] = np.nan
    got = flatness.surface_similarity(losses_of({"a": x, "b": y}))
    both = ~np.isnan(x) & ~np.isnan(y)
    assert both.sum() == 7
    assert float(got[0, 1]) == pytest.approx(stats.spearmanr(x[both], y[both]).statistic)


def test_a_rate_exactly_the_tolerance_above_the_centre_is_flat() -> None:
    level = space_of(lambda x, y: np.where((x == 0) & (y == 0), 0.7, 0.8), points=5)
    assert float(flatness.flat_area(level).share) == pytest.approx(1)


def test_a_cut_without_its_centre_has_no_sharpness() -> None:
    cut = xr.Dataset({"mistake_rate": ("walked", [0.1, 0.2])}, coords={"walked": [-1.0, 1.0]})
    with pytest.raises(ValueError, match="take an odd number of points"):
        flatness.sharpness(cut)
