"""Notebook 09: spectra by checkpoint, loss changes under noise, second-order pieces, and surfaces by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from landscape_utils.landscape.directions import Around, Directions, Perturbed, is_checkpoint
from landscape_utils.landscape.hessian import density_beside, hessian_density
from landscape_utils.landscape.second_order import gaussian_changes, gaussian_moments, slope_and_curvature
from landscape_utils.landscape.side_by_side import by_model
from landscape_utils.landscape.traces import CONFIDENCE
from landscape_utils.landscape.walks import SPAN, TOWARDS, tolerance, way_back

LAMBDAS = (0.001, 0.003, 0.01)  # the paper's two, and one between them
SIGMA = 1.0
PROBES = 30  # random signs for the traces
CENTRES = 11  # points that get a second-order piece
REACH = 0.05  # half a piece's length, in lambda
EIGENPAIRS = (("P.E.1", "P.E.2"), ("N.E.1", "N.E.2"), ("P.E.1", "N.E.1"))
LEVEL = 1e-4  # nats; a smaller change is none
WALL = 0.9  # of a bottle's border
BEYOND = 1.5  # times the way back: the wall around a bottle's bottom is in the picture
LEAST_WAY = 1e-3  # of the reach; an N.E. direction that is back sooner has no fall

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
    around: Around, images: Labelled, *, steps: int = 80, probes: int = 1, progress: bool = True
) -> dict[Perturbed, Spectrum]:
    """Find density and ends of the Hessian of every model, with the statistics that its directions rest on.

    Args:
        around: the models.
        images: on which the Hessian is taken.
        steps, progress: as for `hessian_density`.
        probes: with 1, the density is what the ends' own products tell, whatever the steps; more are drawn afresh.
    """
    how: dict[str, Any] = {"steps": steps, "probes": probes, "progress": progress}

    def of(_: Perturbed, here: Directions) -> Spectrum:
        ends = here.spectrum
        density = density_beside(ends) if probes == 1 else hessian_density(here.model, images, bn=here.bn, **how)
        return Spectrum(density, ends)

    return by_model(of, around, "spectra", progress=progress)


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


def outliers(spectrum: Spectrum) -> float:
    """Count the eigenvalues above the largest gap, the largest ratio of neighbours: mean over the probes.

    Among those further above zero than the smallest lies below, for a bulk about zero reaches as far to both sides.
    Up there Lanczos' nodes are the eigenvalues themselves, for it finds the outermost ones first.
    """
    edge = abs(spectrum.smallest)
    counts = []
    for t, w in zip(spectrum.density["eigenvalue"].values, spectrum.density["weight"].values, strict=True):
        above = np.sort(t[(t > edge) & (w > 0)])[::-1]
        counts.append(1 + int(np.argmax(above / np.append(above[1:], edge))) if len(above) else 0)
    return float(np.mean(counts))


def spectrum_table(by_place: Mapping[Perturbed, Spectrum]) -> xr.Dataset:
    """Stack spectra for saving: nodes and weights over (model, probe, node), ends over (model, rank), NaN for none."""
    most = max(s.density.sizes["node"] for s in by_place.values())
    densities = [
        s.density[["eigenvalue", "weight"]].pad(node=(0, most - s.density.sizes["node"])) for s in by_place.values()
    ]
    ends = [s.ends["eigenvalue"].rename("end") for s in by_place.values()]
    model = models(by_place)
    return xr.merge(
        [
            xr.concat(densities, model, combine_attrs="drop"),
            xr.concat(ends, model, join="outer", combine_attrs="drop"),
        ],
        combine_attrs="drop",
    )


# --- noise -------------------------------------------------------------------------------------------------------


class Noise(NamedTuple):
    """Loss changes under Gaussian noise, measured and foretold.

    Attributes:
        measured: (draw, sign, lam), in nats, as `gaussian_changes` gives it: each draw is walked both ways.
        predicted: over `lam`, as `gaussian_moments` gives it.
    """

    measured: xr.DataArray
    predicted: xr.Dataset


def noise(around: Around, images: Labelled, *, draws: int = 100, progress: bool = True) -> dict[Perturbed, Noise]:
    """Measure loss changes at `LAMBDAS` for sigma = 1, beside the second-order prediction.

    The networks are in evaluation mode: what is measured is what is foretold.

    Args:
        around: the models.
        images: on which the loss is taken.
        draws: of the noise, each walked both ways.
        progress: bars.
    """

    def of(_: Perturbed, here: Directions) -> Noise:
        return _noise(here.model, images, draws, progress)

    return by_model(of, around, "noise", progress=progress)


def _noise(model: nn.Module, images: Labelled, draws: int, progress: bool) -> Noise:
    settings = {"format": store.FORMAT, "lambdas": LAMBDAS, "sigma": SIGMA, "draws": draws, "probes": PROBES}
    settings["walked"] = "both ways"
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

    Draws are independent, and the two ways along one are not: each draw gives one number, the mean of its two changes,
    or of their squared distances from the mean of all. The errors of the estimated traces are added in squares.
    """
    seen, predicted = one.measured, one.predicted
    mean = seen.mean(("draw", "sign"))
    numbers = {"mean": seen.mean("sign"), "variance": ((seen - mean) ** 2).mean("sign")}
    return xr.Dataset(
        {
            name: (of.mean("draw") - predicted[name])
            / np.sqrt(of.var("draw", ddof=1) / of.sizes["draw"] + predicted[f"{name}_error"] ** 2)
            for name, of in numbers.items()
        }
    )


def noise_table(by_place: Mapping[Perturbed, Noise]) -> xr.Dataset:
    """Stack measured and foretold loss changes for saving, over (model, ...)."""
    parts = [n.predicted.drop_attrs().assign(change=n.measured) for n in by_place.values()]
    return xr.concat(parts, models(by_place), combine_attrs="drop")


def models(by_place: Mapping[Perturbed, object]) -> xr.DataArray:
    """Name models for saving."""
    return xr.DataArray([f"{place}, seed {place.seed}" for place in by_place], dims="model", name="model")


# --- second-order pieces -----------------------------------------------------------------------------------------


class Departure(NamedTuple):
    """Which model is left, and along which path: GMI or MLI."""

    place: Perturbed
    path: str

    def __str__(self) -> str:
        """Name it as a panel's title does."""
        return f"{self.place}, {self.path}"


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
    settings = {"format": f"{store.FORMAT}", "centres": repr(grid[1::2].tolist())}
    key = fingerprint(here.model, [images.inputs, images.targets, direction], settings)

    def derive() -> xr.Dataset:
        return slope_and_curvature(here.model, images, direction, grid[1::2], progress=progress)

    return Pieces(measured, store.remembered("spectra", key, "pieces", derive))


def both_ways(around: Around, images: Labelled, *, progress: bool = True) -> dict[Departure, Pieces]:
    """Draw GMI and MLI around solutions: along Gaussian noise of norm |theta|, and theta - theta_0 (figure 14)."""

    def of(_: Perturbed, here: Directions) -> dict[str, Pieces]:
        directions = {"GMI": space.normalise(here["Gau."], here.model, "global"), "MLI": -here["init"]}
        return {path: pieces(here, images, direction, progress=progress) for path, direction in directions.items()}

    drawn = by_model(of, around, "pieces", progress=progress)
    return {Departure(place, path): one for place, paths in drawn.items() for path, one in paths.items()}


def piece_errors(drawn: Pieces) -> Floats:
    """Measure how far each piece's ends are from the curve, the larger of both, as a share of the curve's range.

    Returns:
        Shape (11,), from lambda = -1 to 0.
    """
    off = np.abs(piece_residuals(drawn)).max(1)
    errors: Floats = off / np.ptp(drawn.curve["loss"].values)
    return errors


def piece_residuals(drawn: Pieces) -> Floats:
    """Return how far each piece's ends are from the curve, signed, in nats; shape (11, 2), at -0.05 and 0.05."""
    loss, steps = drawn.curve["loss"].values, np.array([-REACH, REACH])
    rows = [
        piece(drawn.centres.isel(lam=i), steps) - loss[[2 * i, 2 * i + 2]] for i in range(drawn.centres.sizes["lam"])
    ]
    residuals: Floats = np.stack(rows)
    return residuals


def piece_table(by_way: Mapping[Departure, Pieces]) -> xr.Dataset:
    """Stack curves and their pieces for saving, over (of, point) and (of, centre)."""
    curves = np.stack([p.curve["loss"].values for p in by_way.values()])
    columns = {
        name: (("of", "centre"), np.stack([p.centres[name].values for p in by_way.values()]))
        for name in ("loss", "slope", "curvature")
    }
    names = [f"{way}, seed {way.place.seed}" for way in by_way]
    return xr.Dataset({**columns, "curve": (("of", "point"), curves)}, coords={"of": names})


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
    """Evaluate the plane of two named directions, each in the window where its shape is, the second orthogonal.

    Checkpoints lie at lambda = 1 on [-1, 2], and mined directions keep their length, on [-1, 1]. N.E. directions end
    half as far again as the loss takes to be back at L(theta), on average over both sides, along the one that takes
    longest; P.E. and the gradient end at `reach` |theta|, and Gaussian ones at ten times that, for nearer nothing
    happens. BatchNorm's statistics are updated at every point, or kept where the directions rest on kept ones.

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
    how: evaluate.Options = {"bn": "keep" if here.bn == "keep" else "update", "progress": progress}
    backs = [way_back(here, name, images, bn=how["bn"], on_average=True) for name in names if name.startswith("N.E.")]
    back = max((BEYOND * r for r in backs if LEAST_WAY * reach < r < np.inf), default=reach)
    d1, d2 = (_stretched(here, name, back if name.startswith("N.E.") else reach) for name in names)
    spans = tuple(TOWARDS if is_checkpoint(name) else SPAN for name in names)
    grid = evaluate.surface(
        here.model, images, d1, d2, span=(spans[0], spans[1]), points=points, orthogonal=True, **how
    )
    return grid.assign_attrs(first=names[0], second=names[1])


def named_surfaces(
    around: Around,
    combinations: Sequence[tuple[str, str]],
    images: Labelled,
    *,
    reach: float,
    points: int,
    progress: evaluate.Progress = True,
) -> dict[Perturbed, dict[str, xr.Dataset]]:
    """Evaluate combinations of directions around models, by model and `first x second`.

    Arguments are those of `named_surface`.
    """

    def of(plane: tuple[Perturbed, tuple[str, str]], here: Directions) -> xr.Dataset:
        return named_surface(here, plane[1], images, reach=reach, points=points, progress=progress)

    planes = {(place, names): here for names in combinations for place, here in around.items()}
    found = by_model(of, planes, "surfaces")
    return {place: {" x ".join(names): found[place, names] for names in combinations} for place in around}


def mixed(early: int, late: int) -> list[tuple[str, str]]:
    """List combinations of figure 12's kinds: directions to v-basin, v-side, w-basin and w-peak with one another."""
    independent = f"E'={early}"
    return [
        ("Gau.", "Gau.2"),
        ("Mine", "Gau."),  # begun early, for the last one needs what is mined here
        ("Gau.", "Neg. Grad."),
        (f"E={late}", "Gau."),
        (independent, "P.E.1"),
        (independent, f"E={late}"),
        (independent, "N.E.1"),
        ("Mine", "N.E.1"),
    ]


def axis_changes(grid: xr.Dataset) -> Floats:
    """Measure the mean change of the loss half way to both edges, along each axis, shape (2,), in nats.

    (L(h) + L(-h)) / 2 - L(0), which is h^2 times half the curvature at a small h: the slope falls out.
    """
    loss = _risen(grid)
    i, j = (int(np.argmin(abs(grid[name].values))) for name in ("lam1", "lam2"))
    h1, h2 = (max(1, n // 4) for n in loss.shape)
    first = (loss[i - h1, j] + loss[i + h1, j]) / 2
    second = (loss[i, j - h2] + loss[i, j + h2]) / 2
    changes: Floats = np.array([first, second]) - loss[i, j]
    return changes


def _risen(grid: xr.Dataset) -> Floats:
    """Return the losses, with infinity where a network diverged to NaN."""
    loss: Floats = np.nan_to_num(grid["loss"].values, nan=np.inf, posinf=np.inf)
    return loss


def walled(grid: xr.Dataset) -> float:
    """Measure the share of the border on which the loss is above the model's."""
    loss = _risen(grid)
    i, j = (int(np.argmin(abs(grid[name].values))) for name in ("lam1", "lam2"))
    inner = np.zeros_like(loss, dtype=bool)
    inner[1:-1, 1:-1] = True
    return float((loss[~inner] > loss[i, j]).mean())


def surface_shape(grid: xr.Dataset) -> str:
    """Name a surface around its model by rule: bowl, bottle, dome, saddle, or flat.

    By the signs of `axis_changes`: both up is a bowl, one up and one down a saddle. Both down is a bottle's bottom
    where there is a wall around the moat, nine tenths of the border above the model, else a dome. Changes below
    0.0001 nats are flat.
    """
    changes = axis_changes(grid)
    if (abs(changes) < LEVEL).any():
        return "flat"
    if (changes > 0).all():
        return "bowl"
    if changes.prod() < 0:
        return "saddle"
    return "bottle" if walled(grid) >= WALL else "dome"


def axis_names(grid: xr.Dataset) -> tuple[str, str]:
    """Name the two curves through the model along the axes, in the paper's words."""
    first = grid.sel(lam2=0, method="nearest").rename(lam1="lam")
    second = grid.sel(lam1=0, method="nearest").rename(lam2="lam")
    names = [shape_of(cut, tolerance=tolerance(cut)).name or "no name" for cut in (first, second)]
    return names[0], names[1]


def surface_table(surfaces: Mapping[Perturbed, Mapping[str, xr.Dataset]]) -> xr.Dataset:
    """Stack surfaces for saving: loss, and both coordinates, over (surface, i, j)."""
    every = {
        f"{place}, seed {place.seed}, {plane}": grid
        for place, grids in surfaces.items()
        for plane, grid in grids.items()
    }
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
