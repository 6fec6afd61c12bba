import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from landscape_utils.interference.cctm import bootstrap_interval
from landscape_utils.sections.label_dancing import claims as verdicts
from landscape_utils.sections.label_dancing.claims import CIFAR10
from landscape_utils.suite import claims
from tests.unit.interference.test_dancing import movie_of

PAIRS = (("cat", "dog"), ("automobile", "truck"))
ENDS = (("cat", "dog"), ("dog", "cat"), ("automobile", "truck"), ("truck", "automobile"))
Draw = Callable[[np.random.Generator, np.ndarray], None]


def history_of(draw: Draw, *, epochs: int = 40, seed: int = 0, names: tuple[str, ...] = CIFAR10) -> xr.Dataset:
    """A history whose off-diagonal cells `draw` fills, epoch by epoch; the diagonal is the rest."""
    rng, values = np.random.default_rng(seed), np.zeros((epochs + 1, len(names), len(names)))
    for matrix in values:
        draw(rng, matrix)
        np.fill_diagonal(matrix, 0)
        np.fill_diagonal(matrix, 1 - matrix.sum(1))
    rates = movie_of(values, names)
    return xr.Dataset({"train_cctm": rates, "test_cctm": rates})


def pull(rng: np.random.Generator, matrix: np.ndarray) -> None:
    """Now and then a class draws all others' images and keeps its own: cells follow recalls, and no pair dances."""
    drawn = rng.uniform(-1, 1, 10)
    matrix[:] = 0.04 + 0.015 * (drawn[None, :] - drawn[:, None]) + 0.005 * rng.uniform(-1, 1, (10, 10))


def weather(rng: np.random.Generator, matrix: np.ndarray) -> None:
    """All recalls rise and fall together, the partners' only somewhat less."""
    dance(rng, matrix)
    matrix += 0.03 * rng.uniform(-0.5, 1)


def dance(rng: np.random.Generator, matrix: np.ndarray) -> None:
    """Partners take each other's images in turn; all else is noise."""
    matrix[:] = 0.02 + 0.005 * rng.uniform(-1, 1, (10, 10))
    for a, b in PAIRS:
        x, y, swing = CIFAR10.index(a), CIFAR10.index(b), rng.uniform(-1, 1)
        matrix[x, y], matrix[y, x] = 0.15 + 0.1 * swing, 0.15 - 0.1 * swing


def together(rng: np.random.Generator, matrix: np.ndarray) -> None:
    """Partners lose at the same time, each to the other."""
    matrix[:] = 0.02 + 0.005 * rng.uniform(-1, 1, (10, 10))
    for a, b in PAIRS:
        x, y = CIFAR10.index(a), CIFAR10.index(b)
        matrix[x, y] = matrix[y, x] = 0.15 + 0.1 * rng.uniform(-1, 1)


def still(rng: np.random.Generator, matrix: np.ndarray) -> None:
    matrix[:] = 0.0


def runs(draw: Draw, **how: int) -> dict[str, list[xr.Dataset]]:
    """Three seeds of two architectures."""
    return {name: [history_of(draw, seed=10 * i + s, **how) for s in range(3)] for i, name in enumerate(("one", "two"))}


def effects(judgement: claims.Judgement) -> dict[str, float]:
    return {part.name: part.effect for part in judgement.parts}


def seen(judgement: claims.Judgement) -> dict[str, str]:
    return {part.name: part.verdict for part in judgement.parts}


def test_ci14_asks_for_recalls_that_move_against_each_other_and_for_more_than_others_do() -> None:
    dancing = verdicts.dances_early(runs(dance), PAIRS)
    assert dancing.verdict == "reproduced"
    assert max(effects(dancing).values()) < -0.7
    less = verdicts.dances_early(runs(weather), PAIRS)  # below the others, but above 0
    assert effects(less)["dance"] > 0
    assert seen(less)["less_than_others"] == "seen"
    assert seen(less)["dance"] != "seen"
    assert verdicts.dances_early(runs(together), PAIRS).verdict == "not reproduced"


def test_ci14_is_a_plain_mean_over_pairs_and_architectures_for_each_seed() -> None:
    histories = runs(dance)
    expected = [
        np.mean([float(dancing_of(histories[name][seed], a, b)) for name in histories for a, b in PAIRS])
        for seed in range(3)
    ]
    got = verdicts.dances_early(histories, PAIRS).parts[0]
    assert got.effect == pytest.approx(np.mean(expected))
    assert got.interval == pytest.approx(claims.student(np.array(expected)))


def dancing_of(history: xr.Dataset, a: str, b: str) -> float:
    x, y = (
        np.diff([float(history.train_cctm.sel(epoch=t, true=c, predicted=c)) for t in range(1, 21)]) for c in (a, b)
    )
    return float(np.corrcoef(x, y)[0, 1])


def test_ci14_is_seldom_met_by_chance() -> None:
    drawn = [
        verdicts.dances_early({"m": [history_of(pull, seed=3 * s + i) for i in range(3)]}, PAIRS) for s in range(20)
    ]
    assert sum(effects(one)["less_than_others"] < 0 for one in drawn) > 4
    assert sum(one.verdict == "reproduced" for one in drawn) <= 2  # one in forty is expected


def test_ci14_looks_at_the_first_half_alone() -> None:
    late, early = history_of(together, epochs=20), history_of(dance, epochs=20)
    both = xr.concat([early, late.isel(epoch=slice(1, None)).assign_coords(epoch=np.arange(21, 41))], dim="epoch")
    got = verdicts.dances_early({"m": [both] * 3}, PAIRS)
    assert got.verdict == "reproduced"
    assert "In the second half of the training the pairs' mean correlation is 0." in got.note
    assert (verdicts.early(both), verdicts.late(both)) == ((1, 20), (20, 40))


def test_ci15_is_not_met_where_every_cell_follows_its_recall() -> None:
    assert verdicts.peaks_with_partner(runs(dance), PAIRS).verdict == "reproduced"
    everywhere = verdicts.peaks_with_partner(runs(pull), PAIRS)
    assert effects(everywhere)["with_partner"] > 0.4
    assert seen(everywhere)["beyond_other_pairs"] != "seen"
    against = verdicts.peaks_with_partner(runs(together), PAIRS)
    assert seen(against)["with_partner"] == "not seen"
    assert effects(against)["with_partner"] < 0


def test_the_groups_of_ci15_are_those_of_a_plain_loop() -> None:
    history = history_of(dance, epochs=12)
    steps = np.diff(history.train_cctm.values[1:].astype(float), axis=0)
    index = {name: i for i, name in enumerate(CIFAR10)}

    def r(a: int, c: int, of: int) -> float:
        return float(np.corrcoef(steps[:, a, c], steps[:, of, of])[0, 1])

    partner = [r(index[a], index[b], index[b]) for a, b in ENDS]
    others = [r(index[a], index[b], c) for a, b in ENDS for c in range(10) if CIFAR10[c] not in (a, b)]
    rest = [r(a, c, c) for a, c in itertools.permutations(range(10), 2) if (CIFAR10[a], CIFAR10[c]) not in ENDS]
    got = verdicts.following_groups({"m": [history]}, PAIRS).values()
    for group, want in zip(got, (partner, others, rest), strict=True):
        np.testing.assert_allclose(sorted(group), sorted(want), atol=1e-6)


@pytest.mark.parametrize("judge", [verdicts.dances_early, verdicts.peaks_with_partner])
def test_ci14_and_ci15_say_why_they_cannot_be_tested(judge: Callable[..., claims.Judgement]) -> None:
    few = history_of(lambda rng, m: m.__setitem__(slice(None), rng.uniform(0, 0.1, (3, 3))), names=("a", "b", "c"))
    for histories, pairs, reason in (
        ({"m": [few]}, [("a", "b")], "5 classes or more"),
        (runs(dance, epochs=7), PAIRS, "8 epochs or more"),
        (runs(dance), (), "no pair interferes"),
        (runs(still), PAIRS, "no seed has such a number"),
    ):
        got = judge(histories, pairs)
        assert got.verdict == "not tested"
        assert reason in got.parts[0].reason


def test_one_class_without_examples_is_left_out_of_the_pairs() -> None:
    histories = runs(dance)
    for history in itertools.chain(*histories.values()):
        history["train_cctm"][:, CIFAR10.index("truck")] = np.nan
    for judge in (verdicts.dances_early, verdicts.peaks_with_partner):
        assert judge(histories, PAIRS).verdict == "reproduced"
    assert seen(verdicts.notes_name_partner(histories, PAIRS, "other"))["partner_leads"] == "seen"


def noting(notes: dict[str, list[str]]) -> xr.Dataset:
    """A history of one epoch a note: the class is most often taken for it, "" for nothing."""
    epochs = max(map(len, notes.values()))
    values = np.eye(10)[None].repeat(epochs + 1, 0)
    for name, line in notes.items():
        own = CIFAR10.index(name)
        for t, note in enumerate(line, 1):
            if note:
                values[t, own, own], values[t, own, CIFAR10.index(note)] = 0.9, 0.1
    rates = movie_of(values, CIFAR10)
    return xr.Dataset({"train_cctm": rates, "test_cctm": rates})


def test_ci16_is_the_partners_lead_among_the_notes() -> None:
    lines = {a: [b] * 6 + ["ship"] * 2 + [""] * 2 for a, b in ENDS}
    good = verdicts.notes_name_partner({"m": [noting(lines)] * 3}, PAIRS, "other")
    assert (good.verdict, effects(good)["partner_leads"]) == ("partly reproduced", pytest.approx(6 / 8 - 2 / 8))
    assert "dog is cat's note in 60% of the epochs, and cat is dog's in 60%" in good.note
    assert "no note (-2) in 20%" in good.note
    turned = {**lines, "dog": ["horse"] * 10}
    assert effects(verdicts.notes_name_partner({"m": [noting(turned)] * 3}, PAIRS, "other"))[
        "partner_leads"
    ] == pytest.approx((3 * 0.5 - 1) / 4)


def test_ci16_pools_the_architectures_of_a_seed_and_asks_for_a_note() -> None:
    first = noting({a: [b] * 3 + ["ship"] * 4 for a, b in ENDS})
    second = noting({a: [b] * 9 for a, b in ENDS})
    alone = verdicts.notes_name_partner({"m": [first] * 3}, PAIRS, "other")
    assert seen(alone)["partner_leads"] == "not seen"
    both = verdicts.notes_name_partner({"m": [first] * 3, "n": [second] * 3}, PAIRS, "other")
    assert seen(both)["partner_leads"] == "seen"
    for silent, pairs, reason in (
        (noting({"cat": [""]}), PAIRS, "no seed has such"),
        (first, (), "no pair interferes"),
    ):
        got = verdicts.notes_name_partner({"m": [silent] * 3}, pairs, "other")
        assert (got.verdict, reason in got.parts[0].reason) == ("not tested", True)


def test_ci16_compares_how_long_cat_and_dog_stay_in_each_others_notes_on_cifar10() -> None:
    line = noting({"cat": ["dog"] * 2 + [""] * 8, "dog": ["cat"] * 7 + [""] * 3})
    got = verdicts.notes_name_partner({"m": [line] * 3}, PAIRS, "cifar10")
    assert effects(got)["persists"] == pytest.approx(0.7 - 0.2)
    assert seen(got)["persists"] == "seen"
    assert seen(verdicts.notes_name_partner({"m": [line] * 3}, PAIRS, "glyphs10"))["persists"] == "not tested"


@pytest.mark.parametrize(
    ("frog", "horse", "verdict"),
    [
        (20, 0, {"frog": "seen", "horse": "seen"}),
        (5, 0, {"frog": "not seen", "horse": "seen"}),
        (20, 10, {"frog": "seen", "horse": "not seen"}),
        (10, 2, {"frog": "undecided", "horse": "undecided"}),
    ],
)
def test_ci17_counts_frog_and_horse_in_cats_notes(frog: int, horse: int, verdict: dict[str, str]) -> None:
    line = ["frog"] * frog + ["horse"] * horse + ["dog"] * (100 - frog - horse)
    got = verdicts.frog_not_horse({"m": [noting({"cat": line})] * 3}, "cifar10")
    assert seen(got) == verdict
    assert effects(got) == {"frog": pytest.approx(frog / 100), "horse": pytest.approx(horse / 100)}


def test_ci17_is_about_cifar10_alone() -> None:
    got = verdicts.frog_not_horse(runs(dance), "glyphs10")
    assert got.verdict == "not tested"
    assert "glyphs10" in got.parts[0].reason


def final(recall: float, partner: float, images: int = 1000) -> xr.DataArray:
    """Every class: its recall, its partner's cell (the next class's where there is none), the rest spread out."""
    values = np.zeros((10, 10))
    ends = dict(ENDS)
    for own, name in enumerate(CIFAR10):
        to = CIFAR10.index(ends[name]) if name in ends else (own + 1) % 10
        values[own] = (1 - recall - partner) / 8
        values[own, own], values[own, to] = recall, partner
    names = list(CIFAR10)
    coordinates = {"true": names, "predicted": names, "examples": ("true", [images] * 10)}
    return xr.DataArray(values, dims=("true", "predicted"), coords=coordinates, name="cctm")


def test_ci18_gives_the_papers_own_shares() -> None:
    for recall, partner, share in ((0.967, 0.025, 0.76), (0.978, 0.018, 0.82)):
        got = verdicts.one_partner_takes_all({"m": [final(recall, partner)] * 3}, PAIRS, "cifar10")
        assert (got.verdict, got.part.effect) == ("reproduced", pytest.approx(share, abs=0.005))
        assert got.note == f"Recall and partner's cell: automobile {recall:.1%} + truck {partner:.1%}."
    assert (
        verdicts.one_partner_takes_all({"m": [final(0.967, 0.021)] * 3}, PAIRS, "cifar10").verdict == "not reproduced"
    )


def test_ci18_elsewhere_averages_over_the_pairs_and_the_networks() -> None:
    both = {"m": [final(0.8, 0.19)] * 3, "n": [final(0.9, 0.095)] * 3}
    assert verdicts.one_partner_takes_all(both, PAIRS, "other").part.effect == pytest.approx(0.95)
    low = verdicts.one_partner_takes_all({"m": [final(0.8, 0.1)] * 3}, PAIRS, "other")
    assert (low.verdict, low.part.effect) == ("not reproduced", pytest.approx(0.5))
    several = [final(0.8, 0.151), final(0.8, 0.14), final(0.8, 0.16)]
    assert verdicts.one_partner_takes_all({"m": several}, PAIRS, "other").verdict == "undecided"
    for nothing in (final(1.0, 0.0), final(0.8, 0.1) * np.nan):
        assert verdicts.one_partner_takes_all({"m": [nothing] * 3}, PAIRS, "other").verdict == "not tested"
    assert "named beforehand" in verdicts.one_partner_takes_all({"m": several}, (), "other").part.reason


def test_the_final_cctm_is_exact_and_can_be_redrawn() -> None:
    counts = np.random.default_rng(0).multinomial(333, np.ones(10) / 10, size=10)
    counts[4] = 0
    examples = counts.sum(1)
    with np.errstate(invalid="ignore"):
        exact = counts / examples[:, None]
    history = xr.Dataset({"test_cctm": movie_of(np.stack([np.eye(10), exact]), CIFAR10)})
    rates = verdicts.final_cctm(history, torch.arange(10).repeat_interleave(torch.tensor(examples)))
    np.testing.assert_array_equal(rates.values, exact)
    assert rates.examples.values.tolist() == examples.tolist()
    bootstrap_interval(rates, lambda r: float(r[0, 0]), draws=20)  # float32 rates would be refused as probabilities


def test_strongest_partners_are_those_of_a_plain_loop() -> None:
    rates = final(0.8, 0.12)
    rates[2] = np.nan
    rates[3] = np.eye(10)[3]
    got = verdicts.strongest_partners(rates)
    for own, name in enumerate(CIFAR10):
        if name not in ("bird", "cat"):
            best = max((c for c in range(10) if c != own), key=lambda c, own=own: float(rates[own, c]))
            row = got.sel(true=name)
            assert str(row.partner.item()) == CIFAR10[best]
            assert float(row.share) == pytest.approx(float(rates[own, best]) / 0.2)
            assert (float(row.recall), float(row.rate)) == (float(rates[own, own]), float(rates[own, best]))
    assert np.isnan(got.share.sel(true=["bird", "cat"])).all()


def test_table_1_stands_beside_a_run_on_cifar10_alone() -> None:
    table = verdicts.beside_table_1({"resnet8": final(0.8, 0.1)})
    assert table.sizes == {"model": 9, "true": 10}
    assert float(table.sel(model="VGG19, main text", true="cat")) == pytest.approx(0.867)
    assert float(table.sel(model="VGG19, with appendix", true="cat")) == pytest.approx(0.845)
    assert (table.sel(model="resnet8, this run") == 0.8).all()
    with pytest.raises(ValueError, match="table 1 has CIFAR-10's classes; mine's are x, y"):
        verdicts.beside_table_1({"mine": final(0.8, 0.1)[:2, :2].assign_coords(true=["x", "y"], predicted=["x", "y"])})
