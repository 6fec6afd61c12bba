"""Pictures of the gradient's two parts: maps over layers and epochs, courses, and size by number of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from landscape_utils.kit import Floats
from landscape_utils.sections.gradient_split.study import END, permuted_share, typical
from landscape_utils.suite.claims import over_seeds
from landscape_utils.suite.plots import COLOURS

BY_LAYER = ("0", "1")  # epochs, near the start
SHADES = {"all": "0.35", "unpermuted": COLOURS[0], "permuted": COLOURS[1]}
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
APART = 1.6  # between two labelled numbers of a logarithmic axis: closer, their labels touch
RATIOS = {
    "dependent / independent,\nunpermuted": (("dependent", "unpermuted"), ("independent", "unpermuted")),
    "dependent / independent,\npermuted": (("dependent", "permuted"), ("independent", "permuted")),
    "unpermuted / permuted,\ndependent": (("dependent", "unpermuted"), ("dependent", "permuted")),
    "unpermuted / permuted,\nindependent": (("independent", "unpermuted"), ("independent", "permuted")),
}


def norm_maps(course: xr.Dataset) -> Figure:
    """Draw the gradient's norm over layers and epochs, one map a subset, in one logarithmic colour range.

    Args:
        course: `total` over (seed, epoch, layer, subset); drawn are geometric means over seeds.
    """
    norms = typical(course["total"], "seed")
    scale = LogNorm(float(norms.min()), float(norms.max()))
    names = [str(name) for name in norms["subset"].values]
    figure, axes = _row(len(names), norms)
    for ax, name in zip(axes, names, strict=True):
        image = _map(norms.sel(subset=name), ax=ax, cmap="viridis", norm=scale)
        ax.set_title(f"{name} examples", fontsize=10)
    bar = figure.colorbar(image, ax=list(axes), shrink=0.9, pad=0.02)
    bar.set_label("norm of the gradient\n(nats per unit of weight)", fontsize=9)
    return figure


def ratio_maps(course: xr.Dataset) -> Figure:
    """Draw the paper's four ratios over layers and epochs: orange where the first is larger, purple where the other is.

    Args:
        course: `dependent` and `independent` over (seed, epoch, layer, subset); drawn are geometric means over seeds.
    """
    logs = {title: _log_ratio(course, *parts) for title, parts in RATIOS.items()}
    top = max(float(np.abs(values).max()) for values in logs.values())
    figure, axes = _row(len(logs), course["dependent"])
    for ax, (title, values) in zip(axes, logs.items(), strict=True):
        image = _map(values, ax=ax, cmap="PuOr_r", vmin=-top, vmax=top)
        ax.set_title(title, fontsize=10)
    ticks = np.log10([t for t in TICKS if 10**-top <= t <= 10**top])
    bar = figure.colorbar(image, ax=list(axes), shrink=0.9, pad=0.02, ticks=ticks, format=FuncFormatter(_times))
    bar.set_label("ratio of the norms", fontsize=9)
    return figure


def _log_ratio(course: xr.Dataset, over: tuple[str, str], under: tuple[str, str]) -> xr.DataArray:
    """Average log10 of a ratio over seeds; over (epoch, layer)."""
    a, b = (course[part].sel(subset=subset, drop=True) for part, subset in (over, under))
    logs: xr.DataArray = xr.apply_ufunc(np.log10, a / b)
    return logs.mean("seed")


def _times(exponent: float, place: int | None = None) -> str:
    return f"{10**exponent:.2g}"


def _row(count: int, like: xr.DataArray) -> tuple[Figure, Sequence[Axes]]:
    size = (2.6 * count + 1.6, 0.6 + 0.26 * max(8, like.sizes["layer"]))
    figure, axes = plt.subplots(1, count, figsize=size, layout="constrained", sharey=True)
    axes[0].set_ylabel("layer, the first on top")
    return figure, axes


def _map(values: xr.DataArray, *, ax: Axes, **how: Any) -> AxesImage:
    """Draw one map over (epoch, layer)."""
    table = values.transpose("layer", "epoch")
    image = ax.imshow(table.values, aspect="auto", **how)
    names = [str(name) for name in table["layer"].values]
    every = max(1, len(names) // 24)
    ax.set_yticks(range(0, len(names), every), names[::every], fontsize=9)
    ax.set_xticks(range(table.sizes["epoch"]), [str(e) for e in table["epoch"].values], fontsize=9)
    ax.set_xlabel("epoch", fontsize=9)
    return image


def share_panels(course: xr.Dataset, level: float) -> Figure:
    """Draw permuted to unpermuted examples' norms by epoch, averaged over layers, and by layer: means over seeds.

    Bars are 95 % intervals over seeds, of logarithms; dashed: a criterion.

    Args:
        course: `dependent` and `independent` over (seed, epoch, layer, subset).
        level: the criterion.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 3.9), layout="constrained", sharey=True)
    for name, colour, aside in (("dependent", COLOURS[0], -0.06), ("independent", COLOURS[1], 0.06)):
        _with_interval(typical(permuted_share(course[name])), "epoch", colour, f"{name} part", aside, ax=left)
    left.set_xlabel(f"epoch ({END}: each run's own last)")
    left.set_ylabel("norm, permuted / unpermuted")
    for i, epoch in enumerate(e for e in BY_LAYER if e in course["epoch"].values):
        share = permuted_share(course["dependent"].sel(epoch=epoch))
        _with_interval(share, "layer", COLOURS[2 + i], f"dependent part, epoch {epoch}", 0.1 * i, ax=right)
    right.set_xlabel("layer, the first one on the left")
    right.tick_params(axis="x", rotation=60)
    for ax in (left, right):
        ax.axhline(1, color="black", ls=":", lw=1)
        ax.axhline(level, color="0.4", ls="--", lw=1)
        ax.legend(fontsize=9, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    plain_log(left)
    return figure


def _with_interval(share: xr.DataArray, along: str, colour: str, label: str, aside: float, *, ax: Axes) -> None:
    """Draw geometric means over seeds and their intervals, along a dimension."""
    mean, reach = over_seeds(np.log(share.transpose("seed", along).values))
    ends = np.exp(mean) - np.exp(mean - reach), np.exp(mean + reach) - np.exp(mean)
    where = np.arange(len(mean))
    ax.errorbar(where + aside, np.exp(mean), ends, color=colour, lw=1.8, marker="o", ms=4, capsize=2, label=label)
    ax.set_xticks(where, [str(value) for value in share[along].values])


def scaling_pair(scaling: xr.Dataset, examples: int) -> Figure:
    """Draw the dependent part over n examples: their mean, and beside it the mean weighted by n's share of all.

    Only at numbers that all seeds have. Thin a seed, bold their mean, dotted 1 / sqrt(n) (and sqrt(n)) through the mean
    of the permuted ones.

    Args:
        scaling: `dependent` over (seed, subset, number, layer); averaged over layers.
        examples: of the training set.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained", sharex=True)
    norms = typical(scaling["dependent"])
    norms = norms.sel(number=norms.notnull().all("seed").any("subset"))  # a mean of some seeds would jump
    numbers = norms["number"].values.astype(float)
    laws = (("1 / sqrt(n)", np.ones_like(numbers)), ("sqrt(n)", numbers / examples))
    for ax, (law, weights) in zip(axes, laws, strict=True):
        for subset in norms["subset"].values:
            lines = norms.sel(subset=subset).transpose("number", "seed").values * weights[:, None]
            ax.loglog(numbers, lines, color=SHADES[subset], lw=0.6, alpha=0.7)
            ax.loglog(numbers, _geometric(lines), color=SHADES[subset], lw=2, marker="o", ms=4, label=subset)
        noise = _geometric(norms.sel(subset="permuted").transpose("number", "seed").values) * np.sqrt(numbers)
        level = np.exp(np.nanmean(np.log(noise)))
        ax.loglog(numbers, level / np.sqrt(numbers) * weights, "k:", lw=1.2, label=f"as {law}")
        ax.set_xlabel("n, number of examples")
        # The last number, of all there are, may lie close behind a doubling.
        apart = [n for n, after in zip(numbers, [*numbers[1:], np.inf], strict=True) if after > APART * n]
        ax.set_xticks(apart, [f"{n:g}" for n in apart])
        ax.xaxis.set_minor_locator(NullLocator())
        plain_log(ax)
        ax.legend(fontsize=9, frameon=False)
    axes[0].set_ylabel("norm of the dependent part")
    axes[0].set_title("averaged over the n examples", fontsize=10)
    axes[1].set_title(f"weighted by their share, n / {examples:,}", fontsize=10)
    return figure


def plain_log(ax: Axes) -> None:
    """Write plain numbers along a logarithmic y axis."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _geometric(lines: Floats) -> Floats:
    mean: Floats = np.exp(np.mean(np.log(lines), axis=1))
    return mean
