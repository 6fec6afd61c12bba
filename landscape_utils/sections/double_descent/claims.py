"""What MG-9 asks of error and manifold geometry against width, one number a seed.

**Turning points.** A curve over widths has a double descent if it falls to a dip, rises to a peak, and falls to the
last width. The peak is the width that stands highest above both the lowest one before it, the dip, and the last one:
the smaller of the two heights counts. For each seed they are chosen on the mean of the *other* seeds, and the changes
are then taken from the seed itself: a peak that is only the luckiest of many widths does not count. Likewise the
places between which a monotonic curve goes back most are chosen on the other seeds.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.sections.double_descent.study import changes_between, threshold, turning_points
from landscape_utils.suite.claims import Judgement, judged
from landscape_utils.suite.ledger import CLAIMS

LEAST_WIDTHS, LEAST_SEEDS = 4, 2  # for a curve with two turning points, and for others to choose them on


def double_descent(table: xr.Dataset) -> Judgement:
    """MG-9: how error and dimension fall, rise and fall with width, and what goes one way.

    Args:
        table: from `by_moment`.
    """
    final, best = table.sel(moment="final"), table.sel(moment="best")
    known = {
        "error": 1 - final["test_accuracy"],
        "dimension": final["dimension"],
        "added": final["dimension"] - best["dimension"],
        "radius": final["radius"],
        "centre_correlation": final["centre_correlation"],
    }
    known = {name: curve.dropna("width").transpose("seed", "width") for name, curve in known.items()}
    if reason := _untestable(known):
        return judged("MG-9", **dict.fromkeys(CLAIMS["MG-9"].parts, reason))
    error, dimension = (held_out_changes(known[name].values) for name in ("error", "dimension"))
    added = held_out_changes(known["added"].values, leftmost=0)  # it may rise from the narrowest width on
    return judged(
        "MG-9",
        error_falls=error[:, 0],
        error_rises=error[:, 1],
        error_falls_again=error[:, 2],
        dimension=dimension.min(1),
        added_peaks=added[:, 1:].min(1),
        added_near=_octaves_off(known["added"], table),
        radius=held_out_wobbles(known["radius"].values),
        centre_correlation=held_out_wobbles(known["centre_correlation"].values),
        note=f"Test error in % by width: {_course(100 * known['error'], '.0f')}; 99 % of the training labels are "
        f"fitted from width {threshold(table):g} on. Dimension: {_course(known['dimension'], '.1f')}{_bounded(final)}. "
        f"End minus best of the dimension: {_course(known['added'], '.1f', leftmost=0)}.",
    )


def _untestable(curves: dict[str, xr.DataArray]) -> str:
    """Return why the curves have no turning points to judge; empty where they have."""
    if min(curve.sizes["seed"] for curve in curves.values()) < LEAST_SEEDS:
        return f"it takes {LEAST_SEEDS} seeds or more: turning points are chosen on the others"
    if min(curve.sizes["width"] for curve in curves.values()) < LEAST_WIDTHS:
        return f"it takes {LEAST_WIDTHS} widths or more whose manifolds have a geometry"
    return ""


def held_out_changes(curves: Floats, *, leftmost: int = 1) -> Floats:
    """Return each seed's fall, rise and second fall between turning points chosen on the others.

    Args:
        curves: shape (seeds, widths), of two seeds and four widths at least.
        leftmost: as for `turning_points`.

    Returns:
        Changes of shape (seeds, 3); positive where the curve does as it is said.
    """
    pairs = zip(curves, _others(curves), strict=True)
    return np.array([changes_between(own, *turning_points(mean, leftmost=leftmost)) for own, mean in pairs])


def held_out_wobbles(curves: Floats) -> Floats:
    """Return how far each seed's curve goes back between the places where the others' mean goes back most.

    Args:
        curves: shape (seeds, widths), of two seeds at least.

    Returns:
        Ways back as shares of the others' range, shape (seeds,); 0 where the others only go forward.
    """
    return np.array([_wobble(own, mean) for own, mean in zip(curves, _others(curves), strict=True)])


def _wobble(own: Floats, mean: Floats) -> float:
    sign = 1 if mean[-1] >= mean[0] else -1
    start, end = max(combinations(range(len(mean)), 2), key=lambda pair: sign * (mean[pair[0]] - mean[pair[1]]))
    span = float(np.ptp(mean))
    if not span or sign * (mean[start] - mean[end]) <= 0:
        return 0.0
    return sign * float(own[start] - own[end]) / span


def _others(curves: Floats) -> list[Floats]:
    """Average all seeds but one, for each."""
    return [np.delete(curves, seed, 0).mean(0) for seed in range(len(curves))]


def _octaves_off(added: xr.DataArray, table: xr.Dataset) -> Floats:
    """Return by how many octaves each seed's largest addition lies off the width where its labels are fitted."""
    fitted = np.array([threshold(table.sel(seed=[seed])) for seed in added["seed"].values])
    off: Floats = np.abs(np.log2(added.idxmax("width").values / fitted))
    return off


def _bounded(final: xr.Dataset) -> str:
    """Return up to which width the layer has fewer features than a manifold has points; empty where it never has."""
    most = final["bound"].max("seed")
    few = most["width"].values[most.values < most.max().item()]
    return f" (up to width {few[-1]:g} the layer's few features bound it)" if len(few) else ""


def _course(curves: xr.DataArray, digits: str, *, leftmost: int = 1) -> str:
    """Return the mean curve's values at its ends and turning points; at its ends alone if it has none."""
    mean, widths = curves.mean("seed").values, curves["width"].values
    turns = turning_points(mean, leftmost=leftmost)
    turning = min(changes_between(mean, *turns)[1:]) > 0
    at = sorted({0, *(turns if turning else ()), len(mean) - 1})
    values = ", ".join(f"{mean[i]:{digits}} at {widths[i]:g}" for i in at)
    return values if turning else f"{values}, without a dip and a peak between them"
