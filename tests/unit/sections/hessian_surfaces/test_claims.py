from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from landscape_utils.sections.hessian_surfaces import claims as verdicts
from landscape_utils.sections.hessian_surfaces import study
from tests.unit.sections.gmi_mli_wpeak.test_claims import assert_judged
from tests.unit.sections.hessian_surfaces.test_study import noise, plane, spectrum

Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def bowl(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 + y**2


def bottle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x**2 + y**2 - 0.4) ** 2


def saddle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 - y**2


@pytest.mark.parametrize(
    ("second", "third", "verdict"),
    [(bottle, saddle, "reproduced"), (bottle, bowl, "reproduced"), (bowl, bowl, "not reproduced")],
)
def test_all_surfaces_but_one_have_their_shape(second: Surface, third: Surface, verdict: str) -> None:
    grids = {"P.E.1 x P.E.2": plane(bowl), "N.E.1 x N.E.2": plane(second), "P.E.1 x N.E.1": plane(third)}
    got = verdicts.shapes_of_eigenvectors({"mlp": grids})
    assert_judged(got, "ML-10", verdict)
    assert ("a bowl" in got.part.measured) == (third is bowl)


def about(smallest: float = -1.0, *, far: float = 0.1, bulk: float = 0.85) -> study.Spectrum:
    """A spectrum of 100 eigenvalues with a share `bulk` at zero, and a share `far` beyond one."""
    rest = 1 - bulk - far
    return spectrum([smallest, 0, 500, 1000], [rest, bulk, far / 2, far / 2], [1000, smallest])


def shifted(by: float) -> study.Noise:
    """Noise whose predicted trace is moved."""
    one = noise()
    return study.Noise(one.measured, one.predicted.assign_attrs(trace=one.predicted.attrs["trace"] + by))


@pytest.mark.parametrize(
    ("early", "late", "lift", "verdict"),
    [
        (about(-2.0, bulk=0.89), about(-1.0, bulk=0.89), 0, "reproduced"),
        (about(-1.0, bulk=0.89), about(-2.0, bulk=0.89), 0, "not reproduced"),
        (about(-2.0, far=0.3, bulk=0.6), about(-1.0, bulk=0.89), 0, "not reproduced"),
        (about(-20.0, bulk=0.5), about(-1.0, bulk=0.89), 0, "not reproduced"),
        (about(-2.0, bulk=0.89), about(-1.0, bulk=0.89), -500, "not reproduced"),
    ],
)
def test_a_spectrum_has_a_bulk_outliers_a_trace_and_a_negative_end(
    early: study.Spectrum, late: study.Spectrum, lift: float, verdict: str
) -> None:
    traces = {when: {"mlp": shifted(lift)} for when in ("early", "late")}
    got = verdicts.bulk_and_outliers({"early": {"mlp": early}, "late": {"mlp": late}}, traces, 10)
    assert_judged(got, "ML-11", verdict)
    assert "C = 10" in got.part.measured


@pytest.mark.parametrize(
    ("offset", "stretch", "verdict"),
    [(0.0, 1.0, "reproduced"), (0.5, 1.0, "not reproduced"), (0.0, 2.0, "not reproduced")],
)
def test_moments_are_held_against_their_prediction(offset: float, stretch: float, verdict: str) -> None:
    got = verdicts.moments_hold({"a": noise(), "b": noise(offset, stretch)})
    assert_judged(got, "ML-12", verdict)
    assert "holds up to 0.01" in got.part.measured
    assert ("none of them" in got.part.measured) == (verdict != "reproduced")


def test_where_the_second_order_stops_is_told() -> None:
    one = noise()
    one.measured.loc[{"lam": 0.01}] += 1
    got = verdicts.moments_hold({"a": one})
    assert_judged(got, "ML-12", "reproduced")
    assert "holds up to 0.003" in got.part.measured


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.1, 3.0, "reproduced"), (2.0, 3.0, "not reproduced"), (0.1, 0.0, "not reproduced")],
)
def test_changes_centre_on_zero_and_then_are_positive(near: float, far: float, verdict: str) -> None:
    one = noise()
    draws = np.random.default_rng(1).standard_normal((100, 1)) + np.array([near, 0, far])
    changed = study.Noise(xr.DataArray(draws, one.measured.coords, dims=("draw", "lam")), one.predicted)
    assert_judged(verdicts.centred_then_positive({"a": changed}), "ML-13", verdict)


def pieces(misses: np.ndarray) -> study.Pieces:
    """A straight curve from 1 down to 0 whose pieces miss it by these shares of its range."""
    grid = np.linspace(-1.05, 0.05, 23)
    at = {
        "loss": ("lam", -grid[1::2] + misses * 1.1),
        "slope": ("lam", -np.ones(11)),
        "curvature": ("lam", np.zeros(11)),
    }
    return study.Pieces(
        xr.Dataset({"loss": ("lam", -grid)}, coords={"lam": grid}), xr.Dataset(at, coords={"lam": grid[1::2]})
    )


@pytest.mark.parametrize(
    ("first", "rest", "verdict"),
    [(0.2, 0.01, "reproduced"), (0.2, 0.06, "not reproduced"), (0.001, 0.01, "not reproduced")],
)
def test_pieces_lie_along_but_next_to_the_initialisation(first: float, rest: float, verdict: str) -> None:
    one = pieces(np.array([first, *[rest] * 10]))
    got = verdicts.pieces_lie_along({"mlp, GMI": pieces(np.zeros(11)), "mlp, MLI": one})
    assert_judged(got, "ML-14", verdict)
    assert f"mlp, MLI {first:.1%}" in got.part.measured


@pytest.mark.parametrize(("after", "verdict"), [(-0.1, "reproduced"), (-0.9, "not reproduced")])
def test_negative_mass_is_larger_at_first(after: float, verdict: str) -> None:
    first, late = (spectrum([t, 1.0], [0.5, 0.5], [1.0, t]) for t in (-0.5, after))
    got = verdicts.more_negative_at_first({"initial": {"mlp": first}, "late": {"mlp": late}})
    assert_judged(got, "ML-18", verdict)
    assert got.part.effect == pytest.approx(1 / 3 - abs(after) / (1 + abs(after)))
