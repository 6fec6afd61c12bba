"""A sweep in one picture: every claim's effect against what was swept."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.run.sweep_results import SEEDS
from landscape_utils.suite.claims import student

COLUMNS = 3


def summary(results: xr.Dataset) -> Figure:
    """Draw every claim's effect over the swept parameters, with 95 % intervals over the seeds.

    The first swept parameter that is no seed is the horizontal axis, the others are lines. Where only seeds were
    swept they are the axis, and a band is the interval of their mean. Above each panel: how many runs reproduce
    the claim, of those that decide it.

    Args:
        results: the root of `sweep_results.collect`.

    Raises:
        ValueError: the notebook judges no claims, or none that has an effect size.
    """
    shown = [claim for claim in results.claim.values if np.isfinite(results.effect.sel(claim=claim)).any()]
    if not shown:
        raise ValueError("no claim here has an effect size; the numbers are in the Dataset")
    rows = math.ceil(len(shown) / COLUMNS)
    width = min(len(shown), COLUMNS)
    figure, axes = plt.subplots(rows, width, figsize=(4.2 * width, 3.2 * rows), layout="constrained", squeeze=False)
    for claim, ax in zip(shown, axes.flat, strict=False):
        one = results.sel(claim=claim)
        _panel(one.effect, ax)
        verdicts = [str(verdict) for verdict in one.verdict.values.flat if str(verdict)]
        decided = [verdict for verdict in verdicts if verdict in ("reproduced", "not reproduced")]
        ax.set_title(f"{claim}: reproduced in {decided.count('reproduced')} of {len(decided)} runs", fontsize="medium")
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    figure.suptitle(f"{results.attrs.get('notebook', '')}: {results.attrs['finished']} of {results.attrs['runs']} runs")
    return figure


def _panel(effect: xr.DataArray, ax: Axes) -> None:
    seeds = [str(name) for name in effect.dims if name in SEEDS]
    others = [str(name) for name in effect.dims if name not in SEEDS]
    ax.set_ylabel("effect")
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
