"""A panel on double descent: how much noise, how long to train, how wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from landscape_utils.kit.bars import Tick
from landscape_utils.memorization.double_descent import MOMENTS
from landscape_utils.sections.double_descent.plots import MOMENT_COLOURS, TIMES, width_axis
from landscape_utils.sections.double_descent.study import LABELS, Family, by_moment, courses
from landscape_utils.suite.plots import COLOURS, to_png
from landscape_utils.suite.widgets import Panel, choice, stops

SEEDS = 2
STOPS = 24  # of the slider of training time
ROUNDS = (4, 2, 1)  # every so many widths are trained first

Measured = dict[float, tuple[xr.Dataset, xr.Dataset]]  # course and table, by width


def double_descent_panel(family: Family, widths: Sequence[float], *, noises: Sequence[float], **how: Any) -> Panel:
    """Explore test accuracy over width: share of redrawn labels, training time, and one width's course.

    A share that was not trained yet trains when it is chosen, a few widths first; time and width only look up.

    Args:
        family: its own noise is shown first; two of its seeds are used.
        widths: the narrowest first.
        noises: shares to choose from.
        how: as for `geometry`.

    Returns:
        The panel; its controls are `noise`, `time` and `width`.
    """
    own, kept = family.specs[0].epsilon, dict[float, Measured]()

    def show(tick: Tick, noise: float, time: int, width: float) -> Iterator[bytes]:
        noisy, measured = family.with_noise(noise, seeds=SEEDS), kept.setdefault(noise, {})
        for part in _rounds(noisy, widths, measured, tick, how):
            course = courses({w: measured[w][0] for w in part})
            table = xr.concat([measured[w][1] for w in part], dim="width")
            yield to_png(_picture(course, table, noise, time, width, family.unit))

    looks = family.looks
    logarithmic = np.unique(np.geomspace(1, len(looks), STOPS).round().astype(int)) - 1
    controls: dict[str, Any] = {
        "noise": choice("redrawn labels", [(f"{x:.0%}", x) for x in sorted({*noises, own})], own),
        "time": stops(f"{family.unit}s", [looks[i] for i in logarithmic], looks[-1]),
        "width": stops("width", list(widths), widths[len(widths) // 2]),
    }
    return Panel(show, controls, width=980)


def _rounds(
    family: Family, widths: Sequence[float], measured: Measured, tick: Tick, how: dict[str, Any]
) -> Iterator[list[float]]:
    """Train and measure what is missing, from coarse to fine; yield the widths that are there after each round."""
    for every in ROUNDS:
        missing = [width for width in widths[::every] if width not in measured]
        for width in missing:
            done = 100 * len(measured)

            def within(step: int, of: int, done: int = done) -> None:
                tick(done + 100 * step // of, 100 * len(widths))

            within(0, 1)
            networks = family.train(width, progress=within)
            table = by_moment({width: networks}, family.data.test, progress=False, **how)
            measured[width] = networks.course, table
        if missing or every == 1:
            tick(100 * len(measured), 100 * len(widths))
            yield [width for width in widths if width in measured]


def _picture(course: xr.Dataset, table: xr.Dataset, noise: float, time: int, width: float, unit: str) -> Figure:
    """Draw accuracy over width at one time, one width's course, and the dimension over width."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    by_width, by_time, geometry = figure.subplots(1, 3)
    mean = course.mean("seed")
    now = mean.sel(step=time, method="nearest")
    _accuracies(now, now["width"].values, ax=by_width)
    best = table["test_accuracy"].sel(moment="best").mean("seed")
    by_width.plot(best["width"], best, color=MOMENT_COLOURS["best"], lw=1, ls="--", label=f"test, {TIMES['best']}")
    by_width.set_title(f"{noise:.0%} redrawn, after {time:,} {unit}s", fontsize=10)
    near = mean.sel(width=width, method="nearest")  # while others are still to come
    _accuracies(near.isel(step=slice(1, None)), near["step"].values[1:], ax=by_time)
    by_time.set(xscale="log", xlabel=f"{unit}s")
    by_time.set_title(f"width {float(near['width']):g}", fontsize=10)
    by_time.axvline(time, color="black", lw=1)
    for moment in MOMENTS:
        values = table["dimension"].sel(moment=moment).mean("seed")
        geometry.plot(values["width"], values, color=MOMENT_COLOURS[moment], marker="o", ms=3, label=TIMES[moment])
    geometry.set_title(f"{LABELS['dimension']}, {table.sizes['seed']} seeds", fontsize=10)
    for ax in (by_width, geometry):
        width_axis(ax, course["width"].values.tolist())
        ax.axvline(width, color="black", lw=1)
    for ax in figure.axes:
        ax.tick_params(labelsize=8)
        ax.legend(fontsize=7, frameon=False)
    return figure


def _accuracies(values: xr.Dataset, x: np.ndarray, *, ax: Axes) -> None:
    """Draw test and training accuracy."""
    ax.plot(x, values["test_accuracy"], color=COLOURS[1], lw=2, label="test")
    ax.plot(x, values["train_accuracy"], color="0.5", lw=1.2, ls="--", label="training labels")
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
