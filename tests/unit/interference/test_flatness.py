import copy
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import interpolate, stats
from torch import Tensor, nn

from landscape_utils.engine import crossing, space
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


# --- the radius of flatness ---


class Bowl(nn.Module):
    """Mistakes an example where the height (p1 / a)^2 + (p2 / b)^2 exceeds its own; p3 is the weights' norm."""

    def __init__(self, a: float = 1.0, b: float = 1.0, *, norm: float = 1.0, beyond: float = 1.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([0, 0, norm], dtype=torch.float64))
        self.axes = torch.tensor([a, b], dtype=torch.float64)
        self.beyond = beyond  # the wrong class's logit there

    def forward(self, x: Tensor) -> Tensor:
        wrong = torch.where((self.p[:2] / self.axes).square().sum() > x, self.beyond, -1.0)
        return torch.stack([torch.zeros_like(wrong), wrong], 1)


E1, E2, _ = torch.eye(3, dtype=torch.float64)
THIRD = 3 / 20  # two mistakes of twenty are flat, the third is not
HEIGHTS = (torch.arange(1, 21, dtype=torch.float64) / 20) ** 2, torch.zeros(20, dtype=torch.long)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


@pytest.fixture
def data(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Draw 40 examples, of which the model mistakes four."""
    x = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, (model(x).argmax(1) + (torch.arange(40) < 4)) % 3


def directions(model: nn.Module) -> tuple[Tensor, Tensor]:
    return space.gaussian_direction(model, seed=1), 3 * space.gaussian_direction(model, seed=2)


def plain(model: nn.Module, data: tuple[Tensor, Tensor], weights: Iterable[Tensor]) -> np.ndarray:
    """Give the mistake rate at each point."""
    own, (x, y), rates = copy.deepcopy(model), data, []
    with torch.no_grad():
        for point in weights:
            nn.utils.vector_to_parameters(point, own.parameters())
            rates.append(float((own(x).argmax(1) != y).double().mean()))
    return np.array(rates)


def assert_crossing(radius: float, model: nn.Module, data: tuple[Tensor, Tensor], step: Tensor) -> None:
    """Look along a step of the weights' norm for all places where the rate gets more than 0.1 above the centre's."""
    far = np.geomspace(0.02, 8, 300)
    centre, *rates = plain(model, data, (space.flatten(model) + r * step for r in (0, *far)))
    flat = np.array(rates) <= centre + 0.1 + 1e-9
    crossings = np.sqrt(far[1:] * far[:-1])[flat[:-1] & ~flat[1:]]
    assert np.abs(np.log(crossings / radius)).min() < np.log(1.05) / 2 + np.log(far[1] / far[0]) / 2


def test_a_radius_is_where_a_dense_scan_finds_the_rise(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    g1, g2 = directions(model)
    got = flatness.flat_radii(model, data, g1, g2, angles=5)
    assert got.angle.values.tolist() == [0, 72, 144, 216, 288]
    assert float(got.mistake_rate) == pytest.approx(0.1)
    w = space.flatten(model).norm()
    for phi, radius, walked in zip(np.deg2rad(got.angle.values), got.radius.values, got.walked.values, strict=True):
        step = w * (math.cos(phi) * g1 / g1.norm() + math.sin(phi) * g2 / g2.norm())
        assert_crossing(radius, model, data, step)
        assert walked == pytest.approx(radius * float(step.norm() / w))


def test_random_radii_are_where_dense_scans_find_the_rise(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    got = flatness.random_radii(model, data, count=3, seed=7)
    assert (got.dims, got.shape, got.name) == (("direction",), (3,), "walked")
    for i, radius in enumerate(got.values):
        g = space.gaussian_direction(model, seed=7 + i)
        assert_crossing(radius, model, data, space.flatten(model).norm() * g / g.norm())
    assert not np.isclose(got, flatness.random_radii(model, data, count=3, seed=70), rtol=0.05).any()


@pytest.mark.parametrize(("a", "b", "norm"), [(1.0, 1.0, 1.0), (0.6, 1.0, 3.0), (2.0, 1.2, 0.1)])
def test_a_bowl_is_flat_on_an_ellipse_of_weights(a: float, b: float, norm: float) -> None:
    """The rise is at a height of 0.15^2, whatever the weights' norm; one unit of theta walks 0.5 and 7."""
    got = flatness.flat_radii(Bowl(a, b, norm=norm), HEIGHTS, 0.5 * E1, 7 * E2, angles=16, within=1e-3)
    phi = np.arange(16) * math.pi / 8
    radius = THIRD / norm / np.hypot(np.cos(phi) / a, np.sin(phi) / b)
    np.testing.assert_allclose(got.radius, radius, rtol=1e-3)
    np.testing.assert_allclose(got.walked, got.radius)
    assert float(got.area) == pytest.approx(math.pi * a * b * (THIRD / norm) ** 2, rel=2e-3)
    assert float(got.area_theta) == pytest.approx(math.pi * a * b * THIRD**2 / (0.5 * 7), rel=2e-3)
    assert float(got.anisotropy) == pytest.approx(max(a, b) / min(a, b), rel=1e-3)


@pytest.mark.parametrize("turn", [20, 60, 135])
def test_along_correlated_directions_weights_walk_the_length_of_their_sum(turn: float) -> None:
    """Over a round bowl it is the same at every angle, though the radius is not."""
    alpha = math.radians(turn)
    d2 = 4 * (math.cos(alpha) * E1 + math.sin(alpha) * E2)
    got = flatness.flat_radii(Bowl(norm=2), HEIGHTS, E1, d2, angles=8, within=1e-3)
    np.testing.assert_allclose(got.walked, THIRD / 2, rtol=1e-3)
    phi = np.arange(8) * math.pi / 4
    lengths = np.hypot(np.cos(phi) + np.sin(phi) * math.cos(alpha), np.sin(phi) * math.sin(alpha))
    np.testing.assert_allclose(got.radius, THIRD / 2 / lengths, rtol=1e-3)
    assert float(got.area) == pytest.approx((got.radius.values**2).sum() * math.pi / 8)  # over eight angles
    assert float(got.anisotropy) == pytest.approx(1, abs=1e-3)
    assert got.attrs["cosine"] == pytest.approx(math.cos(alpha))


def test_angles_turn_from_the_first_direction_to_the_second_and_what_never_rises_is_infinite() -> None:
    """Logits 2 x + b1 and b2: they meet where b2 - b1 is 2 x, which is never where the sine is the larger."""
    line = nn.Linear(1, 2, dtype=torch.float64)
    nn.utils.vector_to_parameters(torch.tensor([2, 0, 0, 0], dtype=torch.float64), line.parameters())
    b1, b2 = torch.eye(4, dtype=torch.float64)[2:]
    got = flatness.flat_radii(line, (torch.arange(1.0, 21).double()[:, None] / 20, HEIGHTS[1]), b2, b1, angles=12)
    phi = np.arange(12) * math.pi / 6
    apart = np.cos(phi) - np.sin(phi)
    np.testing.assert_allclose(got.radius, np.where(apart > 0, THIRD / np.abs(apart), np.inf), rtol=0.025)
    assert float(got.area) == pytest.approx(float((np.minimum(got.radius, crossing.REACH) ** 2).sum()) * math.pi / 12)
    assert float(got.anisotropy) == np.inf


def test_a_directions_length_changes_its_own_units_alone(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    g1, g2 = directions(model)
    one, other = (flatness.flat_radii(model, data, k * g1, g2 / 4, angles=4) for k in (1, 8))
    names = ["radius", "walked", "area", "anisotropy"]
    xr.testing.assert_identical(one[names].drop_attrs(), other[names].drop_attrs())
    assert float(one.area_theta) == pytest.approx(8 * float(other.area_theta))
    w = float(space.flatten(model).norm())
    assert float(one.area_theta) == pytest.approx(float(one.area) * w**2 / float(g1.norm() * g2.norm() / 4))


@pytest.mark.parametrize(("tolerance", "rank"), [(0.0, 1), (0.1, 3), (0.15, 4), (0.27, 6)])
def test_a_radius_ends_where_more_than_the_tolerance_are_mistaken(tolerance: float, rank: int) -> None:
    """Rates of exactly 0, 0.1 and 0.15 occur, and are flat."""
    bowl = Bowl()
    got = flatness.flat_radii(bowl, HEIGHTS, E1, E2, angles=3, tolerance=tolerance, within=1e-3)
    np.testing.assert_allclose(got.radius, rank / 20, rtol=1e-3)
    drawn = flatness.random_radii(bowl, HEIGHTS, count=2, tolerance=tolerance, within=1e-3)
    for i in range(2):
        g = space.gaussian_direction(bowl, seed=i)
        assert float(drawn[i]) == pytest.approx(rank / 20 * float(g.norm() / g[:2].norm()), rel=1e-3)


def test_a_rate_that_becomes_nan_is_not_flat() -> None:
    """A single NaN leaves no rate, so that the first example ends what two right ones would not."""
    got = flatness.flat_radii(Bowl(beyond=np.nan), HEIGHTS, E1, E2, angles=3)
    np.testing.assert_allclose(got.radius, 1 / 20, rtol=0.025)


@pytest.mark.parametrize("angles", [0, 2])
def test_fewer_than_three_angles_are_refused(angles: int) -> None:
    with pytest.raises(ValueError, match=f"angles is {angles}; three or more span an area"):
        flatness.flat_radii(Bowl(), HEIGHTS, E1, E2, angles=angles)


MEASURES: dict[str, Callable[..., xr.Dataset | xr.DataArray]] = {
    "flat": lambda model, data, **how: flatness.flat_radii(model, data, *directions(model), angles=3, **how),
    "random": lambda model, data, **how: flatness.random_radii(model, data, count=2, **how),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("how", "message"),
    [({"radius": 1}, "unknown option"), ({"bn": "reset"}, "unknown bn"), ({"classes": ("a",)}, "1 names for 3")],
)
def test_options_reach_the_evaluation(
    model: nn.Module, data: tuple[Tensor, Tensor], measure: str, how: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MEASURES[measure](model, data, **how)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_model_is_as_it_was(model: nn.Module, data: tuple[Tensor, Tensor], measure: str) -> None:
    before = copy.deepcopy(model.state_dict())
    MEASURES[measure](model, data)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


# --- class losses ---


def losses_of(surfaces: Mapping[str, np.ndarray | list[list[float]]]) -> xr.Dataset:
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


# --- radii where there is nothing to measure ---


def test_what_is_flat_all_around_has_no_anisotropy(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    d1, d2 = (space.gaussian_direction(model, seed=s) for s in (1, 2))
    got = flatness.flat_radii(model, data, d1, d2, angles=4, tolerance=1.0, progress=False)
    assert np.isinf(got.radius).all()
    assert np.isinf(got.walked).all()
    assert np.isnan(float(got.anisotropy))
    assert float(got.area) == pytest.approx(4 * crossing.REACH**2 * math.pi / 4)


def test_radii_along_one_line_are_numbers(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    """Along the diagonal of a direction and its opposite nothing is walked, and nothing rises."""
    d = space.gaussian_direction(model, seed=1)
    got = flatness.flat_radii(model, data, d, -d, angles=8, progress=False)
    assert not np.isnan(got.walked).any()
    assert np.isinf(got.walked[[1, 5]]).all()


def test_radii_around_another_origin_are_shares_of_its_norm(model: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    d1, d2 = (space.gaussian_direction(model, seed=s) for s in (1, 2))
    other = copy.deepcopy(model)
    nn.utils.vector_to_parameters(3 * space.flatten(model), other.parameters())
    there = flatness.flat_radii(model, data, d1, d2, angles=4, origin=space.flatten(other), progress=False)
    xr.testing.assert_allclose(there, flatness.flat_radii(other, data, d1, d2, angles=4, progress=False))


@pytest.mark.parametrize("option", [{"normalisation": "layer"}, {"leave_out_1d": True}])
def test_radii_take_directions_whole(model: nn.Module, data: tuple[Tensor, Tensor], option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is no option of radii"):
        flatness.random_radii(model, data, count=1, **option)
