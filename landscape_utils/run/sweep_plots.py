"""A sweep in one picture: every part's number against what was swept."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.run.sweep_results import SEEDS
from landscape_utils.suite.claims import LEAST_SEEDS, decide, student
from landscape_utils.suite.ledger import CLAIMS, PartRule

COLUMNS = 3


def summary(results: xr.Dataset) -> Figure:
    """Draw every part's number over the swept parameters, with 95 % intervals over the seeds.

    The first swept parameter that is no seed is the horizontal axis, the others are lines. Where only seeds were
    swept they are the axis, and a band is the interval of their mean. Above each panel: in how many runs the part is
    seen, of those that decide it. Where only seeds were swept, the verdict of all of them together stands there.

    Args:
        results: the root of `sweep_results.collect`.

    Raises:
        ValueError: the notebook judges no claims, or none that has an effect size.
    """
    shown = [part for part in results.part.values if np.isfinite(results.effect.sel(part=part)).any()]
    if not shown:
        raise ValueError("no claim here has a number; what there is lies in the Dataset")
    rows = math.ceil(len(shown) / COLUMNS)
    width = min(len(shown), COLUMNS)
    figure, axes = plt.subplots(rows, width, figsize=(4.2 * width, 3.2 * rows), layout="constrained", squeeze=False)
    for part, ax in zip(shown, axes.flat, strict=False):
        one = results.sel(part=part)
        _panel(one.effect, ax)
        rule = _rule(str(part))
        if rule is not None:
            ax.axhline(rule.threshold, color="0.5", linestyle=":", zorder=0)
        ax.set_title(f"{part}: {_verdict(one, rule)}", fontsize="medium")
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    figure.suptitle(f"{results.attrs.get('notebook', '')}: {results.attrs['finished']} of {results.attrs['runs']} runs")
    return figure


def _rule(part: str) -> PartRule | None:
    claim, _, name = part.partition(" ")
    return CLAIMS[claim].parts.get(name)


def _verdict(one: xr.Dataset, rule: PartRule | None) -> str:
    """Decide over the swept seeds, or count the runs that decide."""
    values = one.effect.values[np.isfinite(one.effect.values)]
    if rule is not None and not rule.exact and len(values) >= LEAST_SEEDS and set(one.effect.dims) <= set(SEEDS):
        return f"{decide(student(values), rule)} over {len(values)} seeds"
    decided = [verdict for verdict in map(str, one.verdict.values.flat) if verdict in ("seen", "exact", "not seen")]
    return f"seen in {len(decided) - decided.count('not seen')} of {len(decided)} runs"


def _panel(effect: xr.DataArray, ax: Axes) -> None:
    seeds = [str(name) for name in effect.dims if name in SEEDS]
    others = [str(name) for name in effect.dims if name not in SEEDS]
    ax.set_ylabel("number")
    if not others:
        _band(effect, ax)
        return
    along, lines = others[0], others[1:]
    places = np.arange(effect.sizes[along])
    stacked = effect.stack(line=lines) if lines else effect.expand_dims("line", -1)
    for i in range(stacked.sizes["line"]):
        line = stacked.isel(line=i).transpose(along, *seeds)
        values = line.values.reshape(len(places), -1)
        spread = [student(row[np.isfinite(row)]) if np.isfinite(row).any() else (math.nan, math.nan) for row in values]
        mean = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else math.nan for row in values])
        low, high = np.array(spread).T
        reach = np.where(np.isfinite([low, high]), np.abs(np.array([low, high]) - mean), 0.0)
        label = ", ".join(f"{name} {line[name].item()}" for name in lines)
        shift = 0.06 * (i - (stacked.sizes["line"] - 1) / 2)  # so that intervals do not hide one another
        ax.errorbar(places + shift, mean, yerr=reach, marker="o", capsize=3, label=label or None)
        ax.scatter(np.repeat(places + shift, values.shape[1]), values.ravel(), s=8, alpha=0.4, color="0.3")
    ax.set_xticks(places, [str(value) for value in effect[along].values])
    ax.set_xlabel(along)
    if lines:
        ax.legend(fontsize="x-small")


def _band(effect: xr.DataArray, ax: Axes) -> None:
    """Show one measurement a seed, their mean, and its interval."""
    values = effect.values.ravel()
    sound = values[np.isfinite(values)]
    low, high = student(sound)
    ax.scatter(np.arange(len(values)), values, color="C0")
    ax.axhline(sound.mean(), color="C1")
    if np.isfinite([low, high]).all():
        ax.axhspan(low, high, color="C1", alpha=0.2, linewidth=0)
    names = effect[effect.dims[0]].values if effect.dims else ["one run"]
    ax.set_xticks(np.arange(len(values)), [str(name) for name in np.atleast_1d(names)])
    ax.set_xlabel(str(effect.dims[0]) if effect.dims else "")
