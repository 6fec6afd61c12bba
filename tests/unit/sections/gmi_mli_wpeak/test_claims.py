import numpy as np
import pytest
import xarray as xr

from landscape_utils.landscape.curves import name_curve
from landscape_utils.landscape.walks import TOWARDS, Line, Walk
from landscape_utils.sections.gmi_mli_wpeak import claims as verdicts
from landscape_utils.suite.claims import Judgement, wilson

WALK = Walk()
CHANCE = float(np.log(3))
LAM = np.linspace(-1, 1, 41)
V = LAM**2
SIDE = (LAM - 3) ** 2
PEAK = 1 - LAM**2 + LAM**4 * 2  # minima at +-0.5, 0.125 below the model
WIGGLY = V + 0.3 * np.cos(20 * LAM)


def line(
    loss: np.ndarray,
    *,
    architecture: str = "mlp",
    epoch: int = 1,
    direction: str = "Gau.1",
    walk: Walk = WALK,
) -> Line:
    lam = np.linspace(*walk.span, len(loss))
    coords = {"lam": lam, "class": range(3)}
    grid = xr.Dataset({"loss": ("lam", loss), "recall": (("lam", "class"), np.zeros((len(lam), 3)))}, coords=coords)
    return Line(architecture, epoch, direction, walk, grid, name_curve(lam, loss, chance=CHANCE))


def assert_judged(got: Judgement, claim: str, verdict: str) -> None:
    assert (got.id, got.verdict) == (claim, verdict), got
    assert bool(got.part.reason) == (verdict == "not tested")
    assert got.part.criterion
    assert got.part.measured


def test_one_stationary_point_is_a_share_of_all_curves() -> None:
    good = [line(V + 0.1 * i) for i in range(40)]
    assert_judged(verdicts.one_stationary_point(good), "ML-1", "reproduced")
    got = verdicts.one_stationary_point([*good[:30], *[line(WIGGLY, epoch=7)] * 10])
    assert_judged(got, "ML-1", "not reproduced")
    assert "75% of 40" in got.part.measured
    assert "E=7" in got.part.measured
    assert got.part.interval == wilson(30, 40)


@pytest.mark.parametrize(("lift", "verdict"), [(5.0, "reproduced"), (-5.0, "not reproduced")])
def test_extra_points_are_compared_with_chance(lift: float, verdict: str) -> None:
    assert_judged(verdicts.extra_points_above_chance([line(V), line(WIGGLY + lift)]), "ML-2", verdict)


def test_without_extra_points_there_is_nothing_to_compare() -> None:
    assert_judged(verdicts.extra_points_above_chance([line(V)]), "ML-2", "not tested")


def test_one_basin_below_chance_is_no_extra_point() -> None:
    deep = V - 5
    deep[35:38] = [9.0, 20.0, 9.0]  # a spike above chance beside one basin: a peak, and a valley behind it
    got = verdicts.extra_points_above_chance([line(deep)])
    assert got.part.measured.startswith("1 of 2 extra")


def test_descents_are_v_sides() -> None:
    assert_judged(verdicts.descents_are_sides([line(SIDE)] * 40), "ML-3", "reproduced")
    got = verdicts.descents_are_sides([line(SIDE), line(V, direction="E=9"), *[line(V)] * 8])
    assert_judged(got, "ML-3", "not reproduced")
    assert "E=9" in got.part.measured
    assert "v-basin" in got.part.measured


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"), [(90, 1, "reproduced"), (92, 1, "not reproduced"), (90, 3, "not reproduced")]
)
def test_angles_are_held_against_the_prediction(centre: float, spread: float, verdict: str) -> None:
    d = 10_000
    standard = np.random.default_rng(0).standard_normal(100)
    standard = (standard - standard.mean()) / standard.std(ddof=1)
    seen = centre + spread * np.degrees(1 / np.sqrt(d)) * standard
    assert_judged(verdicts.right_angles({"a": seen}, {"a": d}), "ML-4", verdict)


@pytest.mark.parametrize(("fallen", "verdict"), [(0.01, "reproduced"), (0.5, "not reproduced")])
def test_the_best_gaussian_fall_is_a_share_of_the_gradients(fallen: float, verdict: str) -> None:
    pairs = {"mlp": ([line(1 + LAM), line(1 + 0.1 * LAM)], [line(1 + fallen * LAM)])}
    got = verdicts.gaussian_descent_is_negligible(pairs)
    assert_judged(got, "ML-5", verdict)
    assert got.part.effect == pytest.approx(fallen)


def test_barriers_are_w_basins() -> None:
    walk = Walk(None, span=TOWARDS)
    lam = np.linspace(*TOWARDS, 41)
    w = (lam * (lam - 1)) ** 2
    got = verdicts.one_barrier([line(w, walk=walk)] * 2)
    assert_judged(got, "ML-6", "reproduced")
    assert "0.06" in got.part.measured
    assert_judged(verdicts.one_barrier([line(w, walk=walk), line(lam**2, walk=walk)]), "ML-6", "not reproduced")


@pytest.mark.parametrize(
    ("positive", "early", "late", "verdict"),
    [
        (V, PEAK, 1 + 0.1 * (PEAK - 1), "reproduced"),
        (PEAK, PEAK, 1 + 0.1 * (PEAK - 1), "not reproduced"),
        (V, V, PEAK, "not reproduced"),
        (V, PEAK, 1 + 2 * (PEAK - 1), "not reproduced"),
    ],
)
def test_eigenvectors_give_basins_and_shrinking_peaks(
    positive: np.ndarray, early: np.ndarray, late: np.ndarray, verdict: str
) -> None:
    negative = {"early": {"mlp": [line(early)] * 3}, "late": {"mlp": [line(late)] * 3}}
    assert_judged(verdicts.eigenvectors_are_basins_and_peaks([line(positive)] * 5, negative), "ML-7", verdict)


@pytest.mark.parametrize(
    ("negative", "positive", "verdict"),
    [(0.3, 0.2, "reproduced"), (0.2, 0.3, "not reproduced"), (0.3, 0.001, "not reproduced")],
)
def test_overlaps_compare_both_ends_and_chance(negative: float, positive: float, verdict: str) -> None:
    names = ["P.E.1", "P.E.2", "N.E.1", "N.E.2"]
    cosines = xr.DataArray([positive] * 2 + [negative] * 2, dims="rank", coords={"rank": names})
    assert_judged(verdicts.overlaps_all({"mlp": cosines}, {"mlp": 10_000}), "ML-8", verdict)


@pytest.mark.parametrize(("depth", "verdict"), [(2.0, "reproduced"), (0.5, "not reproduced")])
def test_the_mined_peak_is_held_against_the_deepest_eigenvector(depth: float, verdict: str) -> None:
    mined, negative = {"a": line(1 + depth * (PEAK - 1))}, {"a": [line(V), line(PEAK)]}
    got = verdicts.mined_is_deeper(mined, negative)
    assert_judged(got, "ML-8d", verdict)
    assert got.part.effect == pytest.approx(0.125 * (depth - 1), rel=0.05)


def test_a_second_models_basin_is_a_resnets() -> None:
    lam = np.linspace(*TOWARDS, 41)
    walk = Walk(None, span=TOWARDS)
    inside = np.clip(lam, -0.25, 1.25)
    vvv = 1 - np.cos(4 * np.pi * inside) + 5 * abs(lam - inside)  # valleys at 0, 0.5 and 1
    w = (lam * (lam - 1)) ** 2
    three, two = (line(y, walk=walk) for y in (vvv, w))
    assert_judged(verdicts.second_models_basin({"resnet8": [two, three], "mlp": [two]}), "ML-9", "reproduced")
    assert_judged(verdicts.second_models_basin({"resnet8": [two], "mlp": [two]}), "ML-9", "not reproduced")
    assert_judged(verdicts.second_models_basin({"resnet8": [three], "mlp": [three]}), "ML-9", "not reproduced")
    assert_judged(verdicts.second_models_basin({"mlp": [two]}), "ML-9", "not tested")


@pytest.mark.parametrize(("bump", "verdict"), [(0.0, "reproduced"), (0.5, "not reproduced")])
def test_the_way_down_has_no_climb(bump: float, verdict: str) -> None:
    walk = Walk(None, span=TOWARDS)
    lam = np.linspace(*TOWARDS, 41)
    loss = (lam - 1) ** 2 + bump * np.exp(-(((lam - 0.5) / 0.1) ** 2))
    assert_judged(verdicts.falls_monotonically([line(loss, walk=walk)]), "ML-15", verdict)


def test_networks_without_skips_are_needed_for_their_claim() -> None:
    assert_judged(verdicts.chaotic_above_chance({"mlp": [line(V)]}, {"mlp": 0.9}), "ML-16", "not tested")


@pytest.mark.parametrize(
    ("lift", "far", "accuracy", "verdict"),
    [
        (5.0, V, 0.1, "reproduced"),
        (-5.0, V, 0.1, "not reproduced"),
        (5.0, WIGGLY, 0.1, "not reproduced"),
        (5.0, V, 0.5, "not reproduced"),
    ],
)
def test_chaos_lies_above_chance_and_vanishes_from_afar(
    lift: float, far: np.ndarray, accuracy: float, verdict: str
) -> None:
    lines = {"resnet56-ns": [line(WIGGLY + lift), line(far, walk=Walk(scale=4.0))], "resnet110-ns": [line(V)]}
    got = verdicts.chaotic_above_chance(lines, {"resnet56-ns": 0.5, "resnet110-ns": accuracy})
    assert_judged(got, "ML-16", verdict)


def test_the_largest_count_of_all_is_named() -> None:
    assert_judged(verdicts.at_most_five([line(V), line(PEAK)]), "ML-17", "reproduced")
    assert_judged(verdicts.at_most_five([line(V), line(1e-4 * WIGGLY)]), "ML-17", "reproduced")
    got = verdicts.at_most_five([line(V), line(WIGGLY, direction="N.E.3")])
    assert_judged(got, "ML-17", "not reproduced")
    assert "N.E.3" in got.part.measured
