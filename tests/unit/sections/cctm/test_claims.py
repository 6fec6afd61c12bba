from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from landscape_utils.data.letters import GLYPHS10, KNOWN_PAIRS
from landscape_utils.interference.cctm import symmetry
from landscape_utils.sections.cctm import claims as verdicts
from landscape_utils.suite import claims


def matrix(pair_rate: float, other: float, names: tuple[str, ...] = GLYPHS10, n: int = 1000) -> xr.DataArray:
    """A CCTM in which known pairs have one rate and all other cells another."""
    index = {name: i for i, name in enumerate(names)}
    cells = np.full((len(names), len(names)), other)
    for a, b in KNOWN_PAIRS:
        cells[index[a], index[b]] = cells[index[b], index[a]] = pair_rate
    np.fill_diagonal(cells, 0)
    np.fill_diagonal(cells, 1 - cells.sum(1))
    coordinates = {"true": list(names), "predicted": list(names), "examples": ("true", [n] * len(names))}
    return xr.DataArray(cells, dims=("true", "predicted"), coords=coordinates, name="cctm")


def seeds(*several: xr.DataArray, times: int = 3) -> list[dict[str, xr.DataArray]]:
    """The same CCTMs of as many architectures for each of some seeds."""
    return [{f"net{i}": rates for i, rates in enumerate(several)}] * times


def with_recalls(recalls: np.ndarray) -> xr.DataArray:
    rates = matrix(0.0, 0.0)
    np.fill_diagonal(rates.values, recalls)
    return rates


def effects(judgement: claims.Judgement) -> list[float]:
    return [part.effect for part in judgement.parts]


def test_ci1_is_the_known_pairs_margin() -> None:
    good = verdicts.largest_cells(seeds(matrix(0.05, 0.01)), "glyphs10")
    assert (good.verdict, effects(good)) == ("reproduced", [pytest.approx(0.04)])
    assert "Known pairs: O-Q" in good.note
    assert verdicts.largest_cells(seeds(matrix(0.01, 0.02)), "glyphs10").verdict == "not reproduced"
    one_side = matrix(0.05, 0.01)
    one_side.loc["Q", "O"] = 0.0
    assert verdicts.largest_cells(seeds(one_side), "glyphs10").verdict == "not reproduced"
    assert verdicts.largest_cells(seeds(matrix(0.05, 0.01)), "mine.npz").verdict == "not tested"
    mixed = [*seeds(matrix(0.05, 0.01)), *seeds(matrix(0.01, 0.05))]
    assert verdicts.largest_cells(mixed, "glyphs10").verdict == "undecided"


def one_sided(rates: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """Shuffle within each row whom its class is taken for."""
    off = ~np.eye(len(rates), dtype=bool)
    values = rates.values.copy()
    values[off] = rng.permuted(values[off].reshape(len(values), -1), axis=1).ravel()
    return rates.copy(data=values)


def test_ci2_is_symmetry_beyond_rows_shuffled() -> None:
    symmetric = matrix(0.05, 0.01)
    rng = np.random.default_rng(0)
    assert verdicts.is_symmetric(seeds(symmetric)).verdict == "reproduced"
    lopsided = [{"m": one_sided(symmetric, rng)} for _ in range(6)]
    got = verdicts.is_symmetric(lopsided)
    assert got.verdict == "not reproduced"
    expected = []
    for (rates,) in map(dict.values, lopsided):
        found = symmetry(rates, permutations=500)
        expected.append(float(found.correlation) - np.quantile(found.null, 0.99))
    assert effects(got) == [pytest.approx(np.mean(expected))]


def test_ci3_compares_the_known_pairs_with_half_of_all_errors() -> None:
    high = verdicts.largest_share(seeds(matrix(0.08, 0.005)), "glyphs10")
    # One known cell of 0.08 and eight others of 0.005 a class: two thirds of the errors.
    assert (high.verdict, effects(high)) == ("reproduced", [pytest.approx(2 / 3)])
    assert high.note == "The 5 known pairs would hold 11% if all pairs were alike."
    low = verdicts.largest_share(seeds(matrix(0.02, 0.01)), "glyphs10")
    assert (low.verdict, effects(low)) == ("not reproduced", [pytest.approx(0.2)])


def test_ci3_does_not_count_the_choice_of_pairs_in_its_favour() -> None:
    """Errors without any structure: five pairs chosen on one half hold a tenth of the other half, not more."""
    rng = np.random.default_rng(0)
    flat = matrix(0.01, 0.01)
    rates = flat.copy(data=np.stack([rng.multinomial(1000, row) / 1000 for row in flat.values]))
    got = verdicts.largest_share(seeds(rates), "other")
    assert (got.verdict, effects(got)) == ("not reproduced", [pytest.approx(5 / 45, abs=0.03)])


def test_ci4_needs_two_architectures_that_agree() -> None:
    base = np.random.default_rng(0).random(10)
    same = verdicts.same_hard_classes(seeds(with_recalls(base), with_recalls(base * 0.9)))
    assert (same.verdict, effects(same)) == ("reproduced", [pytest.approx(1)])
    opposed = verdicts.same_hard_classes(seeds(with_recalls(base), with_recalls(1 - base)))
    assert (opposed.verdict, effects(opposed)) == ("not reproduced", [pytest.approx(-1)])
    assert verdicts.same_hard_classes(seeds(with_recalls(base))).verdict == "not tested"


@pytest.mark.parametrize("size", [2, 10])
def test_without_errors_or_ranks_nothing_is_claimed(tmp_path: Path, size: int) -> None:
    names = [f"c{i}" for i in range(size)]
    coordinates = {"true": names, "predicted": names, "examples": ("true", [50] * size)}
    perfect = seeds(*[xr.DataArray(np.eye(size), dims=("true", "predicted"), coords=coordinates, name="cctm")] * 2)
    judged = [
        verdicts.largest_cells(perfect, "mine"),
        verdicts.is_symmetric(perfect),
        verdicts.largest_share(perfect, "mine"),
        verdicts.same_hard_classes(perfect),
        verdicts.one_or_many(perfect, 0.005),
    ]
    assert {j.verdict for j in judged} == {"not tested"}
    claims.save(judged, tmp_path / "x.json", {})
    assert len(claims.load(tmp_path / "x.json")[0]) == 5


def test_an_architecture_without_a_rank_leaves_its_seed_out() -> None:
    good, flat = matrix(0.05, 0.01), matrix(0.0, 0.0)
    for several in (seeds(good, flat), seeds(flat, good)):
        assert verdicts.is_symmetric(several).verdict == "not tested"
        assert verdicts.same_hard_classes(several).verdict == "not tested"
        assert verdicts.one_or_many(several, 0.005).verdict == "not tested"


def test_ci5_looks_at_the_strongest_and_at_the_number() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(10):  # the harder the class, the stronger its interferer and the more of them
        row = np.zeros(10)
        others = np.delete(np.arange(10), i)[: i + 1]
        row[others] = 0.01 + 0.01 * i * rng.random(len(others))
        row[others[0]] += 0.02 * i
        row[i] = 1 - row.sum()
        rows.append(row)
    hard = matrix(0.0, 0.0).copy(data=np.stack(rows))
    both = verdicts.one_or_many(seeds(hard), 0.005)
    counts = (np.array(rows) > 0.005).sum(1) - (np.diag(rows) > 0.005)
    assert both.verdict == "reproduced"
    assert both.parts[1].effect == pytest.approx(stats.spearmanr(counts, np.diag(rows)).statistic)
    rows = []
    for i in range(10):  # the harder the class, the stronger its interferer, but the fewer of them
        row = np.zeros(10)
        others = np.delete(np.arange(10), i)[: 9 - i]
        row[others] = 0.006
        row[(i + 1) % 10] = 0.03 + 0.05 * i
        row[i] = 1 - row.sum()
        rows.append(row)
    strong_only = verdicts.one_or_many(seeds(matrix(0.0, 0.0).copy(data=np.stack(rows))), 0.005)
    assert strong_only.verdict == "partly reproduced"
    assert strong_only.parts[0].effect == pytest.approx(-1)
    assert claims.on("cifar10", strong_only).parts[0].instrument  # a recall is one minus its row's other cells
