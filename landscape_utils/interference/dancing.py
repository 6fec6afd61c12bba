"""How classes move against each other while a network learns (class interference, section 4.2).

`rates` is everywhere a history's `train_cctm` or `test_cctm`: the CCTM of every epoch, dimensions (epoch, true,
predicted). Epoch 0 is the initialisation. No training led there, so only `recalls_by_epoch` shows it: neither it nor
the step away from it counts as a change, an event, a phase or a note. A class without examples (NaN) gives NaN, no
event and no note, and never an error.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape_utils.data.datasets import class_index
from landscape_utils.interference.cctm import ClassPairs, interference_only, recalls
from landscape_utils.kit import Floats

Flags = NDArray[np.bool_]

NONE = -2  # where the paper plots that no class interferes by more than 0.1 %
PARTNER, THIRD = "partner", "third class"
# Rates are float32: a smaller sum of squares is rounding; one image of 50,000 is more.
_FLAT = 1e-12


def recalls_by_epoch(rates: xr.DataArray) -> xr.DataArray:
    """Read the share of each class that is recognised, R_a(t) = CCTM_t(a, a); shape (epoch, true)."""
    return recalls(_checked(rates))


def changes(values: xr.DataArray, epochs: tuple[int, int] | None = None) -> xr.DataArray:
    """Take the differences between consecutive epochs, x(t) - x(t - 1), labelled by the later epoch t.

    Args:
        values: anything over `epoch`.
        epochs: (first, last), both included; by default 1 to the last. Both ends of a difference lie inside.

    Raises:
        ValueError: not 1 <= first <= last <= the last epoch.
    """
    end = int(values["epoch"][-1])
    first, last = epochs or (1, end)
    if epochs and not 1 <= first <= last <= end:
        raise ValueError(f"epochs are {(first, last)}; give (first, last) with 1 <= first <= last <= {end}")
    return values.sel(epoch=slice(first, last)).astype(float).diff("epoch")


def correlate(x: Floats, y: Floats) -> Floats:
    """Correlate over the first axis, broadcasting the others; NaN for fewer than three values, constants and NaN."""
    scale, products = np.zeros(np.broadcast_shapes(x.shape[1:], y.shape[1:])), np.zeros(())
    if len(x) >= 3:
        with np.errstate(invalid="ignore"):
            x, y = x - x.mean(0), y - y.mean(0)
            squares_x, squares_y, products = (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)
            scale = np.sqrt(squares_x * squares_y) * ((squares_x > _FLAT) & (squares_y > _FLAT))
    result: Floats = np.divide(products, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
    return result


def finite_mean(values: Floats) -> float:
    """Average what is finite; NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def dances(rates: xr.DataArray, epochs: tuple[int, int] | None = None) -> xr.DataArray:
    """Correlate the changes of all pairs of recalls; see `dance`. Array (true, other), NaN on the diagonal."""
    steps = changes(recalls_by_epoch(rates), epochs).values
    return _matrix(rates, correlate(steps[:, :, None], steps[:, None, :]), "other")


def dance(rates: xr.DataArray, a: str | int, b: str | int, epochs: tuple[int, int] | None = None) -> float:
    """Correlate the changes of two classes' recalls: below zero they dance, one up while the other goes down.

    r = corr over t of R_a(t) - R_a(t - 1) and R_b(t) - R_b(t - 1)   (section 4.2)

    Args:
        rates: CCTM by epoch.
        a: a class, by name or index.
        b: another one.
        epochs: (first, last) as in `changes`.

    Returns:
        r in [-1, 1]; NaN with fewer than three changes, or where a recall always changes alike.

    Raises:
        ValueError: no such class, the same class twice, or epochs out of range.
    """
    first, second = _two(rates, a, b)
    return float(dances(rates, epochs)[first, second])


def followings(rates: xr.DataArray, epochs: tuple[int, int] | None = None) -> xr.DataArray:
    """Correlate each cell's changes with those of the recall of the class that it leads to.

    f(a, b) = corr over t of CCTM_t(a, b) - CCTM_{t-1}(a, b) and R_b(t) - R_b(t - 1): above zero where a is taken for b
    more often when b's recall rises. Array (true, predicted); NaN on the diagonal and for cells that never change.
    """
    steps = changes(recalls_by_epoch(rates), epochs).values
    return _matrix(rates, correlate(changes(rates, epochs).values, steps[:, None, :]), "predicted")


def interfering_pairs(rates: xr.DataArray, count: int | None = None) -> list[tuple[str, str]]:
    """List the pairs with the largest CCTM(a, b) + CCTM(b, a), no class twice.

    Args:
        rates: CCTM (true, predicted).
        count: how many pairs; by default a fifth of the classes, at least one. Fewer where no error is left.
    """
    cells = interference_only(rates).values
    both = np.triu(np.nan_to_num(cells + cells.T), 1)
    count = max(1, len(both) // 5) if count is None else count
    names = rates["true"].values.astype(str)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count and both.max(initial=0) > 0:
        ends = list(np.unravel_index(int(both.argmax()), both.shape))
        pairs.append((str(names[ends[0]]), str(names[ends[1]])))
        both[ends] = both[:, ends] = 0
    return pairs


def split_by_pairs(matrix: xr.DataArray, pairs: ClassPairs) -> tuple[Floats, Floats]:
    """Part a matrix over two classes into the cells of the pairs, both ways, and all other cells.

    The diagonal and NaN are left out; of a symmetric matrix each pair counts once.
    """
    values = matrix.values
    inside = np.zeros(values.shape, dtype=bool)
    inside[tuple(_both_ways(matrix, pairs).T)] = True
    counted = ~np.eye(len(values), dtype=bool) & np.isfinite(values)
    if np.array_equal(values, values.T, equal_nan=True):
        counted = np.triu(counted)
    return values[inside & counted], values[~inside & counted]


def dance_events(rates: xr.DataArray, a: str | int, b: str | int) -> xr.Dataset:
    """Find the moments at which b, or a third class, interferes with a (section 4.2, figure 6).

    With R_c(t) = CCTM_t(c, c) and x_c(t) = CCTM_t(a, c) there is

    - a partner event (the figure's red arrows) where R_b(t) > R_b(t - 1), R_a(t) < R_a(t - 1) and x_b peaks at t;
    - a third-class event (blue arrows) where R_a(t) < R_a(t - 1), R_b(t) < R_b(t - 1) and some x_c, c neither a nor
      b, peaks at t; of several such classes the one with the largest x_c(t) is named, the first of equals.

    x peaks at t if x(t) > x(t - 1) and the next value that differs from x(t) is lower: of a flat top its first epoch.
    So epoch 1 and the last epoch have no event.

    Args:
        rates: CCTM by epoch.
        a: the class whose row is watched, by name or index.
        b: its partner.

    Returns:
        Dataset over `epoch`, the events' epochs alone: `kind` ("partner" or "third class"), `interferer` (its name)
        and `rate` (its cell); attributes `first` and `second` name a and b.

    Raises:
        ValueError: no such class, or the same class twice.
    """
    first, second = _two(rates, a, b)
    names, trained = rates["true"].values.astype(str), _trained(rates)
    row, recall = trained.values[:, first], recalls_by_epoch(trained).values
    steps = np.diff(recall, axis=0, prepend=recall[:1])
    peaks = np.stack([_peaks(cell) for cell in row.T], axis=1)
    rises, falls = steps > 0, steps < 0
    partner = rises[:, second] & falls[:, first] & peaks[:, second]
    peaks[:, [first, second]] = False
    third = (falls[:, first] & falls[:, second])[:, None] & peaks
    interferer = np.where(partner, second, np.where(third, row, -1).argmax(1))
    at = np.flatnonzero(partner | third.any(1))
    return xr.Dataset(
        {
            "kind": ("epoch", np.where(partner, PARTNER, THIRD)[at]),
            "interferer": ("epoch", names[interferer[at]]),
            "rate": ("epoch", row[at, interferer[at]].astype(float)),
        },
        coords={"epoch": trained["epoch"].values[at]},
        attrs={"first": str(names[first]), "second": str(names[second])},
    )


def symmetric_phases(
    rates: xr.DataArray, a: str | int, b: str | int, *, window: int = 10, threshold: float = 0.7
) -> list[tuple[int, int]]:
    """Find the stretches of epochs in which two recalls are mirror images (the circle in figure 6).

    Over each window of consecutive changes da and db of the recalls, m = -2 sum(da db) / sum(da^2 + db^2): 1 for mirror
    images (db = -da), -1 for equals, about 0 for independent changes. A phase is a run of epochs that windows with
    m >= threshold cover. Independent changes reach 0.7 in about one window of ten among a hundred.

    Args:
        rates: CCTM by epoch.
        a: a class, by name or index.
        b: another one.
        window: changes in a window, at least 2.
        threshold: of m.

    Returns:
        (first, last) epoch of each phase, in order; none where the history is shorter than a window.

    Raises:
        ValueError: no such class, the same class twice, or a window below 2.
    """
    if window < 2:
        raise ValueError(f"window is {window}; it takes two changes or more")
    ends = list(_two(rates, a, b))
    trained = _trained(recalls_by_epoch(rates))
    da, db = np.diff(trained.values[:, ends].astype(float), axis=0).T
    if len(da) < window:
        return []
    products, squares = (np.convolve(v, np.ones(window), "valid") for v in (da * db, da * da + db * db))
    with np.errstate(invalid="ignore"):
        mirrored = (squares > _FLAT) & (-2 * products >= threshold * squares)
    covered = np.convolve(mirrored, np.ones(window + 1)) > 0
    epochs = trained["epoch"].values
    return [(int(epochs[start]), int(epochs[end - 1])) for start, end in _runs(covered)]


def dancing_notes(rates: xr.DataArray, floor: float = 0.001) -> xr.DataArray:
    """Name the class that each class is most often taken for, at every epoch (section 4.2, figure 7).

    note_t(a) = argmax over c != a of CCTM_t(a, c), and -2 where no cell exceeds the floor or a has no example. Of
    equal cells the first in the order of the classes is the note.

    Args:
        rates: CCTM by epoch.
        floor: rate to exceed; the paper's is 0.1 %.

    Returns:
        Array (epoch, true) of class indices, from epoch 1 on; attribute `floor`.

    Raises:
        ValueError: the floor lies outside [0, 1].
    """
    if not 0 <= floor <= 1:
        raise ValueError(f"floor is {floor}; rates lie in [0, 1]")
    trained = _trained(_checked(rates))
    cells = np.nan_to_num(interference_only(trained).values, nan=-1)
    # In the rates' own precision: as a float32, one image of 1,000 exceeds the float64 number 0.001.
    sounds = cells.max(2) > np.asarray(floor, cells.dtype)
    notes = trained.isel(predicted=0, drop=True).copy(data=np.where(sounds, cells.argmax(2), NONE))
    return notes.rename("note").assign_attrs(floor=floor, none=NONE)


def note_shares(notes: xr.DataArray) -> xr.DataArray:
    """Count in what share of the epochs each class has each note; shape (true, note), `note` -2, 0, ..., C - 1."""
    possible = np.array([NONE, *range(notes.sizes["true"])])
    share: xr.DataArray = (notes == xr.DataArray(possible, dims="note", coords={"note": possible})).mean("epoch")
    return share.rename("share")


def persistence(notes: xr.DataArray, a: str | int, b: str | int) -> xr.Dataset:
    """Measure how long b stays the note of a: `share` of the epochs, and `longest` run of consecutive epochs.

    Raises:
        ValueError: no such class, or the same class twice.
    """
    first, second = _two(notes, a, b)
    sounding = notes.values[:, first] == second
    longest = max((end - start for start, end in _runs(sounding)), default=0)
    return xr.Dataset({"share": float(sounding.mean()), "longest": longest})


def _checked(rates: xr.DataArray) -> xr.DataArray:
    if rates.dims != ("epoch", "true", "predicted"):
        raise ValueError(
            f"rates have dimensions {rates.dims}; give a history's train_cctm or test_cctm, (epoch, true, predicted)"
        )
    return rates


def _trained(values: xr.DataArray) -> xr.DataArray:
    return values.sel(epoch=slice(1, None))


def _two(over_classes: xr.DataArray, a: str | int, b: str | int) -> tuple[int, int]:
    names = [str(n) for n in over_classes["true"].values]
    first, second = class_index(names, a), class_index(names, b)
    if first == second:
        raise ValueError(f"both classes are {names[first]!r}; a dance takes two different ones")
    return first, second


def _both_ways(matrix: xr.DataArray, pairs: ClassPairs) -> NDArray[np.intp]:
    cells = [_two(matrix, a, b) for a, b in pairs]
    return np.array([cell for a, b in cells for cell in ((a, b), (b, a))], dtype=np.intp).reshape(-1, 2)


def _matrix(rates: xr.DataArray, values: Floats, other: str) -> xr.DataArray:
    names = rates["true"].values
    values[np.eye(len(names), dtype=bool)] = np.nan
    return xr.DataArray(values, dims=("true", other), coords={"true": names, other: names}, name="correlation")


def _peaks(values: NDArray[np.floating]) -> Flags:
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))  # of the runs of equal values
    levels, marks = values[starts], np.zeros(len(values), dtype=bool)
    marks[starts[1:-1][(levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])]] = True
    return marks


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """List where stretches of True start and end (exclusive)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
