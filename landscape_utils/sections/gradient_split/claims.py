"""What MG-10 to MG-12 ask of the gradient's two parts, one number a seed.

Norms and ratios are averaged geometrically over layers. Trials on the seeds 100 to 102, before the first result on the
notebook's own: MG-12's band around -1/2 was narrowed from 0.1 to 0.05, for with 0.1 the unpermuted examples would have
passed, too (their signal is weak in a network that has not learned anything), and that they fall more slowly was added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape_utils.sections.gradient_split.study import examples_for, permuted_share, slopes, typical
from landscape_utils.suite.claims import Judgement, judged

SMALLER = 0.5  # the permuted examples' dependent part, as a share of the unpermuted ones'
NEAR = {"initial": "0", "first_epoch": "1"}
LEAST_NUMBERS = 3  # of examples, to fit an exponent


def permuted_examples_are_ignored(course: xr.Dataset, scaling: xr.Dataset) -> Judgement:
    """MG-10: how far the parts of permuted examples' gradients are from those of unpermuted ones, near the start.

    Args:
        course: `total`, `dependent`, `independent` over (seed, epoch, layer, subset).
        scaling: `dependent` over (seed, subset, number, layer), at the initialisation; its largest number counts.
    """
    number = int(scaling["dependent"].dropna("number", how="any")["number"].max())
    at_most = scaling["dependent"].sel(number=number)
    known = course["epoch"].values
    first: Any = "the gradient was not looked at after the first epoch"
    if NEAR["first_epoch"] in known:
        first = np.log2(typical(permuted_share(course["dependent"]).sel(epoch=NEAR["first_epoch"])))
    near = [epoch for epoch in NEAR.values() if epoch in known]
    independent = permuted_share(course["independent"]).sel(epoch=near)
    octaves = xr.apply_ufunc(lambda ratio: np.abs(np.log2(ratio)), independent)
    total = course["total"].sel(subset="all")
    return judged(
        "MG-10",
        initial=np.log2(typical(permuted_share(at_most))),
        first_epoch=first,
        alike=octaves.max(("epoch", "layer")),
        first_layer=(total.isel(layer=0) / total.median("layer")).min("epoch"),
        note=f"Initialisation: over {number:,} examples of each kind; for {SMALLER:g} it would take "
        f"{examples_for(scaling, SMALLER):,.0f}.",
    )


def parts_add_up(identity: xr.Dataset) -> Judgement:
    """MG-11: the two parts' sum is the gradient, to rounding; the last layer's parts are those of the closed form.

    Args:
        identity: relative differences `sum` and `closed_form`, over (seed, epoch).
    """
    closed = identity["closed_form"].max("epoch")
    return judged(
        "MG-11",
        sum=identity["sum"].max("epoch"),
        closed_form=closed if closed.notnull().any() else "the last layer is not linear on flat features",
    )


def falls_with_their_number(scaling: xr.Dataset) -> Judgement:
    """MG-12: the exponent p of n^p, with which the mean dependent part of n permuted examples falls.

    Args:
        scaling: `dependent` over (seed, subset, number, layer).
    """
    numbers = scaling["number"].values
    if len(numbers) < LEAST_NUMBERS:
        reason = "there are too few examples for three numbers of them"
        return judged("MG-12", exponent=reason, steeper=reason)
    fitted = slopes(scaling).mean("layer")
    permuted, unpermuted = (fitted.sel(subset=name).values for name in ("permuted", "unpermuted"))
    return judged(
        "MG-12",
        exponent=np.abs(permuted + 0.5),
        steeper=unpermuted - permuted,
        note=f"n = {numbers.min():,} to {numbers.max():,}: {permuted.mean():.2f} and {unpermuted.mean():.2f}. Averaged "
        "over the examples; weighted by their share of the training set it grows like sqrt(n).",
    )
