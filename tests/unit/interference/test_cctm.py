import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import confusion_matrix
from torch import nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.inference import Outcomes
from landscape_utils.interference import cctm as i10e


def rates_of(matrix: list[list[float]] | np.ndarray, examples: int = 100) -> xr.DataArray:
    matrix = np.asarray(matrix, float)
    names = list("abcdefgh"[: len(matrix)])
    coordinates = {"true": names, "predicted": names, "examples": ("true", [examples] * len(matrix))}
    return xr.DataArray(matrix, dims=("true", "predicted"), coords=coordinates, name="cctm")


def random_rates(classes: int, seed: int, examples: int = 200) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.ones(classes), classes)
    return rates_of([rng.multinomial(examples, row) / examples for row in rows], examples)


@settings(deadline=None)
@given(
    labels=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60),
    classes=st.integers(7, 9),
)
def test_cctm_equals_scikit_learn_exactly(labels: list[tuple[int, int]], classes: int) -> None:
    true, predicted = (np.array(column) for column in zip(*labels, strict=True))
    result = Outcomes(torch.tensor(true), torch.tensor(predicted), torch.zeros(len(true)), classes)
    got = i10e.cctm_of(result).values
    with np.errstate(invalid="ignore"):
        want = confusion_matrix(true, predicted, labels=range(classes), normalize="true")
    missing = ~np.isin(np.arange(classes), true)
    assert np.isnan(got[missing]).all()  # NaN here, 0 there
    assert (got[~missing] == want[~missing]).all()


def test_cctm_of_a_model_and_its_names(small: Dataset) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    rates = i10e.cctm(model, small.test)
    assert rates.dims == ("true", "predicted")
    assert list(rates.true.values) == ["class0", "class1", "class2"]
    np.testing.assert_allclose(rates.sum("predicted"), 1)
    assert rates.examples.values.tolist() == [10, 10, 10]
    predicted = model(small.test.inputs).argmax(1)
    want = confusion_matrix(small.test.targets, predicted, normalize="true")
    assert (rates.values == want).all()
    assert list(i10e.cctm(model, tuple(small.test)).true.values) == ["0", "1", "2"]
    with pytest.raises(ValueError, match="the model's classes: 2 names for 3"):
        i10e.cctm(model, small.test, classes=["a", "b"])
    with pytest.raises(ValueError, match="two are called 'a'"):
        i10e.cctm(model, small.test, classes=["a", "b", "a"])


def test_a_cctm_that_is_too_large_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    result = Outcomes(torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), torch.zeros(3), 50_000)
    memory = type("Memory", (), {"available": 24 * 50_000**2})
    monkeypatch.setattr(i10e.psutil, "virtual_memory", lambda: memory)
    with pytest.raises(ValueError, match="50,000 classes takes 56 GiB"):
        i10e.cctm_of(result)
    memory.available += 1
    refusal = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 20000000000 bytes")
    for error in (refusal, MemoryError("Unable to allocate 18.6 GiB")):
        monkeypatch.setattr(i10e, "confusion_counts", raising(error))
        with pytest.raises(ValueError, match="50,000 classes takes 56 GiB"):
            i10e.cctm_of(result)
    monkeypatch.setattr(i10e, "confusion_counts", raising(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        i10e.cctm_of(result)


def raising(error: Exception) -> Callable[..., None]:
    def call(*given: object) -> None:
        raise error

    return call


@settings(deadline=None)
@given(true=st.lists(st.integers(0, 3), min_size=1, max_size=40), data=st.data())
def test_a_nan_prediction_lowers_its_classs_rates(true: list[int], data: st.DataObject) -> None:
    predicted = data.draw(st.lists(st.integers(-1, 3), min_size=len(true), max_size=len(true)))
    counts = torch.zeros(4, 4, dtype=torch.int64)
    for a, b in zip(true, predicted, strict=True):
        counts[a, b] += b >= 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(i10e, "confusion_counts", lambda targets, predicted, classes: counts)
        rates = i10e.cctm_of(Outcomes(torch.tensor(true), torch.tensor(predicted), torch.zeros(len(true)), 4))
    for c in set(true):
        mine = [b for a, b in zip(true, predicted, strict=True) if a == c]
        assert rates.examples.values[c] == len(mine)
        assert rates.values[c] == pytest.approx([mine.count(b) / len(mine) for b in range(4)])
    redrawn = i10e.resample(rates, np.random.default_rng(0))
    lost = 1 - rates.sum("predicted", skipna=False).values
    assert ((rates.values > 0) | ~(redrawn.values > 0)).all()  # what never happened is not drawn
    assert redrawn.sum("predicted").values[lost == 0] == pytest.approx(1)
    assert np.isnan(redrawn.values).all(1).tolist() == [c not in true for c in range(4)]


@settings(deadline=None, max_examples=20)
@given(lost=st.floats(1e-6, 1), seed=st.integers(0, 1000))
def test_lost_predictions_stay_lost_when_rows_are_redrawn(lost: float, seed: int) -> None:
    rates = rates_of([[(1 - lost) / 2, (1 - lost) / 2]] * 2, 10**8)
    redrawn = i10e.resample(rates, np.random.default_rng(seed))
    np.testing.assert_allclose(redrawn, rates, atol=6 * 0.5e-4)


def test_recalls_are_the_diagonal() -> None:
    rates = random_rates(5, 0)
    assert (i10e.recalls(rates).values == np.diag(rates.values)).all()
    assert i10e.recalls(rates).dims == ("true",)


def test_top_cells_leave_the_diagonal_out() -> None:
    rates = rates_of([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.05, 0, 0.95]])
    assert i10e.top_cells(rates, 2) == [("b", "a", 0.2), ("a", "b", 0.1)]


def test_top_cells_hold_no_diagonal_and_no_missing_class() -> None:
    rates = rates_of([[0.5, 0.5, 0], [np.nan] * 3, [0, 0, 1]])
    cells = i10e.top_cells(rates, 99)
    assert len(cells) == 4
    assert all(a != b and rate >= 0 for a, b, rate in cells)


@pytest.mark.parametrize("seed", range(5))
def test_symmetry_equals_pearson_over_ordered_pairs(seed: int) -> None:
    rates = random_rates(6, seed)
    cells = list(itertools.permutations(range(6), 2))
    x = [rates.values[a, b] for a, b in cells]
    y = [rates.values[b, a] for a, b in cells]
    got = i10e.symmetry(rates, permutations=10)
    assert float(got.correlation) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


def test_symmetry_of_a_symmetric_matrix_is_one_and_unlikely_by_chance() -> None:
    matrix = random_rates(8, 1).values
    result = i10e.symmetry(rates_of((matrix + matrix.T) / 2), permutations=500)
    assert float(result.correlation) == pytest.approx(1)
    assert float(result.p_value) == pytest.approx(1 / 501)


def test_symmetry_under_the_null_has_uniform_p_values() -> None:
    """Matrices whose rows are shuffled by construction: p must not be small too often."""
    p = [float(i10e.symmetry(random_rates(6, seed), permutations=99).p_value) for seed in range(100)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_symmetry_ignores_missing_classes_and_constant_matrices() -> None:
    rates = random_rates(6, 2)
    with_gap = rates.copy()
    with_gap[3] = np.nan
    keep = [0, 1, 2, 4, 5]
    without = rates_of(rates.values[np.ix_(keep, keep)])
    a, b = (float(i10e.symmetry(r, permutations=5).correlation) for r in (with_gap, without))
    assert a == pytest.approx(b)
    assert np.isnan(i10e.symmetry(rates_of(np.eye(4)), permutations=5).correlation)


@given(seed=st.integers(0, 1000), classes=st.integers(2, 7))
@settings(deadline=None)
def test_error_shares_sum_to_one_and_match_a_loop(seed: int, classes: int) -> None:
    rates = random_rates(classes, seed)
    shares = i10e.error_shares(rates)
    assert float(shares.sum()) == pytest.approx(1)
    assert (np.diff(shares.values) <= 0).all()
    total = sum(rates.values[a, b] for a in range(classes) for b in range(classes) if a != b)
    names = "abcdefgh"
    for share, a, b in zip(shares.values, shares["first"].values, shares["second"].values, strict=True):
        x, y = names.index(a), names.index(b)
        assert share == pytest.approx((rates.values[x, y] + rates.values[y, x]) / total)
    assert shares.attrs["uniform_share"] == pytest.approx(2 / (classes * (classes - 1)))


def test_error_shares_without_errors_are_nan() -> None:
    assert np.isnan(i10e.error_shares(rates_of(np.eye(3))).values).all()


@pytest.mark.parametrize("matrix", [np.empty((0, 0)), [[1.0]], [[np.nan]], np.full((3, 3), np.nan), [[0, 1], [1, 0]]])
def test_a_matrix_without_two_cells_to_compare_gives_nan(matrix: np.ndarray) -> None:
    result = i10e.symmetry(rates_of(matrix), permutations=3)
    assert np.isnan(result.correlation)
    assert np.isnan(result.p_value)
    assert np.isnan(result.null).all()
    assert result.null.shape == (3,)


@pytest.mark.parametrize("classes", [0, 1])
def test_without_two_classes_there_is_no_pair_to_share_errors(classes: int) -> None:
    shares = i10e.error_shares(rates_of(np.eye(classes)))
    assert shares.shape == (0,)
    assert np.isnan(shares.attrs["uniform_share"])
    assert shares.attrs["errors"] == 0


def test_error_shares_weigh_classes_by_their_examples() -> None:
    rates = rates_of([[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]])
    rates = rates.assign_coords(examples=("true", [300, 100, 100]))
    shares = i10e.error_shares(rates)
    assert shares.sel(pair="a-b").item() == pytest.approx(0.75)


def test_interferers_are_strictly_above_the_threshold() -> None:
    rates = rates_of([[0.99, 0.005, 0.005], [0.1, 0.9, 0], [0.02, 0.006, 0.974]])
    assert i10e.interferers(rates).sum("predicted").values.tolist() == [0, 1, 2]
    assert not i10e.interferers(rates).values.diagonal().any()
    with pytest.raises(ValueError, match=r"rates lie in \[0, 1\]"):
        i10e.interferers(rates, 2)


def test_agreement_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    columns = {name: xr.DataArray(rng.random(9), dims="true") for name in "xyz"}
    result = i10e.agreement(columns, permutations=50)
    want = [stats.spearmanr(columns[a], columns[b]).statistic for a, b in itertools.combinations("xyz", 2)]
    assert float(result.mean_correlation) == pytest.approx(np.mean(want))
    assert float(result.correlation.sel(model="x", other="y")) == pytest.approx(want[0])
    same = i10e.agreement({"x": columns["x"], "y": columns["x"]}, permutations=200)
    assert float(same.p_value) == pytest.approx(1 / 201)
    flat = i10e.agreement({"x": columns["x"], "y": xr.ones_like(columns["x"])}, permutations=20)
    assert np.isnan(flat.mean_correlation)
    assert np.isnan(flat.p_value)
    with pytest.raises(ValueError, match="two models or more"):
        i10e.agreement({"x": columns["x"]})


def test_bootstrap_interval_covers_a_binomial_rate() -> None:
    """Over many test sets drawn from a known rate, 95 % intervals should hold it about 95 % of the time."""
    rng, hits = np.random.default_rng(0), 0
    for trial in range(60):
        k = rng.binomial(200, 0.3)
        rates = rates_of([[1 - k / 200, k / 200], [0, 1]], 200)
        low, high = i10e.bootstrap_interval(rates, lambda r: float(r[0, 1]), draws=100, seed=trial)
        hits += low <= 0.3 <= high
    assert 52 <= hits <= 60


def test_means_and_stacks() -> None:
    a, b = random_rates(4, 0), random_rates(4, 1)
    mean = i10e.mean_cctm([a, b])
    np.testing.assert_allclose(mean.values, (a.values + b.values) / 2)
    assert mean.examples.values.tolist() == [200] * 4
    stacked = i10e.by_model({"one": a, "two": b})
    assert stacked.cctm.sel(model="two").equals(b.assign_coords(model="two"))
