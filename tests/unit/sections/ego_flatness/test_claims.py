import itertools

import numpy as np
import pytest
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from landscape_utils.sections.ego_flatness import claims as verdicts
from landscape_utils.suite.claims import Judgement
from tests.unit.interference.test_cctm import random_rates, rates_of

Measured = dict[str, tuple[ArrayLike, str]]
STUDENT = {3: 4.302653, 4: 3.182446}  # 95 % points, by the number of seeds
SIZES = {"architecture": ["vgg", "resnet"], "recipe": ["anneal-lr", "small-lr", "big-lr"]}  # not as the claims have it


def assert_parts(got: Judgement, claim: str, want: Measured) -> None:
    """Hold each part against its numbers by seed, NaN where a seed has none, and its verdict."""
    assert got.id == claim
    assert {part.name: part.verdict for part in got.parts} == {name: verdict for name, (_, verdict) in want.items()}
    for part in got.parts:
        every = np.array(want[part.name][0])
        there = every[~np.isnan(every)]
        reach = STUDENT[len(there)] * there.std(ddof=1) / len(there) ** 0.5
        assert part.effect == pytest.approx(there.mean())
        assert part.interval == pytest.approx([there.mean() - reach, there.mean() + reach])
        missing = len(every) - len(there)
        assert part.reason == (f"{missing} of {len(every)} seeds have none" if missing else "")


def why_not(got: Judgement) -> str:
    (reason,) = {part.reason for part in got.parts}
    assert got.verdict == "not tested"
    return reason


def table(small: float, big: float, anneal: float, *, seeds: int = 4, draw: int = 0) -> xr.DataArray:
    """Numbers around one for each recipe, over (architecture, recipe, seed)."""
    values = 1 + 0.05 * np.random.default_rng(draw).standard_normal((2, 3, seeds))
    values *= np.array([anneal, small, big])[:, None]
    return xr.DataArray(values, {**SIZES, "seed": range(seeds)}, (*SIZES, "seed"))


def accuracies(test: xr.DataArray, train: xr.DataArray | None = None) -> xr.Dataset:
    fitted = xr.full_like(test, 0.9)  # just enough
    return xr.Dataset({"test_accuracy": test, "train_accuracy": fitted if train is None else train})


def steps(values: xr.DataArray) -> Measured:
    anneal, small, big = np.moveaxis(values.values, 1, 0).mean(1)
    gains = {"annealed_over_big": anneal - big, "big_over_small": big - small}
    return {part: (gain, "seen" if np.nanmean(gain) > 0 else "not seen") for part, gain in gains.items()}


@pytest.mark.parametrize("centres", [(0.5, 0.65, 0.9), (0.8, 0.6, 0.9), (0.5, 0.8, 0.6)])
def test_ci6_is_the_mean_gain_of_each_step(centres: tuple[float, float, float]) -> None:
    test = table(*centres)
    assert_parts(verdicts.accuracy_by_recipe(accuracies(test)), "CI-6", steps(test))


@pytest.mark.parametrize(("claim", "measure"), [("CI-7", "area_theta"), ("CI-7d", "area")])
@pytest.mark.parametrize("centres", [(1, 9, 80), (4, 9, 3), (9, 4, 8)])
def test_ci7_is_each_step_of_its_own_measure_in_decades_over_the_seeds_that_have_fitted(
    claim: str, measure: str, centres: tuple[float, float, float]
) -> None:
    area = table(*centres)
    radii = xr.Dataset({"area_theta": 1 / area, "area": 1 / area, measure: area})  # the other tells the opposite
    train, decades = xr.full_like(area, 0.9), area.copy(data=np.log10(area.values))
    assert_parts(verdicts.flat_area_by_recipe(claim, radii, accuracies(area, train)), claim, steps(decades))
    for poor in (0.89, np.nan):  # with one recipe of one architecture
        train.loc[{"architecture": "vgg", "recipe": "big-lr", "seed": 1}] = poor
        got = verdicts.flat_area_by_recipe(claim, radii, accuracies(area, train))
        assert_parts(got, claim, steps(decades.where(decades.seed != 1)))
    got = verdicts.flat_area_by_recipe(claim, radii, accuracies(area, xr.full_like(area, 0.8)))
    assert why_not(got) == "no seed has such a number"


def test_ci8_is_the_decades_between_the_areas_of_two_pairs_with_the_big_rate() -> None:
    most, least = (xr.Dataset({"area_theta": x}) for x in (table(9, 1, 9), table(1, 4, 1, draw=1)))
    want = np.log10(most.area_theta[:, 2].values / least.area_theta[:, 2].values).mean(0)
    assert_parts(verdicts.sharper_for_interfering_pair(most, least), "CI-8", {"sharper": (want, "seen")})
    assert_parts(verdicts.sharper_for_interfering_pair(least, most), "CI-8", {"sharper": (-want, "not seen")})
    assert why_not(verdicts.sharper_for_interfering_pair(least, least.copy(deep=True))) == "the two pairs are one"


def walked(long: float, compass: float, *, seeds: int = 4, draw: int = 0) -> xr.Dataset:
    """Radii of one percent, but others at 45 and 225 degrees and at 135 and 315; with the small rate ones."""
    shape = np.full(16, 0.01)
    shape[[2, 10]] *= long
    shape[[6, 14]] *= compass
    values = 1 + 0.02 * np.random.default_rng(draw).standard_normal((2, 2, seeds, 16))
    values[:, 1] *= shape
    coords = {**SIZES, "recipe": ["small-lr", "big-lr"], "seed": range(seeds), "angle": 22.5 * np.arange(16)}
    return xr.Dataset({"walked": (list(coords), values)}, coords)


def along_random(radius: float, seeds: int = 4) -> xr.DataArray:
    drawn = walked(1, 1, seeds=seeds, draw=9)["walked"].rename(angle="direction")
    return drawn.copy(data=radius * drawn.values)


@pytest.mark.parametrize(
    ("long", "compass", "at_random", "verdict"), [(5, 0.5, 20, "seen"), (1.3, 1.3, 0.5, "not seen")]
)
def test_ci9_compares_radii_by_angle_with_random_ones_and_with_those_at_135_degrees(
    long: float, compass: float, at_random: float, verdict: str
) -> None:
    others, random = [walked(long, compass, draw=i) for i in (1, 2)], along_random(at_random)
    cut, flat, at, typical = np.zeros((4, 4, 4))
    for (i, (found, a)), s in itertools.product(enumerate(itertools.product(others, (0, 1))), range(4)):
        radii, drawn = found.walked.values[a, 1, s], random.values[a, 1, s]
        typical[i, s] = np.median(radii)
        cut[i, s] = radii.max() / radii.min()
        flat[i, s] = np.median(drawn) / typical[i, s]
        at[i, s] = (radii[6] + radii[14]) / 2 / typical[i, s]
    want = {part: (x.mean(0), verdict) for part, x in (("cut", cut), ("random_flat", flat), ("at_135", at))}
    got = verdicts.depends_on_the_cut(others, random, "cifar10")
    assert_parts(got, "CI-9", want)
    assert got.note == f"A typical radius is {np.median(typical):.2%} of |w| in ego space."
    *both, elsewhere = verdicts.depends_on_the_cut(others, random, "glyphs10").parts
    assert both == list(got.parts[:2])
    assert (elsewhere.verdict, "this run is on glyphs10" in elsewhere.reason) == ("not tested", True)


def small(*rows: list[float]) -> xr.DataArray:
    """Numbers of the small rate by architecture and seed, and of the big rate in the order reversed."""
    coords = {"architecture": list("abc"), "recipe": ["big-lr", "small-lr"], "seed": range(4)}
    return xr.DataArray(np.stack([np.array(rows[::-1]), np.array(rows)], 1), coords, list(coords))


AREAS = xr.Dataset({"area_theta": small([4, 1, 2, 5], [1, 3, 1, 1], [9, 9, 0.5, 2])})
TEST = small([0.5, 0.6, 0.45, 0.42], [0.7, 0.5, 0.6, 0.7], [0.4, 0.45, 0.68, 0.6])
# Sharpest and flattest are b and c, a and c, c and a, b and a.
GAINS = np.array([0.7 - 0.4, 0.6 - 0.45, 0.68 - 0.45, 0.7 - 0.42])


def test_ci10_is_the_sharpest_architectures_gain_over_the_flattest_ones_seed_by_seed() -> None:
    got = verdicts.sharper_yet_better(AREAS, accuracies(TEST))
    assert_parts(got, "CI-10", {"gain": (GAINS, "seen")})
    assert got.note == "Mean areas: a 3, b 2, c 5."
    assert_parts(verdicts.sharper_yet_better(AREAS, accuracies(1 - TEST)), "CI-10", {"gain": (-GAINS, "not seen")})


def test_ci10_asks_every_architecture_to_have_fitted_with_the_small_rate() -> None:
    train = 0.95 + 0 * TEST
    train.loc[{"recipe": "big-lr"}] = 0.5
    train.loc[{"architecture": "b", "recipe": "small-lr", "seed": 1}] = 0.89  # neither the sharpest nor the flattest
    got = verdicts.sharper_yet_better(AREAS, accuracies(TEST, train))
    assert_parts(got, "CI-10", {"gain": ([GAINS[0], np.nan, *GAINS[2:]], "seen")})
    train.loc[{"architecture": "a"}] = 0.5
    got = verdicts.sharper_yet_better(AREAS, accuracies(TEST, train))
    assert why_not(got) == "no seed of every architecture has fitted its training set"
    alone = verdicts.sharper_yet_better(AREAS.isel(architecture=[0]), accuracies(TEST.isel(architecture=[0])))
    assert why_not(alone) == "it takes two architectures"


def similarity(rates: xr.DataArray, follows: float) -> xr.DataArray:
    noise = 0.1 * np.random.default_rng(9).random(rates.shape)
    values = follows * (rates.values + rates.values.T) + noise + noise.T
    return rates.drop_vars("examples").rename(true="class", predicted="other").copy(data=values)


@pytest.mark.parametrize(("follows", "verdict"), [(1, "seen"), (-1, "not seen")])
def test_ci11_is_a_rank_correlation_over_the_pairs_that_have_both_numbers(follows: float, verdict: str) -> None:
    rates = [random_rates(7, seed) for seed in range(4)]
    similar = [similarity(one, follows) for one in rates]
    rates[1][3] = np.nan
    similar[2][5, :] = similar[2][:, 5] = np.nan
    want = []
    for left_out, s, r in zip((None, 3, 5, None), similar, rates, strict=True):
        pairs = [p for p in itertools.combinations(range(7), 2) if left_out not in p]
        both = [(r.values[a, b] + r.values[b, a]) / 2 for a, b in pairs]
        want.append(float(stats.spearmanr([s.values[p] for p in pairs], both).statistic))
    assert_parts(verdicts.alike_surfaces(similar, rates), "CI-11", {"rho": (want, verdict)})


def test_ci11_takes_six_pairs_and_an_order_among_them() -> None:
    rates = [random_rates(4, seed) for seed in range(4)]
    similar = [similarity(one, 1) for one in rates]
    assert np.isfinite(verdicts.alike_surfaces(similar, rates).part.effect)
    even = rates_of(np.full((4, 4), 0.25))
    assert why_not(verdicts.alike_surfaces(similar, [even] * 4)) == "no seed has such a number"
    for one in similar:
        one[0, 1] = np.nan
    assert why_not(verdicts.alike_surfaces(similar, rates)) == "no seed has such a number"


def grid_of(own: float, partner: float, descent: float = 0.0) -> xr.Dataset:
    """The space of ship and cat: a class's loss is 3 - own * its own theta + partner * the other's.

    It is more by `descent` where the own theta is positive.
    """
    theta = np.array([-1.0, 0.0, 1.0])
    t1, t2 = np.meshgrid(theta, theta, indexing="ij")
    axes = ((t2, t1), (t1, t2))
    losses = [np.zeros((3, 3)), *(3 - own * mine + partner * its + descent * (mine > 0) for mine, its in axes)]
    data = {"class_loss": (("theta1", "theta2", "class"), np.stack(losses, -1))}
    coords = {"theta1": theta, "theta2": theta, "class": ["dog", "cat", "ship"]}
    return xr.Dataset(data, coords, {"first": "ship", "second": "cat"})


GOOD, OWN_WORST, FALLING = grid_of(0.5, 1, descent=1.4), grid_of(1, 0.5), grid_of(-0.5, 1)
MIXED = GOOD.assign(class_loss=GOOD.class_loss.where(GOOD["class"] != "cat", OWN_WORST.class_loss))
TURNED = GOOD.transpose("class", "theta2", "theta1")


@pytest.mark.parametrize(
    ("spaces", "own", "partner"),
    [
        ([[GOOD, GOOD], [GOOD, MIXED], [GOOD], [TURNED]], ([1, 1, 1, 1], "seen"), ([1, 0.75, 1, 1], "seen")),
        ([[OWN_WORST], [OWN_WORST], [OWN_WORST, MIXED]], ([1, 1, 1], "seen"), ([0, 0, 0.25], "not seen")),
        ([[FALLING], [FALLING], [FALLING, FALLING, GOOD]], ([0, 0, 1 / 3], "not seen"), ([1, 1, 1], "seen")),
        ([[grid_of(0.5, -1)]] * 3, ([1, 1, 1], "seen"), ([0, 0, 0], "not seen")),
        ([[GOOD], [MIXED], [OWN_WORST]], ([1, 1, 1], "seen"), ([1, 0.5, 0], "undecided")),
    ],
)
def test_ci12_counts_the_classes_of_each_seed_by_the_ends_of_their_axes(
    spaces: list[list[xr.Dataset]], own: tuple[list[float], str], partner: tuple[list[float], str]
) -> None:
    assert_parts(verdicts.own_ascent(spaces), "CI-12", {"own": own, "partner": partner})


def test_ci12_takes_what_diverges_for_the_largest_loss() -> None:
    grid = OWN_WORST.copy(deep=True)
    grid["class_loss"].loc[{"class": "ship", "theta1": 0.0, "theta2": 1.0}] = np.nan
    grid["class_loss"].loc[{"class": "cat", "theta1": 1.0, "theta2": 0.0}] = np.inf
    assert [part.effect for part in verdicts.own_ascent([[grid]] * 3).parts] == [1, 1]


@pytest.mark.parametrize(("error", "verdict"), [(3e-16, "exact"), (1e-12, "not seen"), (0.1, "not seen")])
def test_ci13_holds_to_rounding(error: float, verdict: str) -> None:
    got = verdicts.convex_combination(error).part
    assert (got.verdict, got.effect) == (verdict, error)


def rises(seeds: int = 3) -> xr.DataArray:
    values = 1 + np.random.default_rng(0).random((2, seeds, 10))
    return xr.DataArray(values, dims=("architecture", "seed", "class"))


@pytest.mark.parametrize(
    ("factor", "other", "classes", "verdict"),
    [(1.2, 0.9, 1, "seen"), (1.2, 0.9, 3, "undecided"), (0.9, 1.2, 3, "not seen")],
)
def test_ci19_is_the_share_of_classes_that_the_second_pairs_space_moves_more(
    factor: float, other: float, classes: int, verdict: str
) -> None:
    most = rises()
    second = factor * most
    second[1, 2, :classes] = other * most[1, 2, :classes]  # of 20 classes by architecture
    share = float(factor > 1)
    want = [share, share, abs(share - classes / 20)]
    got = verdicts.moved_more_by_second(most, second, "cifar10")
    assert_parts(got, "CI-19", {"more": (want, verdict)})
    assert got.note == f"Mean rise {second.values.mean():.2g} against {most.values.mean():.2g} nats."
    assert "this run is on glyphs10" in why_not(verdicts.moved_more_by_second(most, second, "glyphs10"))


TWO = xr.Dataset({"area_theta": table(1, 9, 80, seeds=2), "area": table(1, 9, 80, seeds=2)})


@pytest.mark.parametrize(
    "got",
    [
        verdicts.accuracy_by_recipe(accuracies(TWO.area)),
        verdicts.flat_area_by_recipe("CI-7", TWO, accuracies(TWO.area)),
        verdicts.sharper_for_interfering_pair(TWO, 100 * TWO),
        verdicts.depends_on_the_cut([walked(5, 0.5, seeds=2)], along_random(9, 2), "cifar10"),
        verdicts.sharper_yet_better(AREAS.isel(seed=[0, 1]), accuracies(TEST.isel(seed=[0, 1]))),
        verdicts.alike_surfaces([similarity(random_rates(6, 0), 1)] * 2, [random_rates(6, 0)] * 2),
        verdicts.own_ascent([[GOOD]] * 2),
        verdicts.moved_more_by_second(rises(2), 2 * rises(2), "cifar10"),
    ],
    ids=lambda got: got.id,
)
def test_two_seeds_decide_nothing(got: Judgement) -> None:
    assert {(part.verdict, part.reason) for part in got.parts} == {("undecided", "too few seeds: 2 of at least 3")}
