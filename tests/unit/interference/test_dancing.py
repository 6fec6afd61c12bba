import itertools
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape_utils.interference import dancing

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def movie_of(values: np.ndarray, names: tuple[str, ...] | None = None) -> xr.DataArray:
    """The CCTMs of epochs 0, 1, ..., as a history stores them."""
    values = np.asarray(values, np.float32)
    names = names or tuple("abcdefghij"[: values.shape[1]])
    coordinates = {"epoch": np.arange(len(values)), "true": list(names), "predicted": list(names)}
    return xr.DataArray(values, dims=("epoch", "true", "predicted"), coords=coordinates, name="train_cctm")


def random_movie(epochs: int, classes: int, seed: int, images: int = 4) -> xr.DataArray:
    """Few images a class, so that ties, flat tops and zeros are frequent."""
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(images, rng.dirichlet(np.ones(classes), (epochs + 1, classes)))
    return movie_of(rows / images)


def two_recalls(first: list[float], second: list[float], cell: list[float] | None = None) -> xr.DataArray:
    """Three classes; a and b have the given recalls from epoch 1 on, a is taken for b as `cell` says, else for c."""
    values = np.zeros((len(first) + 1, 3, 3))
    values[0, :, 2] = 1
    values[1:, 0, 0], values[1:, 1, 1], values[1:, 2, 2] = first, second, 1
    values[1:, 0, 1] = cell if cell is not None else 0
    values[1:, 0, 2] = 1 - values[1:, 0].sum(1)
    values[1:, 1, 2] = 1 - values[1:, 1].sum(1)
    return movie_of(values)


# --- recalls and changes -----------------------------------------------------------------------------------


def test_recalls_are_the_diagonal_of_every_epoch() -> None:
    rates = random_movie(5, 4, 0)
    got = dancing.recalls_by_epoch(rates)
    assert got.dims == ("epoch", "true")
    assert all(got.values[t, c] == rates.values[t, c, c] for t in range(6) for c in range(4))


def test_changes_leave_the_step_from_the_initialisation_out() -> None:
    values = xr.DataArray([9.0, 1.0, 4.0, 2.0], dims="epoch", coords={"epoch": range(4)})
    got = dancing.changes(values)
    assert got.epoch.values.tolist() == [2, 3]
    assert got.values.tolist() == [3, -2]
    assert dancing.changes(values, (2, 3)).values.tolist() == [-2]
    assert dancing.changes(values, (1, 1)).size == 0
    for wrong in ((0, 2), (3, 2), (1, 4)):
        with pytest.raises(ValueError, match="1 <= first <= last <= 3"):
            dancing.changes(values, wrong)


@given(seed=st.integers(0, 10_000), epochs=st.integers(4, 12))
@settings(deadline=None, max_examples=40)
def test_dances_are_pearsons_correlation_of_the_changes(seed: int, epochs: int) -> None:
    rates = random_movie(epochs, 3, seed, images=50)
    steps = [
        [float(rates[t, c, c]) - float(rates[t - 1, c, c]) for t in range(2, epochs + 1)]  # epoch 0 is no part of it
        for c in range(3)
    ]
    got = dancing.dances(rates)
    assert np.isnan(np.diag(got.values)).all()
    for a, b in itertools.permutations(range(3), 2):
        if max(map(abs, steps[a])) > 0 and max(map(abs, steps[b])) > 0:
            assert float(got[a, b]) == pytest.approx(stats.pearsonr(steps[a], steps[b]).statistic, abs=1e-5)
            assert dancing.dance(rates, a, "abc"[b]) == float(got[a, b])


def test_mirror_images_dance_and_equals_do_the_opposite() -> None:
    wave = [0.5, 0.7, 0.4, 0.6, 0.8, 0.3]
    mirrored = two_recalls(wave, [1 - x for x in wave])
    assert dancing.dance(mirrored, "a", "b") == pytest.approx(-1, abs=1e-6)
    assert dancing.dance(two_recalls(wave, wave), "a", "b") == pytest.approx(1, abs=1e-6)
    assert math.isnan(dancing.dance(mirrored, "a", "c"))  # c's recall never changes
    assert math.isnan(dancing.dance(mirrored, "a", "b", epochs=(1, 3)))  # two changes
    half = dancing.dance(two_recalls(wave, [1 - x for x in wave[:3]] + wave[3:]), "a", "b", epochs=(4, 6))
    assert math.isnan(half)
    ramp = two_recalls([0.1 * i for i in range(1, 8)], [*wave, 0.2])
    assert math.isnan(dancing.dance(ramp, "a", "b"))  # always the same change: float32 rounding is no dance


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_followings_correlate_a_cell_with_the_recall_it_leads_to(seed: int) -> None:
    rates = random_movie(7, 3, seed, images=30)
    got = dancing.followings(rates)
    assert got.dims == ("true", "predicted")
    for a, b in itertools.permutations(range(3), 2):
        cell = [float(rates[t, a, b]) - float(rates[t - 1, a, b]) for t in range(2, 8)]
        recall = [float(rates[t, b, b]) - float(rates[t - 1, b, b]) for t in range(2, 8)]
        if any(cell) and any(recall):
            assert float(got[a, b]) == pytest.approx(stats.pearsonr(cell, recall).statistic, abs=1e-5)
        else:
            assert np.isnan(got[a, b])


# --- pairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_interfering_pairs_are_the_largest_cells_no_class_twice(seed: int) -> None:
    rates = random_movie(0, 7, seed, images=500)[0]
    names, taken, want = "abcdefg", set(), []
    both = {(x, y): float(rates[x, y] + rates[y, x]) for x, y in itertools.combinations(range(7), 2)}
    for x, y in sorted(both, key=lambda pair: -both[pair]):
        if not {x, y} & taken:
            want.append((names[x], names[y]))
            taken |= {x, y}
    assert dancing.interfering_pairs(rates, 3) == want[:3]
    assert dancing.interfering_pairs(rates) == want[:1]  # a fifth of seven
    assert dancing.interfering_pairs(rates, 99) == want
    assert dancing.interfering_pairs(rates.copy(data=np.eye(7))) == []


def test_splitting_by_pairs_counts_a_symmetric_matrix_once() -> None:
    values = np.arange(16.0).reshape(4, 4)
    names = list("abcd")
    matrix = xr.DataArray(values, dims=("true", "predicted"), coords={"true": names, "predicted": names})
    inside, outside = dancing.split_by_pairs(matrix, [("b", "a")])
    assert sorted(inside) == [1, 4]
    assert sorted(outside) == [2, 3, 6, 7, 8, 9, 11, 12, 13, 14]
    inside, outside = dancing.split_by_pairs(matrix.copy(data=values + values.T), [("b", "a")])
    assert (len(inside), len(outside)) == (1, 5)
    values[0, 1] = np.nan
    assert dancing.split_by_pairs(matrix, [("b", "a")])[0].tolist() == [4]


def symmetric_noise(classes: int, seed: int) -> xr.DataArray:
    noise = np.random.default_rng(seed).normal(size=(classes, classes))
    names = list("abcdefghij"[:classes])
    return xr.DataArray(noise + noise.T, dims=("true", "other"), coords={"true": names, "other": names})


def peaks(x: list[float], t: int) -> bool:
    other = [value for value in x[t + 1 :] if value != x[t]]
    return t > 0 and x[t] > x[t - 1] and bool(other) and other[0] < x[t]


@given(seed=st.integers(0, 100_000), epochs=st.integers(1, 14), classes=st.integers(2, 4))
@settings(deadline=None, max_examples=150)
def test_events_are_those_of_a_plain_loop(seed: int, epochs: int, classes: int) -> None:
    rates = random_movie(epochs, classes, seed)
    values = rates.values.astype(float)
    want = []
    for t in range(2, epochs + 1):
        cells = {c: [values[s, 0, c] for s in range(1, epochs + 1)] for c in range(1, classes)}
        a, b = (values[t, c, c] - values[t - 1, c, c] for c in (0, 1))
        third = [c for c in range(2, classes) if peaks(cells[c], t - 1)]
        if a < 0 < b and peaks(cells[1], t - 1):
            want.append((t, "partner", "b", values[t, 0, 1]))
        elif a < 0 and b < 0 and third:
            c = max(third, key=lambda c: (values[t, 0, c], -c))
            want.append((t, "third class", "abcd"[c], values[t, 0, c]))
    events = dancing.dance_events(rates, 0, 1)
    got = zip(*(events[name].values.tolist() for name in ("epoch", "kind", "interferer", "rate")), strict=True)
    assert list(got) == want


def test_a_known_event_of_each_kind() -> None:
    #                epoch: 1    2    3    4    5    6
    rates = two_recalls([0.6, 0.5, 0.6, 0.3, 0.7, 0.7], [0.5, 0.9, 0.8, 0.6, 0.7, 0.7], [0.1, 0.4, 0.1, 0.1, 0.1, 0.1])
    events = dancing.dance_events(rates, "a", "b")
    assert events.epoch.values.tolist() == [2, 4]
    assert events.kind.values.tolist() == [dancing.PARTNER, dancing.THIRD]
    assert events.interferer.values.tolist() == ["b", "c"]
    np.testing.assert_allclose(events.rate, [0.4, 0.6], atol=1e-6)
    assert (events.attrs["first"], events.attrs["second"]) == ("a", "b")


def test_of_a_flat_top_the_first_epoch_counts_and_a_stair_has_no_peak() -> None:
    recalls = [0.5, 0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4, 0.5]
    flat = two_recalls(*recalls, [0.0, 0.4, 0.4, 0.4, 0.1])
    assert dancing.dance_events(flat, "a", "b").epoch.values.tolist() == [2]
    stair = two_recalls(*recalls, [0.0, 0.1, 0.1, 0.4, 0.4])
    assert dancing.dance_events(stair, "a", "b").epoch.values.tolist() == []


def test_the_step_from_the_initialisation_is_no_event() -> None:
    values = np.array([[[1, 0], [1, 0]], [[0, 1], [0, 1]], [[1, 0], [0, 1]]])
    assert dancing.dance_events(movie_of(values), "a", "b").epoch.size == 0


@given(seed=st.integers(0, 100_000), window=st.integers(2, 6), epochs=st.integers(1, 16))
@settings(deadline=None, max_examples=100)
def test_symmetric_phases_are_those_of_a_plain_loop(seed: int, window: int, epochs: int) -> None:
    rates = random_movie(epochs, 2, seed)
    a, b = (rates.values[1:, c, c].astype(float) for c in (0, 1))
    covered: set[int] = set()
    for start in range(epochs - window):
        da = [a[i + 1] - a[i] for i in range(start, start + window)]
        db = [b[i + 1] - b[i] for i in range(start, start + window)]
        size = sum(x * x + y * y for x, y in zip(da, db, strict=True))
        if size > 0 and -2 * sum(x * y for x, y in zip(da, db, strict=True)) / size >= 0.5001:
            covered |= set(range(start + 1, start + window + 2))
    phases = dancing.symmetric_phases(rates, 0, 1, window=window, threshold=0.5001)
    assert [t for first, last in phases for t in range(first, last + 1)] == sorted(covered)
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(phases))


def test_a_mirrored_stretch_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.3, 0.7, 60), rng.uniform(0.3, 0.7, 60)
    b[30:45] = 1 - a[30:45]
    ((first, last),) = dancing.symmetric_phases(two_recalls(list(a), list(b)), "a", "b")
    assert 28 <= first <= 32
    assert 44 <= last <= 48
    assert dancing.symmetric_phases(two_recalls(list(a), list(a)), "a", "b") == []
    assert dancing.symmetric_phases(two_recalls([0.5] * 30, [0.5] * 30), "a", "b") == []
    with pytest.raises(ValueError, match="window is 1"):
        dancing.symmetric_phases(two_recalls(list(a), list(b)), "a", "b", window=1)


# --- notes -------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 100_000), epochs=st.integers(1, 6), floor=st.sampled_from([0.0, 0.001, 0.25, 0.5]))
@settings(deadline=None, max_examples=60)
def test_notes_are_those_of_a_plain_loop(seed: int, epochs: int, floor: float) -> None:
    rates = random_movie(epochs, 4, seed)
    notes = dancing.dancing_notes(rates, floor)
    assert notes.dims == ("epoch", "true")
    assert notes.epoch.values.tolist() == list(range(1, epochs + 1))
    for t, a in itertools.product(range(1, epochs + 1), range(4)):
        best, note = floor, -2
        for c in range(4):  # in order: of equals the first stays
            if c != a and float(rates[t, a, c]) > best:
                best, note = float(rates[t, a, c]), c
        assert int(notes.sel(epoch=t)[a]) == note


@pytest.mark.parametrize("images", [1000, 5000])
def test_exactly_a_tenth_of_a_percent_is_no_note(images: int) -> None:
    """As float32, 1/1000 is larger than the float64 number 0.001."""
    errors = images // 1000
    for count, note in ((errors, -2), (errors + 1, 1)):
        values = np.eye(2)[None].repeat(2, 0)
        values[1, 0] = [1 - count / images, count / images]
        assert dancing.dancing_notes(movie_of(values)).values.tolist() == [[note, -2]]


def test_a_floor_outside_the_rates_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rates lie in \[0, 1\]"):
        dancing.dancing_notes(random_movie(2, 3, 0), 1.5)


@given(seed=st.integers(0, 10_000), epochs=st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_note_shares_and_persistence_count_the_notes(seed: int, epochs: int) -> None:
    notes = dancing.dancing_notes(random_movie(epochs, 3, seed, images=2), 0.3)
    shares = dancing.note_shares(notes)
    assert shares.note.values.tolist() == [-2, 0, 1, 2]
    np.testing.assert_allclose(shares.sum("note"), 1)
    for a, b in itertools.permutations(range(3), 2):
        column = notes.values[:, a].tolist()
        assert float(shares.sel(note=b)[a]) == pytest.approx(column.count(b) / epochs)
        runs = [len(list(group)) for value, group in itertools.groupby(column) if value == b]
        stays = dancing.persistence(notes, a, "abc"[b])
        assert int(stays["longest"]) == max(runs, default=0)
        assert float(stays["share"]) == pytest.approx(column.count(b) / epochs)


# --- what is missing, short or wrong -----------------------------------------------------------------------


def test_a_class_without_examples_dances_with_nobody() -> None:
    rates = random_movie(15, 4, 3, images=20)
    rates[:, 2] = np.nan
    without = rates.isel(true=[0, 1, 3], predicted=[0, 1, 3])
    assert math.isnan(dancing.dance(rates, "a", "c"))
    assert dancing.dance(rates, "a", "b") == pytest.approx(dancing.dance(without, "a", "b"))
    assert np.isnan(dancing.followings(rates).sel(true="c")).all()
    assert dancing.dance_events(rates, "c", "a").epoch.size == 0
    assert dancing.symmetric_phases(rates, "c", "a") == []
    assert (dancing.dancing_notes(rates).sel(true="c") == dancing.NONE).all()
    assert dancing.interfering_pairs(rates[-1], 5)
    assert not {"c"} & {name for pair in dancing.interfering_pairs(rates[-1], 5) for name in pair}


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_shortest_histories_have_nothing_to_show_and_no_error(epochs: int) -> None:
    rates = random_movie(epochs, 3, 0)
    assert dancing.dance_events(rates, 0, 1).epoch.size == 0
    assert dancing.symmetric_phases(rates, 0, 1) == []
    assert dancing.dancing_notes(rates).sizes["epoch"] == epochs
    assert np.isnan(dancing.dances(rates)).all()
    assert np.isnan(dancing.followings(rates)).all()


def test_classes_go_by_name_short_name_or_index_and_wrong_ones_are_named() -> None:
    rates = movie_of(random_movie(12, 10, 0, images=30).values, CIFAR10)
    assert dancing.dance(rates, "car", "dog") == dancing.dance(rates, 1, 5)
    for act in (dancing.dance, dancing.dance_events, dancing.symmetric_phases):
        with pytest.raises(ValueError, match="unknown class 'kat'; the nearest valid names are: cat"):
            act(rates, "kat", "dog")
        with pytest.raises(ValueError, match="both classes are 'automobile'; a dance takes two different ones"):
            act(rates, "car", "automobile")
        with pytest.raises(ValueError, match="class index 10 is out of range"):
            act(rates, 0, 10)


def test_a_single_cctm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(epoch, true, predicted\)"):
        dancing.dancing_notes(random_movie(2, 3, 0)[0])
    with pytest.raises(ValueError, match=r"\(epoch, true, predicted\)"):
        dancing.recalls_by_epoch(random_movie(2, 3, 0)[0])
