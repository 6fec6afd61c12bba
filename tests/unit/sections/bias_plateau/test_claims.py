import numpy as np
import pytest
import xarray as xr

from landscape_utils.plateau import hardness
from landscape_utils.sections.bias_plateau import claims as verdicts
from landscape_utils.sections.bias_plateau.study import Way
from landscape_utils.suite.claims import student

ALPHAS = np.linspace(0, 1, 51)
GUESS = {"loss": np.log(10), "mistake_rate": 0.9}


def curve(plateaus):
    """Make curves that are flat for a while and then fall straight to zero."""
    variables = {}
    for name, length in plateaus.items():
        start = (length - 0.1) / 0.9  # a straight fall has made a tenth of its gain after a tenth of it
        fall = np.clip((ALPHAS - start) / (1 - start), 0, 1)
        variables[name] = ("alpha", GUESS[name] * (1 - fall))
    return xr.Dataset(variables, coords={"alpha": ALPHAS, "class": range(10)})


def ways(errors, losses=None, *, network="net", accuracy=1.0):
    made = []
    for seed, (error, loss) in enumerate(zip(errors, losses or errors, strict=True)):
        both = curve({"loss": loss, "mistake_rate": error})
        made.append(Way(network, "", "linear", seed, accuracy, both, both))
    return made


def spread(mean, by=0.01):
    return [mean - by, mean, mean + by]


def test_the_made_curves_have_the_lengths_they_are_made_for():
    assert [round(w.length(), 3) for w in ways(spread(0.4))] == [0.39, 0.4, 0.41]


@pytest.mark.parametrize(
    ("simple", "error", "loss", "verdict"),
    [
        (0.1, 0.4, 0.5, "reproduced"),
        (0.3, 0.4, 0.5, "not reproduced"),
        (0.1, 0.2, 0.5, "not reproduced"),
        (0.1, 0.5, 0.2, "not reproduced"),
    ],
)
def test_the_deeper_networks_plateau_is_long_in_both_and_the_others_short(simple, error, loss, verdict):
    got = verdicts.plateau_of_the_deeper_network(ways(spread(simple)), ways(spread(error), spread(loss)))
    assert (got.id, got.verdict) == ("BP-1", verdict)
    assert got.part.effect == pytest.approx(min(error, loss), abs=1e-6)


def test_a_loss_that_is_short_but_bent_is_not_convex():
    bent = ways([0.1] * 3)
    step = np.where(ALPHAS < 0.12, np.log(10), 0.0) + np.linspace(0.2, 0, 51)
    step[5:30] += 0.8
    bent = [Way(w.network, "", "linear", w.seed, 1.0, w.train.assign(loss=("alpha", step)), w.test) for w in bent]
    got = verdicts.plateau_of_the_deeper_network(bent, ways(spread(0.5)))
    assert got.verdict == "not reproduced"


def test_runs_that_do_not_fit_are_left_out_and_named():
    low = ways(spread(0.1))
    high = [*ways([0.5, 0.51, 0.49]), *ways([0.0], accuracy=0.3)]
    got = verdicts.plateau_of_the_deeper_network(low, high)
    assert got.verdict == "reproduced"
    assert got.part.reason == "left out, for they do not fit: net, seed 0 (30%)"
    none = verdicts.plateau_of_the_deeper_network(low, ways([0.5], accuracy=0.1))
    assert none.verdict == "not tested"
    assert "no run of one of the networks fits" in none.part.reason


def predictions(measured, predicted):
    dims = ("depth", "seed", "gap")
    coordinates = {"depth": [2, 4, 6], "seed": range(measured.shape[1]), "gap": [0.0, 2.0]}
    found = {"measured": measured, "predicted": predicted, "first_flip": predicted}
    return xr.Dataset({name: (dims, values) for name, values in found.items()}, coords=coordinates)


def test_the_competition_predicts_what_grows_with_depth_and_gap():
    grid = np.array([[[0.1, 0.2]] * 3, [[0.3, 0.4]] * 3, [[0.6, 0.8]] * 3])
    assert verdicts.competition_predicts(predictions(0.8 * grid, grid)).verdict == "reproduced"
    noise = np.random.default_rng(0).uniform(0, 1, grid.shape)
    assert verdicts.competition_predicts(predictions(grid, noise)).verdict != "reproduced"
    assert verdicts.competition_predicts(predictions(grid[::-1], grid[::-1])).verdict != "reproduced"
    assert verdicts.competition_predicts(predictions(grid[..., ::-1], grid[..., ::-1])).verdict != "reproduced"


@pytest.mark.parametrize(
    ("verdict", "half", "less"),
    [
        (0.1, "reproduced", "reproduced"),
        (0.3, "not reproduced", "reproduced"),
        (0.45, "not reproduced", "not reproduced"),
    ],
    ids=["a quarter", "three quarters", "longer"],
)
def test_a_plateau_is_shortened_by_half_or_at_all(verdict, half, less):
    pair = {"net": (ways([0.38, 0.4, 0.42]), ways(spread(verdict)))}
    assert verdicts.biases_make_the_plateau(pair).verdict == half
    assert verdicts.homogeneous_biases_shorten(pair).verdict == less


def test_networks_without_a_plateau_have_nothing_to_shorten():
    flat, short = ways([0.4, 0.41, 0.39]), ways([0.1] * 3)
    none = [Way("x", "", "linear", i, 1.0, w.train * 0 + 0.1, w.test) for i, w in enumerate(short)]
    alone = verdicts.biases_make_the_plateau({"x": (none, none)})
    assert alone.verdict == "not tested"
    both = verdicts.biases_make_the_plateau({"x": (none, none), "y": (flat, short)})
    assert both.verdict == "reproduced"
    assert "x: 0.00 (0.00 to 0.00), nothing to shorten" in both.part.measured


def test_a_seed_counts_only_where_both_of_its_runs_fit():
    before = ways([0.4, 0.41, 0.39, 0.9])
    after = [*ways([0.1, 0.11, 0.09]), *ways([0.9, 0.9, 0.9, 0.9], accuracy=0.2)[3:]]
    got = verdicts.biases_make_the_plateau({"net": (before, after)})
    assert got.verdict == "reproduced"
    assert "seed 3 (20%)" in got.part.reason
    few = verdicts.biases_make_the_plateau({"net": (before[:1], after[:1])})
    assert few.verdict == "undecided"
    assert "too few runs fit" in few.part.measured
    assert "two fitting runs" in few.part.reason
    lone = verdicts.small_and_deep_are_flat({"depth": (before[:1], after[:1])})
    assert (lone.verdict, lone.part.reason) == ("undecided", "too few seeds: 1 of at least 3; too few runs fit: depth")


def test_depths_at_which_nothing_fits_are_not_judged():
    grid = np.linspace(0.1, 0.9, 18).reshape(3, 3, 2)
    grid[1] = np.nan
    got = verdicts.competition_predicts(predictions(grid, grid))
    assert (got.verdict, got.part.reason) == ("not tested", "at one of the depths no run fits")
    grid[1, :2] = [[0.4, 0.5]] * 2
    got = verdicts.competition_predicts(predictions(grid, grid))
    assert (got.verdict, got.part.reason) == ("reproduced", "left out: 1 runs that do not fit")


@pytest.mark.parametrize(("error", "loss", "verdict"), [(0.4, 0.4, "reproduced"), (0.4, 0.2, "undecided")])
def test_longer_means_longer_in_loss_and_in_error(error, loss, verdict):
    pair = {"init scale 1 to 0.25": (ways(spread(0.2)), ways(spread(error), spread(loss)))}
    got = verdicts.small_and_deep_are_flat(pair)
    assert (got.id, got.verdict) == ("BP-6", verdict)


def orders(sign, seeds=6):
    rng = np.random.default_rng(0)
    epoch = rng.permuted(np.tile(np.arange(8.0), (seeds, 1)), axis=1)
    bias = sign * epoch + rng.normal(0, 1, epoch.shape)
    return xr.Dataset({"epoch": (("seed", "class"), epoch), "bias": (("seed", "class"), bias)})


@pytest.mark.parametrize(("sign", "verdict"), [(1, "reproduced"), (0, "not reproduced"), (-1, "not reproduced")])
def test_the_bias_follows_the_order_of_learning(sign, verdict):
    assert verdicts.bias_follows_the_order(orders(sign)).verdict == verdict


def test_a_class_that_is_never_learned_counts_as_the_last():
    late = orders(1)
    late["epoch"] = late["epoch"].where(late["epoch"] < 7)
    np.testing.assert_allclose(
        verdicts.bias_follows_the_order(late).part.effect, verdicts.bias_follows_the_order(orders(1)).part.effect
    )


def test_classes_that_are_all_learned_at_once_have_no_order():
    same = orders(1)
    same["epoch"][:] = 3
    assert verdicts.bias_follows_the_order(same).verdict == "undecided"


def test_a_convex_curve_can_be_the_harder_problem():
    problems = [hardness.valley(1e4), hardness.chain(8)]
    curves = {p.name: (hardness.line(p), hardness.descent(p)) for p in problems}
    assert verdicts.shape_is_not_hardness(curves).verdict == "reproduced"
    assert verdicts.shape_is_not_hardness(dict(reversed(curves.items()))).verdict == "not reproduced"


def test_students_interval_is_that_of_the_mean():
    low, high = student(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / np.sqrt(3), 2 + 4.3027 / np.sqrt(3)), rel=1e-4)
    assert student(np.array([1.0])) == (-np.inf, np.inf)
