"""Notebook 09: spectra by checkpoint, loss changes under noise, second-order pieces, and surfaces by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import stdtrit
from torch import Tensor, nn

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import evaluate, space
from landscape_utils.engine.grids import grid_axis
from landscape_utils.kit import Floats, store
from landscape_utils.kit.store import fingerprint
from landscape_utils.landscape.curves import shape_of
from landscape_utils.landscape.directions import Around, Directions, is_checkpoint
from landscape_utils.landscape.hessian import hessian_density
from landscape_utils.landscape.second_order import gaussian_changes, gaussian_moments, slope_and_curvature
from landscape_utils.landscape.traces import CONFIDENCE
from landscape_utils.landscape.walks import SPAN, TOWARDS

LAMBDAS = (0.001, 0.003, 0.01)  # the paper's two, and one between them
SIGMA = 1.0
PROBES = 30  # random signs for the traces
CENTRES = 11  # points that get a second-order piece
REACH = 0.05  # half a piece's length, in lambda
EIGENPAIRS = (("P.E.1", "P.E.2"), ("N.E.1", "N.E.2"), ("P.E.1", "N.E.1"))
NEAR = 9  # points along each direction of the closer surfaces
LEVEL = 1e-3  # nats; a smaller change is none

# --- spectra -----------------------------------------------------------------------------------------------------


class Spectrum(NamedTuple):
    """A Hessian's density, and the eigenpairs at both its ends.

    Attributes:
        density: as `hessian_density` gives it.
        ends: as `hessian_eigenpairs` gives it.
    """

    density: xr.Dataset
    ends: xr.Dataset

    @property
    def largest(self) -> float:
        """Return the largest eigenvalue, in nats per squared unit of weight."""
        return float(self.ends["eigenvalue"].max())

    @property
    def smallest(self) -> float:
        """Return the smallest eigenvalue, which is mostly the most negative one."""
        return float(self.ends["eigenvalue"].min())


def spectra(
    around: Around, images: Labelled, *, steps: int = 32, probes: int = 2, progress: bool = True
) -> dict[str, Spectrum]:
    """Find density and ends of the Hessian at every checkpoint, by `architecture, E=epoch`.

    Args:
        around: the checkpoints, by architecture and epoch.
        images: on which the Hessian is taken.
        steps, probes, progress: as for `hessian_density`.
    """
    return {
        f"{name}, E={epoch}": Spectrum(
            hessian_density(here.model, images, steps=steps, probes=probes, progress=progress), here.spectrum
        )
        for name, models in around.items()
        for epoch, here in models.items()
    }


def negative_share(density: xr.Dataset) -> Floats:
    """Measure how much of the eigenvalues' mass is negative: sum_{t<0} w |t| / sum w |t|, shape (probes,).

    Weighted by |t|, for in a bulk at zero the signs themselves are rounding.
    """
    t, w = density["eigenvalue"].values, density["weight"].values
    share: Floats = (w * np.clip(-t, 0, None)).sum(1) / (w * abs(t)).sum(1)
    return share


def bulk_share(spectrum: Spectrum, within: float = 0.01) -> float:
    """Measure the share of eigenvalues within a part of the largest |eigenvalue| from zero, mean over the probes."""
    t, w = spectrum.density["eigenvalue"].values, spectrum.density["weight"].values
    edge = within * max(abs(spectrum.smallest), spectrum.largest)
    return float((w * (abs(t) <= edge)).sum(1).mean())


def outliers(spectrum: Spectrum) -> tuple[float, float]:
    """Estimate how many eigenvalues lie further above zero than the smallest lies below: P sum_{t > |min|} w.

    A bulk about zero reaches as far to both sides; what is beyond its mirrored lower edge is an outlier. Returns
    the count n and its standard error, about sqrt(2 n / probes).
    """
    t, w = spectrum.density["eigenvalue"].values, spectrum.density["weight"].values
    beyond = (w * (t > abs(spectrum.smallest))).sum(1).mean()
    count = float(beyond * spectrum.density.attrs["size"])
    return count, float(np.sqrt(2 * count / len(t)))


def spectrum_table(by_name: Mapping[str, Spectrum]) -> xr.Dataset:
    """Stack spectra for saving: nodes and weights over (model, probe, node), ends over (model, rank)."""
    densities = [s.density[["eigenvalue", "weight"]] for s in by_name.values()]
    ends = [s.ends["eigenvalue"].rename("end") for s in by_name.values()]
    model = xr.DataArray(list(by_name), dims="model", name="model")
    return xr.merge(
        [xr.concat(densities, model, combine_attrs="drop"), xr.concat(ends, model, combine_attrs="drop")],
        combine_attrs="drop",
    )


# --- noise -------------------------------------------------------------------------------------------------------


class Noise(NamedTuple):
    """Loss changes under Gaussian noise, measured and foretold.

    Attributes:
        measured: (draw, lam), in nats, as `gaussian_changes` gives it.
        predicted: over `lam`, as `gaussian_moments` gives it.
    """

    measured: xr.DataArray
    predicted: xr.Dataset


def noise(
    around: Around, images: Labelled, epochs: Sequence[int], *, draws: int = 100, progress: bool = True
) -> dict[str, Noise]:
    """Measure loss changes at `LAMBDAS` for sigma = 1, beside the second-order prediction, by `architecture, E=epoch`.

    Args:
        around: the checkpoints, by architecture and epoch.
        images: on which the loss is taken.
        epochs: of the checkpoints to disturb.
        draws: of the noise.
        progress: bars.
    """
    return {
        f"{name}, E={epoch}": _noise(models[epoch].model, images, draws, progress)
        for name, models in around.items()
        for epoch in epochs
    }


def _noise(model: nn.Module, images: Labelled, draws: int, progress: bool) -> Noise:
    settings = {"format": store.FORMAT, "lambdas": LAMBDAS, "sigma": SIGMA, "draws": draws, "probes": PROBES}
    named = {name: str(value) for name, value in settings.items()}
    key = fingerprint(model, [images.inputs, images.targets], named)

    def measure() -> xr.Dataset:
        changes = gaussian_changes(model, images, LAMBDAS, SIGMA, draws, progress=progress)
        return changes.to_dataset(name="change")

    def foretell() -> xr.Dataset:
        return gaussian_moments(model, images, LAMBDAS, SIGMA, probes=PROBES, progress=progress)

    measured = store.remembered("spectra", key, "noise", measure)
    return Noise(measured["change"], store.remembered("spectra", key, "moments", foretell))


def trace_interval(predicted: xr.Dataset) -> tuple[float, float]:
    """Return the trace's 95 % interval by Student's t, from the moments' standard error 2 e / (lam sigma)^2."""
    one = predicted.isel(lam=-1)
    error = 2 * float(one["mean_error"]) / (float(one["lam"]) * predicted.attrs["sigma"]) ** 2
    reach = error * float(stdtrit(PROBES - 1, (1 + CONFIDENCE) / 2))
    return predicted.attrs["trace"] - reach, predicted.attrs["trace"] + reach


def deviations(one: Noise) -> xr.Dataset:
    """Measure how far mean and variance are from the prediction, in standard errors, over `lam`.

    The error of the measured mean is s / sqrt(n), that of the measured variance comes from the draws' fourth moment,
    sqrt((m4 - m2^2) / n); the errors of the estimated traces are added in squares.
    """
    seen, predicted = one.measured, one.predicted
    n = seen.sizes["draw"]
    centred = seen - seen.mean("draw")
    variance = seen.var("draw", ddof=1)
    spread = (centred**4).mean("draw") - (centred**2).mean("draw") ** 2
    mean_error = np.sqrt(variance / n + predicted["mean_error"] ** 2)
    variance_error = np.sqrt(spread / n + predicted["variance_error"] ** 2)
    return xr.Dataset(
        {
            "mean": (seen.mean("draw") - predicted["mean"]) / mean_error,
            "variance": (variance - predicted["variance"]) / variance_error,
        }
    )


def noise_table(by_name: Mapping[str, Noise]) -> xr.Dataset:
    """Stack measured and foretold loss changes for saving, over (model, ...)."""
    model = xr.DataArray(list(by_name), dims="model", name="model")
    parts = [n.predicted.drop_attrs().assign(change=n.measured) for n in by_name.values()]
    return xr.concat(parts, model, combine_attrs="drop")


# --- second-order pieces -----------------------------------------------------------------------------------------


class Pieces(NamedTuple):
    """A curve from a model at lambda = 0 back to lambda = -1, and its second-order pieces.

    Attributes:
        curve: the measured loss over `lam`.
        centres: loss, slope and curvature over `lam`, as `slope_and_curvature` gives them.
    """

    curve: xr.Dataset
    centres: xr.Dataset


def piece(centre: xr.Dataset, steps: Floats) -> Floats:
    """Evaluate L + slope s + curvature s^2 / 2 around a centre, shape of `steps` (equation 1)."""
    values: Floats = float(centre["loss"]) + float(centre["slope"]) * steps + float(centre["curvature"]) * steps**2 / 2
    return values


def pieces(here: Directions, images: Labelled, direction: Tensor, *, progress: bool = True) -> Pieces:
    """Walk from lambda = -1 to the model at 0, and take the loss's first two derivatives at 11 points on the way.

    BatchNorm's statistics are the model's all along: the derivatives are those of a network in evaluation mode.

    Args:
        here: around the model.
        images: on which the loss is taken.
        direction: shape (P,).
        progress: a bar.
    """
    grid = grid_axis(-1 - REACH, REACH, 2 * CENTRES + 1)
    measured = evaluate.curve(here.model, images, direction, grid, progress=progress)
    return Pieces(measured, slope_and_curvature(here.model, images, direction, grid[1::2], progress=progress))


def both_ways(around: Around, images: Labelled, epoch: int, *, progress: bool = True) -> dict[str, Pieces]:
    """Draw GMI and MLI around the solutions: along Gaussian noise of norm |theta|, and theta - theta_0 (figure 14)."""
    lines = {}
    for name, models in around.items():
        here = models[epoch]
        random = space.normalise(here["Gau."], here.model, "global")
        for way, direction in (("GMI", random), ("MLI", -here["init"])):
            lines[f"{name}, {way}"] = pieces(here, images, direction, progress=progress)
    return lines


def piece_errors(drawn: Pieces) -> Floats:
    """Measure how far each piece's ends are from the curve, the larger of both, as a share of the curve's range.

    Returns:
        Shape (11,), from lambda = -1 to 0.
    """
    loss, ends = drawn.curve["loss"].values, np.array([-REACH, REACH])
    off = [
        np.abs(piece(drawn.centres.isel(lam=i), ends) - loss[[2 * i, 2 * i + 2]]).max()
        for i in range(drawn.centres.sizes["lam"])
    ]
    errors: Floats = np.array(off) / np.ptp(loss)
    return errors


def piece_table(by_name: Mapping[str, Pieces]) -> xr.Dataset:
    """Stack curves and their pieces for saving, over (of, point) and (of, centre)."""
    curves = np.stack([p.curve["loss"].values for p in by_name.values()])
    columns = {
        name: (("of", "centre"), np.stack([p.centres[name].values for p in by_name.values()]))
        for name in ("loss", "slope", "curvature")
    }
    return xr.Dataset({**columns, "curve": (("of", "point"), curves)}, coords={"of": list(by_name)})


# --- surfaces ----------------------------------------------------------------------------------------------------


def named_surface(
    here: Directions,
    names: tuple[str, str],
    images: Labelled,
    *,
    reach: float,
    points: int,
    progress: evaluate.Progress = True,
) -> xr.Dataset:
    """Evaluate the plane of two named directions, the second made orthogonal to the first.

    Checkpoints lie at lambda = 1 on [-1, 2], and mined directions keep their length, on [-1, 1]. The others end at
    `reach` |theta|, Gaussian ones at ten times that, for nearer nothing happens. BatchNorm's statistics are updated at
    every point, but kept where a direction rests on the Hessian or on a network in evaluation mode.

    Args:
        here: around the model.
        names: of the directions.
        images: on which the loss is taken.
        reach: as a share of |theta|.
        points: along each direction.
        progress: as in `evaluate.Options`.

    Returns:
        As `evaluate.surface`, with the names as attributes `first` and `second`.
    """
    d1, d2 = (_stretched(here, name, reach) for name in names)
    spans = tuple(TOWARDS if is_checkpoint(name) else SPAN for name in names)
    kept = any(name.startswith(("P.E.", "N.E.", "Mine")) for name in names)
    how: evaluate.Options = {"bn": "keep" if kept else "update", "progress": progress}
    grid = evaluate.surface(
        here.model, images, d1, d2, span=(spans[0], spans[1]), points=points, orthogonal=True, **how
    )
    return grid.assign_attrs(first=names[0], second=names[1])


def named_surfaces(
    around: Around,
    combinations: Sequence[tuple[str, str]],
    images: Labelled,
    epoch: int,
    *,
    reach: float,
    points: int,
    progress: evaluate.Progress = True,
) -> dict[str, dict[str, xr.Dataset]]:
    """Evaluate combinations of directions around each architecture's checkpoint, by architecture and `first x second`.

    Arguments are those of `named_surface`.
    """
    how = {"reach": reach, "points": points}
    return {
        name: {
            " x ".join(names): named_surface(models[epoch], names, images, progress=progress, **how)  # type: ignore[arg-type]
            for names in combinations
        }
        for name, models in around.items()
    }


def mixed(early: int, late: int) -> list[tuple[str, str]]:
    """List combinations of figure 12's kinds: directions to v-basin, v-side, w-basin and w-peak with one another."""
    independent = f"E'={early}"
    return [
        ("Gau.", "Neg. Grad."),
        (f"E={late}", "Gau."),
        (independent, "P.E.1"),
        (independent, f"E={late}"),
        (independent, "N.E.1"),
    ]


def axis_changes(grid: xr.Dataset) -> Floats:
    """Measure the mean change of the loss one step to both sides of the centre, along each axis, shape (2,), in nats.

    (L(h) + L(-h)) / 2 - L(0), which is h^2 times half the curvature: the slope falls out.
    """
    loss = grid["loss"].values
    i, j = (int(np.argmin(abs(grid[name].values))) for name in ("lam1", "lam2"))
    first = (loss[i - 1, j] + loss[i + 1, j]) / 2
    second = (loss[i, j - 1] + loss[i, j + 1]) / 2
    changes: Floats = np.array([first, second]) - loss[i, j]
    return changes


def ring_means(grid: xr.Dataset) -> Floats:
    """Average the loss over square rings around the centre of a square grid, from the centre to the border."""
    loss = grid["loss"].values
    middle = len(loss) // 2
    away = abs(np.arange(len(loss)) - middle)
    ring = np.maximum.outer(away, away)
    means: Floats = np.array([loss[ring == r].mean() for r in range(middle + 1)])
    return means


def surface_shape(grid: xr.Dataset) -> str:
    """Name a surface around its model by rule: bowl, bottle, dome, saddle, or flat.

    By the signs of `axis_changes`: both up is a bowl, one up and one down a saddle. Both down is a bottle's bottom
    where the rings around the centre rise again towards the border, else a dome. Changes below 0.001 nats are flat.
    """
    changes = axis_changes(grid)
    if (abs(changes) < LEVEL).any():
        return "flat"
    if (changes > 0).all():
        return "bowl"
    if changes.prod() < 0:
        return "saddle"
    means = ring_means(grid)
    return "bottle" if means[-1] > means.min() + LEVEL else "dome"


def axis_names(grid: xr.Dataset) -> tuple[str, str]:
    """Name the two curves through the model along the axes, in the paper's words."""
    first = grid.sel(lam2=0, method="nearest").rename(lam1="lam")
    second = grid.sel(lam1=0, method="nearest").rename(lam2="lam")
    return shape_of(first).name or "no name", shape_of(second).name or "no name"


def surface_table(surfaces: Mapping[str, Mapping[str, xr.Dataset]]) -> xr.Dataset:
    """Stack surfaces for saving: loss, and both coordinates, over (surface, i, j)."""
    every = {f"{name}, {plane}": grid for name, grids in surfaces.items() for plane, grid in grids.items()}
    parts: dict[str, tuple[tuple[str, ...], Floats]] = {
        "loss": (("surface", "i", "j"), np.stack([g["loss"].values for g in every.values()])),
        "lam1": (("surface", "i"), np.stack([g["lam1"].values for g in every.values()])),
        "lam2": (("surface", "j"), np.stack([g["lam2"].values for g in every.values()])),
    }
    return xr.Dataset(parts, coords={"surface": list(every)})


def _stretched(here: Directions, name: str, reach: float) -> Tensor:
    if is_checkpoint(name) or name == "Mine":
        return here[name]
    share = 10 * reach if name.startswith("Gau.") else reach
    return share * space.normalise(here[name], here.model, "global")
