"""The sets of curves that notebook 04 draws around its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import space
from landscape_utils.kit import Floats
from landscape_utils.landscape.directions import Around, Directions
from landscape_utils.landscape.mining import cosines
from landscape_utils.landscape.second_order import angles
from landscape_utils.landscape.walks import TOWARDS, Line, Walk, draw
from landscape_utils.training.runs import Run

GAMMAS = (0.1, 0.5, 0.9)

BASE = Walk()
ELSEWHERE = (  # the other conditions, around the final model
    Walk("layer"),
    Walk("filter"),
    Walk(None),
    Walk(bn="keep"),
    Walk(scale=0.1),
    Walk(scale=4.0),
    Walk(scale=10.0),
)


def most_overlapping(directions: Directions, *, draws: int = 100, seed: int = 1000) -> tuple[Tensor, Floats]:
    """Draw Gaussian directions and give the one nearest the negative gradient, with the angles of all, in degrees.

    The direction has the gradient's norm (mining the loss landscape, 2.3, figure 6).
    """
    descent = directions["Neg. Grad."]
    drawn = (space.gaussian_direction(directions.model, seed=seed + i) for i in range(draws))
    best, smallest, seen = descent, np.inf, []
    for direction in drawn:
        angle = float(angles(direction[None], descent[None]).squeeze())
        seen.append(angle)
        if angle < smallest:
            best, smallest = direction, angle
    return best * (descent.norm() / best.norm()), np.array(seen)


def gaussian_angles(directions: Directions, name: str, *, draws: int = 100, seed: int = 1000) -> Floats:
    """Measure the angles between Gaussian directions and a named one, in degrees; shape (draws,)."""
    other = directions[name][None]
    drawn = (space.gaussian_direction(directions.model, seed=seed + i)[None] for i in range(draws))
    return np.array([float(angles(d, other).squeeze()) for d in drawn])


def overlaps(directions: Directions, name: str) -> xr.DataArray:
    """Return |cos| between a named direction and every eigenvector, over `rank` (P.E. and N.E.)."""
    spectrum, direction = directions.spectrum, directions[name].double()
    vectors = torch.as_tensor(spectrum["eigenvector"].values).double()
    values = cosines(direction.cpu(), vectors).numpy()
    return xr.DataArray(values, dims="rank", coords={"rank": spectrum["rank"].values}, name="cosine")


def around_runs(runs: Mapping[str, Sequence[Run]], images: Labelled, epochs: Sequence[int], **how: Any) -> Around:
    """Name the directions around checkpoints of each architecture's first run; the second one is independent.

    Args:
        runs: two or more by architecture.
        images: on which gradients, eigenvectors and mined directions rest.
        epochs: of the perturbed checkpoints; those that were kept.
        how: as in `Directions`.
    """
    return {
        name: {e: Directions.around(first, e, images, other=second, **how) for e in epochs if e in first.epochs}
        for name, (first, second, *_) in runs.items()
    }


def gaussian_lines(around: Around, images: Labelled, *, draws: int = 5) -> list[Line]:
    """Draw Gaussian curves around every checkpoint, and around the last one in every other condition.

    A model without BatchNorm has one handling of it.
    """
    lines = []
    for name, models in around.items():
        last = max(models)
        normed = any(isinstance(m, _BatchNorm) for m in models[last].model.modules())
        others = [walk for walk in ELSEWHERE if normed or walk.bn == BASE.bn]
        for epoch, walk in [*((e, BASE) for e in models), *((last, walk) for walk in others)]:
            for i in range(1, draws + 1):
                lines.append(draw(models[epoch], f"Gau.{i}", images, walk, architecture=name, epoch=epoch))
    return lines


def lines_along(
    around: Around, names: Sequence[str], images: Labelled, walk: Walk, epochs: Sequence[int]
) -> list[Line]:
    """Draw the curves along named directions around some checkpoints; names that a checkpoint lacks are left out."""
    return [
        draw(models[epoch], name, images, walk, architecture=architecture, epoch=epoch)
        for architecture, models in around.items()
        for epoch in epochs
        if epoch in models
        for name in names
        if name in models[epoch]
    ]


def panels(lines: Iterable[Line], title: Callable[[Line], str]) -> dict[str, list[Line]]:
    """Gather lines by what their panel is called."""
    drawn: dict[str, list[Line]] = {}
    for line in lines:
        drawn.setdefault(title(line), []).append(line)
    return drawn


def by_model(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Gather lines by the perturbed model."""
    return panels(lines, lambda line: f"{line.architecture}, E={line.epoch}")


def dimensions(around: Around) -> dict[str, int]:
    """Return each perturbed model's number of parameters d, by the names of `by_model`."""
    return {
        f"{name}, E={epoch}": len(directions.weights)
        for name, models in around.items()
        for epoch, directions in models.items()
    }


def chained(*groups: Iterable[Iterable[Line]]) -> list[Line]:
    """Gather groups of lines into one list."""
    return [line for group in groups for lines in group for line in lines]


def descents(around: Around, images: Labelled, epochs: Sequence[int]) -> dict[str, tuple[list[Line], list[Line]]]:
    """Draw the negative gradient, and the Gaussian direction nearest to it at ten times the range, by model.

    Both have the gradient's norm; s is 0.01, 0.1 and 1 (mining the loss landscape, 2.3, figure 6). BatchNorm's
    statistics are kept, as they were for the gradient.
    """
    lines = {}
    for architecture, models in around.items():
        for epoch in epochs:
            here = models[epoch]
            best, _ = most_overlapping(here)
            both = Directions(here.model, images, own={"Best Gau.": best})
            file: dict[str, Any] = {"architecture": architecture, "epoch": epoch}
            lines[f"{architecture}, E={epoch}"] = tuple(
                [draw(both, name, images, Walk(None, "keep", times * s), **file) for s in (0.01, 0.1, 1.0)]
                for name, times in (("Neg. Grad.", 1), ("Best Gau.", 10))
            )
    return lines  # type: ignore[return-value]


def mined_peaks(
    around: Around, images: Labelled, epochs: Sequence[int]
) -> tuple[dict[str, Line], dict[str, list[Line]]]:
    """Draw, by model, the curve along the mined direction and those along the N.E. directions, all equally long.

    BatchNorm's statistics are kept, as they were in mining and in the Hessian.
    """
    mined, negative = {}, {}
    for architecture, models in around.items():
        for epoch in epochs:
            here, model = models[epoch], f"{architecture}, E={epoch}"
            file: dict[str, Any] = {"architecture": architecture, "epoch": epoch}
            mined[model] = draw(here, "Mine", images, Walk(None, "keep"), **file)
            walk = Walk(None, "keep", scale=float(here["Mine"].norm()))
            negative[model] = [draw(here, name, images, walk, **file) for name in here if name.startswith("N.E.")]
    return mined, negative


def second_models(
    around: Around,
    images: Labelled,
    epoch: int,
    *,
    alphas: Sequence[float] = (0.0, 0.1),
    gammas: Sequence[float] = GAMMAS,
) -> dict[str, list[Line]]:
    """Draw the curves towards the second models of algorithm 2, one a setting, by architecture."""
    lines: dict[str, list[Line]] = {}
    for architecture, models in around.items():
        here = models[epoch]
        settings = {f"alpha={a:g}, gamma={g:g}": here.towards(a, g) for a, g in product(alphas, gammas)}
        named = Directions(here.model, images, own=settings)
        walk = Walk(None, span=TOWARDS)
        lines[architecture] = [
            draw(named, name, images, walk, architecture=architecture, epoch=epoch) for name in settings
        ]
    return lines


def stacked(values: Mapping[str, Any], name: str) -> xr.Dataset:
    """Stack equally long values by what they belong to, for saving."""
    rows = np.stack([np.asarray(v, dtype=float) for v in values.values()])
    return xr.Dataset({name: (("of", "draw"), rows)}, coords={"of": list(values)})
