"""The verdict on the claim MG-9.

The criterion was written before any network of the notebook's own seeds was trained. What trials on the seeds 100 to
104 settled: 2,000 steps and the widths; and that with ten classes the centres keep their common structure (rank 0).
MFTMA's default removes up to three of the nine directions that ten centres span; how many changes from network to
network, and centres of which little is left make radii of 4 beside radii of 1. In the trials the error had a double
descent and the dimension had none, with either rank; what memorization adds to the dimension was seen there first.
How the turning points are picked was mended on them, too: at first they were those for which the smallest of all three
changes is largest, which the first fall could decide, whatever the peak.

**Turning points.** A curve over widths has a double descent if it falls to a dip, rises to a peak, and falls to the
last width. The peak is the width that stands highest above both the lowest one before it, the dip, and the last one:
the smaller of the two heights counts. For each seed they are chosen on the mean of the *other* seeds, and the changes
are then taken from the seed itself: a peak that is only the luckiest of many widths does not count.

Intervals are Student's 95 % over seeds.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.sections.double_descent.study import threshold
from landscape_utils.suite.claims import Judgement, judge, mean_text, student

WOBBLE = 0.1  # of a curve's range, by which a monotonic one may go back
CLOSE = 0.02  # a margin below this, as a share of the range, another processor may undo
CHANGES = ("falls", "rises", "falls again")


def double_descent(table: xr.Dataset) -> Judgement:
    """MG-9: error and dimension fall, rise and fall with width; radius and centre correlation are monotonic.

    Args:
        table: from `by_moment`.
    """
    criterion = (
        "at the end of training, over widths: test error falls, rises and falls again, and so does the dimension of "
        "the test manifolds (each change with its interval above 0, turning points chosen on the other seeds); mean "
        f"radius and mean centre correlation go back by at most {WOBBLE:.0%} of their range"
    )
    final = table.sel(moment="final")
    seeds = final.sizes["seed"]
    if final.sizes["width"] < 4:
        return judge("MG-9", criterion=criterion, measured="-", holds=None, reason="four widths or more are needed")
    if seeds < 2:  # there are no others to choose turning points on
        return judge("MG-9", criterion=criterion, measured="-", holds=None, seeds=seeds)
    curves = {"error": 1 - final["test_accuracy"], "dimension": final["dimension"]}
    curves |= {name: final[name] for name in ("radius", "centre_correlation")}
    known = {name: curve.dropna("width").transpose("seed", "width") for name, curve in curves.items()}
    if min(curve.sizes["width"] for curve in known.values()) < 4:
        reason = "too few widths have manifolds with a geometry"
        return judge("MG-9", criterion=criterion, measured="-", holds=None, reason=reason)
    changes = {name: held_out_changes(known[name].values) for name in ("error", "dimension")}
    back = {name: wobble(known[name].mean("seed").values) for name in ("radius", "centre_correlation")}
    margins = [low for name in changes for low in _lows(changes[name], known[name])]
    margins += [WOBBLE - value for value in back.values()]
    rise = changes["error"][:, 1]
    said = [
        f"test error in % by width: {_course(100 * known['error'], 100 * changes['error'], '.0f')}",
        f"99 % of the labels are fitted from width {threshold(table):g} on",
        f"dimension: {_course(known['dimension'], changes['dimension'], '.1f')}",
        *(f"{name.replace('_', ' ')} goes back by {value:.0%} of its range" for name, value in back.items()),
    ]
    return judge(
        "MG-9",
        criterion=criterion,
        measured="; ".join(said),
        holds=min(margins) > 0,
        effect=float(rise.mean()),
        interval=student(rise),
        seeds=seeds,
        reason="; ".join(filter(None, (_failing(changes, back), _bounded(final)))),
        clear=min(margins) > CLOSE if min(margins) > 0 else min(margins) < -CLOSE,
    )


def held_out_changes(curves: Floats) -> Floats:
    """Return each seed's fall, rise and second fall between turning points chosen on the others.

    Args:
        curves: shape (seeds, widths), of two seeds and four widths at least.

    Returns:
        Changes of shape (seeds, 3); positive where the curve does as it is said.
    """
    others = [np.delete(curves, seed, 0).mean(0) for seed in range(len(curves))]
    return np.array([_changes(own, *turning_points(mean)) for own, mean in zip(curves, others, strict=True)])


def turning_points(curve: Floats) -> tuple[int, int]:
    """Find the dip and the peak for which the smaller one of rise and second fall is largest; the lowest such dip."""
    pairs = combinations(range(len(curve) - 1), 2)
    return max(pairs, key=lambda pair: (min(_changes(curve, *pair)[1:]), -curve[pair[0]]))


def _changes(curve: Floats, dip: int, peak: int) -> tuple[float, float, float]:
    return curve[0] - curve[dip], curve[peak] - curve[dip], curve[peak] - curve[-1]


def wobble(curve: Floats) -> float:
    """Return how far a curve goes back on its way from the first to the last value, as a share of its range."""
    forward = curve if curve[-1] >= curve[0] else -curve
    back = np.maximum.accumulate(forward) - forward
    span = float(np.ptp(curve))
    return float(back.max()) / span if span else 0.0


def _lows(changes: Floats, curves: xr.DataArray) -> list[float]:
    """Return the lower ends of the changes' intervals, as shares of the mean curve's range."""
    span = max(float(np.ptp(curves.mean("seed").values)), np.finfo(float).tiny)
    return [student(changes[:, i])[0] / span for i in range(3)]


def _failing(changes: dict[str, Floats], back: dict[str, float]) -> str:
    """Name the parts of the criterion that are not met; nothing where all are."""
    low = {f"{name} {CHANGES[i]}": student(values[:, i])[0] for name, values in changes.items() for i in range(3)}
    bad = [name for name, value in low.items() if value <= 0]
    bad += [f"{name.replace('_', ' ')} is monotonic" for name, value in back.items() if value > WOBBLE]
    return f"not so: {', '.join(bad)}" if bad else ""


def _bounded(final: xr.Dataset) -> str:
    """Return at which widths the layer has fewer features than a manifold has points; nothing where it never has."""
    most = final["bound"].max("seed")
    few = most["width"].values[most.values < most.max().item()]
    return f"up to width {few[-1]:g} the layer's few features bound the dimension" if len(few) else ""


def _course(curves: xr.DataArray, changes: Floats, digits: str) -> str:
    """Return the mean curve's values at its ends and turning points, and the changes; its ends alone if it has none."""
    mean, widths = curves.mean("seed").values, curves["width"].values
    turns = turning_points(mean)
    turning = min(_changes(mean, *turns)) > 0
    at = [0, *(turns if turning else ()), len(mean) - 1]
    values = ", ".join(f"{mean[i]:{digits}} at {widths[i]:g}" for i in at)
    if not turning:
        return f"{values}, without a dip and a peak between them"
    parts = [f"{name} by {mean_text(changes[:, i], digits)}" for i, name in enumerate(CHANGES)]
    return f"{values}; it {', '.join(parts)}"
