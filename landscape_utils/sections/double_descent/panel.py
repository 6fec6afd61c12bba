"""A panel on double descent: how much noise, how long to train, how wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from landscape_utils.kit.bars import Tick
from landscape_utils.memorization.double_descent import MOMENTS
from landscape_utils.sections.double_descent.plots import MOMENT_COLOURS, TIMES, width_axis
from landscape_utils.sections.double_descent.study import LABELS, Family, by_moment, courses, unmemorized
from landscape_utils.suite.plots import COLOURS, percent, to_png
from landscape_utils.suite.widgets import Panel, Shown, choice, player

SEEDS = 2
STOPS = 24  # of the slider of training time
ROUNDS = (4, 2, 1)  # every so many widths are trained first
GIVEN = "# family is the one that the panel was given, study is landscape_utils.sections.double_descent.study"

Measured = dict[float, tuple[xr.Dataset, xr.Dataset]]  # course and table, by width


def double_descent_panel(family: Family, widths: Sequence[float], *, noises: Sequence[float], **how: Any) -> Panel:
    """Explore test error over width and training time: share of redrawn labels, time, and one width's course.

    A share that was not trained yet trains when it is chosen, a few widths first; time and width only look up.

    Args:
        family: its own noise is shown first; two of its seeds are used.
        widths: the narrowest first.
        noises: shares to choose from.
        how: as for `geometry`.

    Returns:
        The panel; its controls are `noise`, `time` and `width`; `others` holds `play`, which walks through the time.
    """
    own, kept = family.specs[0].epsilon, dict[float, Measured]()

    def show(tick: Tick, noise: float, time: int, width: float) -> Iterator[Shown]:
        noisy, measured = family.with_noise(noise, seeds=SEEDS), kept.setdefault(noise, {})
        for part in _rounds(noisy, widths, measured, tick, how):
            course = courses({w: measured[w][0] for w in part}).assign_attrs(epsilon=noise)
            table = xr.concat([measured[w][1] for w in part], dim="width")
            picture = _picture(course, table, time, width, family)
            yield Shown(picture, course.assign(dimension=table["dimension"]), _code(noise, part, how))

    looks = family.looks
    logarithmic = np.unique(np.geomspace(1, len(looks), STOPS).round().astype(int)) - 1
    times = [looks[i] for i in logarithmic]
    controls: dict[str, Any] = {
        "noise": choice("redrawn labels", [(f"{x:.0%}", x) for x in sorted({*noises, own})], own),
        # What only looks up follows the hand.
        "time": ipywidgets.SelectionSlider(options=times, value=times[-1], description=f"{family.unit}s"),
        "width": ipywidgets.SelectionSlider(options=widths, value=widths[len(widths) // 2], description="width"),
    }
    play = player(controls["time"], interval=400)
    return Panel(show, controls, width=980, others={"play": play}, name="08_double_descent-panel")


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


def _code(noise: float, widths: Sequence[float], how: dict[str, Any]) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in how.items())
    return "\n".join(
        [
            GIVEN,
            f"some = family.with_noise({noise!r}, seeds={SEEDS})",
            f"networks = {{width: some.train(width) for width in {list(widths)}}}",
            f"table = study.by_moment(networks, family.data.test, {options})",
            'study.courses({w: n.course for w, n in networks.items()}).assign(dimension=table["dimension"])',
        ]
    )


def _picture(course: xr.Dataset, table: xr.Dataset, time: int, width: float, family: Family) -> bytes:
    """Draw error over width at one time, one width's course, and the dimension over width."""
    figure = Figure(figsize=(11.5, 4.3))
    # Places by hand: a layout engine would take longer than the drawing.
    by_width, by_time, geometry = (figure.add_axes((x, 0.13, 0.26, 0.6)) for x in (0.06, 0.39, 0.73))
    mean, noise = course.mean("seed"), course.attrs["epsilon"]
    now = mean.sel(step=time, method="nearest")
    _errors(now, now["width"].values, ax=by_width)
    best = 1 - table["test_accuracy"].sel(moment="best").mean("seed")
    by_width.plot(best["width"], best, color=MOMENT_COLOURS["best"], lw=1, ls="--", label=f"test, {TIMES['best']}")
    by_width.set_title(f"{noise:.0%} redrawn, after {time:,} {family.unit}s", fontsize=10)
    near = mean.sel(width=width, method="nearest")  # while others are still to come
    after = near.isel(step=slice(1, None))
    _errors(after, after["step"].values, ax=by_time)
    unspoiled = 1 - unmemorized(after["test_accuracy"].values, noise, len(family.data.classes))
    by_time.plot(after["step"], unspoiled, color="0.2", lw=1.2, ls=":", label="the same, if none were memorized")
    by_time.set(xscale="log", xlabel=f"{family.unit}s")
    by_time.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    by_time.xaxis.set_major_formatter("{x:g}")
    by_time.minorticks_off()
    by_time.set_title(f"width {float(near['width']):g}", fontsize=10)
    by_time.axvline(time, color="black", lw=1)
    for moment in MOMENTS:
        values = table["dimension"].sel(moment=moment).mean("seed")
        geometry.plot(values["width"], values, color=MOMENT_COLOURS[moment], marker="o", ms=3, label=TIMES[moment])
    geometry.set_title(f"{LABELS['dimension']}, {table.sizes['seed']} seeds", fontsize=10)
    for ax in (by_width, geometry):
        width_axis(ax, course["width"].values[::2].tolist())  # there is no room for more
        ax.axvline(width, color="black", lw=1)
    for ax in figure.axes:
        ax.tick_params(labelsize=9)
        ax.legend(fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(-0.1, 1.13), borderaxespad=0)
    return to_png(figure)


def _errors(values: xr.Dataset, x: np.ndarray, *, ax: Axes) -> None:
    """Draw the error on test images and on training labels."""
    ax.plot(x, 1 - values["test_accuracy"], color=COLOURS[1], lw=2, label="test")
    ax.plot(x, 1 - values["train_accuracy"], color="0.5", lw=1.2, ls="--", label="training labels")
    ax.set(ylabel="error", ylim=(-0.02, 1))
    percent(ax.yaxis)
