"""Pictures of curves along directions: a row a condition, a column a network, the average count above each panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landscape_utils.landscape.directions import Perturbed
from landscape_utils.landscape.walks import Line, Walk, between
from landscape_utils.sections.gmi_mli_wpeak.claims import FITTED, end_loss
from landscape_utils.suite.plots import COLOURS, new_axes

TALL = 30.0  # a range of losses (largest over log C) above which the axis is logarithmic
FALLS = 1e-3  # nats: curves that fall by less are shown whole
Key = Callable[[Line], str]
Look = Literal["row", "barrier", "peak"]
X = {False: "lambda", True: "lambda / s"}


def curve_panel_axes(
    lines: Sequence[Line], *, ax: Axes | None = None, title: str = "", colour: Key | None = None, relative: bool = False
) -> Axes:
    """Draw curves: loss against lambda, log C dotted, the model and what it leads to as verticals.

    The number in brackets is the average count of stationary points by the paper's rule.

    Args:
        lines: the first one's walk gives the axes.
        ax: where to draw; a new figure by default.
        title: what the panel shows.
        colour: curves of one key have one colour, and are named by it in a legend; by default each has its own.
        relative: lambda as a share of each curve's own reach.
    """
    ax = ax or new_axes()
    keys = list(dict.fromkeys(map(colour, lines))) if colour else []
    named: set[str] = set()
    for i, line in enumerate(lines):
        key = colour(line) if colour else ""
        shown = COLOURS[(keys.index(key) if colour else i) % len(COLOURS)]
        lam = line.grid["lam"].values / (line.walk.scale if relative else 1.0)
        name = None if not key or key in named else key
        ax.plot(lam, np.ma.masked_invalid(line.loss.values), color=shown, lw=1.4, label=name)
        named.add(key)
    ax.axhline(lines[0].chance, color="black", ls=":", lw=1)
    ax.axvline(0, color="black", ls=":", lw=1)
    if lines[0].walk.span[1] > 1:
        ax.axvline(1, color=COLOURS[1], ls=":", lw=1)
    if _highest(lines) > TALL * lines[0].chance:
        ax.set_yscale("log")
    ax.set_title(f"{title} [{np.mean([line.shape.count for line in lines]):.1f}]".strip(), fontsize=9)
    ax.tick_params(labelsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 5, 10]))
    return ax


def curve_matrix(
    lines: Iterable[Line],
    row: Key,
    *,
    colour: Key | None = None,
    relative: bool = False,
    above: Callable[[Sequence[Line]], str] | None = None,
    look: Look = "row",
) -> Figure:
    """Draw a panel a condition and network.

    Args:
        lines: in the order of the rows.
        row: names a curve's condition.
        colour, relative: as in `curve_panel_axes`.
        above: what stands above a panel; by default the perturbed model.
        look: at all losses, with one scale a `row`, which is logarithmic where decades are; or in each panel at its
            own `barrier` between two models, or at its own `peak` (P.E. have none): what is below the model, and as
            much above.
    """
    lines = list(lines)
    rows, columns = (list(dict.fromkeys(map(key, lines))) for key in (row, _network))
    size = (3.1 * len(columns) + 0.9, 1.35 * len(rows) + 0.7)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, layout="constrained", squeeze=False)
    for i, name in enumerate(rows):
        of_row = [line for line in lines if row(line) == name]
        for ax, network in zip(axes[i], columns, strict=True):
            found = [line for line in of_row if _network(line) == network]
            if not found:
                ax.axis("off")
                continue
            curve_panel_axes(found, ax=ax, title=(above or _place)(found), colour=colour, relative=relative)
            whole = look == "row" or found[0].direction.startswith("P.E.")
            _scale(ax, of_row if whole else found, "row" if whole else look)
        next(ax for ax in axes[i] if ax.axison).set_ylabel(name, fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=9, frameon=False)
    figure.supxlabel(X[relative], fontsize=10)
    figure.supylabel("mean loss (nats)", fontsize=10)
    return figure


def scale_matrix(lines: Sequence[Line]) -> Figure:
    """Draw Gaussian curves small: rows are networks and normalisations, columns are scales (figures 16 and 17)."""
    rows = list(dict.fromkeys((_network(x), x.walk.normalisation) for x in lines))
    scales = sorted({x.walk.scale for x in lines})
    size = (1.5 * len(scales) + 1.3, 1.05 * len(rows) + 0.9)
    figure, axes = plt.subplots(len(rows), len(scales), figsize=size, layout="constrained", squeeze=False)
    for i, (network, normalisation) in enumerate(rows):
        for ax, scale in zip(axes[i], scales, strict=True):
            found = [
                x for x in lines if (_network(x), x.walk.normalisation, x.walk.scale) == (network, normalisation, scale)
            ]
            curve_panel_axes(found, ax=ax, relative=True)
            ax.set(xticks=[], yticks=[])
            ax.minorticks_off()
            if not i:
                ax.set_title(f"s = {scale:g}\n{ax.get_title()}", fontsize=9)
        axes[i, 0].set_ylabel(f"{network}\n{found[0].walk}".split(",")[0], fontsize=9)
    figure.supxlabel("lambda / s", fontsize=10)
    figure.supylabel("mean loss, each panel on its own scale", fontsize=10)
    return figure


def angle_histograms(
    gaussian: Mapping[tuple[Perturbed, str], NDArray[np.float64]],
    descent: Mapping[Perturbed, float],
    dimensions: Mapping[Perturbed, int],
) -> Figure:
    """Draw the angles of Gaussian with descent directions, and the prediction 90 +- (180/pi)/sqrt(d).

    The descent directions' own angle stands above, and is drawn where it is as near.

    Args:
        gaussian: in degrees, by perturbed model and descent direction.
        descent: between negative gradient and the way to the end, by perturbed model.
        dimensions: parameters d, by perturbed model.
    """
    columns = list(dict.fromkeys((place.architecture, str(place), name) for place, name in gaussian))
    size = (2.7 * len(columns) + 0.4, 2.6)
    figure, axes = plt.subplots(1, len(columns), figsize=size, layout="constrained", squeeze=False)
    for ax, (architecture, title, name) in zip(axes[0], columns, strict=True):
        of = [place for place, n in gaussian if n == name and place.architecture == architecture]
        spread = float(np.degrees(1 / np.sqrt(dimensions[of[0]])))
        seen = np.concatenate([gaussian[place, name] for place in of])
        x = np.linspace(90 - 4 * spread, 90 + 4 * spread, 200)
        ax.hist(seen, bins=20, density=True, color=COLOURS[4], label="Gaussian")
        density = np.exp(-(((x - 90) / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
        ax.plot(x, density, color="black", lw=1.2, label="1/sqrt(d)")
        for i, place in enumerate(of):
            ax.axvline(descent[place], color=COLOURS[1], lw=1.6, label=None if i else "gradient and solution")
        between = np.mean([descent[place] for place in of])
        ax.set_title(f"{title}, with {name}\ngradient and solution: {between:.0f} degrees", fontsize=9)
        ax.set_xlim(90 - 5 * spread, 90 + 5 * spread)
        ax.set_yticks([])
        ax.tick_params(labelsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, frameon=False)
    figure.supxlabel("angle (degrees)", fontsize=10)
    figure.supylabel("density", fontsize=10)
    return figure


def cosine_bars(cosines: Mapping[Perturbed, xr.DataArray], dimensions: Mapping[Perturbed, int]) -> Figure:
    """Draw |cos| of mined directions with the eigenvectors, a panel a network; the dashed line is chance.

    Bars are means over the seeds, and dots the seeds; chance is sqrt(2 / (pi d)).

    Args:
        cosines: over `rank` (P.E. and N.E.), by model.
        dimensions: parameters d, by the same models.
    """
    networks = list(dict.fromkeys(place.architecture for place in cosines))
    size = (4.6 * len(networks) + 0.4, 2.9)
    figure, axes = plt.subplots(1, len(networks), figsize=size, layout="constrained", squeeze=False, sharey=True)
    for ax, network in zip(axes[0], networks, strict=True):
        of = {place: values for place, values in cosines.items() if place.architecture == network}
        rows = np.stack([_outwards(values) for values in of.values()])
        names = _outwards(next(iter(of.values())), names=True)
        colours = [COLOURS[1] if name.startswith("N") else COLOURS[0] for name in names]
        ax.bar(range(len(names)), rows.mean(0), color=colours)
        for values in rows:
            ax.plot(range(len(names)), values, ls="none", marker="o", ms=3, color="black")
        ax.axhline(np.sqrt(2 / (np.pi * dimensions[next(iter(of))])), color="black", ls="--", lw=1.2)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=9)
        ax.set_title(str(next(iter(of))), fontsize=10)
    figure.supylabel("|cos| with the mined direction", fontsize=10)
    return figure


def _outwards(values: xr.DataArray, *, names: bool = False) -> Any:
    """Order ranks as the paper's figure 9: N.E.1 to N.E.k, then P.E.k to P.E.1."""
    ranks = [str(name) for name in values["rank"].values]
    order = [i for i, r in enumerate(ranks) if r.startswith("N")] + [
        i for i, r in reversed(list(enumerate(ranks))) if r.startswith("P")
    ]
    return [ranks[i] for i in order] if names else values.values[order]


# --- what a row is, and what stands above a panel -----------------------------------------------------------------


def condition(line: Line) -> str:
    """Name a Gaussian curve's condition: the stage, or how it is walked otherwise."""
    usual = Walk(points=line.walk.points)
    return line.place.stage if line.walk == usual else str(line.walk).split(", s=")[0]


def gradients_range(line: Line) -> str:
    """Name the range s of the gradient's walk; the best Gaussian's is ten times as long."""
    return f"s = {line.walk.scale / (1 if line.direction == 'Neg. Grad.' else 10):g}"


def way_down(line: Line) -> str:
    """Name where a curve leads down, and from which stage."""
    return f"{'gradient' if line.direction == 'Neg. Grad.' else 'to the end'}, {line.place.stage}"


def both_ends(line: Line) -> str:
    """Name the stages between which a curve leads to an independent training."""
    other = int(line.direction.removeprefix("E'="))
    if line.place.stage == "late":
        return f"late to {'late' if other == line.place.epoch else 'early'}"
    return f"early to {'early' if other == line.place.epoch else 'late'}"


def eigenvectors_end(line: Line) -> str:
    """Name the spectrum's end and the stage."""
    return f"{line.direction[:4]}, {line.place.stage}"


def mined_or_not(line: Line) -> str:
    """Tell a mined direction from an eigenvector."""
    return "mined" if line.direction == "Mine" else "N.E."


def setting(line: Line) -> str:
    """Name a second model's alpha and gamma."""
    return line.direction.rsplit(", ", 1)[0].replace(", ", "\n")


def start(line: Line) -> str:
    """Name where the search for a second model started."""
    return line.direction.rsplit(", ", 1)[1]


def direction(line: Line) -> str:
    """Name the direction."""
    return line.direction


def end_losses(lines: Sequence[Line]) -> str:
    """Write the network, and the losses of the second models, and whether they have fitted."""
    told = [f"{end_loss(x):.2g}" + ("" if end_loss(x) < FITTED * x.chance else " (not fitted)") for x in lines]
    return f"{lines[0].place}, L(phi) = {', '.join(told)}"


def _scale(ax: Axes, lines: Sequence[Line], look: Look) -> None:
    finite = np.concatenate([line.loss.values[np.isfinite(line.loss.values)] for line in lines])
    low, high = float(finite.min()), float(finite.max())
    if look == "barrier":
        ways = np.concatenate([between(line) for line in lines])
        high = low + 1.6 * (float(np.nanmax(ways)) - low)
    elif look == "peak":
        here = max(float(line.loss.sel(lam=0, method="nearest")) for line in lines)
        if here - low > FALLS:
            high = min(high, here + (here - low))
    elif _highest(lines) > TALL * lines[0].chance:
        ax.set_yscale("log")
        ax.set_ylim(max(low, 1e-4) / 1.5, high * 1.5)
        return
    edge = 0.06 * max(high - low, 1e-6)
    ax.set_yscale("linear")
    ax.set_ylim(low - edge, high + edge)


def _highest(lines: Sequence[Line]) -> float:
    return max(float(np.ma.masked_invalid(line.loss.values).max()) for line in lines)


def _network(line: Line) -> str:
    return line.place.architecture


def _place(lines: Sequence[Line]) -> str:
    return str(lines[0].place)
