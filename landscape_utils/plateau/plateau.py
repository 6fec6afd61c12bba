"""Interpolation from an initialisation to a solution: the curve, how long it stays flat, and what theory predicts.

A network of r layers whose only biases are the last layer's has, from a vanishing initialisation, the output

    f(x; alpha) = alpha^r s(x) + alpha b,    s(x) = f(x; 1) - b,

a competition of the weights' signal s with the bias b (bias plateau, 1.1 and section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import evaluate
from landscape_utils.engine.space import StateDict
from landscape_utils.kit import Floats
from landscape_utils.plateau.paths import Scheme, path

ALPHAS: Floats = np.linspace(0, 1, 51)
TOLERANCE = 0.1  # a curve has left its plateau once it has gained this share of what the solution gains
ROUNDING = 1e-9  # an end that is better than a guess by less is no better
RISE = 0.01  # of the range; what lies this much above an earlier point breaks monotonicity


def interpolate(
    model: nn.Module,
    start: StateDict,
    end: StateDict,
    data: Pairs,
    alphas: Sequence[float] | Floats = ALPHAS,
    scheme: Scheme = "linear",
    *,
    layers: Sequence[str] | None = None,
    rest: Literal["start", "end"] = "start",
    **how: Unpack[evaluate.Options],
) -> xr.Dataset:
    """Evaluate a network on the way from one state to another.

    Args:
        model: of the states' architecture; it is left as it was.
        start, end: state dicts, e.g. `run.weights(0)` and `run.weights()`.
        data: as for `curve`.
        alphas: where to evaluate, increasing; 0 is the start, 1 the end.
        scheme, layers, rest: which parameters move and how; see `paths.path`.
        how: see `evaluate.Options`; not `origin`, `normalisation` or `leave_out_1d`. By default BatchNorm's statistics
            are updated at every point.

    Returns:
        Dataset over `alpha` with the variables of `curve`; the attributes name the scheme and, as `bn`, what was
        done about BatchNorm (`none` where there is none).

    Raises:
        ValueError: as `paths.path` and `curve` do, or an option that would move the ends.
    """
    for option in ("origin", "normalisation", "leave_out_1d"):
        if option in how:
            raise ValueError(f"interpolate goes from the start to the end as they are; leave {option} out")
    data = resident(model, data)
    way = path(model, start, end, data.inputs, scheme=scheme, layers=layers, rest=rest)
    normed = any(isinstance(m, _BatchNorm) for m in way.model.modules())
    options: evaluate.Options = {"bn": "update" if normed else "keep", **how, "origin": way.origin}
    exponents, directions = list(way.directions), list(way.directions.values())
    curve = evaluate.along(way.model, data, directions, exponents, alphas, **options)
    attributes = {"scheme": scheme, "layers": ", ".join(layers or ["all"]), "rest": rest}
    return curve.assign_attrs(attributes, unit="alpha = 1 is the end", bn=options["bn"] if normed else "none")


def chance(curve: xr.Dataset) -> dict[str, float]:
    """Return what a uniform guess has on the curve's data: log C, and the mistake rate 1 - 1/C."""
    size = curve.sizes["class"]
    return {"loss": float(np.log(size)), "mistake_rate": 1 - 1 / size}


def level_of(curve: xr.Dataset, variable: str = "mistake_rate", *, tolerance: float = TOLERANCE) -> float:
    """Return the level at which a plateau ends: v_chance - tolerance (v_chance - v(1)).

    Args:
        curve, variable, tolerance: as for `plateau_length`.
    """
    guess = chance(curve)[variable]
    return guess - tolerance * (guess - float(curve[variable].values[-1]))


def plateau_length(curve: xr.Dataset, variable: str = "mistake_rate", *, tolerance: float = TOLERANCE) -> float:
    """Measure how far along the way the network is no better than a guess.

    sup{alpha: v(alpha) > v_chance - tolerance (v_chance - v(1))}, linear between the points: the last alpha before
    the curve has, for good, gained a tenth of what the solution gains over chance. One definition for loss and error.

    Args:
        curve: over `alpha`, from 0 to 1, with `loss`, `mistake_rate` and the dimension `class`.
        variable: `loss` or `mistake_rate`.
        tolerance: in (0, 1).

    Returns:
        In [0, 1]; 0 where the curve starts below the level and stays there, NaN where the end is no better than
        chance or a value is not finite.
    """
    values, alphas = curve[variable].values, curve["alpha"].values
    if not np.isfinite(values).all() or chance(curve)[variable] - values[-1] <= ROUNDING:
        return np.nan
    level = level_of(curve, variable, tolerance=tolerance)
    above = np.flatnonzero(values > level)
    if not len(above):
        return 0.0
    i = above[-1]
    share = (values[i] - level) / (values[i] - values[i + 1])
    return float(alphas[i] + share * (alphas[i + 1] - alphas[i]))


def violations(curve: xr.Dataset, variable: str = "loss", *, tolerance: float = RISE) -> float:
    """Count the points above an earlier one by more than `tolerance` of the range; NaN where a value is not finite."""
    values = curve[variable].values
    if not np.isfinite(values).all():
        return np.nan
    return float((values - np.minimum.accumulate(values) > tolerance * np.ptp(values)).sum())


def bulge(curve: xr.Dataset, variable: str = "loss") -> float:
    """Measure how far a curve is from convex: its largest height above its lower convex hull, as a share of its range.

    0 for a convex curve, NaN for one with values that are not finite.
    """
    alphas, values = curve["alpha"].values, curve[variable].values
    if not np.isfinite(values).all():
        return np.nan
    hull: list[int] = []
    for i in range(len(values)):
        while len(hull) > 1 and _above(alphas, values, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(i)
    height = values - np.interp(alphas, alphas[hull], values[hull])
    return float(height.max() / np.ptp(values)) if np.ptp(values) > 0 else 0.0


def _above(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    """Check whether point b lies on or above the chord from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))


# --- what the competition of two terms predicts ----------------------------------------------------------------


def competition(
    logits: Tensor,
    bias: Tensor,
    targets: Tensor,
    depth: int,
    alphas: Sequence[float] | Floats = ALPHAS,
) -> xr.Dataset:
    """Predict the whole curve from the solution alone: f(x; alpha) = alpha^r s(x) + alpha b.

    Exact for a network with biases on its last layer only, interpolated from zero; an approximation elsewhere: hidden
    biases scale with other powers, and a start that is not zero adds terms alpha^k (1 - alpha)^(r - k) of every lower
    power, which let the signal in earlier. This project's own derivation; the text gives the competition, not the
    curve.

    Args:
        logits: f(x; 1), shape (N, C).
        bias: of the last layer, shape (C,).
        targets: shape (N,).
        depth: r, the number of layers.
        alphas: where.

    Returns:
        Dataset over `alpha` with `loss` and `mistake_rate`, and `class` as a dimension.

    Raises:
        ValueError: a depth below 1, or shapes that do not fit.
    """
    _check(logits, bias, targets, depth)
    signal, axis = logits.double() - bias.double(), np.asarray(alphas, dtype=float)
    loss, mistakes = [], []
    for alpha in axis:
        f = alpha**depth * signal + alpha * bias.double()
        loss.append(float(F.cross_entropy(f, targets)))
        mistakes.append(1 - float((f.argmax(1) == targets).double().mean()))
    coordinates = {"alpha": axis, "class": np.arange(len(bias))}
    return xr.Dataset({"loss": ("alpha", loss), "mistake_rate": ("alpha", mistakes)}, coords=coordinates)


def class_flips(logits: Tensor, bias: Tensor, targets: Tensor, depth: int) -> xr.Dataset:
    """Predict where each class stops being taken for the class of the largest bias.

    alpha_c = (gap_c / margin_c)^(1 / (r - 1)), with gap_c = max b - b_c and margin_c the median over the class's
    examples of s_c - s_top: the bias wins below, the weights' signal above (for vanishing initialisation; this
    project's own derivation).

    Args:
        logits, bias, targets, depth: as for `competition`; the depth is at least 2.

    Returns:
        Dataset over `class`: bias_gap and signal_margin in logits, alpha. The class of the largest bias has alpha 0;
        one that flips beyond the end (above 1), or never, for its margin is not positive, has NaN.

    Raises:
        ValueError: as `competition` does, or a depth of 1, where the two terms scale alike.
    """
    _check(logits, bias, targets, depth)
    if depth < 2:
        raise ValueError("with one layer, signal and bias scale alike and nothing flips; give a depth of at least 2")
    signal, top = logits.double() - bias.double(), int(bias.argmax())
    gaps = bias.double().max() - bias.double()
    margins = torch.full_like(gaps, torch.nan)
    for c in range(len(bias)):
        of_class = signal[targets == c]
        if c != top and len(of_class):
            margins[c] = (of_class[:, c] - of_class[:, top]).median()
    alphas = torch.where(margins > 0, (gaps / margins.clamp(min=1e-300)) ** (1 / (depth - 1)), torch.nan)
    alphas = alphas.masked_fill(alphas > 1, torch.nan)
    alphas[top] = 0.0
    variables = {"bias_gap": gaps, "signal_margin": margins, "alpha": alphas}
    return xr.Dataset({name: ("class", values.numpy()) for name, values in variables.items()})


def _check(logits: Tensor, bias: Tensor, targets: Tensor, depth: int) -> None:
    if logits.ndim != 2 or bias.shape != logits.shape[1:] or targets.shape != logits.shape[:1]:
        shapes = f"{tuple(logits.shape)}, {tuple(bias.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"logits, bias and targets have shapes {shapes}; they must be (N, C), (C,) and (N,)")
    if depth < 1:
        raise ValueError(f"depth is {depth}; a network has one layer at least")
