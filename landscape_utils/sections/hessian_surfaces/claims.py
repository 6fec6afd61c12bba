"""Verdicts on the claims ML-10 to ML-14 and ML-18, from Hessian spectra, noise and surfaces.

The criteria were written before the first result for the profile's own seeds was seen. Trial seeds (100 and 101, quick
profile) served to choose the window of the eigenvectors' surfaces (0.1 |theta|, a step near 0.01), the mirrored lower
edge of the bulk as the rule for outliers, the measure of negative mass, and the grids. They showed already that at
lambda = 0.01 loss changes are positive around some solutions only, that around the ResNet's solution the prediction
stops between 0.003 and 0.01, that there the piece at the initialisation is no worse than others, and that no model has
about C outliers at both checkpoints (above a tenth of the largest eigenvalue they would have been 17, 3, 4 and 2). The
criteria were left as the paper's text has them. The closer surfaces of the notebook came after the results, and judge
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from landscape_utils.sections.hessian_surfaces.study import (
    LAMBDAS,
    Noise,
    Pieces,
    Spectrum,
    bulk_share,
    deviations,
    negative_share,
    outliers,
    piece_errors,
    surface_shape,
    trace_interval,
)
from landscape_utils.suite.claims import Judgement, judge

SHAPES = {"P.E. x P.E.": "bowl", "N.E. x N.E.": "bottle", "P.E. x N.E.": "saddle"}
BULK = 0.9  # share of the eigenvalues within 1 % of the largest
ERRORS = 3.0  # standard errors
POSITIVE = 0.9  # share of draws
NEAR = 0.05  # of a curve's range
NEARLY_ALL = 0.9


def shapes_of_eigenvectors(surfaces: Mapping[str, Mapping[str, xr.Dataset]]) -> Judgement:
    """ML-10: two P.E. give a bowl, two N.E. the bottom of a bottle, one of each a saddle, in all but one surface.

    Args:
        surfaces: of an early checkpoint, by architecture and `first x second`.
    """
    shapes = {
        f"{name}, {_kind(plane)}": (surface_shape(grid), SHAPES[_kind(plane)])
        for name, grids in surfaces.items()
        for plane, grid in grids.items()
    }
    wrong = [f"{name} is a {got}" for name, (got, wanted) in shapes.items() if got != wanted]
    return judge(
        "ML-10",
        criterion="at the early checkpoint all surfaces but one at most have the claimed shape by rule: the loss's "
        "mean change one step to both sides is up along both axes (bowl), up along the P.E. and down along the N.E. "
        "(saddle), or down along both while rings around the centre rise again towards the border (bottle)",
        measured=f"{len(shapes) - len(wrong)} of {len(shapes)} surfaces" + (f"; {', '.join(wrong)}" if wrong else ""),
        holds=len(wrong) <= 1,
        effect=1 - len(wrong) / len(shapes),
    )


def bulk_and_outliers(
    spectra: Mapping[str, Mapping[str, Spectrum]], noise: Mapping[str, Mapping[str, Noise]], classes: int
) -> Judgement:
    """ML-11: a bulk at zero, about C positive outliers, a positive trace, and a smallest eigenvalue that shrinks.

    Args:
        spectra: by `early` and `late`, by architecture.
        noise: by the same, for the traces.
        classes: C.
    """
    every = [s for group in spectra.values() for s in group.values()]
    bulk = min(map(bulk_share, every))
    estimates = {f"{a} {when}": outliers(s) for when, group in spectra.items() for a, s in group.items()}
    counts = {name: n for name, (n, _) in estimates.items()}
    lows = {f"{a} {when}": trace_interval(n.predicted)[0] for when, group in noise.items() for a, n in group.items()}
    early, late = spectra["early"], spectra["late"]
    shrunk = {a: (abs(early[a].smallest), abs(late[a].smallest)) for a in early}
    near = [classes / 2 <= n <= 2 * classes for n in counts.values()]
    return judge(
        "ML-11",
        criterion=f"at every early and late checkpoint at least {BULK:.0%} of the eigenvalues lie within 1 % of the "
        "largest from zero, between C/2 and 2C eigenvalues lie further above zero than the smallest lies below, and "
        "the trace's 95 % interval is above 0; and |smallest eigenvalue| is smaller late than early in every "
        "architecture",
        measured=f"bulk at least {bulk:.1%}; outliers "
        + ", ".join(f"{name} {n:.0f} +- {error:.0f}" for name, (n, error) in estimates.items())
        + f" (C = {classes}); traces at least "
        + ", ".join(f"{name} {low:.2g}" for name, low in lows.items())
        + "; |smallest| early and late "
        + ", ".join(f"{a} {b:.2g} and {c:.2g}" for a, (b, c) in shrunk.items()),
        holds=bulk >= BULK and all(near) and min(lows.values()) > 0 and all(c < b for b, c in shrunk.values()),
        effect=float(np.mean(list(counts.values()))),
        clear=all(min(abs(n - classes / 2), abs(n - 2 * classes)) > 1 for n in counts.values()),
    )


def moments_hold(noise: Mapping[str, Noise]) -> Judgement:
    """ML-12: mean and variance of the loss change are those that the second order foretells."""
    worst = {name: abs(deviations(one)).to_array().max("variable") for name, one in noise.items()}
    largest = {name: float(off.sel(lam=LAMBDAS[0])) for name, off in worst.items()}
    holds_to = {
        name: max((lam for lam in LAMBDAS if _holds_up_to(off, lam)), default=0.0) for name, off in worst.items()
    }
    return judge(
        "ML-12",
        criterion=f"at lambda = {LAMBDAS[0]:g} mean and variance are within {ERRORS:g} standard errors (of draws and "
        "traces) of the prediction in every model; the largest lambda up to which both are is told",
        measured="; ".join(
            f"{name}: {largest[name]:.1f} errors at {LAMBDAS[0]:g}, holds up to {_up_to(holds_to[name])}"
            for name in noise
        ),
        holds=max(largest.values()) <= ERRORS,
        effect=max(largest.values()),
        clear=abs(max(largest.values()) - ERRORS) > 0.3,
    )


def centred_then_positive(noise: Mapping[str, Noise]) -> Judgement:
    """ML-13: loss changes centre on zero at lambda = 0.001 and are almost all positive at 0.01."""
    near, far = LAMBDAS[0], LAMBDAS[-1]
    offsets, shares = {}, {}
    for name, one in noise.items():
        small = one.measured.sel(lam=near)
        offsets[name] = abs(float(small.mean() / small.std(ddof=1)))
        shares[name] = float((one.measured.sel(lam=far) > 0).mean())
    return judge(
        "ML-13",
        criterion=f"in every model |mean| is below one standard deviation of the draws at lambda = {near:g}, and at "
        f"least {POSITIVE:.0%} of the draws are positive at {far:g}",
        measured="; ".join(
            f"{name}: {offsets[name]:.2f} deviations at {near:g}, {shares[name]:.0%} positive at {far:g}"
            for name in noise
        ),
        holds=max(offsets.values()) < 1 and min(shares.values()) >= POSITIVE,
        effect=min(shares.values()),
        clear=abs(max(offsets.values()) - 1) > 0.1 and abs(min(shares.values()) - POSITIVE) > 0.03,
    )


def pieces_lie_along(drawn: Mapping[str, Pieces]) -> Judgement:
    """ML-14: second-order pieces lie along GMI and MLI curves, except next to the initialisation.

    Args:
        drawn: by `architecture, GMI` and `architecture, MLI`.
    """
    errors = {name: piece_errors(p) for name, p in drawn.items()}
    along = np.concatenate([e[1:] <= NEAR for e in errors.values()])
    last = {name: float(e[0]) for name, e in errors.items() if name.endswith("MLI")}
    worse = [errors[name][0] > np.median(errors[name][1:]) for name in last]
    most = max(float(e[1:].max()) for e in errors.values())
    return judge(
        "ML-14",
        criterion=f"at least {NEARLY_ALL:.0%} of the pieces other than the one at lambda = -1 (BatchNorm keeps the "
        f"solution's statistics) end within {NEAR:.0%} of "
        "the curve's range from the curve, and on every MLI curve the piece at the initialisation is further off than "
        "the median of the others",
        measured=f"{along.mean():.0%} of {len(along)} pieces, the furthest {most:.1%} off; at the initialisation "
        + ", ".join(
            f"{name} {off:.1%} (median of the others {np.median(errors[name][1:]):.1%})" for name, off in last.items()
        ),
        holds=float(along.mean()) >= NEARLY_ALL and all(worse),
        effect=float(along.mean()),
        clear=abs(float(along.mean()) - NEARLY_ALL) > 0.02,
    )


def more_negative_at_first(spectra: Mapping[str, Mapping[str, Spectrum]]) -> Judgement:
    """ML-18: the share of negative eigenvalue mass is larger at the initialisation than after training.

    Args:
        spectra: by `initial` and `late`, by architecture.
    """
    shares = {
        name: (negative_share(first.density), negative_share(spectra["late"][name].density))
        for name, first in spectra["initial"].items()
    }
    gaps = {name: float(before.min() - after.max()) for name, (before, after) in shares.items()}
    return judge(
        "ML-18",
        criterion="in every architecture every probe's share of negative mass, sum of |negative eigenvalues| / sum of "
        "|eigenvalues|, is larger at the initialisation than any probe's after training",
        measured="; ".join(f"{name}: {b.mean():.1%} and {a.mean():.1%}" for name, (b, a) in shares.items()),
        holds=min(gaps.values()) > 0,
        effect=min(gaps.values()),
        clear=abs(min(gaps.values())) > 0.01,
    )


# --- small things ----------------------------------------------------------------------------------------------


def _kind(plane: str) -> str:
    return " x ".join(name.rstrip("0123456789") for name in plane.split(" x "))


def _holds_up_to(off: xr.DataArray, lam: float) -> bool:
    return bool((off.sel(lam=off["lam"] <= lam) <= ERRORS).all())


def _up_to(lam: float) -> str:
    return f"{lam:g}" if lam else "none of them"
