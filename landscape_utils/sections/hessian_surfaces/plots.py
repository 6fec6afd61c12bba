"""Pictures of Hessian spectra, of loss changes under noise, of second-order pieces, and of surfaces by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from landscape_utils.landscape.hessian import smoothed_density
from landscape_utils.sections.hessian_surfaces.study import (
    REACH,
    Noise,
    Pieces,
    Spectrum,
    axis_names,
    piece,
    surface_shape,
)
from landscape_utils.suite.plots import COLOURS
from landscape_utils.suite.surfaces import LABELS, SURFACE, named, surface_map

FLOOR = 1e-7  # of the density's peak: what is drawn of a logarithmic axis
WIDEST = 4  # curves in a row
COLUMNS = 3  # surfaces in a row
HIGHEST = 100.0  # times log C; where losses are larger, the colour is the highest one
LOWEST = 0.01  # nats; where losses are smaller, the colour is the lowest one


def density_panels(spectra: Mapping[str, Spectrum]) -> Figure:
    """Draw densities on a logarithmic axis, with both ends' eigenvalues as ticks, and the smallest in brackets."""
    figure, axes = _panels(len(spectra), 3, (3.3, 2.4))
    for ax, (name, spectrum) in zip(axes, spectra.items(), strict=False):
        density = smoothed_density(spectrum.density)
        top = float(density.max())
        ax.semilogy(density["eigenvalue"], density.where(density > FLOOR * top), color="0.35", lw=1.3)
        for end, label, colour in (("P", "5 largest", COLOURS[0]), ("N", "5 smallest", COLOURS[1])):
            ticks = [float(v) for v in spectrum.ends["eigenvalue"] if str(v["rank"].values).startswith(end)]
            low = np.full(len(ticks), 4 * FLOOR * top)
            ax.plot(ticks, low, ls="none", marker="|", ms=12, mew=1.6, color=colour, label=label)
        ax.axvline(0, color="black", ls=":", lw=1)
        ax.set_ylim(FLOOR * top, 5 * top)
        ax.set_title(f"{name} [{spectrum.smallest:.2g}]", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False)
    _label(figure, axes, 3, "eigenvalue (nats per unit squared)", "density (share per unit)")
    return figure


def noise_histograms(noise: Mapping[str, Noise]) -> Figure:
    """Draw measured loss changes beside the normal curve with the foretold mean and variance; a row a model."""
    lambdas = next(iter(noise.values())).measured["lam"].values
    figure, axes = _panels(len(noise) * len(lambdas), len(lambdas), (3.1, 2.2))
    for row, (name, one) in zip(axes.reshape(-1, len(lambdas)), noise.items(), strict=True):
        for ax, lam in zip(row, lambdas, strict=True):
            _histogram(one.measured.sel(lam=lam), one.predicted.sel(lam=lam), ax)
            ax.set_title(f"{name}, lambda = {lam:g}", fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    _label(figure, axes, len(lambdas), "loss change (nats)", "density")
    return figure


def _histogram(seen: xr.DataArray, predicted: xr.Dataset, ax: Axes) -> None:
    ax.hist(seen.values, bins=16, density=True, color=COLOURS[4], label=f"{seen.size} draws")
    mean, spread = float(predicted["mean"]), math.sqrt(float(predicted["variance"]))
    x = np.linspace(mean - 4 * spread, mean + 4 * spread, 200)
    ax.plot(x, np.exp(-(((x - mean) / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi)), color="black", lw=1.2)
    ax.lines[-1].set_label("second order")
    ax.axvline(0, color="black", ls=":", lw=1)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.ticklabel_format(axis="x", scilimits=(-2, 3))


def piece_curves(drawn: Mapping[str, Pieces]) -> Figure:
    """Draw curves with their second-order pieces on them; dots are where they were taken."""
    columns = min(len(drawn), WIDEST)
    figure, axes = _panels(len(drawn), columns, (3.1, 2.6))
    steps = np.linspace(-REACH, REACH, 21)
    for ax, (name, one) in zip(axes, drawn.items(), strict=False):
        ax.plot(one.curve["lam"], one.curve["loss"], color="0.6", lw=2.5, label="measured")
        for i, lam in enumerate(one.centres["lam"].values):
            centre = one.centres.isel(lam=i)
            ax.plot(lam + steps, piece(centre, steps), color=COLOURS[1], lw=1.5, label=None if i else "second order")
        ax.plot(one.centres["lam"], one.centres["loss"], ls="none", marker="o", ms=3, color="black")
        ax.set_title(name, fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    _label(figure, axes, columns, "lambda (0: the solution)", LABELS["loss"])
    return figure


def shape_panels(surfaces: Mapping[str, Mapping[str, xr.Dataset]]) -> Figure:
    """Draw surfaces, by architecture and combination, titled with their shapes by rule; each has its own colours."""
    every = [(architecture, grid) for architecture, grids in surfaces.items() for grid in grids.values()]
    figure, axes = _panels(len(every), COLUMNS, (3.7, 2.8))
    for ax, (architecture, grid) in zip(axes, every, strict=False):
        norm = _range([grid])
        _draw(ax, grid, f"{architecture}: {surface_shape(grid)}", norm)
        _scale(figure, [ax], norm)
    return figure


def mixed_panels(surfaces: Mapping[str, Mapping[str, xr.Dataset]]) -> Figure:
    """Draw surfaces, by architecture and combination, titled with the names of the curves along both axes.

    Each architecture begins a row, and has one range of colours.
    """
    rows = {architecture: math.ceil(len(grids) / COLUMNS) for architecture, grids in surfaces.items()}
    figure, axes = _panels(COLUMNS * sum(rows.values()), COLUMNS, (3.2, 2.8))
    start = 0
    for architecture, grids in surfaces.items():
        block = axes[start : start + COLUMNS * rows[architecture]]
        norm = _range(list(grids.values()))
        for ax, grid in zip(block, grids.values(), strict=False):
            _draw(ax, grid, f"{architecture}: {' x '.join(axis_names(grid))}", norm)
        for ax in block[len(grids) :]:
            ax.axis("off")
        _scale(figure, list(block), norm)
        start += len(block)
    return figure


def _draw(ax: Axes, grid: xr.Dataset, title: str, norm: LogNorm) -> None:
    surface_map(named(grid["loss"], grid), ax=ax, norm=norm, bar=False)
    ax.set_title("\n".join(filter(None, (title, ax.get_title()))), fontsize=10)


def _scale(figure: Figure, axes: Sequence[Axes], norm: LogNorm) -> None:
    bar = figure.colorbar(ScalarMappable(norm, SURFACE), ax=axes, extend="both", shrink=0.8, format="%g")
    bar.set_ticks(LogLocator(subs=(1, 3)))
    bar.minorticks_off()
    bar.set_label(LABELS["loss"])


def _range(grids: Sequence[xr.Dataset]) -> LogNorm:
    """Span the finite losses, 0.01 nats at least, up to where a loss is tall; beyond are the ends' colours."""
    finite = np.concatenate([grid["loss"].values[np.isfinite(grid["loss"].values)] for grid in grids])
    low, high = max(float(finite.min()), LOWEST), min(float(finite.max()), HIGHEST * math.log(grids[0].sizes["class"]))
    return LogNorm(low, max(high, 1.001 * low))


def _panels(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    rows = math.ceil(count / columns)
    whole = (size[0] * columns + 0.5, size[1] * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=whole, layout="constrained", squeeze=False)
    for ax in axes.ravel():
        ax.tick_params(labelsize=8)
    for ax in axes.ravel()[count:]:
        ax.axis("off")
    return figure, axes.ravel()


def _label(figure: Figure, axes: NDArray[Any], columns: int, x: str, y: str) -> None:
    """Name both axes of all panels; the figure's own lowest line is the footnote's."""
    for ax in axes[-columns:]:
        ax.set_xlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=10)
