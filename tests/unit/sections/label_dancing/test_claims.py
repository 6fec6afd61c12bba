import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from landscape_utils.interference.cctm import bootstrap_interval
from landscape_utils.interference.dancing import Floats
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
    return {"one": [history_of(draw, **how)], "two": [history_of(draw, seed=s, **how) for s in (1, 2)]}


def test_ci14_needs_recalls_that_move_against_each_other() -> None:
    dancing = verdicts.dances_early(runs(dance), PAIRS)
    assert (dancing.verdict, dancing.clear) == ("reproduced", True)
    assert dancing.effect < -0.7
    assert dancing.interval is not None
    assert dancing.interval[0] < dancing.effect < dancing.interval[1] < 0
    assert verdicts.dances_early(runs(pull), PAIRS).verdict == "not reproduced"
    less = verdicts.dances_early(runs(weather), PAIRS)  # below the others, but above 0
    assert "r = 0." in less.measured
    assert less.effect < -0.1
    assert less.verdict == "not reproduced"
    both = verdicts.dances_early(runs(together), PAIRS)
    assert (both.verdict, both.clear) == ("not reproduced", True)
    assert both.effect > 0.5


def test_ci14_is_seldom_met_by_chance() -> None:
    judged = [verdicts.dances_early({"m": [history_of(pull, seed=s)]}, PAIRS) for s in range(20)]
    assert sum(j.effect < 0 for j in judged) > 5
    assert sum(j.verdict == "reproduced" for j in judged) <= 3  # one in twenty is expected


def test_ci14_looks_at_the_first_half_alone() -> None:
    late, early = history_of(together, epochs=20), history_of(dance, epochs=20)
    both = xr.concat([early, late.isel(epoch=slice(1, None)).assign_coords(epoch=np.arange(21, 41))], dim="epoch")
    judged = verdicts.dances_early({"m": [both]}, PAIRS)
    assert judged.verdict == "reproduced"
    assert "in the second half 0." in judged.measured
    assert judged.interval is not None
    assert judged.interval[0] < judged.effect < judged.interval[1] < 0
    assert (verdicts.early(both), verdicts.late(both)) == ((1, 20), (20, 40))


def test_ci15_is_not_met_where_every_cell_follows_its_recall() -> None:
    dancing = verdicts.peaks_with_partner(runs(dance), PAIRS)
    assert (dancing.verdict, dancing.clear) == ("reproduced", True)
    assert dancing.interval is not None
    assert dancing.interval[0] < dancing.effect < dancing.interval[1]
    everywhere = verdicts.peaks_with_partner(runs(pull), PAIRS)
    assert everywhere.effect > 0.4
    assert everywhere.verdict == "not reproduced"
    against = verdicts.peaks_with_partner(runs(together), PAIRS)
    assert (against.verdict, against.clear) == ("not reproduced", True)
    assert against.effect < 0


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
        ({"m": [few]}, [("a", "b")], "7 classes or more"),
        (runs(dance, epochs=7), PAIRS, "8 epochs or more"),
        (runs(dance), (), "no pair interferes"),
        (runs(still), PAIRS, "not change"),
    ):
        judged = judge(histories, pairs)
        assert judged.verdict == "not testable here"
        assert reason in judged.reason


def test_one_class_without_examples_is_left_out_of_the_pairs() -> None:
    histories = runs(dance)
    for history in itertools.chain(*histories.values()):
        history["train_cctm"][:, CIFAR10.index("truck")] = np.nan
    for judge in (verdicts.dances_early, verdicts.peaks_with_partner, verdicts.notes_name_partner):
        assert judge(histories, PAIRS).verdict == "reproduced"


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


def test_ci16_wants_the_partner_first_for_every_class() -> None:
    lines = {a: [b] * 6 + ["ship"] * 2 + [""] * 2 for a, b in ENDS}
    good = verdicts.notes_name_partner({"m": [noting(lines)]}, PAIRS)
    assert (good.verdict, good.clear) == ("reproduced", True)
    assert good.effect == pytest.approx(6 / 8 - 2 / 8)
    assert "4 of 4 classes" in good.measured
    assert "dog in cat's notes in 60% of the epochs, longest run 6.0" in good.measured
    assert "no note (-2) in 20%" in good.measured
    one_else = verdicts.notes_name_partner({"m": [noting({**lines, "dog": ["horse"] * 6 + ["cat"] * 2})]}, PAIRS)
    assert (one_else.verdict, one_else.clear) == ("not reproduced", True)
    assert "3 of 4 classes" in one_else.measured
    close = verdicts.notes_name_partner({"m": [noting({**lines, "dog": ["cat"] * 5 + ["horse"] * 5})]}, PAIRS)
    assert (close.verdict, close.clear) == ("not reproduced", False)


def test_ci16_pools_runs_and_asks_for_a_note() -> None:
    first = noting({a: [b] * 3 + ["ship"] * 4 for a, b in ENDS})
    second = noting({a: [b] * 9 for a, b in ENDS})
    assert verdicts.notes_name_partner({"m": [first]}, PAIRS).verdict == "not reproduced"
    assert verdicts.notes_name_partner({"m": [first], "n": [second]}, PAIRS).verdict == "reproduced"
    assert "no class of a pair has a note" in verdicts.notes_name_partner({"m": [noting({"cat": [""]})]}, PAIRS).reason
    assert "no pair interferes" in verdicts.notes_name_partner({"m": [first]}, ()).reason


@pytest.mark.parametrize(
    ("frog", "horse", "verdict", "clear"),
    [
        (20, 0, "reproduced", True),
        (11, 2, "reproduced", False),
        (9, 0, "not reproduced", False),
        (2, 0, "not reproduced", True),
        (20, 3, "not reproduced", False),
        (20, 10, "not reproduced", True),
    ],
)
def test_ci17_counts_frog_and_horse_in_cats_notes(frog: int, horse: int, verdict: str, clear: bool) -> None:
    line = ["frog"] * frog + ["horse"] * horse + ["dog"] * (100 - frog - horse)
    judged = verdicts.frog_not_horse({"m": [noting({"cat": line})]}, "cifar10")
    assert (judged.verdict, judged.clear) == (verdict, clear)
    assert judged.effect == pytest.approx((frog - horse) / 100)


def test_ci17_is_about_cifar10_alone() -> None:
    judged = verdicts.frog_not_horse(runs(dance), "glyphs10")
    assert judged.verdict == "not testable here"
    assert "glyphs10" in judged.reason


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


def test_ci18_takes_the_papers_own_shares_for_nearly_all() -> None:
    for recall, partner, share in ((0.967, 0.025, 0.76), (0.978, 0.018, 0.82)):
        judged = verdicts.one_partner_takes_all({"m": final(recall, partner)}, PAIRS, "cifar10")
        assert judged.verdict == "reproduced"
        assert judged.effect == pytest.approx(share, abs=0.005)
        assert judged.measured == f"{share:.0%} of the errors; automobile {recall:.1%} + truck {partner:.1%}"
    assert verdicts.one_partner_takes_all({"m": final(0.967, 0.021)}, PAIRS, "cifar10").verdict == "not reproduced"


def test_ci18_elsewhere_averages_over_the_pairs_and_knows_how_sure_it_is() -> None:
    high = verdicts.one_partner_takes_all({"m": final(0.8, 0.19), "n": final(0.9, 0.095)}, PAIRS, "other")
    assert (high.verdict, high.clear) == ("reproduced", True)
    assert high.interval is not None
    assert high.interval[0] < high.effect < high.interval[1]
    low = verdicts.one_partner_takes_all({"m": final(0.8, 0.1)}, PAIRS, "other")
    assert (low.verdict, low.clear) == ("not reproduced", True)
    assert low.effect == pytest.approx(0.5)
    near = verdicts.one_partner_takes_all({"m": final(0.8, 0.151)}, PAIRS, "other")
    assert (near.verdict, near.clear) == ("reproduced", False)
    for nothing in (final(1.0, 0.0), final(0.8, 0.1) * np.nan):
        assert verdicts.one_partner_takes_all({"m": nothing}, PAIRS, "other").verdict == "not testable here"
    assert "named beforehand" in verdicts.one_partner_takes_all({"m": final(0.8, 0.1)}, (), "other").reason


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


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    rng, hits, widths = np.random.default_rng(0), 0, []

    def mean(values: Floats) -> float:
        return float(values.mean())

    for _ in range(200):
        low, high = verdicts._interval([(rng.normal(size=(100, 1)),), (rng.normal(size=(100, 1)),)], mean)
        hits += low <= 0 <= high
        widths.append(high - low)
    assert 180 <= hits <= 199
    assert np.mean(widths) == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.1)
    assert np.isnan(verdicts._interval([(rng.normal(size=(7, 1)),)], mean)).all()  # less than two blocks


def test_judgements_without_an_interval_can_be_saved(tmp_path: Path) -> None:
    short = runs(dance, epochs=9)
    judged = [verdicts.dances_early(short, PAIRS), verdicts.peaks_with_partner(short, PAIRS)]
    claims.save(judged, tmp_path / "x.json", {})
    assert [j.id for j in claims.load(tmp_path / "x.json")[0]] == ["CI-14", "CI-15"]
