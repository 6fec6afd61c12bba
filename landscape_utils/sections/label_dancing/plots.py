"""Pictures of the label dance, of dancing notes and of what their claims rest on: arrays in, axes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from landscape_utils.data.datasets import class_index
from landscape_utils.interference.cctm import ClassPairs
from landscape_utils.interference.dancing import (
    NONE,
    PARTNER,
    THIRD,
    dance_events,
    recalls_by_epoch,
    symmetric_phases,
)
from landscape_utils.suite.plots import COLOURS, footnote, new_axes

# Lines differ in style, events in marker and place: colour alone tells nothing apart.
OWN, OTHER = "black", COLOURS[2]
EVENTS = {PARTNER: (COLOURS[1], "X"), THIRD: (COLOURS[0], "s")}
THIRD_LINES = ((COLOURS[3], "-."), (COLOURS[5], ":"), (COLOURS[4], "-"))  # more would not be told apart
Range = tuple[int, int]


def recall_dance(
    rates: xr.DataArray, a: str | int, b: str | int, *, epochs: Range | None = None, ax: Axes | None = None
) -> Axes:
    """Draw two classes' recalls by epoch, with an arrow at each event and mirror-image phases shaded.

    Args:
        rates: a history's CCTM (epoch, true, predicted); see `dance_events` and `symmetric_phases`.
        a: the class whose errors are watched, by name or index.
        b: its partner.
        epochs: (first, last) to show; by default 1 to the last.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: no such class, or the same class twice.
    """
    ax = ax or new_axes(9, 4)
    events = dance_events(rates, a, b)
    first, second = events.attrs["first"], events.attrs["second"]
    recall = _shown(recalls_by_epoch(rates), epochs)
    for name, colour, style in ((first, OWN, "-"), (second, OTHER, "--")):
        ax.plot(recall["epoch"], recall.sel(true=name), style, color=colour, lw=1.6, label=f"recall of {name}")
    phases = symmetric_phases(rates, a, b)
    for phase in phases:
        ax.axvspan(*phase, color="0.88", lw=0, zorder=0)
    seen = []
    for kind, (colour, _) in EVENTS.items():
        if len(at := _epochs_of(events, kind, epochs)):
            _arrows(ax, at, recall.sel(true=first, epoch=at).values, colour)
            seen.append(_event_handle(kind, second))
    ax.margins(x=0.01, y=0.16)
    _by_epoch(ax, "training recall", epochs)
    _legend(ax, *seen, *([Patch(color="0.88", label="mirror images")] if phases else []))
    return ax


def error_row(
    rates: xr.DataArray, a: str | int, b: str | int, *, epochs: Range | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what class a is taken for by epoch, CCTM(a, .), with a marker on the peak of each event.

    The partner's cell and those of the most frequent third classes are in colour, all others thin and grey.

    Args:
        rates, a, b, epochs, ax: as in `recall_dance`.

    Raises:
        ValueError: no such class, or the same class twice.
    """
    ax = ax or new_axes(9, 4)
    events = dance_events(rates, a, b)
    first, second = events.attrs["first"], events.attrs["second"]
    row = _shown(rates.sel(true=first), epochs)
    ax.plot(row["epoch"], row.drop_sel(predicted=[first, second]), color="0.75", lw=0.7, zorder=1)
    ax.plot(row["epoch"], row.sel(predicted=second), "--", color=OTHER, lw=1.6, label=f"{first} as {second}")
    named, often = np.unique(events["interferer"][events["kind"] == THIRD].values, return_counts=True)
    for name, (colour, style) in zip(named[np.argsort(-often, kind="stable")], THIRD_LINES, strict=False):
        ax.plot(row["epoch"], row.sel(predicted=name), style, color=colour, lw=1.4, label=f"{first} as {name}")
    for kind, (colour, marker) in EVENTS.items():
        at = _epochs_of(events, kind, epochs)
        ax.plot(at, events["rate"].sel(epoch=at), marker, color=colour, ms=7, mec="white", mew=0.6, zorder=3)
    ax.margins(x=0.01)
    _by_epoch(ax, f"share of images of {first}", epochs)
    _legend(ax, Line2D([], [], color="0.75", lw=0.7, label="as another class"))
    return ax


def label_dance(
    rates: xr.DataArray, a: str | int, b: str | int, *, epochs: Range | None = None, note: str = ""
) -> Figure:
    """Draw the dance of two classes: their recalls with the events above, the row of the first class below."""
    figure, axes = plt.subplots(2, 1, figsize=(10, 7), layout="constrained", sharex=True)
    recall_dance(rates, a, b, epochs=epochs, ax=axes[0]).set_xlabel("")
    error_row(rates, a, b, epochs=epochs, ax=axes[1])
    footnote(figure, note)
    return figure


def notes_of(
    notes: xr.DataArray, a: str | int, partner: str | int, *, epochs: Range | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the dancing notes of a class: the class that it is most often taken for, by epoch (figure 7).

    Args:
        notes: from `dancing_notes`, (epoch, true).
        a: the class, by name or index.
        partner: the class whose notes stand out.
        epochs: (first, last) to show; by default 1 to the last.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: no such class.
    """
    ax = ax or new_axes(6, 3.2)
    names = [str(n) for n in notes["true"].values]
    own, other = class_index(names, a), class_index(names, partner)
    heights, values = _note_lines(ax, notes, [own], names), _shown(notes[:, own], epochs)
    third = (values != other) & (values != NONE)
    kinds = ((values == other, COLOURS[1], "X"), (third, COLOURS[0], "o"), (values == NONE, "0.6", "|"))
    for chosen, colour, marker in kinds:
        sounding = values[chosen]
        at = [heights[int(v)] for v in sounding]
        ax.plot(sounding["epoch"], at, marker, color=colour, ms=_size(values))
    ax.set_title(f"notes of {names[own]} ({names[other]} as crosses)", fontsize=10)
    ax.set_xlim(*_limits(values, epochs))
    return ax


def notes_together(
    notes: xr.DataArray, a: str | int, b: str | int, *, epochs: Range | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the dancing notes of two classes on the same lines, in the colours of `recall_dance`.

    Args:
        notes, epochs, ax: as in `notes_of`.
        a: a class, by name or index.
        b: another one.

    Raises:
        ValueError: no such class.
    """
    ax = ax or new_axes(9, 4)
    names = [str(n) for n in notes["true"].values]
    ends = [class_index(names, a), class_index(names, b)]
    heights = _note_lines(ax, notes, ends, names)
    for own, colour, marker, shift in zip(ends, (OWN, OTHER), "xo", (0.2, -0.2), strict=True):
        values = _shown(notes[:, own], epochs)
        at = [heights[int(v)] + shift for v in values]  # side by side where both are taken for the same class
        ax.plot(values["epoch"], at, marker, color=colour, ms=0.8 * _size(values), label=f"notes of {names[own]}")
    ax.margins(x=0.01)
    if epochs:
        ax.set_xlim(epochs[0] - 0.5, epochs[1] + 0.5)
    _legend(ax)
    return ax


def note_sheets(notes: xr.DataArray, pairs: ClassPairs, *, note: str = "") -> Figure:
    """Draw the notes of both classes of some pairs, one pair a row."""
    size = (10, 0.6 + 3.2 * len(pairs))
    figure, axes = plt.subplots(len(pairs), 2, figsize=size, layout="constrained", sharex=True, squeeze=False)
    for row, (a, b) in zip(axes, pairs, strict=True):
        notes_of(notes, a, b, ax=row[0])
        notes_of(notes, b, a, ax=row[1]).set_ylabel("")
    for ax in axes[:-1].ravel():
        ax.set_xlabel("")
    footnote(figure, note)
    return figure


def correlation_strips(
    groups: Mapping[str, NDArray[np.float64]], *, marked: Collection[str] = (), ax: Axes | None = None
) -> Axes:
    """Draw groups of correlations, a dot each, with their means.

    Args:
        groups: correlations by the group's name, e.g. from `split_by_pairs`.
        marked: groups in colour.
        ax: where to draw; a new figure by default.
    """
    ax = ax or new_axes(1.2 + 1.7 * len(groups), 4)
    rng = np.random.default_rng(0)
    for i, (name, values) in enumerate(groups.items()):
        colour = COLOURS[1] if name in marked else "0.55"
        ax.scatter(i + rng.uniform(-0.18, 0.18, len(values)), values, s=16, color=colour)
        if len(values):
            ax.hlines(values.mean(), i - 0.3, i + 0.3, color="black", lw=2)
            ax.annotate(f"{values.mean():.2f}", (i + 0.32, values.mean()), va="center", fontsize=9)
    ax.axhline(0, color="0.4", lw=0.8)
    ax.set_xticks(range(len(groups)), [f"{name}\n({len(values)})" for name, values in groups.items()])
    ax.set(ylabel="correlation of changes, mean over runs", xlim=(-0.6, len(groups) - 0.4), ylim=(-1.05, 1.05))
    return ax


def partner_bars(
    partners: xr.Dataset, *, claimed: ClassPairs = (), nearly_all: float = 0.75, count: int = 20, ax: Axes | None = None
) -> Axes:
    """Draw the share of each class's errors that its strongest partner takes, largest first.

    Args:
        partners: Dataset (true) of `partner`, `recall`, `rate` and `share`, as `strongest_partners` gives.
        claimed: (class, partner) to mark.
        nearly_all: share at the dashed line.
        count: how many classes.
        ax: where to draw; a new figure by default.
    """
    shown = partners.isel(true=np.argsort(-partners["share"].values, kind="stable")[:count])  # NaN last
    ax = ax or new_axes(8, 0.9 + 0.34 * shown.sizes["true"])
    cells = [(str(a), str(b)) for a, b in zip(shown["true"].values, shown["partner"].values, strict=True)]
    share = shown["share"].fillna(0).values
    ax.barh(range(len(cells)), share, color=[COLOURS[0] if cell in claimed else "0.75" for cell in cells])
    for i, (recall, rate) in enumerate(zip(shown["recall"].values, shown["rate"].values, strict=True)):
        text = f"recall {recall:.1%} + {rate:.1%}" if np.isfinite(recall) else "no examples"
        ax.text(1.02, i, text, va="center", fontsize=9)
    ax.axvline(nearly_all, color=COLOURS[1], ls="--", lw=1.5, label=f"nearly all: {nearly_all:.0%}")
    ax.set_yticks(range(len(cells)), [f"{a} as {b}" for a, b in cells])
    ax.set(xlabel="share of the class's errors that one partner takes", xlim=(0, 1.42), ylabel="class as partner")
    ax.set_xticks(np.arange(0, 1.01, 0.25))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    handles = [*_claim_handles(claimed), ax.lines[0]]
    ax.legend(handles=handles, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def _claim_handles(claimed: ClassPairs) -> list[Patch]:
    words = ((COLOURS[0], "named by the claim"), ("0.75", "other class")) if claimed else ()
    return [Patch(color=colour, label=text) for colour, text in words]


def _note_lines(ax: Axes, notes: xr.DataArray, ends: Sequence[int], names: Sequence[str]) -> dict[int, float]:
    """Rule a line for every note, named at the left; give the notes' heights."""
    # Of many classes only those that sound have a line.
    few = len(names) <= 12
    lines = list(range(len(names))) if few else sorted({int(n) for n in np.unique(notes.values[:, ends])} - {NONE})
    every = max(1, len(lines) // 20)
    floor = f"none > {notes.attrs['floor']:.1%}"
    ax.set_yticks([NONE, *range(0, len(lines), every)], [floor, *(names[c] for c in lines[::every])])
    ax.axhline(-1, color="0.6", lw=0.8, ls=":")
    ax.set(xlabel="epoch", ylabel="taken for", ylim=(NONE - 0.7, len(lines) - 0.3))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.grid(axis="y", alpha=0.25)
    return {NONE: NONE, **{c: i for i, c in enumerate(lines)}}


def _size(values: xr.DataArray) -> float:
    """Return a marker size in points at which the epochs shown fit beside one another."""
    return float(np.clip(300 / max(values.size, 1), 2.5, 7))


def _limits(values: xr.DataArray, epochs: Range | None) -> tuple[float, float]:
    first, last = epochs or (1, int(values["epoch"][-1]))
    margin = 0.5 + 0.01 * (last - first)
    return first - margin, last + margin


def _shown(values: xr.DataArray, epochs: Range | None) -> xr.DataArray:
    first, last = epochs or (1, None)
    return values.sel(epoch=slice(max(first, 1), last))


def _epochs_of(events: xr.Dataset, kind: str, epochs: Range | None) -> NDArray[np.int64]:
    at: NDArray[np.int64] = _shown(events["epoch"][events["kind"].values == kind], epochs).values
    return at


def _by_epoch(ax: Axes, label: str, epochs: Range | None) -> None:
    ax.set(xlabel="epoch", ylabel=label)
    if epochs:
        ax.set_xlim(epochs[0] - 0.5, epochs[1] + 0.5)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _arrows(ax: Axes, x: NDArray[np.int64], tip: NDArray[np.float64], colour: str) -> None:
    """Point at places from below, with arrows as long as inches say: their length means nothing."""
    up = np.full(len(tip), 0.22)
    inches: dict[str, Any] = {"units": "inches", "scale_units": "inches", "scale": 1, "width": 0.022, "headwidth": 5}
    ax.quiver(x, tip, 0 * up, up, pivot="tip", color=colour, zorder=3, **inches)


def _event_handle(kind: str, partner: str) -> Line2D:
    words = {PARTNER: f"{partner} interferes", THIRD: "third class interferes"}
    return Line2D([], [], ls="", marker="^", color=EVENTS[kind][0], label=words[kind])


def _legend(ax: Axes, *more: Artist) -> None:
    # Beside the axes: inside, it would hide some epochs of some run.
    handles = [*ax.get_legend_handles_labels()[0], *more]
    ax.legend(handles=handles, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
