"""Verdicts on the claims MG-10 to MG-12.

The criteria were written before any result on the notebook's own seeds was seen. What trial seeds (100 to 102) settled:

- MG-10 is asked at the initialisation and after the first epoch, for both are near the initialisation. On the trial
  seeds the permuted examples' dependent part was 0.7 to 0.8 of the unpermuted ones' at the initialisation and 0.3 to
  0.4 after the first epoch; the threshold of 0.5 was set before that.
- MG-12's band around -1/2 was narrowed from 0.1 to 0.05, for with 0.1 the unpermuted examples would have passed, too
  (-0.43 to -0.46): their signal is weak in a network that has not learned anything. That they fall more slowly in every
  seed was added.

Beyond the notebook: on the trial seeds 100 and 101, with 20,000 fresh images half of which had permuted labels, MG-10's
ratio at the initialisation was 0.48 and 0.39; `study.examples_for` had extrapolated 0.50 and 0.44 from 3,000.

After the results on the notebook's seeds, only the words of MG-10's reason were changed, and MG-11 is measured on 60
images in place of 100, for speed.

Norms and ratios are averaged geometrically over layers. Intervals are Student's 95 % over seeds; three seeds make them
wide.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.sections.gradient_split.study import slopes, typical
from landscape_utils.suite.claims import Judgement, judge, mean_text, student

SMALLER = 0.5  # the permuted examples' dependent part, as a share of the unpermuted ones'
ALIKE = 1.5  # the independent parts differ by this factor at most
VANISHED = 0.1  # of the median over layers
ROUNDING = 1e-10
BAND = 0.05  # around -1/2
NEAR = ("0", "1")  # epochs


def permuted_examples_are_ignored(course: xr.Dataset) -> Judgement:
    """MG-10: near the initialisation only the dependent part tells permuted from unpermuted examples.

    Args:
        course: `total`, `dependent`, `independent` over (seed, epoch, layer, subset).
    """
    criterion = (
        f"means over seeds, at the initialisation and after the first epoch: the dependent part of permuted examples "
        f"is at most {SMALLER} of that of unpermuted ones (over layers), the independent parts differ by at most a "
        f"factor of {ALIKE} in every layer; at every epoch the first layer's gradient is at least {VANISHED} of the "
        "layers' median"
    )
    near = [epoch for epoch in NEAR if epoch in course["epoch"].values]
    shares = {epoch: typical(permuted_share(course, "dependent").sel(epoch=epoch)).values for epoch in near}
    independent = typical(permuted_share(course, "independent").sel(epoch=near), "seed")
    apart = float(np.exp(np.abs(np.log(independent)).max()))
    total = course["total"].sel(subset="all")
    first = float((total.isel(layer=0) / total.median("layer")).mean("seed").min())
    worst = max(shares.values(), key=np.mean)
    return judge(
        "MG-10",
        criterion=criterion,
        measured="dependent, permuted to unpermuted: "
        + "; ".join(f"epoch {epoch} {mean_text(share)}" for epoch, share in shares.items())
        + f"; independent parts within a factor of {apart:.2f}; first layer at least {first:.2f} of the median",
        holds=float(worst.mean()) <= SMALLER and apart <= ALIKE and first >= VANISHED,
        effect=float(worst.mean()),
        interval=student(worst),
        reason=_reason(shares),
        seeds=len(worst),
        clear=abs(worst.mean() - SMALLER) > 0.05 and abs(apart - ALIKE) > 0.1 and abs(first - VANISHED) > 0.03,
    )


def permuted_share(course: xr.Dataset, part: str) -> xr.DataArray:
    """Divide the norms over permuted examples by those over unpermuted ones, over (seed, epoch, layer)."""
    ratio: xr.DataArray = course[part].sel(subset="permuted", drop=True) / course[part].sel(
        subset="unpermuted", drop=True
    )
    return ratio


def _reason(shares: dict[str, Floats]) -> str:
    """Return what limits the verdict where it fails at the initialisation alone."""
    failed = [epoch for epoch, share in shares.items() if share.mean() > SMALLER]
    if failed != ["0"] or len(shares) < 2:
        return ""
    return "it fails at the initialisation itself, where a random network's signal is no larger than the labels' noise"


def parts_add_up(identity: xr.Dataset) -> Judgement:
    """MG-11: the two parts' sum is the gradient, to rounding.

    Args:
        identity: relative differences `sum` and `closed_form`, over (seed, epoch).
    """
    worst = {name: float(identity[name].max()) for name in ("sum", "closed_form")}
    return judge(
        "MG-11",
        criterion="in float64 the sum differs from the gradient of the cross entropy by at most "
        f"{ROUNDING:g} of its norm, in every layer, subset and seed, at the initialisation and at the end",
        measured=f"at most {worst['sum']:.0e}; the last layer from its closed form {worst['closed_form']:.0e}",
        holds=worst["sum"] <= ROUNDING,
        effect=worst["sum"],
    )


def falls_with_their_number(scaling: xr.Dataset) -> Judgement:
    """MG-12: at the initialisation the mean dependent part of n permuted examples falls like 1 / sqrt(n).

    Args:
        scaling: `dependent` over (seed, subset, number, layer).
    """
    criterion = (
        f"the exponent of n, fitted in every layer and averaged, is -0.5 within {BAND} for permuted examples (mean "
        "over seeds), and in every seed below that of unpermuted ones"
    )
    fitted = slopes(scaling).mean("layer")
    permuted, unpermuted = (fitted.sel(subset=name).values for name in ("permuted", "unpermuted"))
    if scaling.sizes["number"] < 3 or np.isnan(fitted).any():
        reason = "there are too few examples for three numbers of them"
        return judge("MG-12", criterion=criterion, measured="-", holds=None, reason=reason)
    steeper = float((unpermuted - permuted).min())
    off = abs(float(permuted.mean()) + 0.5)
    numbers = scaling["number"].values
    return judge(
        "MG-12",
        criterion=criterion,
        measured=f"n = {numbers.min()} to {numbers.max()}: permuted {mean_text(permuted)}, "
        f"unpermuted {mean_text(unpermuted)}",
        holds=off <= BAND and steeper > 0,
        effect=float(permuted.mean()),
        interval=student(permuted),
        reason="averaged over the subset; weighted by its share of the training set it grows like sqrt(n)",
        seeds=len(permuted),
        clear=abs(off - BAND) > 0.01 and abs(steeper) > 0.01,
    )
