"""Pictures of loss surfaces, flat areas and cuts: arrays in, axes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from landscape_utils.flatness import FLAT
from landscape_utils.plots import COLOURS

# Dark is low: a flat lowland is a dark lake. What is NaN or infinite stays grey.
SURFACE = plt.get_cmap("viridis").with_extremes(bad="0.75")
LABELS = {"mistake_rate": "mistake rate on the training set", "loss": "mean loss (nats)", "class_loss": "loss (nats)"}

LINEAR_UP_TO = 10.0  # nats; losses beyond are drawn on a logarithmic axis

Grid = dict[str, dict[str, xr.Dataset]]  # rows of columns of surfaces


def surface_map(
    values: xr.DataArray,
    *,
    ax: Axes | None = None,
    norm: Normalize | None = None,
    flat: bool = False,
    walked: bool = False,
    bar: Axes | bool = True,
) -> Axes:
    """Draw a surface over its two coordinates; what is NaN or infinite is masked, and counted in the title.

    Args:
        values: over two dimensions, the first along x.
        ax: where to draw; a new figure by default.
        norm: colour range, for comparing several; by default that of the finite values.
        flat: draw the line at 0.1 above the centre's value.
        walked: show the relative distance walked on a second axis (coordinates `walked1`, `walked2`).
        bar: where to draw the colour scale; True beside the picture, False nowhere.
    """
    ax = ax or plt.subplots(layout="constrained")[1]
    xdim, ydim = (str(d) for d in values.dims)
    x, y, z = values[xdim].values, values[ydim].values, _masked(values)
    norm = norm or _range([z])
    ax.pcolormesh(x, y, z, cmap=SURFACE, norm=norm, shading="nearest")
    ax.plot([0], [0], marker="+", color="white", ms=9, mew=2)
    centre = float(np.ma.filled(z[np.ix_(y == 0, x == 0)], np.nan).sum()) if 0 in x and 0 in y else np.nan
    if flat and min(z.shape) > 1 and np.isfinite(centre) and z.min() < centre + FLAT < z.max():
        ax.contour(x, y, z, levels=[centre + FLAT], colors="white", linewidths=1.5, linestyles="--")
    ax.set(xlabel=_axis_label(values, 1, xdim), ylabel=_axis_label(values, 2, ydim))
    ax.ticklabel_format(scilimits=(-2, 3))
    lost = int(z.mask.sum())
    if lost:
        ax.set_title(f"{lost} of {z.size} points diverged (grey)", fontsize=9)
    if walked:
        _walked_axis(ax, values)
    if bar is not False:
        _scale(ax.figure, norm, [ax], str(values.name), cax=None if bar is True else bar)
    return ax


def surface_grid(rows: Grid, variable: str = "mistake_rate") -> Figure:
    """Draw many surfaces in rows and columns with one colour range; the dashed line is 0.1 above the centre.

    Args:
        rows: Datasets by row and column name; a cell may be missing.
        variable: which of their variables.
    """
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    shown = [_masked(grid[variable]) for cells in rows.values() for grid in cells.values()]
    norm = _range(shown)
    size = (3.0 * len(columns) + 1.2, 2.8 * len(rows) + 0.4)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, layout="constrained", squeeze=False)
    for ax_row, (row, cells) in zip(axes, rows.items(), strict=True):
        for ax, column in zip(ax_row, columns, strict=True):
            if column not in cells:
                ax.axis("off")
                continue
            values = named(cells[column][variable], cells[column])
            surface_map(values, ax=ax, norm=norm, flat=variable == "mistake_rate", bar=False)
            ax.set_title("\n".join(filter(None, (f"{row}, {column}", ax.get_title()))), fontsize=10)
    _scale(figure, norm, list(axes.ravel()), variable)
    return figure


def class_surfaces(space: xr.Dataset) -> Figure:
    """Draw every class's loss over one interference space, in one logarithmic colour range."""
    names = [str(n) for n in space["class"].values]
    losses = {name: space["class_loss"].sel({"class": name}).clip(min=1e-3) for name in names}
    finite = np.concatenate([_masked(z).compressed() for z in losses.values()])
    norm = LogNorm(max(float(finite.min()), 1e-3), float(finite.max()))
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    size = (2.5 * columns + 1, 2.4 * rows + 0.4)
    figure = plt.figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.ravel(), names, strict=False):
        surface_map(named(losses[name], space), ax=ax, norm=norm, bar=False)
        own = name in (space.attrs["first"], space.attrs["second"])
        ax.set_title(f"loss of {name}" + (" (own space)" if own else ""), fontsize=10)
        ax.label_outer()
    _scale(figure, norm, list(axes.ravel()), "class_loss")
    return figure


def trajectory_map(
    values: xr.DataArray, points: NDArray[np.float64], *, labels: Sequence[str] = (), ax: Axes | None = None
) -> Axes:
    """Draw a surface as contours with models on it, joined in their order: a training's path, or several solutions.

    Args:
        values: over `lam1`, `lam2`.
        points: the models' coordinates, shape (T, 2).
        labels: of the models; empty names none.
        ax: where to draw.
    """
    ax = surface_map(values, ax=ax)
    ax.lines[0].remove()  # the centre's mark: the models are marked themselves
    ax.plot(points[:, 0], points[:, 1], color="white", lw=1.2, marker="o", ms=4, mec="black")
    for label, (x, y) in zip(labels, points, strict=False):
        ax.annotate(label, (x, y), xytext=(5, 5), textcoords="offset points", color="white", fontsize=9)
    return ax


def accuracy_dots(accuracies: xr.Dataset, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw training and test accuracy by recipe: a dot a seed, a line through the means, a panel an architecture."""
    names = [str(a) for a in accuracies["architecture"].values]
    if axes is None:
        axes = plt.subplots(
            1, len(names), figsize=(4.2 * len(names), 3.6), layout="constrained", sharey=True, squeeze=False
        )[1][0]
    for ax, name in zip(axes, names, strict=True):
        for i, (which, marker) in enumerate((("train", "s"), ("test", "o"))):
            _dots(ax, accuracies[f"{which}_accuracy"].sel(architecture=name), COLOURS[i], marker, which)
        ax.axhline(0.9, color="0.6", lw=1, ls=":")
        ax.set(title=name, xlabel="recipe")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_ylabel("accuracy")
    axes[0].legend(frameon=False, loc="lower right")
    return axes


def area_dots(areas: Mapping[str, xr.Dataset]) -> Figure:
    """Draw flat areas by recipe on logarithmic axes, in theta and in distance walked; hollow dots are lower bounds.

    Args:
        areas: of two windows by name, over (architecture, recipe, seed): the first's area is drawn in theta, the
            other's in distance walked.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.9), layout="constrained")
    measures = (("theta", "theta squared"), ("walked", "share of |w|, squared"))
    for ax, (name, table), (measure, unit) in zip(axes, areas.items(), measures, strict=True):
        values = table[measure].assign_coords(cut_off=table["cut_off"])
        for i, architecture in enumerate(values["architecture"].values):
            _dots(ax, values.sel(architecture=architecture), COLOURS[i], "os"[i % 2], str(architecture))
        ax.set(title=name, xlabel="recipe", ylabel=f"flat area ({unit})", yscale="log")
    axes[0].legend(frameon=False)
    return figure


def _dots(ax: Axes, values: xr.DataArray, colour: str, marker: str, label: str) -> None:
    """Draw one line of means over recipes with a dot a seed; hollow where only a lower bound was seen."""
    recipes = [str(r) for r in values["recipe"].values]
    ax.plot(recipes, values.mean("seed").values, color=colour, label=label)
    for i, recipe in enumerate(recipes):
        for one in values.sel(recipe=recipe):
            bound = "cut_off" in values.coords and bool(one["cut_off"])
            ax.plot([i], [float(one)], marker=marker, color=colour, mfc="white" if bound else colour, ls="none")


def cut_lines(in_plane: xr.DataArray, random: xr.DataArray, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw sharpness against the angle of the cut, with random cuts as a band, one panel an architecture.

    Args:
        in_plane: over (architecture, seed, angle).
        random: over (architecture, seed, cut).
    """
    names = [str(a) for a in in_plane["architecture"].values]
    if axes is None:
        axes = _row(len(names))
    for ax, name in zip(axes, names, strict=True):
        one, other = in_plane.sel(architecture=name), random.sel(architecture=name)
        for i, seed in enumerate(one["seed"].values):
            ax.plot(one["angle"], one.sel(seed=seed), marker="o", color=COLOURS[i], label=f"seed {seed}")
        ax.axhspan(float(other.min()), float(other.max()), color="0.8", label="random cuts (range)")
        ax.axvline(135, color="0.4", lw=1, ls=":", label="135 degrees")
        ax.set(title=name, xlabel="angle of the cut (degrees)", xticks=range(0, 181, 45))
    axes[0].set_ylabel("sharpness (mean rise of mistake rate)")
    axes[0].legend(frameon=False, fontsize=9)
    return axes


def similarity_scatter(similar: xr.DataArray, rates: xr.DataArray, *, ax: Axes | None = None, label: int = 5) -> Axes:
    """Plot each pair of classes: how alike their loss surfaces are against how much they interfere."""
    ax = ax or plt.subplots(layout="constrained")[1]
    names, both = [str(n) for n in similar["class"].values], (rates.values + rates.values.T) / 2
    rows, columns = np.nonzero(np.triu(np.isfinite(similar.values), 1))
    x, y = both[rows, columns], similar.values[rows, columns]
    ax.scatter(x, y, color=COLOURS[0], s=18)
    for k, i in enumerate(np.argsort(-x)[:label]):
        name = f"{names[rows[i]]}-{names[columns[i]]}"
        # Names go above and below in turn: neighbours in size lie close to one another.
        ax.annotate(name, (x[i], y[i]), xytext=(5, (4, -12)[k % 2]), textcoords="offset points", fontsize=9)
    ax.set(xlabel="interference, mean of both directions", ylabel="rank correlation of loss surfaces")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.margins(x=0.12)
    return ax


def rise_bars(rises: Mapping[str, xr.DataArray], *, ax: Axes | None = None) -> Axes:
    """Draw how much each class's loss rises in several pairs' spaces; bars are medians over the window."""
    ax = ax or plt.subplots(figsize=(8, 3.8), layout="constrained")[1]
    width = 0.8 / len(rises)
    for i, (pair, values) in enumerate(rises.items()):
        at = np.arange(values.sizes["class"]) + (i - (len(rises) - 1) / 2) * width
        ax.bar(at, values.values, width, color=COLOURS[i], label=f"{pair} space")
    names = [str(n) for n in next(iter(rises.values()))["class"].values]
    ax.set_xticks(range(len(names)), names, rotation=60 if max(map(len, names)) > 3 else 0)
    ax.set(xlabel="class", ylabel="median rise of its loss (nats)")
    if max(float(values.max()) for values in rises.values()) > LINEAR_UP_TO:
        ax.set_yscale("symlog")
    ax.legend(frameon=False)
    return ax


def surface_3d(values: xr.DataArray, *, title: str = "") -> dict[str, Any]:
    """Describe a surface that turns in the browser, as a plotly figure's JSON; what is not finite is a hole."""
    import plotly.graph_objects as go

    xdim, ydim = (str(d) for d in values.dims)
    z = _masked(values).filled(np.nan)
    drawn = go.Surface(x=values[xdim].values, y=values[ydim].values, z=z, colorscale="Viridis", showscale=True)
    scene = {
        "xaxis_title": _axis_label(values, 1, xdim),
        "yaxis_title": _axis_label(values, 2, ydim),
        "zaxis_title": LABELS.get(str(values.name), str(values.name)),
    }
    margin = {"l": 0, "r": 0, "t": 30, "b": 0}
    layout = go.Layout(title=title, scene=scene, width=640, height=520, margin=margin)
    described: dict[str, Any] = json.loads(go.Figure(drawn, layout).to_json())
    return described


# --- small things ----------------------------------------------------------------------------------------------


def _row(count: int) -> Sequence[Axes]:
    size = (4.4 * count, 3.6)
    axes: Sequence[Axes] = plt.subplots(1, count, figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    return axes


def named(values: xr.DataArray, space: xr.Dataset) -> xr.DataArray:
    """Let a surface carry the names of its space's two classes, for the axes."""
    return values.assign_attrs({k: space.attrs[k] for k in ("first", "second") if k in space.attrs})


def _masked(values: xr.DataArray) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """Turn a surface into rows of y, with NaN and infinities masked."""
    return np.ma.masked_invalid(values.values.T)


def _range(shown: Sequence[np.ma.MaskedArray[Any, np.dtype[np.float64]]]) -> Normalize:
    finite = np.concatenate([z.compressed() for z in shown])
    return Normalize(float(finite.min()), float(finite.max())) if len(finite) else Normalize(0, 1)


def _scale(figure: Any, norm: Normalize, axes: Sequence[Axes], name: str, cax: Axes | None = None) -> None:
    place: dict[str, Any] = {"ax": list(axes), "shrink": 0.8} if cax is None else {"cax": cax}
    bar = figure.colorbar(ScalarMappable(norm, SURFACE), **place)
    bar.set_label(LABELS.get(name, name))
    if name == "mistake_rate":
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _axis_label(values: xr.DataArray, axis: int, dim: str) -> str:
    which = values.attrs.get("first" if axis == 1 else "second")
    return f"{dim} ({which})" if which else dim


def _walked_axis(ax: Axes, values: xr.DataArray) -> None:
    """Put the relative distance walked on the far sides."""
    label = "distance walked (share of |w|)"
    ax.secondary_xaxis("top", functions=_stretch(values, 1)).set_xlabel(label)
    ax.secondary_yaxis("right", functions=_stretch(values, 2)).set_ylabel(label)


def _stretch(values: xr.DataArray, axis: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    scale = float(values[f"walked{axis}"][-1] / values[f"theta{axis}"][-1])
    return lambda theta: theta * scale, lambda walked: walked / scale
