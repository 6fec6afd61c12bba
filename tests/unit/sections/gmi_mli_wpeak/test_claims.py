from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from landscape_utils.landscape.curves import name_curve
from landscape_utils.landscape.directions import Perturbed, Stage
from landscape_utils.landscape.walks import TOWARDS, Line, Walk
from landscape_utils.sections.gmi_mli_wpeak import claims as verdicts
from landscape_utils.sections.gmi_mli_wpeak.study import PeakLines
from landscape_utils.suite.claims import Judgement

CHANCE = float(np.log(3))
LAM = np.linspace(-1, 1, 41)
TO = np.linspace(*TOWARDS, 43)
BASE = Walk()
AWAY = Walk(None, span=TOWARDS, points=43)
V = LAM**2
SIDE = (LAM - 3) ** 2
PEAK = 1 - LAM**2 + LAM**4 * 2  # minima at +-0.5, 0.125 below the model
WIGGLY = V + 0.3 * np.cos(20 * LAM)
W = (TO * (TO - 1)) ** 2
INSIDE = np.clip(TO, -0.25, 1.25)
VVV = 0.05 * (1 - np.cos(4 * np.pi * INSIDE)) + 5 * abs(TO - INSIDE)  # valleys at 0, 0.5 and 1
SEEDS = (0, 1, 2)


def place(architecture: str = "mlp", seed: int = 0, stage: Stage = "late", epoch: int | None = None) -> Perturbed:
    kept = {"initial": 0, "early": 1, "middle": 5, "late": 9}[stage]
    return Perturbed(architecture, seed, kept if epoch is None else epoch, stage)


def line(loss: np.ndarray, at: Perturbed | None = None, *, direction: str = "Gau.1", walk: Walk = BASE) -> Line:
    lam = np.linspace(*walk.span, len(loss))
    coords = {"lam": lam, "class": range(3)}
    grid = xr.Dataset({"loss": ("lam", loss), "recall": (("lam", "class"), np.zeros((len(lam), 3)))}, coords=coords)
    return Line(at or place(), direction, walk, grid, name_curve(lam, loss, chance=CHANCE))


def of_seeds(make: Callable[[int], list[Line]]) -> list[Line]:
    return [x for seed in SEEDS for x in make(seed)]


def parts(judgement: Judgement) -> dict[str, str]:
    return {part.name: part.verdict for part in judgement.parts}


def effects(judgement: Judgement) -> dict[str, float]:
    return {part.name: part.effect for part in judgement.parts}


WALKS: dict[str, tuple[Stage, Walk]] = {
    "initial": ("initial", Walk()),
    "early": ("early", Walk()),
    "late": ("late", Walk()),
    "unnormalised": ("late", Walk(None)),
    "kept_statistics": ("late", Walk(bn="keep")),
    "layer": ("late", Walk("layer")),
    "filter": ("late", Walk("filter", scale=10.0)),
    "near": ("late", Walk(scale=0.1)),
    "far": ("late", Walk(scale=10.0)),
}


@pytest.mark.parametrize("broken", WALKS)
def test_the_count_is_judged_condition_by_condition(broken: str) -> None:
    def drawn(seed: int) -> list[Line]:
        return [
            line(WIGGLY if part == broken else V, place(a, seed, stage), walk=walk)
            for part, (stage, walk) in WALKS.items()
            for a in ("mlp", "resnet8")
        ]

    got = verdicts.one_stationary_point(of_seeds(drawn))
    assert (got.id, got.verdict) == ("ML-1", "partly reproduced")
    assert parts(got) == {part: "not seen" if part == broken else "seen" for part in WALKS}


def test_flat_curves_have_no_count_and_missing_conditions_are_not_tested() -> None:
    flat = 1 + 1e-5 * WIGGLY
    got = verdicts.one_stationary_point(
        of_seeds(lambda seed: [line(V, place(seed=seed)), line(flat, place(seed=seed))])
    )
    assert parts(got)["late"] == "seen"
    assert parts(got)["layer"] == "not tested"
    assert "3 of 6 curves are flatter" in got.note


HIGH = np.where(abs(LAM) > 0.5, 4 + WIGGLY, 8 * V)  # a basin below chance, wiggles above it


@pytest.mark.parametrize(("wiggles", "verdict"), [(HIGH, "reproduced"), (WIGGLY - 5, "not reproduced")])
def test_extra_points_are_compared_with_chance(wiggles: np.ndarray, verdict: str) -> None:
    lines = of_seeds(lambda seed: [line(V, place(seed=seed)), line(wiggles, place(seed=seed))])
    assert verdicts.extra_points_above_chance(lines).verdict == verdict


def test_around_models_worse_than_a_guess_extra_points_say_nothing() -> None:
    lines = of_seeds(lambda seed: [line(WIGGLY + 5, place(seed=seed))])
    assert verdicts.extra_points_above_chance(lines).verdict == "not tested"


def test_without_extra_points_there_is_nothing_to_compare() -> None:
    assert verdicts.extra_points_above_chance([line(V)]).verdict == "not tested"


def test_of_extra_points_the_basins_own_is_below() -> None:
    deep = V - 5
    deep[35:38] = [9.0, 20.0, 9.0]  # a spike above chance beside one basin: a peak, and a valley behind it
    got = verdicts.extra_points_above_chance(of_seeds(lambda seed: [line(deep, place(seed=seed))]))
    assert got.part.effect == 0.5


def test_sides_are_judged_along_gradients_and_towards_checkpoints() -> None:
    def drawn(seed: int) -> list[Line]:
        return [
            line(SIDE, place(seed=seed, stage="early"), direction="Neg. Grad."),
            line(V, place(seed=seed, stage="early"), direction="E=9"),
        ]

    got = verdicts.descents_are_sides(of_seeds(drawn))
    assert parts(got) == {"gradient": "seen", "checkpoint": "not seen"}
    assert "E=9 (mlp, E=1): v-basin" in got.note


@pytest.mark.parametrize(
    ("centre", "spread", "broken"), [(90, 1, None), (92, 1, "mean"), (90, 3, "spread"), (90, 1, "descents")]
)
def test_angles_are_held_against_the_prediction(centre: float, spread: float, broken: str | None) -> None:
    d = 10_000
    standard = np.random.default_rng(0).standard_normal(100)
    standard = (standard - standard.mean()) / standard.std(ddof=1)
    seen = centre + spread * np.degrees(1 / np.sqrt(d)) * standard
    places = [place(seed=seed) for seed in SEEDS]
    between = {p: 93.0 + 0.1 * p.seed if broken == "descents" else 89.0 + 0.1 * p.seed for p in places}
    got = verdicts.right_angles({(p, "Neg. Grad."): seen for p in places}, between, dict.fromkeys(places, d))
    assert parts(got) == {part: "not seen" if part == broken else "seen" for part in ("mean", "spread", "descents")}


@pytest.mark.parametrize(("fallen", "verdict"), [(0.01, "reproduced"), (0.5, "not reproduced")])
def test_the_best_gaussian_fall_is_a_share_of_the_gradients_at_the_same_range(fallen: float, verdict: str) -> None:
    pairs = {
        place(seed=seed): ([line(1 + LAM), line(1 + 0.1 * LAM)], [line(1 + fallen * LAM), line(1 + 0.001 * LAM)])
        for seed in SEEDS
    }
    got = verdicts.gaussian_descent_is_negligible(pairs, dict.fromkeys(pairs, verdicts.LARGE))
    assert (got.id, got.verdict) == ("ML-5", verdict)
    assert got.part.effect == pytest.approx(fallen)
    small = verdicts.gaussian_descent_is_negligible(pairs, dict.fromkeys(pairs, verdicts.LARGE - 1))
    assert small.verdict == "not tested"
    assert "249,999" in small.part.reason


def test_barriers_between_solutions_are_judged_apart() -> None:
    beside = ((TO + 0.3) * (TO - 1.3)) ** 2  # one barrier, and neither model at the bottom of its valley

    def drawn(seed: int) -> list[Line]:
        return [
            line(W if seed else beside, place(seed=seed), direction="E'=9", walk=AWAY),
            line(TO**2, place(seed=seed), direction="E'=1", walk=AWAY),
            line(TO**2, place(seed=seed, stage="early"), direction="E'=9", walk=AWAY),
        ]

    got = verdicts.one_barrier(of_seeds(drawn))
    assert parts(got) == {"converged": "seen", "checkpoints": "not seen"}
    assert "to 0.26 nats" in got.note
    assert "22% of all curves are w-basins by name" in got.note


@pytest.mark.parametrize(
    ("positive", "early", "late", "broken"),
    [
        (V, PEAK, 1 + 0.1 * (PEAK - 1), None),
        (PEAK, PEAK, 1 + 0.1 * (PEAK - 1), "positive"),
        (V, 1 + 5 * V, V, "negative_early"),
        (V, PEAK, 1 + 2 * (PEAK - 1), "negative_lower"),
    ],
)
def test_eigenvectors_give_basins_and_shrinking_peaks(
    positive: np.ndarray, early: np.ndarray, late: np.ndarray, broken: str | None
) -> None:
    def drawn(seed: int) -> list[Line]:
        return [
            line(positive, place(seed=seed), direction="P.E.1"),
            line(early, place(seed=seed, stage="early"), direction="N.E.1"),
            line(late, place(seed=seed), direction="N.E.1"),
        ]

    got = verdicts.eigenvectors_are_basins_and_peaks(of_seeds(drawn))
    seen = parts(got)
    assert seen[broken] == "not seen" if broken else set(seen.values()) == {"seen"}
    if broken == "negative_early":  # nothing falls: there is nothing that could be lower
        assert seen["negative_lower"] == "not tested"


@pytest.mark.parametrize(
    ("negative", "positive", "broken"),
    [(0.3, 0.2, set()), (0.2, 0.3, {"more"}), (0.01, 0.001, {"above_chance", "all"}), (0.3, 0.001, {"all"})],
)
def test_overlaps_compare_both_ends_and_chance(negative: float, positive: float, broken: set[str]) -> None:
    names = ["P.E.1", "P.E.2", "N.E.1", "N.E.2"]
    cosines = xr.DataArray([positive] * 2 + [negative] * 2, dims="rank", coords={"rank": names})
    places = [place(seed=seed) for seed in SEEDS]
    got = verdicts.overlaps_all(dict.fromkeys(places, cosines), dict.fromkeys(places, 10_000))
    assert parts(got) == {part: "not seen" if part in broken else "seen" for part in ("all", "above_chance", "more")}
    assert effects(got)["above_chance"] == pytest.approx(negative / np.sqrt(2 / (np.pi * 10_000)))


@pytest.mark.parametrize(("depth", "verdict"), [(2.0, "reproduced"), (0.5, "not reproduced")])
def test_the_mined_peak_is_held_against_the_deepest_eigenvector(depth: float, verdict: str) -> None:
    places = [place(seed=seed, stage="early") for seed in SEEDS]
    drawn = {p: line(1 + depth * (PEAK - 1), p) for p in places}
    got = verdicts.mined_is_deeper({p: PeakLines(x, x, [line(V, p), line(PEAK, p)]) for p, x in drawn.items()})
    assert (got.id, got.verdict) == ("ML-8d", verdict)
    assert got.part.effect == pytest.approx(0.125 * (depth - 1), rel=0.05)


def seconds(resnet: np.ndarray, mlp: np.ndarray, direction: str = verdicts.PAPERS) -> list[Line]:
    def drawn(seed: int) -> list[Line]:
        nets = {"resnet8": resnet, "mlp": mlp}
        return [line(loss, place(a, seed), walk=AWAY, direction=direction) for a, loss in nets.items()]

    return of_seeds(drawn)


def test_a_second_models_basin_is_a_resnets_at_the_papers_setting() -> None:
    assert parts(verdicts.second_models_basin(seconds(VVV, W))) == {"resnet": "seen", "mlp": "seen"}
    assert parts(verdicts.second_models_basin(seconds(W, VVV))) == {"resnet": "not seen", "mlp": "not seen"}
    others = seconds(VVV, VVV, "alpha=0.1, gamma=0.9, fresh")
    got = verdicts.second_models_basin(seconds(VVV, W) + others)
    assert parts(got) == {"resnet": "seen", "mlp": "seen"}
    assert "mlp from the fresh 3 of 3" in got.note


@pytest.mark.parametrize("end", [0, 1])
def test_where_either_model_has_not_fitted_nothing_is_decided(end: int) -> None:
    unfitted = VVV + np.exp(-(((TO - end) / 0.05) ** 2))
    got = verdicts.second_models_basin(seconds(unfitted, W))
    assert parts(got) == {"resnet": "not tested", "mlp": "seen"}
    assert "no curve of a ResNet leads from a fitted model to a fitted one" in got.parts[0].reason


@pytest.mark.parametrize(("bump", "verdict"), [(0.0, "reproduced"), (0.5, "not reproduced")])
def test_the_way_down_has_no_climb(bump: float, verdict: str) -> None:
    loss = (TO - 1) ** 2 + bump * np.exp(-(((TO - 0.5) / 0.1) ** 2))
    lines = of_seeds(lambda seed: [line(loss, place(seed=seed), walk=AWAY)])
    assert verdicts.falls_monotonically(lines).verdict == verdict


def test_networks_without_skips_are_needed_for_their_claim() -> None:
    assert verdicts.chaotic_above_chance([line(V)], {"mlp": [0.9]}).verdict == "not tested"


@pytest.mark.parametrize(
    ("lift", "far", "accuracy", "broken"),
    [
        (5.0, V, 0.1, None),
        (-5.0, V, 0.1, "extra_above"),
        (5.0, WIGGLY, 0.1, "smooth_from_afar"),
        (5.0, V, 0.5, "hardly_trains"),
    ],
)
def test_chaos_lies_above_chance_and_vanishes_from_afar(
    lift: float, far: np.ndarray, accuracy: float, broken: str | None
) -> None:
    def drawn(seed: int) -> list[Line]:
        at = place("resnet56-ns", seed)
        early = line(WIGGLY - 5, place("resnet56-ns", seed, "early"))  # another stage, which is not asked
        return [early, line(WIGGLY + lift, at), line(far, at, walk=Walk(scale=4.0))]

    got = verdicts.chaotic_above_chance(of_seeds(drawn), {"resnet110-ns": [accuracy] * 3})
    expected = ("extra_above", "smooth_from_afar", "hardly_trains")
    assert parts(got) == {part: "not seen" if part == broken else "seen" for part in expected}


def test_the_largest_count_of_all_is_named() -> None:
    assert verdicts.at_most_five(of_seeds(lambda s: [line(V, place(seed=s))])).verdict == "reproduced"
    flat = of_seeds(lambda s: [line(V, place(seed=s)), line(1e-4 * WIGGLY, place(seed=s))])
    assert verdicts.at_most_five(flat).verdict == "reproduced"
    got = verdicts.at_most_five(
        of_seeds(lambda s: [line(V, place(seed=s)), line(WIGGLY, place(seed=s), direction="N.E.3")])
    )
    assert got.verdict == "not reproduced"
    assert "N.E.3" in got.note


def test_a_number_is_a_mean_over_networks_and_not_over_curves() -> None:
    lines = [line(V, place("mlp"))] * 3 + [line(WIGGLY, place("resnet8"))]
    assert verdicts.by_seed(lines, lambda x: x.shape.count == 1) == [0.5]
