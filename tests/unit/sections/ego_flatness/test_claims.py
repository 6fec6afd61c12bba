import itertools
import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from landscape_utils.sections.ego_flatness import claims as verdicts
from landscape_utils.suite import claims
from landscape_utils.suite.claims import Judgement
from tests.unit.interference.test_cctm import rates_of

Rows = dict[str, dict[str, list[float]]]
Mark = tuple[str | int, ...]
RISING = {"small-lr": [1.0, 1.2], "big-lr": [2.0, 2.2], "anneal-lr": [4.0, 4.6]}
GOOD = {"small-lr": [0.6, 0.62], "big-lr": [0.7, 0.73], "anneal-lr": [0.9, 0.91]}
FITTED = {"small-lr": [0.95, 0.95], "big-lr": [0.99, 0.99], "anneal-lr": [1.0, 1.0]}


def table(rows: Rows) -> xr.DataArray:
    """An array over (architecture, recipe, seed), its recipes not in the order of the claims."""
    recipes = [r for r in ("anneal-lr", "small-lr", "big-lr") if r in next(iter(rows.values()))]
    values = np.array([[row[r] for r in recipes] for row in rows.values()], float)
    coords = {"architecture": list(rows), "recipe": recipes, "seed": range(values.shape[-1])}
    return xr.DataArray(values, dims=("architecture", "recipe", "seed"), coords=coords)


def accuracies(test: Rows, train: Rows | None = None) -> xr.Dataset:
    fitted = {a: {r: [0.95] * len(v) for r, v in row.items()} for a, row in test.items()}
    return xr.Dataset({"test_accuracy": table(test), "train_accuracy": table(train or fitted)})


def areas(
    theta: Rows, *, walked: Rows | None = None, edge: tuple[Mark, ...] = (), tiny: tuple[Mark, ...] = ()
) -> xr.Dataset:
    """Flat areas; those at some marks (architecture, recipe, seeds) reach the window's edge, or are below a cell."""
    marked = {"cut_off": table(theta) < 0, "unresolved": table(theta) < 0}
    for name, marks in (("cut_off", edge), ("unresolved", tiny)):
        for architecture, recipe, *seeds in marks:
            marked[name].loc[{"architecture": architecture, "recipe": recipe, "seed": seeds or slice(None)}] = True
    return xr.Dataset({"theta": table(theta), "walked": table(walked or theta), **marked})


def first_seed(rows: Rows) -> Rows:
    return {a: {r: v[:1] for r, v in row.items()} for a, row in rows.items()}


def t_interval(values: list[float]) -> tuple[float, float]:
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return float(low), float(high)


def assert_judged(got: Judgement, claim: str, verdict: str, *, clear: bool = True) -> None:
    assert (got.id, got.verdict) == (claim, verdict if clear else "undecided"), got
    assert bool(got.part.reason) == (verdict == "not tested" or not clear)
    assert got.part.criterion
    assert got.part.measured


# --- CI-6 ---


def test_ci6_needs_the_papers_order_in_every_architecture() -> None:
    got = verdicts.accuracy_by_recipe(accuracies({"mlp": GOOD, "vgg": GOOD}))
    assert_judged(got, "CI-6", "reproduced")
    assert got.part.effect == pytest.approx(0.715 - 0.61)
    assert "mlp: 61.0% / 71.5% / 90.5% (small / big / anneal); vgg: 61.0%" in got.part.measured
    swapped = {**GOOD, "small-lr": GOOD["big-lr"], "big-lr": GOOD["small-lr"]}
    got = verdicts.accuracy_by_recipe(accuracies({"mlp": GOOD, "vgg": swapped}))
    assert_judged(got, "CI-6", "not reproduced")
    assert got.part.effect == pytest.approx(
        (0.715 - 0.61 + 0.61 - 0.715) / 2
    )  # the mean over models of the lesser step
    last = {**GOOD, "anneal-lr": [0.5, 0.5]}
    assert_judged(verdicts.accuracy_by_recipe(accuracies({"mlp": last})), "CI-6", "not reproduced")


def test_ci6_is_measured_over_seeds() -> None:
    rows = {"mlp": {"small-lr": [0.5, 0.6, 0.4], "big-lr": [0.6, 0.65, 0.6], "anneal-lr": [0.9, 0.9, 0.95]}}
    got = verdicts.accuracy_by_recipe(accuracies(rows))
    assert got.part.interval == pytest.approx(t_interval([0.1, 0.05, 0.2]))
    assert got.part.effect == pytest.approx(np.mean([0.1, 0.05, 0.2]))
    one = verdicts.accuracy_by_recipe(accuracies(first_seed(rows)))
    assert_judged(one, "CI-6", "reproduced")
    assert one.part.interval is None


@pytest.mark.parametrize(("step", "verdict"), [(0.005, "reproduced"), (-0.005, "not reproduced")])
def test_ci6_is_not_clear_within_a_percent(step: float, verdict: str) -> None:
    near = {**GOOD, "big-lr": [0.61 + step, 0.61 + step]}
    assert_judged(verdicts.accuracy_by_recipe(accuracies({"mlp": GOOD, "vgg": near})), "CI-6", verdict, clear=False)


# --- CI-7 ---


def ci7(flat: xr.Dataset, claim: str = "CI-7") -> Judgement:
    names = [str(a) for a in flat.architecture.values]
    seeds = flat.sizes["seed"]
    return verdicts.flat_area_by_recipe(claim, flat, accuracies({a: {r: [0.9] * seeds for r in GOOD} for a in names}))


@pytest.mark.parametrize("claim", ["CI-7", "CI-7d"])
def test_ci7_needs_the_papers_order_in_every_architecture(claim: str) -> None:
    def judged(rows: Rows) -> Judgement:
        other = {a: {r: [9 - x for x in v] for r, v in row.items()} for a, row in rows.items()}  # tells the opposite
        theta, walked = (rows, other) if claim == "CI-7" else (other, rows)
        return ci7(areas(theta, walked=walked), claim)

    got = judged({"mlp": RISING, "vgg": RISING})
    assert_judged(got, claim, "reproduced")
    assert "mlp: 1.1 / 2.1 / 4.3 (small / big / anneal); vgg: 1.1" in got.part.measured
    assert "edge" not in got.part.measured
    assert "cell" not in got.part.measured
    assert_judged(judged({"mlp": RISING, "vgg": {**RISING, "small-lr": [3.0, 3.0]}}), claim, "not reproduced")
    assert_judged(judged({"mlp": {**RISING, "anneal-lr": [1.5, 1.5]}}), claim, "not reproduced")


def test_ci7_gives_ratios_in_decades() -> None:
    got = ci7(areas({"mlp": {"small-lr": [1.0, 2.0], "big-lr": [10.0, 40.0], "anneal-lr": [1e3, 1e6]}}))
    assert got.part.effect == pytest.approx((1 + np.log10(20)) / 2)  # that of the smaller step
    assert got.part.interval == pytest.approx(t_interval([1, np.log10(20)]))
    single = ci7(areas(first_seed({"mlp": RISING})))
    assert_judged(single, "CI-7", "reproduced")
    assert single.part.interval is None


@pytest.mark.parametrize(
    ("big", "verdict"),
    [
        ([2.0, 2.0, 2.0], "reproduced"),
        ([2.0, 2.0, 0.5], "reproduced"),
        ([2.0, 0.5, 0.5], "not reproduced"),
        ([2.0, 2.0, 9.0], "reproduced"),
        ([2.0, 9.0, 9.0], "not reproduced"),
    ],
)
def test_ci7_is_decided_by_most_of_the_seeds(big: list[float], verdict: str) -> None:
    rows = {"mlp": {"small-lr": [1.0] * 3, "big-lr": big, "anneal-lr": [4.0] * 3}}
    assert_judged(ci7(areas(rows)), "CI-7", verdict)


def test_ci7_takes_a_draw_between_seeds_for_a_failure() -> None:
    rows = {"mlp": {"small-lr": [1.0, 1.0], "big-lr": [2.0, 0.5], "anneal-lr": [4.0, 4.0]}}
    assert_judged(ci7(areas(rows)), "CI-7", "not reproduced")


@pytest.mark.parametrize(("factor", "verdict"), [(1.1, "reproduced"), (0.9, "not reproduced")])
def test_ci7_is_not_clear_where_areas_are_close(factor: float, verdict: str) -> None:
    near = {**RISING, "anneal-lr": [factor * x for x in RISING["big-lr"]]}
    assert_judged(ci7(areas({"mlp": near, "vgg": near})), "CI-7", verdict, clear=False)


@pytest.mark.parametrize("claim", ["CI-7", "CI-7d"])
def test_ci7_needs_models_that_have_fitted(claim: str) -> None:
    rows = {"mlp": RISING, "vgg": RISING}
    test = dict.fromkeys(rows, GOOD)
    poor = {"mlp": FITTED, "vgg": {**FITTED, "small-lr": [0.95, 0.85]}}  # one seed suffices
    got = verdicts.flat_area_by_recipe(claim, areas(rows), accuracies(test, poor))
    assert_judged(got, claim, "not tested")
    assert got.part.reason == "vgg with small-lr has fitted only 85.0% of the training set"
    assert "mlp: 1.1 / 2.1 / 4.3" in got.part.measured
    assert math.isnan(got.part.effect)
    assert got.part.interval is None
    enough = {"mlp": FITTED, "vgg": {**FITTED, "small-lr": [0.95, 0.9]}}
    assert_judged(verdicts.flat_area_by_recipe(claim, areas(rows), accuracies(test, enough)), claim, "reproduced")
    missing = {"mlp": FITTED, "vgg": {**FITTED, "big-lr": [np.nan, np.nan]}}
    got = verdicts.flat_area_by_recipe(claim, areas(rows), accuracies(test, missing))
    assert_judged(got, claim, "not tested")


@pytest.mark.parametrize("claim", ["CI-7", "CI-7d"])
@pytest.mark.parametrize("how", ["edge", "tiny"])
@pytest.mark.parametrize("neighbours", list(itertools.pairwise(verdicts.RECIPES)))
def test_ci7_is_not_testable_where_neither_of_two_areas_is_measured(
    neighbours: tuple[str, str], how: str, claim: str
) -> None:
    marks = {how: tuple(("vgg", recipe) for recipe in neighbours)}
    got = ci7(areas({"mlp": RISING, "vgg": RISING}, **marks), claim)
    assert_judged(got, claim, "not tested")
    assert "window's edge" in got.part.reason
    assert "below a grid cell" in got.part.reason
    text = "reach the window's edge" if how == "edge" else "are below a grid cell"
    assert f"; 4 of 12 {text}" in got.part.measured


def test_ci7_takes_an_area_at_the_edge_for_a_lower_bound() -> None:
    large = areas({"mlp": RISING}, edge=(("mlp", "anneal-lr"),))
    assert_judged(ci7(large), "CI-7", "reproduced")
    assert "2 of 6 reach the window's edge" in ci7(large).part.measured
    assert_judged(ci7(areas({"mlp": RISING}, edge=(("mlp", "small-lr"),))), "CI-7", "not tested")
    falling = {**RISING, "small-lr": [3.0, 3.0]}
    assert_judged(ci7(areas({"mlp": falling}, edge=(("mlp", "small-lr"),))), "CI-7", "not reproduced")
    assert_judged(ci7(areas({"mlp": falling}, edge=(("mlp", "big-lr"),))), "CI-7", "not tested")


def test_ci7_compares_an_area_below_a_cell_with_one_above() -> None:
    assert_judged(ci7(areas({"mlp": RISING}, tiny=(("mlp", "small-lr"),))), "CI-7", "reproduced")
    falling = {**RISING, "anneal-lr": [1.0, 1.0]}
    assert_judged(ci7(areas({"mlp": falling}, tiny=(("mlp", "anneal-lr"),))), "CI-7", "not reproduced")


@pytest.mark.parametrize("how", ["edge", "tiny"])
def test_ci7_leaves_out_the_seeds_that_decide_nothing(how: str) -> None:
    rows = {"mlp": {"small-lr": [1.0] * 3, "big-lr": [2.0, 0.5, 0.5], "anneal-lr": [4.0] * 3}}
    assert_judged(ci7(areas(rows)), "CI-7", "not reproduced")
    marks = tuple(("mlp", recipe, 1, 2) for recipe in ("small-lr", "big-lr"))
    assert_judged(ci7(areas(rows, **{how: marks})), "CI-7", "reproduced")


def test_ci7_leaves_out_the_members_that_are_missing() -> None:
    rows = {"mlp": {**RISING, "big-lr": [2.0, np.nan]}}
    got = areas(rows)
    got = got.assign({name: got[name].where(got.theta.notnull()) for name in ("cut_off", "unresolved")})
    assert_judged(ci7(got), "CI-7", "reproduced")


def test_ci7_is_refuted_by_one_architecture_whatever_another_leaves_open() -> None:
    falling = {**RISING, "small-lr": [3.0, 3.0]}
    open_ = (("mlp", "small-lr"), ("mlp", "big-lr"))
    assert_judged(ci7(areas({"mlp": RISING, "vgg": falling}, edge=open_)), "CI-7", "not reproduced")
    assert_judged(ci7(areas({"mlp": RISING, "vgg": RISING}, edge=open_)), "CI-7", "not tested")


# --- CI-8 ---


def big(**rows: list[float]) -> Rows:
    """Areas of which only those of big-lr count."""
    return {a: {"small-lr": [9.0 - x for x in v], "big-lr": v, "anneal-lr": [9.0] * len(v)} for a, v in rows.items()}


def test_ci8_compares_the_two_pairs_within_every_architecture() -> None:
    most, least = areas(big(mlp=[1.0, 2.0], vgg=[3.0, 3.0])), areas(big(mlp=[2.0, 2.5], vgg=[5.0, 6.0]))
    got = verdicts.sharper_for_interfering_pair(most, least, {"random": areas(big(mlp=[7.0, 8.0], vgg=[7.0, 8.0]))})
    assert_judged(got, "CI-8", "reproduced")
    ratios = list(np.log10([1 / 2, 2 / 2.5, 3 / 5, 3 / 6]))
    assert got.part.effect == pytest.approx(np.mean(ratios))
    assert got.part.interval == pytest.approx(t_interval(ratios))
    assert "mean area 2.2 against 3.9, random 7.5" in got.part.measured
    against = verdicts.sharper_for_interfering_pair(least, most, {})
    assert_judged(against, "CI-8", "not reproduced")
    assert against.part.effect == pytest.approx(-got.part.effect)
    mixed = areas(big(mlp=[1.0, 2.0], vgg=[9.0, 9.0]))
    assert_judged(verdicts.sharper_for_interfering_pair(mixed, least, {}), "CI-8", "not reproduced")


def test_ci8_of_single_models_has_no_interval() -> None:
    got = verdicts.sharper_for_interfering_pair(areas(big(mlp=[1.0])), areas(big(mlp=[2.0])), {})
    assert_judged(got, "CI-8", "reproduced")
    assert got.part.interval is None


def test_ci8_is_decided_by_most_of_the_seeds() -> None:
    least = areas(big(mlp=[2.0, 2.0, 2.0]))
    for most, verdict in (([1.0, 1.0, 9.0], "reproduced"), ([1.0, 9.0, 9.0], "not reproduced")):
        assert_judged(verdicts.sharper_for_interfering_pair(areas(big(mlp=most)), least, {}), "CI-8", verdict)


@pytest.mark.parametrize(("factor", "verdict"), [(0.97, "reproduced"), (1.03, "not reproduced")])
def test_ci8_is_not_clear_where_areas_are_close(factor: float, verdict: str) -> None:
    most, least = big(mlp=[1.0, 1.0], vgg=[4 * factor] * 2), big(mlp=[2.0, 2.5], vgg=[4.0, 4.0])
    assert_judged(verdicts.sharper_for_interfering_pair(areas(most), areas(least), {}), "CI-8", verdict, clear=False)


@pytest.mark.parametrize("how", ["edge", "tiny"])
def test_ci8_is_not_testable_where_neither_area_is_measured(how: str) -> None:
    most, least = big(mlp=[1.0, 1.0], vgg=[1.0, 1.0]), big(mlp=[2.0, 2.0], vgg=[2.0, 2.0])
    marks = {how: (("vgg", "big-lr"),)}
    got = verdicts.sharper_for_interfering_pair(areas(most, **marks), areas(least, **marks), {})
    assert_judged(got, "CI-8", "not tested")
    text = "reach the window's edge" if how == "edge" else "are below a grid cell"
    assert f"; 4 of 8 {text}" in got.part.measured
    elsewhere = {how: (("vgg", "anneal-lr"),)}
    got = verdicts.sharper_for_interfering_pair(areas(most, **elsewhere), areas(least, **elsewhere), {})
    assert_judged(got, "CI-8", "reproduced")
    assert " of 8" not in got.part.measured
    lower = verdicts.sharper_for_interfering_pair(areas(most), areas(least, edge=(("vgg", "big-lr"),)), {})
    assert_judged(lower, "CI-8", "reproduced")


def test_ci8_of_one_pair_with_itself_is_not_testable() -> None:
    same = areas(big(mlp=[1.0, 2.0]))
    got = verdicts.sharper_for_interfering_pair(same, same.copy(deep=True), {})
    assert_judged(got, "CI-8", "not tested")
    assert got.part.reason == "the two pairs are one"


# --- CI-9 ---


def sharpness(*rows: list[float], name: str = "angle") -> xr.DataArray:
    """Sharpness of two seeds around each number, over (architecture, seed, angle)."""
    values = np.array([[[x * 0.9 for x in row], [x * 1.1 for x in row]] for row in rows])
    coords = {"architecture": ["mlp", "vgg"][: len(rows)], "seed": [0, 1]}
    coords |= {"angle": [0, 45, 90, 135]} if name == "angle" else {}
    return xr.DataArray(values, dims=("architecture", "seed", name), coords=coords)


RANDOM = sharpness([0.01, 0.03], [0.02, 0.02], name="cut")


def test_ci9_needs_a_factor_of_two_in_every_architecture() -> None:
    got = verdicts.depends_on_the_cut(sharpness([0.1, 0.2, 0.3, 0.5], [0.4, 0.1, 0.1, 0.2]), RANDOM)
    assert_judged(got, "CI-9", "reproduced")
    assert got.part.effect == pytest.approx(4)
    assert "mean rise of the mistake rate 0.100 to 0.450" in got.part.measured
    assert "sharpest at 135, 0 degrees, at 135 degrees 0.350, random cuts 0.020" in got.part.measured
    even = verdicts.depends_on_the_cut(sharpness([0.1, 0.2, 0.3, 0.5], [0.4, 0.3, 0.3, 0.3]), RANDOM)
    assert_judged(even, "CI-9", "not reproduced")
    assert even.part.effect == pytest.approx(4 / 3)


@pytest.mark.parametrize(("ratio", "verdict"), [(2.1, "reproduced"), (1.9, "not reproduced")])
def test_ci9_is_not_clear_near_a_factor_of_two(ratio: float, verdict: str) -> None:
    got = verdicts.depends_on_the_cut(sharpness([0.1, 0.1, 0.1, 0.1 * ratio], [0.1, 0.2, 0.3, 0.5]), RANDOM)
    assert_judged(got, "CI-9", verdict, clear=False)


def test_ci9_finds_no_difference_between_cuts_that_do_not_rise() -> None:
    got = verdicts.depends_on_the_cut(sharpness([0.0, -0.01, 1e-4, 5e-4]), RANDOM)
    assert_judged(got, "CI-9", "not reproduced")
    assert got.part.effect == pytest.approx(0.5)
    assert_judged(verdicts.depends_on_the_cut(sharpness([0.0, -0.01, 0.1, 0.2]), RANDOM), "CI-9", "reproduced")


# --- CI-10 ---


def small(**rows: list[float]) -> Rows:
    """Numbers of which only those of small-lr count."""
    return {a: {"small-lr": v, "big-lr": [x / 100 for x in reversed(v)]} for a, v in rows.items()}


def test_ci10_needs_one_architecture_that_is_sharper_and_better() -> None:
    flat = areas(small(mlp=[4.0, 6.0], vgg=[1.0, 3.0], resnet8=[20.0, 20.0]))
    better = accuracies(small(mlp=[0.5, 0.54], vgg=[0.7, 0.72], resnet8=[0.6, 0.6]))
    got = verdicts.sharper_yet_better(flat, better)
    assert_judged(got, "CI-10", "reproduced")
    assert got.part.effect == pytest.approx(0.71 - 0.52)
    assert got.part.measured.startswith("mlp: area 5, test 52.0%; vgg: area 2, test 71.0%; ")
    worse = accuracies(small(mlp=[0.5, 0.54], vgg=[0.4, 0.42], resnet8=[0.6, 0.6]))
    got = verdicts.sharper_yet_better(flat, worse)
    assert_judged(got, "CI-10", "not reproduced")
    assert got.part.effect == pytest.approx(0.52 - 0.60)  # the least that is lost


def test_ci10_without_a_sharper_architecture_is_not_testable() -> None:
    same = areas(small(mlp=[2.0, 2.0], vgg=[2.0, 2.0]))
    got = verdicts.sharper_yet_better(same, accuracies(small(mlp=[0.5, 0.5], vgg=[0.7, 0.7])))
    assert_judged(got, "CI-10", "not tested")
    assert math.isnan(got.part.effect)
    fine = areas(small(mlp=[4.0, 4.0], vgg=[1.0, 1.0]))
    coarse = fine.assign(unresolved=xr.ones_like(fine["theta"], dtype=bool))
    got = verdicts.sharper_yet_better(coarse, accuracies(small(mlp=[0.5, 0.5], vgg=[0.7, 0.7])))
    assert_judged(got, "CI-10", "not tested")


@pytest.mark.parametrize(
    ("area", "test", "verdict"),
    [
        (2.0, 0.505, "reproduced"),
        (2.0, 0.495, "not reproduced"),
        (1.05, 0.7, "reproduced"),
        (1.05, 0.3, "not reproduced"),
    ],
)
def test_ci10_is_not_clear_where_areas_or_accuracies_are_close(area: float, test: float, verdict: str) -> None:
    flat = areas(small(mlp=[area, area], vgg=[1.0, 1.0]))
    got = verdicts.sharper_yet_better(flat, accuracies(small(mlp=[0.5, 0.5], vgg=[test, test])))
    assert_judged(got, "CI-10", verdict, clear=False)


def test_ci10_needs_two_architectures_that_have_fitted() -> None:
    rows = small(mlp=[4.0, 6.0], vgg=[1.0, 3.0])
    test = small(mlp=[0.5, 0.5], vgg=[0.7, 0.7])
    got = verdicts.sharper_yet_better(areas(small(mlp=[1.0])), accuracies(small(mlp=[0.5])))
    assert_judged(got, "CI-10", "not tested")
    assert "it takes two architectures" in got.part.reason
    poor = {
        "mlp": {"small-lr": [1.0, 1.0], "big-lr": [0.1, 0.1]},
        "vgg": {"small-lr": [0.8, 1.0], "big-lr": [1.0, 1.0]},
    }
    got = verdicts.sharper_yet_better(areas(rows), accuracies(test, poor))
    assert_judged(got, "CI-10", "not tested")
    assert got.part.reason == "vgg with small-lr has fitted only 80.0% of the training set"
    poor["vgg"]["small-lr"] = [0.95, 1.0]  # that big-lr has not is another claim's matter
    assert_judged(verdicts.sharper_yet_better(areas(rows), accuracies(test, poor)), "CI-10", "reproduced")


def test_ci10_is_not_testable_where_the_smaller_area_reaches_the_edge() -> None:
    rows, test = small(mlp=[4.0, 6.0], vgg=[1.0, 3.0]), small(mlp=[0.5, 0.5], vgg=[0.7, 0.7])
    for edge in ((("vgg", "small-lr"),), (("vgg", "small-lr"), ("mlp", "small-lr"))):
        got = verdicts.sharper_yet_better(areas(rows, edge=edge), accuracies(test))
        assert_judged(got, "CI-10", "not tested")
        assert "window holds" in got.part.reason
    for edge in ((("mlp", "small-lr"),), (("vgg", "big-lr"), ("mlp", "big-lr"))):
        assert_judged(verdicts.sharper_yet_better(areas(rows, edge=edge), accuracies(test)), "CI-10", "reproduced")


def test_ci10_looks_only_at_areas_whose_order_is_certain() -> None:
    """Of vgg and resnet8, whose areas may be larger, only mlp's is known to be smaller: and mlp is the worst."""
    flat, test = small(mlp=[1.0], vgg=[4.0], resnet8=[9.0]), small(mlp=[0.5], vgg=[0.9], resnet8=[0.7])
    got = verdicts.sharper_yet_better(areas(flat), accuracies(test))
    assert_judged(got, "CI-10", "reproduced")
    for how in ({"edge": (("vgg", "small-lr"),)}, {"tiny": (("vgg", "small-lr"), ("resnet8", "small-lr"))}):
        got = verdicts.sharper_yet_better(areas(flat, **how), accuracies(test))
        assert_judged(got, "CI-10", "not reproduced")
        assert got.part.effect == pytest.approx(0.5 - 0.7)


# --- CI-11 ---


def interference(classes: int = 6, seed: int = 0) -> xr.DataArray:
    matrix = np.random.default_rng(seed).random((classes, classes)) / 100
    np.fill_diagonal(matrix, 0)
    return rates_of(matrix + np.diag(1 - matrix.sum(1)))


def similarity(rates: xr.DataArray, weight: float, seed: int = 1) -> xr.DataArray:
    """A symmetric similarity that follows the symmetrised interference as far as the weight says."""
    noise = np.random.default_rng(seed).random(rates.shape)
    values = weight * (rates.values + rates.values.T) * 50 + (1 - abs(weight)) * (noise + noise.T) / 2
    np.fill_diagonal(values, 1)
    names = rates["true"].values
    return xr.DataArray(values, dims=("class", "other"), coords={"class": names, "other": names})


def p_value(got: Judgement) -> float:
    return float(got.part.measured.rsplit("p = ", 1)[1])


@pytest.mark.parametrize(
    ("weight", "verdict"), [(0.9, "reproduced"), (0.0, "not reproduced"), (-0.9, "not reproduced")]
)
def test_ci11_needs_similarity_to_follow_interference(weight: float, verdict: str) -> None:
    rates = interference()
    got = verdicts.alike_surfaces(similarity(rates, weight), rates, permutations=200)
    assert_judged(got, "CI-11", verdict)
    pairs = list(itertools.combinations(range(6), 2))
    both = [(rates.values[a, b] + rates.values[b, a]) / 2 for a, b in pairs]
    want = stats.spearmanr([similarity(rates, weight).values[p] for p in pairs], both).statistic
    assert got.part.effect == pytest.approx(want)
    assert f"rho = {want:.2f} over 15 pairs" in got.part.measured
    assert (p_value(got) < 0.02) == (verdict == "reproduced")


def test_ci11_is_judged_on_the_pairs_that_have_a_similarity() -> None:
    rates = interference()
    similar = similarity(rates, 0.9)
    similar[0, :] = similar[:, 0] = np.nan
    got = verdicts.alike_surfaces(similar, rates, permutations=200)
    assert "over 10 pairs" in got.part.measured
    assert_judged(got, "CI-11", "reproduced")


def test_ci11_leaves_out_the_classes_without_examples() -> None:
    rates = interference(7)
    similar = similarity(rates, 0.9)
    rates[3] = np.nan
    got = verdicts.alike_surfaces(similar, rates, permutations=200)
    assert "over 15 pairs" in got.part.measured
    assert_judged(got, "CI-11", "reproduced")


def test_ci11_is_not_testable_with_few_pairs_or_even_interference() -> None:
    few = interference(4)
    similar = similarity(few, 0.9)
    similar[0, 1] = similar[1, 0] = np.nan
    got = verdicts.alike_surfaces(similar, few)
    assert_judged(got, "CI-11", "not tested")
    assert got.part.reason.startswith("fewer than six pairs")
    even = rates_of(np.full((5, 5), 0.2))
    assert_judged(verdicts.alike_surfaces(similarity(even, 0.5), even), "CI-11", "not tested")
    assert verdicts.alike_surfaces(similarity(few, 0.9), few, permutations=50).verdict != "not tested"


def test_ci11_is_not_clear_near_five_percent() -> None:
    rates, seen = interference(), set()
    for seed in range(60):
        got = verdicts.alike_surfaces(similarity(rates, 0.4, seed), rates, permutations=100)
        assert (got.verdict != "undecided") == (not 0.02 <= p_value(got) <= 0.1)
        assert (got.verdict == "reproduced") == (got.part.effect > 0 and p_value(got) < 0.02)
        seen.add(got.verdict)
        if len(seen) == 3:
            return
    pytest.fail(f"only {seen} were seen")


def test_ci11_without_a_relation_has_uniform_p_values() -> None:
    rates = interference()
    drawn = (verdicts.alike_surfaces(similarity(rates, 0.0, s), rates, permutations=39) for s in range(40))
    assert stats.kstest([p_value(got) for got in drawn], "uniform").pvalue > 1e-3


# --- CI-12 ---


def grid_of(own: float, partner: float, *, turn: bool = False) -> xr.Dataset:
    """The space of ship and cat: a class's loss is 3 - own * its own theta + partner * the other's."""
    theta = np.array([-1.0, 0.0, 1.0])
    t1, t2 = np.meshgrid(theta, theta, indexing="ij")
    losses = [np.zeros((3, 3)), 3 - own * t2 + partner * t1, 3 - own * t1 + partner * t2]
    grid = xr.Dataset(
        {"class_loss": (("theta1", "theta2", "class"), np.stack(losses, -1))},
        coords={"theta1": theta, "theta2": theta, "class": ["dog", "cat", "ship"]},
        attrs={"first": "ship", "second": "cat"},
    )
    return grid.transpose("class", "theta2", "theta1") if turn else grid


def test_ci12_needs_a_rise_on_ones_own_ascent_and_most_on_the_partners_descent() -> None:
    got = verdicts.own_ascent([grid_of(0.5, 1.0, turn=i % 2 == 1) for i in range(10)])
    assert_judged(got, "CI-12", "reproduced")
    assert got.part.effect == 1
    assert "own ascent raises it in 100%, partner's descent is the worst end in 100% of 20 cases" in got.part.measured
    own_worst = verdicts.own_ascent([grid_of(1.0, 0.5)] * 10)
    assert_judged(own_worst, "CI-12", "not reproduced")
    assert own_worst.part.effect == 0
    falling = verdicts.own_ascent([grid_of(-0.5, 1.0)] * 10)
    assert_judged(falling, "CI-12", "not reproduced")
    assert "own ascent raises it in 0%, partner's descent is the worst end in 100%" in falling.part.measured
    partner_ascent = verdicts.own_ascent([grid_of(0.5, -1.0)] * 10)
    assert_judged(partner_ascent, "CI-12", "not reproduced")


def test_ci12_counts_each_class_of_every_model() -> None:
    one = grid_of(0.5, 1.0)
    one["class_loss"].loc[{"class": "cat"}] = grid_of(1.0, 0.5)["class_loss"].sel({"class": "cat"})
    got = verdicts.own_ascent([one, grid_of(0.5, 1.0)])
    assert got.part.effect == 0.75
    n, p, z = 4, 0.75, stats.norm.ppf(0.975)
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert got.part.interval == pytest.approx([(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)])


@pytest.mark.parametrize(
    ("grids", "verdict"),
    [
        ([grid_of(0.5, 1.0)] * 6 + [grid_of(1.0, 0.5)] * 5, "reproduced"),  # 12 of 22 are worst
        ([grid_of(0.5, 1.0)] * 5 + [grid_of(1.0, 0.5)] * 5, "not reproduced"),
        ([grid_of(0.5, 1.0)] * 10 + [grid_of(-0.5, 1.0)], "reproduced"),  # 20 of 22 rise
        ([grid_of(0.5, 1.0)] * 9 + [grid_of(-0.5, 1.0)], "not reproduced"),  # exactly 90 %
        ([grid_of(0.5, 1.0)], "reproduced"),  # few say little
    ],
)
def test_ci12_is_not_clear_where_one_model_decides(grids: list[xr.Dataset], verdict: str) -> None:
    assert_judged(verdicts.own_ascent(grids), "CI-12", verdict, clear=False)


def test_ci12_takes_what_diverges_for_the_largest_loss() -> None:
    grid = grid_of(1.0, 0.5)
    grid["class_loss"].loc[{"class": "ship", "theta1": 0.0, "theta2": 1.0}] = np.nan
    grid["class_loss"].loc[{"class": "cat", "theta1": 1.0, "theta2": 0.0}] = np.inf
    assert verdicts.own_ascent([grid]).part.effect == 1


# --- CI-13 ---


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(3e-16, "reproduced"), (1e-12, "not reproduced"), (0.1, "not reproduced"), (np.nan, "not reproduced")],
)
def test_ci13_holds_to_rounding(error: float, verdict: str) -> None:
    got = verdicts.convex_combination(error)
    assert_judged(got, "CI-13", verdict)
    assert got.part.effect == pytest.approx(error, nan_ok=True)
    assert f"{error:.1e}" in got.part.measured


# --- CI-19 ---


def rises(*rows: list[float]) -> xr.DataArray:
    """Rises of two seeds around each number, over (architecture, seed, class)."""
    values = np.array([[[x - 0.1 for x in row], [x + 0.1 for x in row]] for row in rows])
    coords = {"architecture": ["mlp", "vgg"][: len(rows)], "seed": [0, 1], "class": list("abcd")}
    return xr.DataArray(values, dims=("architecture", "seed", "class"), coords=coords)


def test_ci19_needs_every_class_of_every_architecture_to_rise_more() -> None:
    most = rises([1, 2, 3, 4], [1, 1, 1, 1])
    got = verdicts.moved_more_by_second({"most": most, "second": rises([2, 3, 4, 5], [2, 2, 2, 2])})
    assert_judged(got, "CI-19", "reproduced")
    assert got.part.effect == 1
    assert "larger for 8 of 8 classes by architecture; mean rise 2.8 against 1.8 nats" in got.part.measured
    one_less = verdicts.moved_more_by_second({"most": most, "second": rises([2, 3, 4, 5], [2, 0.5, 2, 2])})
    assert_judged(one_less, "CI-19", "not reproduced")
    assert one_less.part.effect == pytest.approx(7 / 8)
    assert "larger for 7 of 8" in one_less.part.measured


@pytest.mark.parametrize("more", [1.02, 1.0])
def test_ci19_is_not_clear_where_a_class_rises_alike(more: float) -> None:
    most = rises([1, 2, 3, 4])
    second = rises([2, 3, 4, 4 * more])
    got = verdicts.moved_more_by_second({"most": most, "second": second})
    if more > 1:
        assert_judged(got, "CI-19", "reproduced", clear=False)
    else:
        assert got.verdict == "not reproduced"


def test_ci19_of_one_pair_with_itself_is_not_testable() -> None:
    got = verdicts.moved_more_by_second({"most": rises([1, 2, 3, 4]), "second": rises([1, 2, 3, 4])})
    assert_judged(got, "CI-19", "not tested")
    assert got.part.reason == "the two pairs are one"


@pytest.mark.parametrize(
    "judge", [lambda rows: ci7(areas(rows)), lambda rows: verdicts.accuracy_by_recipe(accuracies(rows))]
)
def test_an_effect_lies_within_its_interval_also_over_unlike_architectures(judge: object) -> None:
    slow = {"small-lr": [0.50, 0.51], "big-lr": [0.52, 0.54], "anneal-lr": [0.56, 0.57]}
    fast = {"small-lr": [0.10, 0.11], "big-lr": [0.40, 0.42], "anneal-lr": [0.80, 0.81]}
    got = judge({"mlp": slow, "vgg": fast})
    assert got.part.interval[0] < got.part.effect < got.part.interval[1]
    assert got.part.effect == pytest.approx(np.mean(got.part.interval))


def test_judgements_can_be_saved_and_set_in_a_table(tmp_path: object) -> None:
    listed = [
        verdicts.accuracy_by_recipe(accuracies({"mlp": GOOD})),
        verdicts.sharper_yet_better(areas(small(mlp=[1.0])), accuracies(small(mlp=[0.5]))),
        verdicts.convex_combination(1e-16),
    ]
    path = tmp_path / "claims.json"  # type: ignore[operator]
    claims.save(listed, path, {})
    assert str(claims.load(path)[0]) == str(listed)
    assert "**not tested** (it takes two architectures whose" in claims.markdown_table(listed)
