"""Pictures of Hessian spectra, of loss changes under noise, of second-order pieces, and of surfaces by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landscape_utils.landscape.directions import Perturbed
from landscape_utils.landscape.hessian import smoothed_density
from landscape_utils.sections.hessian_surfaces.study import (
    REACH,
    Departure,
    Noise,
    Pieces,
    Spectrum,
    axis_names,
    piece,
    piece_errors,
    surface_shape,
)
from landscape_utils.suite.plots import COLOURS, percent
from landscape_utils.suite.surfaces import LABELS, SURFACE, named, surface_map

LOWEST = 0.01  # nats; where losses are smaller, the colour is the lowest one
HIGHEST = 100.0  # times log C; where losses are larger, the colour is the highest one


def density_panels(spectra: Mapping[Perturbed, Spectrum], classes: int) -> Figure:
    """Draw each network's bulk, and beside it how many eigenvalues lie above what; the smallest is in the legend.

    Args:
        spectra: of one seed's models.
        classes: C, dotted.
    """
    networks = list(dict.fromkeys(place.architecture for place in spectra))
    size = (11.0, 2.7 * len(networks) + 0.6)
    figure, axes = plt.subplots(len(networks), 2, figsize=size, layout="constrained", squeeze=False)
    for (bulk, outliers), network in zip(axes, networks, strict=True):
        of = {place: s for place, s in spectra.items() if place.architecture == network}
        reach = 2 * max(abs(s.smallest) for s in of.values())
        for (place, spectrum), colour in zip(of.items(), cycle(COLOURS), strict=False):
            t, w = (spectrum.density[name].values for name in ("eigenvalue", "weight"))
            width = abs(spectrum.smallest) / 8 / max(float(np.ptp(t)), 1e-12)
            density = smoothed_density(spectrum.density, width=max(width, 1e-4), points=4000)
            inside = density.sel(eigenvalue=slice(-reach, reach))
            label = f"{place.stage}, E={place.epoch} [{spectrum.smallest:.2g}]"
            bulk.semilogy(inside["eigenvalue"], inside.clip(min=1e-12), color=colour, lw=1.5, label=label)
            order = np.argsort(t.ravel())[::-1]
            above = np.cumsum(w.ravel()[order]) / len(t) * float(spectrum.density.attrs["size"])
            x = t.ravel()[order]
            outliers.plot(x[x > 0], above[x > 0], color=colour, lw=1.5, drawstyle="steps-post", label=label)
        top = max(line.get_ydata().max() for line in bulk.lines)
        bulk.set_ylim(1e-4 * top, 3 * top)
        bulk.axvline(0, color="black", ls=":", lw=1)
        outliers.set(xscale="log", yscale="log", ylim=(0.5, None))
        outliers.set_xlim(left=1e-3 * outliers.get_xlim()[1])
        outliers.axhline(classes, color="black", ls=":", lw=1)
        bulk.set_ylabel(f"{network}\ndensity", fontsize=10)
        outliers.set_ylabel("eigenvalues above it", fontsize=10)
        outliers.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for ax in axes[-1]:
        ax.set_xlabel("eigenvalue (nats per squared unit of weight)", fontsize=10)
    return figure


def noise_histograms(noise: Mapping[Perturbed, Noise]) -> Figure:
    """Draw measured loss changes beside the normal curve with the foretold mean and variance; a row a model.

    Above each panel: mean and standard deviation, measured and foretold.
    """
    lambdas = next(iter(noise.values())).measured["lam"].values
    size = (3.3 * len(lambdas) + 0.6, 2.2 * len(noise) + 0.7)
    figure, axes = plt.subplots(len(noise), len(lambdas), figsize=size, layout="constrained", squeeze=False)
    for row, (place, one) in zip(axes, noise.items(), strict=True):
        for ax, lam in zip(row, lambdas, strict=True):
            seen, predicted = one.measured.sel(lam=lam), one.predicted.sel(lam=lam)
            _histogram(seen, predicted, ax)
            measured = f"{float(seen.mean()):.2g} +- {float(seen.std()):.2g}"
            foretold = f"{float(predicted['mean']):.2g} +- {math.sqrt(float(predicted['variance'])):.2g}"
            ax.set_title(f"lambda = {lam:g}: {measured}\nforetold {foretold}", fontsize=9)
        row[0].set_ylabel(f"{place}\ndensity", fontsize=10)
    _legend_above(figure, axes[0, 0])
    figure.supxlabel("loss change (nats)", fontsize=10)
    return figure


def _histogram(seen: xr.DataArray, predicted: xr.Dataset, ax: Axes) -> None:
    ax.hist(
        seen.values.ravel(), bins=16, density=True, color=COLOURS[4], label=f"{seen.sizes['draw']} draws, both ways"
    )
    mean, spread = float(predicted["mean"]), math.sqrt(float(predicted["variance"]))
    x = np.linspace(mean - 4 * spread, mean + 4 * spread, 200)
    ax.plot(x, np.exp(-(((x - mean) / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi)), color="black", lw=1.2)
    ax.lines[-1].set_label("second order")
    ax.axvline(0, color="black", ls=":", lw=1)
    ax.set_yticks([])
    ax.tick_params(labelsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.ticklabel_format(axis="x", scilimits=(-2, 3))


def piece_curves(drawn: Mapping[Departure, Pieces]) -> Figure:
    """Draw curves with their second-order pieces on them, and below how far the pieces' ends are off."""
    size = (3.1 * len(drawn) + 0.6, 4.2)
    shape = {"height_ratios": [2, 1]}
    figure, axes = plt.subplots(
        2, len(drawn), figsize=size, layout="constrained", squeeze=False, sharex=True, gridspec_kw=shape
    )
    steps = np.linspace(-REACH, REACH, 21)
    for (ax, below), (way, one) in zip(axes.T, drawn.items(), strict=True):
        ax.plot(one.curve["lam"], one.curve["loss"], color="0.6", lw=2.5, label="measured")
        for i, lam in enumerate(one.centres["lam"].values):
            centre = one.centres.isel(lam=i)
            ax.plot(lam + steps, piece(centre, steps), color=COLOURS[1], lw=1.5, label=None if i else "second order")
        ax.plot(one.centres["lam"], one.centres["loss"], ls="none", marker="o", ms=3, color="black")
        ax.set_title(str(way), fontsize=10)
        below.bar(one.centres["lam"], piece_errors(one), width=0.05, color=COLOURS[1])
        percent(below.yaxis)
        for each in (ax, below):
            each.tick_params(labelsize=9)
    axes[0, 0].set_ylabel(LABELS["loss"], fontsize=10)
    axes[1, 0].set_ylabel("off, of the range", fontsize=10)
    _legend_above(figure, axes[0, 0])
    figure.supxlabel("lambda (0: the solution)", fontsize=10)
    return figure


def shape_panels(surfaces: Mapping[Perturbed, Mapping[str, xr.Dataset]]) -> Figure:
    """Draw surfaces titled with their shapes by rule, a row a model; each has its own window and colours."""
    return _surfaces(surfaces, surface_shape, max(map(len, surfaces.values())))


def mixed_panels(surfaces: Mapping[Perturbed, Mapping[str, xr.Dataset]], columns: int = 4) -> Figure:
    """Draw surfaces titled with the names of the curves along both axes; each has its own window and colours."""
    return _surfaces(surfaces, lambda grid: " x ".join(axis_names(grid)), columns)


def _surfaces(
    surfaces: Mapping[Perturbed, Mapping[str, xr.Dataset]], name: Callable[[xr.Dataset], str], columns: int
) -> Figure:
    rows = {place: math.ceil(len(grids) / columns) for place, grids in surfaces.items()}
    size = (3.5 * columns, 2.9 * sum(rows.values()))
    figure, axes = plt.subplots(sum(rows.values()), columns, figsize=size, layout="constrained", squeeze=False)
    start = 0
    for place, grids in surfaces.items():
        block = axes[start : start + rows[place]].ravel()
        for ax, grid in zip(block, grids.values(), strict=False):
            _draw(figure, ax, grid, f"{place}: {name(grid)}")
        for ax in block[len(grids) :]:
            ax.axis("off")
        start += rows[place]
    return figure


def _draw(figure: Figure, ax: Axes, grid: xr.Dataset, title: str) -> None:
    """Draw a surface with lines at the model's loss (white, dashed) and at log C (black, dotted)."""
    norm = _range(grid)
    surface_map(named(grid["loss"], grid), ax=ax, norm=norm, bar=False)
    z = np.ma.masked_invalid(grid["loss"].values.T)
    here = float(grid["loss"].sel(lam1=0, lam2=0, method="nearest"))
    for level, colour, style in ((here, "white", "--"), (math.log(grid.sizes["class"]), "black", ":")):
        if z.min() < level < z.max():
            ax.contour(grid["lam1"], grid["lam2"], z, levels=[level], colors=colour, linestyles=style, linewidths=1.3)
    ax.set_title("\n".join(filter(None, (title, ax.get_title()))), fontsize=9)
    bar = figure.colorbar(ScalarMappable(norm, SURFACE), ax=ax, shrink=0.85)
    bar.set_label(LABELS["loss"], fontsize=9)


def _range(grid: xr.Dataset) -> Normalize:
    """Span a surface's finite losses: by decades where there are some, up to where a loss is tall."""
    finite = grid["loss"].values[np.isfinite(grid["loss"].values)]
    if not len(finite):
        return Normalize(0, 1)
    low, high = float(finite.min()), min(float(finite.max()), HIGHEST * math.log(grid.sizes["class"]))
    if high > 10 * max(low, LOWEST):
        return LogNorm(max(low, LOWEST), high)
    return Normalize(low, max(high, low + 1e-9))


def _legend_above(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=9, frameon=False)
