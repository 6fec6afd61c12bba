"""Pictures of loss surfaces, flat areas and cuts: arrays in, axes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from landscape_utils.suite.plots import new_axes, to_png

# Dark is low: a flat lowland is a dark lake. What is NaN or infinite stays grey.
SURFACE = plt.get_cmap("viridis").with_extremes(bad="0.75")
LABELS = {"mistake_rate": "mistake rate on the training set", "loss": "mean loss (nats)", "class_loss": "loss (nats)"}

VIEWS = ("heat map", "3D")  # of a panel

Grid = dict[str, dict[str, xr.Dataset]]  # rows of columns of surfaces


def surface_map(
    values: xr.DataArray,
    *,
    ax: Axes | None = None,
    norm: Normalize | None = None,
    flat: float | None = None,
    walked: bool = False,
    bar: Axes | bool = True,
) -> Axes:
    """Draw a surface over its two coordinates; what is NaN or infinite is masked, and counted in the title.

    Args:
        values: over two dimensions, the first along x.
        ax: where to draw; a new figure by default.
        norm: colour range, for comparing several; by default that of the finite values.
        flat: draw the line at so much above the centre's value.
        walked: show the relative distance walked on a second axis (coordinates `walked1`, `walked2`).
        bar: where to draw the colour scale; True beside the picture, False nowhere.
    """
    ax = ax or new_axes()
    xdim, ydim = (str(d) for d in values.dims)
    x, y, z = values[xdim].values, values[ydim].values, masked(values)
    norm = norm or _range([z])
    ax.pcolormesh(x, y, z, cmap=SURFACE, norm=norm, shading="nearest")
    ax.plot([0], [0], marker="+", color="white", ms=9, mew=2)
    centre = float(np.ma.filled(z[np.ix_(y == 0, x == 0)], np.nan).sum()) if 0 in x and 0 in y else np.nan
    level = np.nan if flat is None else centre + flat
    if min(z.shape) > 1 and np.isfinite(level) and z.min() < level < z.max():
        ax.contour(x, y, z, levels=[level], colors="white", linewidths=1.5, linestyles="--")
    ax.set(xlabel=_axis_label(values, 1, xdim), ylabel=_axis_label(values, 2, ydim))
    ax.ticklabel_format(scilimits=(-2, 3))
    lost = int(z.mask.sum())
    if lost:
        ax.set_title(f"{lost} of {z.size} points diverged (grey)", fontsize=9)
    if walked:
        _walked_axis(ax, values)
    if bar is not False:
        colour_scale(ax.figure, norm, [ax], str(values.name), cax=None if bar is True else bar)
    return ax


def surface_grid(rows: Grid, variable: str = "mistake_rate", *, flat: float | None = None) -> Figure:
    """Draw many surfaces in rows and columns with one colour range.

    Args:
        rows: Datasets by row and column name; a cell may be missing.
        variable: which of their variables.
        flat: as for `surface_map`.
    """
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    shown = [masked(grid[variable]) for cells in rows.values() for grid in cells.values()]
    norm = _range(shown)
    size = (3.0 * len(columns) + 1.2, 2.8 * len(rows) + 0.4)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, layout="constrained", squeeze=False)
    for ax_row, (row, cells) in zip(axes, rows.items(), strict=True):
        for ax, column in zip(ax_row, columns, strict=True):
            if column not in cells:
                ax.axis("off")
                continue
            values = named(cells[column][variable], cells[column])
            surface_map(values, ax=ax, norm=norm, flat=flat, bar=False)
            ax.set_title("\n".join(filter(None, (f"{row}, {column}", ax.get_title()))), fontsize=10)
    colour_scale(figure, norm, list(axes.ravel()), variable)
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


def surface_3d(values: xr.DataArray, *, title: str = "") -> dict[str, Any]:
    """Describe a surface that turns in the browser, as a plotly figure's JSON; what is not finite is a hole."""
    import plotly.graph_objects as go

    xdim, ydim = (str(d) for d in values.dims)
    z = masked(values).filled(np.nan)
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


def surface_view(
    values: xr.DataArray, view: str, *, title: str, flat: float | None = None, walked: bool = False
) -> bytes | dict[str, Any]:
    """Draw a surface for a panel, by one of `VIEWS`: as a PNG, or as the JSON of a figure that turns."""
    if view == "3D":
        return surface_3d(values, title=title)
    figure = Figure(figsize=(7, 5.6))
    # Places by hand: a layout engine would take longer than the drawing.
    ax, bar = figure.add_axes((0.12, 0.11, 0.58, 0.70)), figure.add_axes((0.85, 0.11, 0.025, 0.70))
    surface_map(values, ax=ax, bar=bar, flat=flat, walked=walked)
    figure.suptitle("\n".join(filter(None, (title, ax.get_title()))), fontsize=11, y=0.985)
    ax.set_title("")
    return to_png(figure)


# --- small things ----------------------------------------------------------------------------------------------


def named(values: xr.DataArray, space: xr.Dataset) -> xr.DataArray:
    """Return a surface that carries the names of its space's two classes, for the axes."""
    return values.assign_attrs({k: space.attrs[k] for k in ("first", "second") if k in space.attrs})


def masked(values: xr.DataArray) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """Return a surface as rows of y, with NaN and infinities masked."""
    return np.ma.masked_invalid(values.values.T)


def _range(shown: Sequence[np.ma.MaskedArray[Any, np.dtype[np.float64]]]) -> Normalize:
    finite = np.concatenate([z.compressed() for z in shown])
    return Normalize(float(finite.min()), float(finite.max())) if len(finite) else Normalize(0, 1)


def colour_scale(figure: Any, norm: Normalize, axes: Sequence[Axes], name: str, cax: Axes | None = None) -> None:
    """Draw the colour scale of a variable beside axes, or in axes of its own."""
    place: dict[str, Any] = {"ax": list(axes), "shrink": 0.8} if cax is None else {"cax": cax}
    bar = figure.colorbar(ScalarMappable(norm, SURFACE), **place)
    bar.set_label(LABELS.get(name, name))
    if name == "mistake_rate":
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _axis_label(values: xr.DataArray, axis: int, dim: str) -> str:
    name = values.attrs.get("first" if axis == 1 else "second")
    return f"{dim} ({name})" if name else dim


def _walked_axis(ax: Axes, values: xr.DataArray) -> None:
    """Draw the relative distance walked on the far sides."""
    label = "distance walked (share of |w|)"
    top = ax.secondary_xaxis("top", functions=_stretch(values, 1))
    top.set_xlabel(label)
    top.xaxis.set_major_locator(MaxNLocator(5))  # as many labels as there is room for
    ax.secondary_yaxis("right", functions=_stretch(values, 2)).set_ylabel(label)


def _stretch(values: xr.DataArray, axis: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    scale = float(values[f"walked{axis}"][-1] / values[f"theta{axis}"][-1])
    return lambda theta: theta * scale, lambda walked: walked / scale
