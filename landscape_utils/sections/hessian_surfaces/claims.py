"""Verdicts on the claims ML-10 to ML-14 and ML-18, from Hessian spectra, noise and surfaces, by parts over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import xarray as xr

from landscape_utils.landscape.directions import Perturbed, means_by_seed
from landscape_utils.sections.hessian_surfaces.study import (
    LAMBDAS,
    Departure,
    Noise,
    Pieces,
    Spectrum,
    bulk_share,
    deviations,
    negative_share,
    outliers,
    piece_errors,
    surface_shape,
)
from landscape_utils.suite.claims import Judgement, judged

SHAPES = {"P.E. x P.E.": "bowl", "N.E. x N.E.": "bottle", "P.E. x N.E.": "saddle"}
ERRORS = 3.0  # standard errors
NEAR = 0.05  # of a curve's range


def shapes_of_eigenvectors(surfaces: Mapping[Perturbed, Mapping[str, xr.Dataset]]) -> Judgement:
    """ML-10: the shares of planes of two P.E. that are bowls, of two N.E. that are bottles, of both that are saddles.

    Args:
        surfaces: of early models, by model and `first x second`.
    """
    found = {p: {_kind(plane): surface_shape(grid) for plane, grid in grids.items()} for p, grids in surfaces.items()}
    shares = {
        shape: means_by_seed({place: float(of[kind] == shape) for place, of in found.items()})
        for kind, shape in SHAPES.items()
    }
    every = [(place, kind, got) for place, of in found.items() for kind, got in of.items()]
    others = Counter(f"{kind} of {place} is a {got}" for place, kind, got in every if got != SHAPES[kind])
    told = [f"{what} ({count})" for what, count in sorted(others.items())]
    return judged("ML-10", note="Others: " + "; ".join(told[:4]) + "." if told else "", **shares)


def bulk_and_outliers(
    spectra: Mapping[Perturbed, Spectrum], noise: Mapping[Perturbed, Noise], classes: int
) -> Judgement:
    """ML-11: a bulk at zero, about C positive outliers, a positive trace, and a smallest eigenvalue that shrinks.

    Args:
        spectra: of trained models, early and late.
        noise: of the same, for the traces.
        classes: C.
    """
    counts = {place: outliers(s) for place, s in spectra.items()}
    octaves = {place: abs(np.log2(max(n, 0.5) / classes)) for place, n in counts.items()}  # none counts as half of one
    early, late = (
        means_by_seed({p: abs(s.smallest) for p, s in spectra.items() if p.stage == stage})
        for stage in ("early", "late")
    )
    return judged(
        "ML-11",
        bulk=means_by_seed({place: bulk_share(s) for place, s in spectra.items()}),
        outliers=means_by_seed(octaves),
        trace=means_by_seed({place: n.predicted.attrs["trace"] for place, n in noise.items()}),
        smallest_falls=np.divide(late, early),
        note=f"C = {classes}; outliers, mean over seeds: "
        + ", ".join(f"{name} {np.mean(of):.0f}" for name, of in _by_name(counts).items())
        + ".",
    )


def moments_hold(noise: Mapping[Perturbed, Noise]) -> Judgement:
    """ML-12: mean and variance of the loss change at the smallest lambda, in standard errors from the prediction."""
    off = {place: abs(deviations(one)) for place, one in noise.items()}
    holds = {place: (x.to_array() <= ERRORS).all("variable") for place, x in off.items()}
    up_to = {place: max((lam for lam in LAMBDAS if bool(x.sel(lam=lam))), default=0.0) for place, x in holds.items()}
    larger = [
        float(one.measured.sel(lam=LAMBDAS[-1]).mean() / one.predicted["mean"].sel(lam=LAMBDAS[-1]))
        for one in noise.values()
    ]
    return judged(
        "ML-12",
        mean=means_by_seed({place: x["mean"].sel(lam=LAMBDAS[0]) for place, x in off.items()}),
        variance=means_by_seed({place: x["variance"].sel(lam=LAMBDAS[0]) for place, x in off.items()}),
        note="Both are within 3 errors, in all seeds, up to: "
        + ", ".join(f"{name} {min(of):g}" for name, of in _by_name(up_to).items())
        + f". At {LAMBDAS[-1]:g} the measured mean is {min(larger):.1f} to {max(larger):.1f} times the foretold one.",
    )


def centred_then_positive(noise: Mapping[Perturbed, Noise]) -> Judgement:
    """ML-13: loss changes centre on zero at lambda = 0.001, in their deviations, and are positive at 0.01."""
    near, far = (
        {place: one.measured.sel(lam=lam) for place, one in noise.items()} for lam in (LAMBDAS[0], LAMBDAS[-1])
    )
    return judged(
        "ML-13",
        centred=means_by_seed({place: abs(x.mean() / x.std()) for place, x in near.items()}),
        positive=means_by_seed({place: (x > 0).mean() for place, x in far.items()}),
    )


def pieces_lie_along(drawn: Mapping[Departure, Pieces]) -> Judgement:
    """ML-14: the share of second-order pieces along the curve, but for the first one, which is further off on MLI.

    In every network: a seed's number is that of its network with the smallest.
    """
    errors = {way: piece_errors(p) for way, p in drawn.items()}
    gmi, mli = ({way.place: e for way, e in errors.items() if way.path == path} for path in ("GMI", "MLI"))
    most = max(float(e[1:].max()) for e in errors.values())
    seeds: dict[int, list[float]] = {}
    for place, e in mli.items():
        seeds.setdefault(place.seed, []).append(float(e[0] / np.median(e[1:])))
    return judged(
        "ML-14",
        gmi=means_by_seed({place: (e[1:] <= NEAR).mean() for place, e in gmi.items()}),
        mli=means_by_seed({place: (e[1:] <= NEAR).mean() for place, e in mli.items()}),
        start=[min(of) for of in seeds.values()],
        note=f"The furthest piece but the first is {most:.1%} of the range off.",
    )


def more_negative_at_first(spectra: Mapping[Perturbed, Spectrum]) -> Judgement:
    """ML-18: the share of negative eigenvalue mass at the initialisation, minus that after training."""
    first, last = (
        means_by_seed({p: negative_share(s.density) for p, s in spectra.items() if p.stage == stage})
        for stage in ("initial", "late")
    )
    note = f"{np.mean(first):.1%} at the initialisation, {np.mean(last):.1%} at the end."
    return judged("ML-18", more=np.subtract(first, last), note=note)


# --- small things ----------------------------------------------------------------------------------------------


def _by_name(numbers: Mapping[Perturbed, float]) -> dict[str, list[float]]:
    """Gather the seeds' numbers by network and epoch."""
    found: dict[str, list[float]] = {}
    for place, number in numbers.items():
        found.setdefault(str(place), []).append(number)
    return found


def _kind(plane: str) -> str:
    return " x ".join(name.rstrip("0123456789") for name in plane.split(" x "))
