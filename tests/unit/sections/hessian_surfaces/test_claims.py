from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from landscape_utils.landscape.directions import Perturbed
from landscape_utils.sections.hessian_surfaces import claims as verdicts
from landscape_utils.sections.hessian_surfaces import study
from landscape_utils.suite.claims import Judgement
from tests.unit.sections.ego_flatness.test_claims import assert_parts
from tests.unit.sections.gmi_mli_wpeak.test_claims import SEEDS, place
from tests.unit.sections.hessian_surfaces.test_study import noise, plane, spectrum

Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]
Surfaces = dict[Perturbed, dict[str, xr.Dataset]]
Triple = tuple[float, float, float]  # numbers by seed


def bowl(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 + y**2


def bottle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x**2 + y**2 - 0.4) ** 2


def saddle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 - y**2


RIGHT = {"P.E.1 x P.E.2": bowl, "N.E.1 x N.E.2": bottle, "P.E.1 x N.E.1": saddle}
PARTS = {"bowl": "P.E.1 x P.E.2", "bottle": "N.E.1 x N.E.2", "saddle": "P.E.1 x N.E.1"}


def surfaces(wrong: dict[tuple[str, int], dict[str, Surface]], seeds: tuple[int, ...] = SEEDS) -> Surfaces:
    """The planes of two networks as they should be, but those of some networks and seeds."""
    return {
        place(network, seed, "early"): {
            name: plane(f) for name, f in {**RIGHT, **wrong.get((network, seed), {})}.items()
        }
        for network in ("mlp", "resnet8")
        for seed in seeds
    }


@pytest.mark.parametrize(
    ("part", "other", "got"), [("bowl", saddle, "saddle"), ("bottle", bowl, "bowl"), ("saddle", bottle, "bottle")]
)
def test_ml10_is_the_share_of_planes_that_have_their_shape(part: str, other: Surface, got: str) -> None:
    want = dict.fromkeys(PARTS, ([1, 1, 1], "seen"))
    judged = verdicts.shapes_of_eigenvectors(surfaces({}))
    assert_parts(judged, "ML-10", want)
    assert judged.note == ""
    name = PARTS[part]
    kind = name.replace("1", "").replace("2", "")
    judged = verdicts.shapes_of_eigenvectors(surfaces({("mlp", 2): {name: other}}))
    assert_parts(judged, "ML-10", {**want, part: ([1, 1, 0.5], "undecided")})
    assert judged.note == f"Others: {kind} of mlp, E=1 is a {got} (1)."
    every = {(network, seed): {name: other} for network in ("mlp", "resnet8") for seed in SEEDS}
    judged = verdicts.shapes_of_eigenvectors(surfaces(every))
    assert_parts(judged, "ML-10", {**want, part: ([0, 0, 0], "not seen")})
    assert judged.note == f"Others: {kind} of mlp, E=1 is a {got} (3); {kind} of resnet8, E=1 is a {got} (3)."


def test_ml10_asks_one_of_each_for_a_saddle_and_takes_neither_a_dome_nor_a_flat_plane() -> None:
    shapes = {
        "P.E.1 x P.E.2": lambda x, y: 1e-5 * bowl(x, y),
        "N.E.1 x N.E.2": lambda x, y: -bowl(x, y),
        "P.E.1 x N.E.1": bowl,
    }
    got = verdicts.shapes_of_eigenvectors(surfaces({(a, s): shapes for a in ("mlp", "resnet8") for s in SEEDS}))
    assert_parts(got, "ML-10", dict.fromkeys(PARTS, ([0, 0, 0], "not seen")))
    both = ("N.E. x N.E.", "dome"), ("P.E. x N.E.", "bowl")  # four are told
    others = [f"{kind} of {network}, E=1 is a {shape} (3)" for kind, shape in both for network in ("mlp", "resnet8")]
    assert got.note == f"Others: {'; '.join(others)}."


def about(smallest: float, *, far: int, bulk: float) -> study.Spectrum:
    """A spectrum of 100 eigenvalues with a share `bulk` at zero, and so many `far` above one; bulks end at 10."""
    nodes, share = [smallest, 0, *np.linspace(900, 1000, far)], far / 100
    return spectrum(nodes, [1 - bulk - share, bulk, *[0.01] * far], [1000, smallest])


def with_trace(trace: float) -> study.Noise:
    one = noise()
    return study.Noise(one.measured, one.predicted.assign_attrs(trace=trace))


Trained = tuple[dict[Perturbed, study.Spectrum], dict[Perturbed, study.Noise]]


def trained(bulk: Triple, outliers: Triple, trace: Triple, late: Triple, seeds: tuple[int, ...] = SEEDS) -> Trained:
    """Early and late models; the late |smallest eigenvalue| is a share `late` of the early one, which is 80."""
    spectra, noises = {}, {}
    for stage, share in (("early", (1, 1, 1)), ("late", late)):
        for seed in seeds:
            at = place("mlp", seed, stage)
            spectra[at] = about(-80 * share[seed], far=int(outliers[seed]), bulk=bulk[seed])
            noises[at] = with_trace(trace[seed])
    return spectra, noises


GOOD = {
    "bulk": ((0.92, 0.93, 0.94), "seen"),
    "outliers": ((5, 4, 6), "seen"),
    "trace": ((300, 400, 350), "seen"),
    "smallest_falls": ((0.5, 0.7, 0.6), "seen"),
}


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("", ()),
        ("bulk", (0.5, 0.52, 0.54)),
        ("outliers", (1, 1, 1)),
        ("outliers", (20, 25, 30)),
        ("trace", (-300, -400, -350)),
        ("smallest_falls", (1.5, 1.7, 1.6)),
    ],
)
def test_ml11_is_judged_by_bulk_outliers_trace_and_the_smallest_eigenvalue(part: str, values: Triple) -> None:
    parts = {**GOOD, **({part: (values, "not seen")} if part else {})}
    if part == "outliers" and values[0] > 6:
        parts["bulk"] = ((0.6, 0.62, 0.64), "not seen")  # the bulk has to make room
    numbers = {name: of for name, (of, _) in parts.items()}
    spectra, noises = trained(numbers["bulk"], numbers["outliers"], numbers["trace"], numbers["smallest_falls"])
    got = verdicts.bulk_and_outliers(spectra, noises, 5)
    octaves = abs(np.log2(np.array(numbers["outliers"]) / 5))  # 5 of 5 is none, 10 one
    assert_parts(got, "ML-11", {**parts, "outliers": (octaves, parts["outliers"][1])})
    mean = np.mean(numbers["outliers"])
    assert got.note == f"C = 5; outliers, mean over seeds: mlp, E=1 {mean:.0f}, mlp, E=9 {mean:.0f}."


def changes(mean: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """100 draws' changes, a quarter at each side of the middle half, of this mean and deviation, the same both ways."""
    one = mean + spread * np.sqrt(2) * np.repeat([-1, 0, 0, 1], 25)
    return np.stack([one, one], 1)


def told(offset: float, stretch: float = 1.0) -> study.Noise:
    """Changes `offset` foretold deviations off, and `stretch` times as far spread; the traces have no error."""
    one = noise()
    exact = one.predicted.assign({f"{name}_error": 0 * one.predicted[name] for name in ("mean", "variance")})
    mean, deviation = exact["mean"].values, np.sqrt(exact["variance"].values)
    draws = mean + deviation * changes(offset, stretch)[..., None]
    return study.Noise(one.measured.copy(data=draws), exact)


def by_seed(make: Callable[..., study.Noise], *numbers: Triple) -> dict[Perturbed, study.Noise]:
    return {place(seed=seed): make(*of) for seed, of in zip(SEEDS, zip(*numbers, strict=True), strict=False)}


@pytest.mark.parametrize(
    ("offsets", "stretches", "mean", "variance"),
    [
        ((0.1, -0.12, 0.11), (1.0, 1.05, 1.02), "seen", "seen"),
        ((1.4, -1.5, 1.6), (1.0, 1.05, 1.02), "not seen", "seen"),
        ((0.1, -0.12, 0.11), (2.0, 2.1, 2.05), "seen", "not seen"),
        ((0.1, -0.12, 0.11), (0.82, 0.8, 0.81), "seen", "not seen"),
        ((0.05, -0.1, 1.0), (1.0, 1.05, 1.02), "undecided", "seen"),
    ],
)
def test_ml12_counts_standard_errors_from_the_prediction(
    offsets: Triple, stretches: Triple, mean: str, variance: str
) -> None:
    got = verdicts.moments_hold(by_seed(told, offsets, stretches))
    # Errors: of the mean s / sqrt(99), of the variance s^2 / sqrt(99), for squares are 0 or 2 s^2.
    off, s = np.array(offsets), np.array(stretches)
    errors = {"mean": (abs(off / s) * np.sqrt(99), mean), "variance": (abs(1 - s**-2) * np.sqrt(99), variance)}
    assert_parts(got, "ML-12", errors)


def test_ml12_tells_where_the_second_order_stops() -> None:
    found = by_seed(told, (0.0, 0.0, 0.5), (1.0, 1.0, 1.0))
    found[place(seed=1)].measured.loc[{"lam": 0.01}] += 1
    got = verdicts.moments_hold(found)
    assert got.note.startswith("Both are within 3 errors, in all seeds, up to: mlp, E=9 0. At 0.01 the measured mean")


def drifting(near: float, positive: float) -> study.Noise:
    """Changes of this mean and deviation one at the smallest lambda, and this share above zero at the largest."""
    far = np.where(np.arange(200) < round(200 * positive), 1.0, 0.0).reshape(100, 2)  # no change is not a positive one
    one = noise()
    return study.Noise(one.measured.copy(data=np.stack([changes(near), changes(9), far], -1)), one.predicted)


@pytest.mark.parametrize(
    ("near", "positive", "verdict"),
    [
        ((0.1, -0.2, 0.3), (0.98, 1.0, 0.99), ("seen", "seen")),
        ((2, -3, 2.5), (0.98, 1.0, 0.99), ("not seen", "seen")),
        ((0.1, -0.2, 0.3), (0.5, 0.6, 0.4), ("seen", "not seen")),
    ],
)
def test_ml13_is_the_mean_in_deviations_near_and_the_share_of_positive_changes_far(
    near: Triple, positive: Triple, verdict: tuple[str, str]
) -> None:
    got = verdicts.centred_then_positive(by_seed(drifting, near, positive))
    assert_parts(got, "ML-13", {"centred": (np.abs(near), verdict[0]), "positive": (positive, verdict[1])})


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


def lines(gmi: float, mli: float, first: Triple, seeds: tuple[int, ...] = SEEDS) -> dict[study.Departure, study.Pieces]:
    """Pieces that miss by these shares, but the first of MLI; on one of two networks half of them by 0.04."""
    found = {}
    for seed in seeds:
        for network, others in (("mlp", 5), ("resnet8", 0)):
            for path, start, rest in (("GMI", 0.9, gmi), ("MLI", first[seed], mli)):
                misses = np.array([start, *[rest] * (10 - others), *[0.04] * others])
                found[study.Departure(place(network, seed), path)] = pieces(misses)
    return found


FURTHER = ((0.2, 0.3, 0.25), "seen")


@pytest.mark.parametrize(
    ("gmi", "mli", "start", "most"),
    [
        (0.01, 0.01, FURTHER, 0.04),
        (0.06, 0.01, FURTHER, 0.06),
        (0.01, 0.06, FURTHER, 0.06),
        (0.01, 0.01, ((0.001, 0.002, 0.003), "not seen"), 0.04),
        (0.01, 0.01, ((0.01, 0.03, 0.02), "undecided"), 0.04),
    ],
)
def test_ml14_leaves_the_first_piece_out_and_compares_it_with_the_median(
    gmi: float, mli: float, start: tuple[Triple, str], most: float
) -> None:
    first, verdict = start
    got = verdicts.pieces_lie_along(lines(gmi, mli, first))
    # Half of one network's pieces and none of the other's lie along a curve that the rest are 6 % off.
    shares = {0.01: ([1, 1, 1], "seen"), 0.06: ([0.25] * 3, "not seen")}
    medians = np.array([(mli + 0.04) / 2, mli])
    want = {"gmi": shares[gmi], "mli": shares[mli], "start": ((np.array(first)[:, None] / medians).min(1), verdict)}
    assert_parts(got, "ML-14", want)
    assert got.note == f"The furthest piece but the first is {most:.1%} of the range off."


def ends(first: Triple, late: Triple, seeds: tuple[int, ...] = SEEDS) -> dict[Perturbed, study.Spectrum]:
    """Spectra of a negative eigenvalue and one at 1; those of early models are all negative."""
    stages = {"initial": first, "early": (-9, -9, -9), "late": late}
    return {
        place(seed=seed, stage=stage): spectrum([of[seed], 1.0 if stage != "early" else -1.0], [0.5, 0.5], [1.0, -1.0])
        for stage, of in stages.items()
        for seed in seeds
    }


def test_ml18_is_the_initialisations_share_of_negative_mass_minus_that_after_training() -> None:
    first, late = (-1.0, -1.5, -4.0), (-1 / 4, -1 / 9, -1 / 3)  # shares of 50, 60 and 80 %, and of 20, 10 and 25 %
    got = verdicts.more_negative_at_first(ends(first, late))
    assert_parts(got, "ML-18", {"more": ([0.3, 0.5, 0.55], "seen")})
    assert got.note == "63.3% at the initialisation, 18.3% at the end."
    got = verdicts.more_negative_at_first(ends(late, first))
    assert_parts(got, "ML-18", {"more": ([-0.3, -0.5, -0.55], "not seen")})


TWO = (0, 1)
NUMBERS = [of for of, _ in GOOD.values()]


@pytest.mark.parametrize(
    "got",
    [
        verdicts.shapes_of_eigenvectors(surfaces({}, TWO)),
        verdicts.bulk_and_outliers(*trained(*NUMBERS, seeds=TWO), 5),
        verdicts.moments_hold(by_seed(told, (0.0, 0.0), (1.0, 1.0))),
        verdicts.centred_then_positive(by_seed(drifting, (0.1, 0.1), (1.0, 1.0))),
        verdicts.pieces_lie_along(lines(0.01, 0.01, FURTHER[0], TWO)),
        verdicts.more_negative_at_first(ends((-1.0, -1.0, 0), (-0.1, -0.1, 0), TWO)),
    ],
    ids=lambda got: got.id,
)
def test_two_seeds_decide_nothing(got: Judgement) -> None:
    assert {(part.verdict, part.reason) for part in got.parts} == {("undecided", "too few seeds: 2 of at least 3")}


def test_a_model_without_outliers_is_counted_and_not_left_out() -> None:
    spectra, noises = trained((0.99, 0.99, 0.99), (0, 0, 0), (300, 400, 350), (0.5, 0.7, 0.6))
    got = {part.name: part for part in verdicts.bulk_and_outliers(spectra, noises, 8).parts}
    assert (got["outliers"].verdict, got["outliers"].effect) == ("not seen", 4.0)
