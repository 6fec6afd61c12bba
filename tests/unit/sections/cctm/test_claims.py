from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from landscape_utils.data.letters import GLYPHS10, KNOWN_PAIRS
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


def test_ci1_follows_the_largest_cells() -> None:
    good = verdicts.largest_cells({"m": matrix(0.05, 0.01)}, "glyphs10")
    assert (good.verdict, good.clear) == ("reproduced", True)
    assert good.effect == pytest.approx(0.04)
    assert verdicts.largest_cells({"m": matrix(0.01, 0.02)}, "glyphs10").verdict == "not reproduced"
    assert not verdicts.largest_cells({"m": matrix(0.0105, 0.01)}, "glyphs10").clear
    one_side = matrix(0.05, 0.01)
    one_side.loc["Q", "O"] = 0.0
    assert verdicts.largest_cells({"m": one_side}, "glyphs10").verdict == "not reproduced"
    assert verdicts.largest_cells({"m": matrix(0.05, 0.01)}, "mine.npz").verdict == "not testable here"


def test_ci2_needs_every_architecture() -> None:
    symmetric = matrix(0.05, 0.01)
    rng = np.random.default_rng(0)
    lopsided = symmetric.copy(data=rng.permuted(symmetric.values, axis=1))
    assert verdicts.is_symmetric({"a": symmetric}).verdict == "reproduced"
    assert verdicts.is_symmetric({"a": symmetric, "b": lopsided}).verdict == "not reproduced"


def test_ci3_compares_the_known_pairs_with_half_of_all_errors() -> None:
    high = verdicts.largest_share({"m": matrix(0.08, 0.005)}, "glyphs10")
    # One known cell of 0.08 and eight others of 0.005 a class: two thirds of the errors.
    assert high.effect == pytest.approx(2 / 3)
    assert high.interval is not None
    assert high.interval[0] < 2 / 3 < high.interval[1]
    assert high.verdict == "reproduced"
    low = verdicts.largest_share({"m": matrix(0.02, 0.01)}, "glyphs10")
    assert low.effect == pytest.approx(0.2)
    assert low.verdict == "not reproduced"


def test_ci3_does_not_count_the_choice_of_pairs_in_its_favour() -> None:
    """Errors without any structure: five pairs chosen on one half hold a tenth of the other half, not more."""
    rng = np.random.default_rng(0)
    flat = matrix(0.01, 0.01)
    rates = flat.copy(data=np.stack([rng.multinomial(1000, row) / 1000 for row in flat.values]))
    judged = verdicts.largest_share({"m": rates}, "other")
    assert judged.effect == pytest.approx(5 / 45, abs=0.03)
    assert judged.verdict == "not reproduced"


def test_ci4_needs_two_architectures_that_agree() -> None:
    rng = np.random.default_rng(0)

    def with_recalls(recalls: np.ndarray) -> xr.DataArray:
        rates = matrix(0.0, 0.0)
        np.fill_diagonal(rates.values, recalls)
        return rates

    base = rng.random(10)
    same = verdicts.same_hard_classes({"a": with_recalls(base), "b": with_recalls(base * 0.9)})
    assert same.verdict == "reproduced"
    assert same.effect == pytest.approx(1)
    assert (
        verdicts.same_hard_classes({"a": with_recalls(base), "b": with_recalls(1 - base)}).verdict == "not reproduced"
    )
    assert verdicts.same_hard_classes({"a": with_recalls(base)}).verdict == "not testable here"


@pytest.mark.parametrize("size", [2, 10])
def test_without_errors_or_ranks_nothing_is_claimed(tmp_path: Path, size: int) -> None:
    names = [f"c{i}" for i in range(size)]
    coordinates = {"true": names, "predicted": names, "examples": ("true", [50] * size)}
    perfect = xr.DataArray(np.eye(size), dims=("true", "predicted"), coords=coordinates, name="cctm")
    judged = [
        verdicts.largest_cells({"a": perfect, "b": perfect}, "mine"),
        verdicts.is_symmetric({"a": perfect, "b": perfect}),
        verdicts.largest_share({"a": perfect, "b": perfect}, "mine"),
        verdicts.same_hard_classes({"a": perfect, "b": perfect}),
        verdicts.one_or_many({"a": perfect, "b": perfect}, 0.005),
    ]
    assert {j.verdict for j in judged} == {"not testable here"}
    claims.save(judged, tmp_path / "x.json", {})
    assert len(claims.load(tmp_path / "x.json")[0]) == 5


def test_one_architecture_without_a_rank_is_enough_to_leave_a_claim_open() -> None:
    good, flat = matrix(0.05, 0.01), matrix(0.0, 0.0)
    for several in ({"a": good, "b": flat}, {"b": flat, "a": good}):
        assert verdicts.is_symmetric(several).verdict == "not testable here"
        assert verdicts.same_hard_classes(several).verdict == "not testable here"
        assert verdicts.one_or_many(several, 0.005).verdict == "not testable here"


def test_ci5_asks_for_both_the_strongest_and_the_number() -> None:
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
    assert verdicts.one_or_many({"m": hard}, 0.005).verdict == "reproduced"
    rows = []
    for i in range(10):  # the harder the class, the stronger its interferer, but the fewer of them
        row = np.zeros(10)
        others = np.delete(np.arange(10), i)[: 9 - i]
        row[others] = 0.006
        row[(i + 1) % 10] = 0.03 + 0.05 * i
        row[i] = 1 - row.sum()
        rows.append(row)
    strong_only = verdicts.one_or_many({"m": matrix(0.0, 0.0).copy(data=np.stack(rows))}, 0.005)
    assert strong_only.verdict == "not reproduced"
    assert "rho = -1.00 with the strongest" in strong_only.measured
