import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from landscape_utils.engine.evaluate import curve
from landscape_utils.landscape import curves
from landscape_utils.landscape.curves import name_curve, shape_of, stationary_points

Curve = Callable[[np.ndarray], np.ndarray]

# Over lam in [-1, 1], with the model at 0; each one's turning points and the five names.
CURVES: dict[str, tuple[Curve, str | None]] = {
    "a parabola": (lambda x: x**2, "v-basin"),
    "a steep v": (lambda x: 5 * np.abs(x), "v-basin"),
    "a lopsided bowl": (lambda x: np.exp(2 * x) - 2 * x, "v-basin"),
    "a slope": (lambda x: 2 - x, "v-side"),
    "a fall to a minimum": (lambda x: (x - 0.5) ** 2, "v-side"),
    "another model's basin": (lambda x: np.log1p(30 * x**2 * (x - 0.6) ** 2), "w-basin"),
    "a w with a slope": (lambda x: np.log1p(30 * (x + 0.02) ** 2 * (x - 0.6) ** 2) - 0.05 * x, "w-basin"),
    "a w seen from its peak": (lambda x: (x**2 - 0.5) ** 2, "w-peak"),
    "a triple basin": (lambda x: 4 * x**2 - 0.5 * np.cos(4 * np.pi * x), "vvv-basin"),
    "a single peak": (lambda x: 1 - x**2, None),
    "five minima": (lambda x: -np.cos(5 * np.pi * x), None),
}
GRIDS = [21, 41, 61, 62, 101]


@pytest.mark.parametrize("points", GRIDS)
@pytest.mark.parametrize("which", CURVES)
def test_analytic_curves_get_their_names_on_any_grid(which: str, points: int) -> None:
    function, want = CURVES[which]
    x = np.linspace(-1, 1, points)
    shape = name_curve(x, function(x))
    assert (shape.name, shape.reason is None) == (want, want is not None)
    moved = name_curve(x + 7, function(x), at=7)
    assert (moved.name, moved.count) == (shape.name, shape.count)


@given(
    which=st.sampled_from(sorted(CURVES)),
    points=st.sampled_from(GRIDS),
    seed=st.integers(0, 2**32 - 1),
    up=st.floats(-100, 100),
    scale=st.floats(0.5, 1e4),
    mirrored=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_noise_shifts_scales_and_mirrors_do_not_change_a_name(
    which: str, points: int, seed: int, up: float, scale: float, mirrored: bool
) -> None:
    function, want = CURVES[which]
    x = np.linspace(-1, 1, points)
    y = function(x)
    noise = 0.45 * curves.SHARE * np.ptp(y) * np.random.default_rng(seed).uniform(-1, 1, points)
    y = up + scale * (y + noise)
    shape = name_curve(x, y[::-1] if mirrored else y)
    assert shape.name == want
    assert shape.count >= len(shape.minima) + len(shape.maxima)


@given(arrays.arrays(float, st.integers(5, 30), elements=st.integers(-50, 50).map(float)), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_turning_points_alternate_by_the_tolerance_and_are_a_mirrors(y: np.ndarray, tolerance: int) -> None:
    """Whole numbers, so that no rounding decides."""
    x = np.arange(len(y)) - len(y) // 2
    shape, mirror = (name_curve(a, b, tolerance=tolerance) for a, b in ((x, y), (-x[::-1], y[::-1])))
    assert (shape.name, shape.reason) == (mirror.name, mirror.reason)
    assert (len(shape.minima), len(shape.maxima)) == (len(mirror.minima), len(mirror.maxima))
    turns = sorted([(m, "-") for m in shape.minima] + [(m, "+") for m in shape.maxima])
    heights = [y[list(x).index(at)] for at, _ in turns]
    assert all(a[1] != b[1] for a, b in pairwise(turns))
    assert all(abs(step) >= tolerance for step in np.diff(heights))
    assert x[0] not in dict(turns)
    assert x[-1] not in dict(turns)


@given(arrays.arrays(float, st.integers(5, 30), elements=st.integers(-50, 50).map(float)))
@settings(max_examples=100, deadline=None)
def test_without_a_tolerance_turning_points_are_the_papers(y: np.ndarray) -> None:
    """Where no two neighbours are equal: the strict rule counts no flat bottom."""
    y = y + np.cumsum(np.concatenate([[0], np.diff(y) == 0])) * 1000
    shape = name_curve(np.arange(len(y)) - 1.5, y, tolerance=0)
    assert shape.count == len(shape.minima) + len(shape.maxima)


# --- where the model lies ---


def v(x: np.ndarray) -> np.ndarray:
    return x**2


X = np.linspace(-1, 1, 41)


@pytest.mark.parametrize(
    ("at", "want"), [(0.0, "v-basin"), (0.05, "v-basin"), (0.09, "v-basin"), (0.2, "v-side"), (-0.6, "v-side")]
)
def test_a_model_beside_the_minimum_is_on_the_side(at: float, want: str) -> None:
    assert name_curve(X, v(X), at=at).name == want


def test_a_model_between_two_grid_points_lies_where_either_does() -> None:
    x = X + 0.02
    assert name_curve(x, 10 * np.abs(x)).name == "v-basin"
    assert name_curve(x, 1 - 1.5 * np.abs(x) + 3 * np.maximum(np.abs(x) - 0.5, 0)).name == "w-peak"


@pytest.mark.parametrize(
    ("at", "name", "reason"),
    [
        (0.0, "w-peak", None),
        (math.sqrt(0.5), "w-basin", None),
        (-math.sqrt(0.5), "w-basin", None),
        (0.35, None, "two minima and one maximum, with the model on a slope"),
        (1.0, None, "the model, at lam = 1, is not inside the range from -1 to 1"),
        (-3.0, None, "the model, at lam = -3, is not inside the range from -1 to 1"),
    ],
)
def test_where_on_a_w_the_model_lies(at: float, name: str | None, reason: str | None) -> None:
    shape = name_curve(X, (X**2 - 0.5) ** 2, at=at)
    assert (shape.name, shape.reason) == (name, reason)


def test_a_minimum_or_a_peak_at_the_border_is_no_turning_point() -> None:
    dip = X**2
    dip[-1] = -1.0
    shape = name_curve(X, dip)
    assert shape.minima == (0.0,)
    assert shape.maxima == (X[-2],)
    assert shape.reason == "one minimum and one maximum, with the model on a minimum"
    assert name_curve(X, np.abs(X - 1)).minima == ()


def test_a_border_that_is_a_little_higher_makes_no_minimum() -> None:
    y = X + 2
    y[0] = y[1] + 0.5 * curves.SHARE * np.ptp(y)
    shape = name_curve(X, y)
    assert (shape.name, shape.minima, shape.count) == ("v-side", (), 1)


# --- no name, and why ---


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("a single peak", "no minima and one maximum, with the model on a maximum"),
        ("five minima", "five minima and four maxima, with the model on a minimum"),
    ],
)
def test_other_shapes_are_told_by_their_turning_points(which: str, reason: str) -> None:
    assert name_curve(X, CURVES[which][0](X)).reason == reason


def test_many_minima_are_counted_in_figures() -> None:
    x = np.linspace(-1, 1, 401)
    reason = name_curve(x, -np.cos(12 * np.pi * x)).reason
    assert reason == "11 minima and 12 maxima, with the model on a minimum"


def test_a_slope_that_is_flat_beside_the_model_is_no_side() -> None:
    shape = name_curve(X, np.maximum(X, 0))
    assert shape.reason == "no minima and no maxima, and beside the model the loss hardly changes on one side"


@pytest.mark.parametrize("points", [0, 1, 4])
def test_too_few_points(points: int) -> None:
    x = np.arange(points) - 0.5
    shape = name_curve(x, x**2)
    assert (shape.name, shape.reason) == (None, f"{points} points are too few; a shape needs 5")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_losses_that_are_not_finite_are_counted(bad: float) -> None:
    y = X**2
    y[[0, 7]] = bad
    shape = name_curve(X, y)
    assert shape.reason == "2 of 41 losses are not finite"
    assert (shape.minima, shape.maxima) == ((), ())
    assert name_curve(X, np.full(41, bad)).reason == "41 of 41 losses are not finite"


def test_a_plateau_has_no_shape() -> None:
    assert "a plateau" in str(name_curve(X, np.full(41, 2.3)).reason)
    assert "a plateau" in str(name_curve(X, np.full(41, 2.3), tolerance=0).reason)
    low = 0.9 * curves.LEAST * X**2
    assert "the losses differ by 0.0009 nats, the tolerance is 0.001" in str(name_curve(X, low).reason)
    assert name_curve(X, low, tolerance=1e-5).name == "v-basin"


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="one loss a lam"):
        name_curve(X, X[1:])
    with pytest.raises(ValueError, match="increase"):
        name_curve(X[::-1], X)
    with pytest.raises(ValueError, match="increase"):
        name_curve(np.array([0, 1, math.nan, 2, 3]), np.zeros(5))
    for tolerance in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the tolerance is"):
            name_curve(X, X, tolerance=tolerance)
    with pytest.raises(ValueError, match="one-dimensional"):
        stationary_points(np.zeros((2, 3)))


# --- the paper's count ---


@given(arrays.arrays(float, st.integers(0, 20), elements=st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf])))
@settings(max_examples=200, deadline=None)
def test_stationary_points_follow_the_papers_rule(y: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        want = [t for t in range(1, len(y) - 1) if (y[t] - y[t + 1]) * (y[t] - y[t - 1]) > 0]
    assert stationary_points(y).tolist() == want


def test_tiny_differences_count_too() -> None:
    assert stationary_points([1e-200, 0.0, 1e-200]).tolist() == [1]


def test_stationary_points_above_chance_are_counted_apart() -> None:
    x = np.linspace(-1, 1, 201)
    y = 5 * x**2 + np.where(np.abs(x) > 0.8, 0.3 * np.cos(60 * np.pi * x), 0)
    shape = name_curve(x, y, chance=math.log(10))
    assert shape.count > 3
    assert shape.count_above == shape.count - 1
    assert name_curve(x, y).count_above is None


# --- datasets and several curves ---


def test_the_dataset_of_a_curve_is_named_as_its_arrays_are() -> None:
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 3), torch.randn(30, 4)
    data = inputs, model(inputs).argmax(1)
    line = curve(model, data, torch.randn(15), np.linspace(-3, 3, 31), progress=False, cache=False)
    arrays_ = name_curve(line.lam.values, line.loss.values, at=0.2, tolerance=1e-4, chance=math.log(3))
    assert shape_of(line, at=0.2, tolerance=1e-4) == arrays_
    assert arrays_.name in ("v-basin", "v-side")  # the loss of a linear model is convex
