"""Pictures of CCTMs and of what is read off them: arrays in, axes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from landscape_utils.interference.cctm import interference_only, interferers, recalls
from landscape_utils.suite.plots import COLOURS, RATES, footnote, new_axes, percent


def cctm_heatmap(
    rates: xr.DataArray,
    *,
    ax: Axes | None = None,
    vmax: float | None = None,
    numbers: bool = True,
    colourbar: bool = True,
) -> Axes:
    """Draw a CCTM with its diagonal left out, so that the interference shows.

    Args:
        rates: CCTM (true, predicted).
        ax: where to draw; a new figure by default.
        vmax: upper end of the colour range, for comparing several; by default the largest cell.
        numbers: write the cells of 1 % and more in percent, where there are at most 20 classes.
        colourbar: draw the colour scale beside it.
    """
    ax = ax or new_axes()
    cells = interference_only(rates).values
    top = float(np.nanmax(cells, initial=0.0)) if vmax is None else vmax
    image = ax.imshow(cells, cmap=RATES, vmin=0, vmax=top or 1)
    names = [str(n) for n in rates["true"].values]
    every = max(1, len(names) // 20)
    ax.set_xticks(range(0, len(names), every), names[::every], rotation=60 if max(map(len, names)) > 2 else 0)
    ax.set_yticks(range(0, len(names), every), names[::every])
    ax.set(xlabel="predicted class", ylabel="true class")
    if numbers and len(names) <= 20:
        for a, b in zip(*np.nonzero(np.nan_to_num(cells) >= 0.01), strict=True):
            colour = "white" if cells[a, b] > 0.55 * top else "black"
            ax.text(b, a, f"{cells[a, b] * 100:.0f}", ha="center", va="center", color=colour, fontsize=8)
    if colourbar:
        _rate_scale(image, [ax])
    return ax


def _rate_scale(image: AxesImage, axes: Sequence[Axes]) -> None:
    bar = axes[0].figure.colorbar(image, ax=list(axes), shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class")


def cctm_heatmaps(by_model: Mapping[str, xr.DataArray], *, note: str = "") -> Figure:
    """Draw the CCTMs of several models side by side in one colour range.

    Args:
        by_model: CCTM by the model's name.
        note: written below, e.g. how many images the rates rest on.
    """
    top = max(float(interference_only(r).max()) for r in by_model.values())
    figure, axes = plt.subplots(
        1, len(by_model), figsize=(4.4 * len(by_model) + 0.8, 5.2), layout="constrained", squeeze=False
    )
    for ax, (name, rates) in zip(axes[0], by_model.items(), strict=True):
        cctm_heatmap(rates, ax=ax, vmax=top, colourbar=False)
        ax.set_title(f"{name}: mean recall {float(recalls(rates).mean()):.1%}")
    for ax in axes[0][1:]:
        ax.set_ylabel("")
    _rate_scale(axes[0][-1].images[0], axes[0])
    footnote(figure, note)
    return figure


def symmetry_scatter(rates: xr.DataArray, *, ax: Axes | None = None, label: int = 6) -> Axes:
    """Plot each pair of classes: CCTM(a, b) against CCTM(b, a), with the largest pairs named."""
    ax = ax or new_axes()
    names, cells = rates["true"].values, rates.values
    rows, columns = np.triu_indices(len(names), 1)
    x, y = cells[rows, columns], cells[columns, rows]
    top = float(np.nanmax([x, y], initial=0.0)) * 1.15
    ax.plot([0, top], [0, top], color="0.6", lw=1, ls="--", label="perfect symmetry")
    ax.scatter(x, y, s=18, color=COLOURS[0])
    for k, i in enumerate(np.argsort(-np.nan_to_num(x + y))[:label]):
        # Names go left and right in turn: neighbours in size lie close to one another.
        side, align = ((6, "left"), (-6, "right"))[k % 2]
        name = f"{names[rows[i]]}-{names[columns[i]]}"
        ax.annotate(name, (x[i], y[i]), xytext=(side, -3), textcoords="offset points", ha=align, fontsize=9)
    ax.set(
        xlabel="first taken for second",
        ylabel="second taken for first",
        xlim=(-0.02 * top, top),
        ylim=(-0.02 * top, top),
    )
    percent(ax.xaxis, ax.yaxis)
    ax.set_aspect("equal")
    ax.legend(loc="upper left", frameon=False)
    return ax


def null_histogram(observed: float, null: NDArray[np.float64], *, ax: Axes | None = None) -> Axes:
    """Draw a null sample and where the observed value lies."""
    ax = ax or new_axes()
    ax.hist(null[np.isfinite(null)], bins=40, color="0.75", label="shuffled rows")
    ax.axvline(observed, color=COLOURS[1], lw=2, label="measured")
    ax.set(xlabel="correlation of the CCTM with its transpose", ylabel="number of shuffles")
    ax.legend(frameon=False)
    return ax


def error_share_bars(
    shares: xr.DataArray, *, ax: Axes | None = None, count: int = 12, known: Sequence[tuple[str, str]] = ()
) -> Axes:
    """Draw the share of all errors that each pair of classes holds, largest first, against the uniform share.

    Args:
        shares: from `error_shares`.
        ax: where to draw.
        count: how many pairs.
        known: pairs to mark, in either order.
    """
    ax = ax or new_axes()
    shown = shares.isel(pair=slice(count))
    names = [str(p) for p in shown["pair"].values]
    marked = {frozenset(pair) for pair in known}
    ends = zip(shown["first"].values, shown["second"].values, strict=True)
    colours = [COLOURS[0] if frozenset((str(a), str(b))) in marked else "0.65" for a, b in ends]
    ax.bar(names, shown.values, color=colours)
    ax.axhline(shares.attrs["uniform_share"], color=COLOURS[1], lw=1.5, ls="--")
    ax.annotate(
        f"if all {shares.sizes['pair']} pairs were alike",
        (len(names) - 0.5, shares.attrs["uniform_share"]),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=COLOURS[1],
    )
    for colour, text in ((COLOURS[0], "known pair"), ("0.65", "other pair")):
        ax.bar(names[:1], [0], color=colour, label=text)
    ax.legend(frameon=False)
    ax.set(xlabel="pair of classes", ylabel="share of all errors")
    ax.tick_params(axis="x", rotation=60 if max(map(len, names)) > 5 else 0)
    percent(ax.yaxis)
    return ax


def recall_lines(by_model: Mapping[str, xr.DataArray], *, ax: Axes | None = None) -> Axes:
    """Draw each model's recall by class, classes ordered from the hardest to the easiest on average."""
    ax = ax or new_axes(8, 4)
    table = xr.concat(list(by_model.values()), dim="model")
    order = np.argsort(table.mean("model").values)
    names = [str(n) for n in table["true"].values[order]]
    for i, (name, values) in enumerate(by_model.items()):
        ax.plot(names, values.values[order], marker="osD^vP"[i % 6], color=COLOURS[i % len(COLOURS)], label=name)
    ax.set(xlabel="class, hardest first", ylabel="recall")
    every = max(1, len(names) // 30)
    ax.set_xticks(range(0, len(names), every), names[::every])
    ax.tick_params(axis="x", rotation=60 if max(map(len, names)) > 5 else 0)
    percent(ax.yaxis)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(frameon=False)
    return ax


def interferer_scatter(
    by_model: Mapping[str, xr.DataArray], threshold: float, *, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw each class's recall against its strongest interferer and against how many interferers it has."""
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)[1]
    for i, (name, rates) in enumerate(by_model.items()):
        recall = recalls(rates).values
        strongest = interference_only(rates).max("predicted").values
        count = interferers(rates, threshold).sum("predicted").values
        for ax, x in zip(axes, (strongest, count), strict=True):
            ax.scatter(x, recall, color=COLOURS[i % len(COLOURS)], marker="osD^vP"[i % 6], label=name)
    axes[0].set(xlabel="strongest interferer", ylabel="recall")
    axes[1].set(xlabel=f"number of interferers above {threshold:.1%}")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    percent(axes[0].xaxis, axes[0].yaxis)
    axes[0].legend(frameon=False)
    return axes


def cctm_row(rates: xr.DataArray, true: str, threshold: float, *, ax: Axes | None = None) -> Axes:
    """Draw one class's row of the CCTM: what it is taken for, interferers above the threshold in colour."""
    ax = ax or new_axes()
    row = interference_only(rates).sel(true=true).fillna(0)
    order = np.argsort(-row.values, kind="stable")[:15]
    names, values = [str(n) for n in row["predicted"].values[order]], row.values[order]
    ax.bar(names, values, color=[COLOURS[1] if v > threshold else "0.75" for v in values])
    ax.axhline(threshold, color=COLOURS[0], lw=1, ls="--")
    recall, above = float(recalls(rates).sel(true=true)), int((row > threshold).sum())
    ax.set_title(f"{true}: recall {recall:.1%}, {above} interferer{'s' * (above != 1)} above {threshold:.1%}")
    ax.set(xlabel="taken for", ylabel=f"share of the {int(row['examples'])} {true} images")
    ax.tick_params(axis="x", rotation=60 if max(map(len, names)) > 2 else 0)
    percent(ax.yaxis)
    return ax


def gallery(pictures: NDArray[np.float32], *, axes: Sequence[Axes], title: str = "") -> None:
    """Show images (N, H, W, C) in [0, 1], one in each of the axes; axes left over stay empty."""
    for i, ax in enumerate(axes):
        ax.axis("off")
        if i < len(pictures):
            ax.imshow(
                pictures[i].squeeze(-1) if pictures.shape[-1] == 1 else pictures[i],
                cmap="gray",
                vmin=0,
                vmax=1,
            )
    axes[0].set_title(title, loc="left", fontsize=10)
