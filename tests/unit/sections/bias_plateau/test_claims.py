from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from landscape_utils.plateau import hardness
from landscape_utils.sections.bias_plateau import claims as verdicts
from landscape_utils.sections.bias_plateau.study import Way
from landscape_utils.suite.claims import Judgement

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
    return [
        Way(network, "", "linear", seed, accuracy, curve({"loss": loss, "mistake_rate": error}))
        for seed, (error, loss) in enumerate(zip(errors, losses or errors, strict=True))
    ]


def spread(mean, by=0.01):
    return [mean - by, mean, mean + by]


def parts(judgement: Judgement) -> dict[str, str]:
    return {part.name: part.verdict for part in judgement.parts}


def effects(judgement: Judgement) -> dict[str, float]:
    return {part.name: part.effect for part in judgement.parts}


def test_the_made_curves_have_the_lengths_they_are_made_for():
    assert [round(w.length(), 3) for w in ways(spread(0.4))] == [0.39, 0.4, 0.41]


@pytest.mark.parametrize(
    ("simple", "error", "loss", "broken"),
    [
        (0.1, 0.4, 0.5, set()),
        (0.3, 0.4, 0.5, {"fully_connected_loss", "fully_connected_convex"}),
        (0.1, 0.2, 0.5, {"vgg_error"}),
        (0.1, 0.5, 0.2, {"vgg_loss"}),
    ],
)
def test_each_networks_plateaus_are_judged_for_themselves(simple, error, loss, broken):
    got = verdicts.plateau_of_the_deeper_network(ways(spread(simple)), ways(spread(error), spread(loss)))
    assert got.id == "BP-1"
    assert {name for name, verdict in parts(got).items() if verdict == "not seen"} == broken
    lengths = {"fully_connected_loss": simple, "vgg_loss": loss, "vgg_error": error}
    assert {name: effects(got)[name] for name in lengths} == pytest.approx(lengths, abs=1e-6)


def test_a_loss_that_is_short_but_bent_is_not_convex():
    step = np.where(ALPHAS < 0.12, np.log(10), 0.0) + np.linspace(0.2, 0, 51)
    step[5:30] += 0.8
    bent = [replace(w, curve=w.curve.assign(loss=("alpha", step))) for w in ways([0.1] * 3)]
    got = verdicts.plateau_of_the_deeper_network(bent, ways(spread(0.5)))
    assert parts(got)["fully_connected_convex"] == "not seen"
    assert "Points above an earlier one: loss" in got.note


def test_runs_that_do_not_fit_have_no_number_and_are_named():
    low = ways(spread(0.1))
    high = [*ways([0.5, 0.51, 0.49]), *ways([0.0], accuracy=0.3)]
    got = verdicts.plateau_of_the_deeper_network(low, high)
    assert got.verdict == "reproduced"
    assert got.note.endswith("Left out, for they do not fit: net, seed 0 (30%).")
    assert [p.reason for p in got.parts if p.name == "vgg_loss"] == ["1 of 4 seeds have none"]
    none = verdicts.plateau_of_the_deeper_network(low, ways([0.5], accuracy=0.1))
    assert parts(none)["vgg_loss"] == parts(none)["vgg_error"] == "not tested"


def predictions(measured, predicted):
    """Make `study.predictions` of lengths over (depth, seed, gap); from a start of zero they are the predicted ones."""
    dims = ("depth", "seed", "gap")
    coordinates = {"depth": [2, 4, 6], "seed": range(measured.shape[1]), "gap": [0.0, 2.0], "start": [1.0, 0.0]}
    variables = {"measured": (dims, measured), "predicted": (dims, predicted), "first_flip": (dims, predicted)}
    shrunk = np.stack([measured[..., 0], predicted[..., 0]], axis=-1)
    return xr.Dataset({**variables, "shrunk": ((*dims[:2], "start"), shrunk)}, coords=coordinates)


GRID = np.array([[[0.1, 0.2]] * 3, [[0.3, 0.4]] * 3, [[0.6, 0.8]] * 3]) + np.array([-0.01, 0, 0.01])[:, None]


def test_the_competition_predicts_what_grows_with_depth_and_gap():
    got = verdicts.competition_predicts(predictions(0.8 * GRID, GRID))
    assert parts(got) == {"depth": "seen", "gap": "seen", "prediction": "seen", "vanishing": "exact"}
    assert effects(got)["depth"] == pytest.approx(0.8 * 0.2)  # the smaller of both steps
    assert "above 0 in 0 of 18 cases" in got.note
    noise = np.random.default_rng(0).uniform(0, 1, GRID.shape)
    assert parts(verdicts.competition_predicts(predictions(GRID, noise)))["prediction"] != "seen"
    assert parts(verdicts.competition_predicts(predictions(GRID[::-1], GRID[::-1])))["depth"] == "not seen"
    assert parts(verdicts.competition_predicts(predictions(GRID[..., ::-1], GRID[..., ::-1])))["gap"] == "not seen"


def test_what_a_start_of_zero_gives_has_to_be_the_prediction():
    table = predictions(0.8 * GRID, GRID)
    table["shrunk"][1, 2, -1] += 0.01
    assert parts(verdicts.competition_predicts(table))["vanishing"] == "not seen"


def test_depths_at_which_nothing_fits_are_not_judged():
    grid = GRID.copy()
    grid[1] = np.nan
    got = verdicts.competition_predicts(predictions(grid, grid))
    assert parts(got) == {"depth": "not tested", "gap": "not tested", "prediction": "seen", "vanishing": "exact"}
    none = verdicts.competition_predicts(predictions(np.nan * grid, np.nan * grid))
    assert none.verdict == "not tested"


@pytest.mark.parametrize(
    ("after", "half", "less"),
    [(0.1, "seen", "seen"), (0.3, "not seen", "seen"), (0.45, "not seen", "not seen")],
    ids=["a quarter", "three quarters", "longer"],
)
def test_a_plateau_is_shortened_by_half_or_at_all(after, half, less):
    pair = {part: (ways([0.38, 0.4, 0.42]), ways(spread(after))) for part in ("fully_connected", "vgg")}
    for judge, verdict in ((verdicts.biases_make_the_plateau, half), (verdicts.homogeneous_biases_shorten, less)):
        got = judge(pair)
        assert parts(got) == {"fully_connected": verdict, "vgg": verdict}
        assert got.note.startswith("net 0.40 (0.35 to 0.45) to ")
    assert effects(verdicts.biases_make_the_plateau(pair))["vgg"] == pytest.approx(0.2 - after)


def test_a_network_without_a_plateau_has_nothing_to_shorten():
    flat, short = ways([0.4, 0.41, 0.39]), ways([0.1] * 3)
    none = [replace(w, curve=w.curve * 0 + 0.1) for w in short]
    got = verdicts.biases_make_the_plateau({"fully_connected": (none, none), "vgg": (flat, short)})
    assert parts(got) == {"fully_connected": "not tested", "vgg": "seen"}
    assert got.parts[0].reason == "nothing to shorten: no plateau above 0.05"


def test_a_seed_counts_only_where_both_of_its_runs_fit():
    before = ways([0.4, 0.41, 0.39, 0.9])
    after = [*ways([0.1, 0.11, 0.09]), *ways([0.9] * 4, accuracy=0.2)[3:]]
    got = verdicts.biases_make_the_plateau({"fully_connected": (before, after), "vgg": (before[:1], after[:1])})
    assert parts(got) == {"fully_connected": "seen", "vgg": "undecided"}
    assert "seed 3 (20%)" in got.note


@pytest.mark.parametrize(
    ("error", "loss", "verdict"), [(0.4, 0.4, "seen"), (0.4, 0.2, "undecided"), (0.1, 0.4, "not seen")]
)
def test_the_plateau_that_grows_less_decides(error, loss, verdict):
    longer = {
        "fully_connected_scale": (ways(spread(0.2)), ways(spread(error), spread(loss)[::-1])),
        "fully_connected_depth": (ways(spread(0.2)), ways(spread(0.4))),
    }
    longer = {k: (a, [replace(w, variant="small") for w in b]) for k, (a, b) in longer.items()}
    got = verdicts.small_and_deep_are_flat({**longer, "vgg_scale": (ways([0.3] * 3),) * 2})
    assert parts(got) == {"fully_connected_scale": verdict, "fully_connected_depth": "seen", "vgg_scale": "not tested"}
    assert got.note.startswith("Longer by: net to small: loss 0.")


def orders(sign, seeds=6):
    rng = np.random.default_rng(0)
    epoch = rng.permuted(np.tile(np.arange(8.0), (seeds, 1)), axis=1)
    bias = sign * epoch + rng.normal(0, 1, epoch.shape)
    return xr.Dataset({"epoch": (("seed", "class"), epoch), "bias": (("seed", "class"), bias)})


@pytest.mark.parametrize(("sign", "verdict"), [(1, "seen"), (0, "undecided"), (-1, "not seen")])
def test_the_bias_follows_the_order_of_learning(sign, verdict):
    assert parts(verdicts.bias_follows_the_order(orders(sign))) == {"order": verdict}


def test_a_class_that_is_never_learned_counts_as_the_last():
    late = orders(1)
    late["epoch"] = late["epoch"].where(late["epoch"] < 7)
    np.testing.assert_allclose(
        verdicts.bias_follows_the_order(late).part.effect, verdicts.bias_follows_the_order(orders(1)).part.effect
    )


def test_classes_that_are_all_learned_at_once_have_no_order():
    same = orders(1)
    same["epoch"][:] = 3
    assert verdicts.bias_follows_the_order(same).verdict == "not tested"


def test_a_convex_curve_can_be_the_harder_problem():
    problems = [hardness.valley(1e4), hardness.chain(8)]
    curves = {p.name: (hardness.line(p), hardness.descent(p)) for p in problems}
    assert parts(verdicts.shape_is_not_hardness(curves)) == dict.fromkeys(("convex", "flat", "steps"), "exact")
    turned = verdicts.shape_is_not_hardness(dict(reversed(curves.items())))
    assert parts(turned) == dict.fromkeys(("convex", "flat", "steps"), "not seen")


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds):
    short, long = ways(spread(0.1)[:seeds]), ways(spread(0.4)[:seeds])
    every = [
        verdicts.plateau_of_the_deeper_network(short, long),
        verdicts.biases_make_the_plateau(dict.fromkeys(("fully_connected", "vgg"), (long, short))),
        verdicts.homogeneous_biases_shorten(dict.fromkeys(("fully_connected", "vgg"), (long, short))),
        verdicts.small_and_deep_are_flat(
            dict.fromkeys(("fully_connected_scale", "fully_connected_depth", "vgg_scale"), (short, long))
        ),
        verdicts.bias_follows_the_order(orders(1).isel(seed=slice(seeds))),
    ]
    assert {verdict for got in every for verdict in parts(got).values()} == {"undecided"}
    of_grid = parts(verdicts.competition_predicts(predictions(GRID[:, :seeds], GRID[:, :seeds])))
    assert of_grid == {"depth": "undecided", "gap": "undecided", "prediction": "undecided", "vanishing": "exact"}
