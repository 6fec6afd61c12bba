"""The sets of curves that notebook 04 draws around its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.data.datasets import Labelled
from landscape_utils.engine import space
from landscape_utils.engine.space import Normalisation
from landscape_utils.kit import Floats
from landscape_utils.landscape.directions import Around, Directions, Perturbed, Stage
from landscape_utils.landscape.mining import cosines
from landscape_utils.landscape.second_order import angles
from landscape_utils.landscape.walks import TOWARDS, Line, Walk, draw, named_by_depth, way_back
from landscape_utils.training.runs import Run

GAMMAS = (0.1, 0.5, 0.9)
ALPHAS = (0.0, 0.1)
NORMALISATIONS: tuple[Normalisation, ...] = ("global", "layer", "filter")
BASE = Walk()
ANOTHER = "Gau.11"  # draw, so that no curve is counted twice
AWAY = Walk(None, span=TOWARDS, points=43)  # to another model: 43 points have both models among them


def around_runs(runs: Mapping[str, Sequence[Run]], images: Labelled, **how: Any) -> Around:
    """Name the directions around the initialisation, the kept checkpoints and the end of each run.

    The independent solution is the next seed's, and the first one's for the last.

    Args:
        runs: two seeds or more by architecture.
        images: on which gradients, eigenvectors and mined directions rest.
        how: as in `Directions`; elsewhere than early, k is five at most.

    Raises:
        ValueError: a single seed.
    """
    around: Around = {}
    k = how.pop("k", 5)
    for name, of_seeds in runs.items():
        if len(of_seeds) < 2:
            raise ValueError("seeds has one; give two at least, for the next one's is the independent solution")
        for i, run in enumerate(of_seeds):
            other = of_seeds[(i + 1) % len(of_seeds)]
            for stage, epoch in stages(run):
                options = {"k": k if stage == "early" else min(k, 5), **how}
                around[Perturbed(name, run.spec.seed, epoch, stage)] = Directions.around(
                    run, epoch, images, other=other, **options
                )
    return around


def stages(run: Run) -> list[tuple[Stage, int]]:
    """List a run's initialisation, its kept checkpoints (the first is early) and its end."""
    last = run.epochs[-1]
    kept = [epoch for epoch in run.spec.kept_epochs() if 0 < epoch < last]
    between: list[tuple[Stage, int]] = [("early" if not i else "middle", epoch) for i, epoch in enumerate(kept)]
    return [("initial", 0), *between, ("late", last)]


def at(around: Around, *stages: Stage, seeds: Iterable[int] | None = None) -> Around:
    """Pick the models of some stages, and of some seeds."""
    wanted = None if seeds is None else set(seeds)
    return {p: d for p, d in around.items() if p.stage in stages and (wanted is None or p.seed in wanted)}


def has_batchnorm(directions: Directions) -> bool:
    """Check whether a model has BatchNorm."""
    return any(isinstance(module, _BatchNorm) for module in directions.model.modules())


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


def descent_angles(around: Around) -> tuple[dict[tuple[Perturbed, str], Floats], dict[Perturbed, float]]:
    """Measure the angles of Gaussian directions with the gradient and the way to the end, and between those two.

    Args:
        around: models with a later checkpoint.
    """
    gaussian, descent = {}, {}
    for place, here in around.items():
        solution = f"E={last_epoch(here)}"
        for name in ("Neg. Grad.", solution):
            gaussian[place, name] = gaussian_angles(here, name)
        descent[place] = float(angles(here["Neg. Grad."], here[solution]).squeeze())
    return gaussian, descent


def last_epoch(here: Directions) -> int:
    """Return the last epoch of the same training to which there is a direction."""
    return max(int(name.removeprefix("E=")) for name in here if name.startswith("E="))


def overlaps(directions: Directions, name: str) -> xr.DataArray:
    """Return |cos| between a named direction and every eigenvector, over `rank` (P.E. and N.E.)."""
    spectrum, direction = directions.spectrum, directions[name].double()
    vectors = torch.as_tensor(spectrum["eigenvector"].values).double()
    values = cosines(direction.cpu(), vectors).numpy()
    return xr.DataArray(values, dims="rank", coords={"rank": spectrum["rank"].values}, name="cosine")


def gaussian_lines(around: Around, images: Labelled, *, draws: int = 5) -> list[Line]:
    """Draw Gaussian curves around every model, and around the last ones unnormalised and with kept statistics.

    A model without BatchNorm has one handling of it.
    """
    lines = []
    for place, here in around.items():
        others = [Walk(None), *([Walk(bn="keep")] if has_batchnorm(here) else [])]
        for walk in [BASE, *(others if place.stage == "late" else [])]:
            lines += [draw(here, f"Gau.{i + 1}", images, walk, place=place) for i in range(draws)]
    return lines


def scaled_lines(around: Around, images: Labelled, scales: Sequence[float]) -> list[Line]:
    """Draw a Gaussian curve around models at every normalisation and scale (figures 16 and 17)."""
    return [
        draw(here, ANOTHER, images, Walk(normalisation, scale=scale), place=place)
        for place, here in around.items()
        for normalisation, scale in product(NORMALISATIONS, scales)
    ]


def lines_along(around: Around, names: Sequence[str], images: Labelled, walk: Walk) -> list[Line]:
    """Draw the curves along named directions; names that a model lacks are left out."""
    return [
        draw(here, name, images, walk, place=place) for place, here in around.items() for name in names if name in here
    ]


def to_solutions(around: Around, images: Labelled, *, independent: bool = False) -> list[Line]:
    """Draw the curves towards the end of the same training, or towards checkpoints of the independent one."""
    lines = []
    for place, here in around.items():
        own = [] if place.stage == "late" else [f"E={last_epoch(here)}"]
        others = [name for name in here if name.startswith("E'=")]
        lines += lines_along({place: here}, others if independent else own, images, AWAY)
    return lines


def descents(around: Around, images: Labelled) -> dict[Perturbed, tuple[list[Line], list[Line]]]:
    """Draw the negative gradient, and the Gaussian direction nearest to it at ten times the range, by model.

    Both have the gradient's norm; s is 0.01, 0.1 and 1 (mining the loss landscape, 2.3, figure 6).
    """
    lines = {}
    for place, here in around.items():
        both = Directions(here.model, images, own={"Best Gau.": most_overlapping(here)[0]}, progress=False)
        near, far = (
            [draw(of, name, images, Walk(None, scale=times * s), place=place) for s in (0.01, 0.1, 1.0)]
            for of, name, times in ((here, "Neg. Grad.", 1), (both, "Best Gau.", 10))
        )
        lines[place] = (near, far)
    return lines


def eigenvector_lines(around: Around, images: Labelled, *, k: int = 5, reach: float = 0.1) -> list[Line]:
    """Draw the curves along the first k eigenvectors of both ends.

    Those of P.E. reach a share of |theta|; those of N.E. as far as the loss takes to be back at L(theta), where it
    falls at all.
    """
    lines = []
    for place, here in around.items():
        for name in [*eigenvectors(here, "P", k), *eigenvectors(here, "N", k)]:
            if name.startswith("N"):
                lines.append(there_and_back_line(here, name, images, reach, place))
            else:
                lines.append(draw(here, name, images, Walk(scale=reach), place=place))
    return lines


def eigenvectors(here: Directions, end: str, k: int) -> list[str]:
    """List the first k eigenvectors at an end of the spectrum, P or N, or as many as there are."""
    return [name for name in here if name.startswith(f"{end}.E.")][:k]


def there_and_back_line(here: Directions, name: str, images: Labelled, reach: float, place: Perturbed) -> Line:
    """Draw a curve as far as the loss takes to be back at L(theta), or to the reach where it never falls or returns.

    It is named by its depth, for the side that is back sooner becomes a wall.
    """
    back = way_back(here, name, images, within=0.5)
    walk = Walk(scale=back if np.isfinite(back) and back > 1e-3 * reach else reach)
    return named_by_depth(draw(here, name, images, walk, place=place))


def mined_peaks(
    around: Around, images: Labelled, *, k: int = 5
) -> tuple[dict[Perturbed, Line], dict[Perturbed, list[Line]]]:
    """Draw, by model, the curve along the mined direction and those along k N.E. directions, all equally long."""
    mined, negative = {}, {}
    for place, here in around.items():
        mined[place] = draw(here, "Mine", images, Walk(None), place=place)
        walk = Walk(None, scale=float(here["Mine"].norm()))
        negative[place] = [draw(here, name, images, walk, place=place) for name in eigenvectors(here, "N", k)]
    return mined, negative


def second_models(around: Around, images: Labelled, seed: int) -> list[Line]:
    """Draw the curves towards the second models of algorithm 2, from the independent solution and a fresh start.

    Around one seed's models at every alpha and gamma from the independent solution, and at the paper's own vvv-basin
    (alpha 0, gamma 0.1) from the fresh initialisation; around the others at that one from the independent solution.
    """
    paper = (ALPHAS[0], GAMMAS[0])
    lines = []
    for place, here in around.items():
        whole = place.seed == seed
        settings = [(*one, "independent") for one in (product(ALPHAS, GAMMAS) if whole else [paper])]
        settings += [(*paper, "fresh")] if whole else []
        mined = {f"alpha={a:g}, gamma={g:g}, {start}": here.towards(a, g, start) for a, g, start in settings}
        named = Directions(here.model, images, own=mined)
        lines += [draw(named, name, images, AWAY, place=place) for name in mined]
    return lines


def dimensions(around: Around) -> dict[Perturbed, int]:
    """Return each perturbed model's number of parameters d."""
    return {place: len(here.weights) for place, here in around.items()}


def chained(*groups: Iterable[Iterable[Line]]) -> list[Line]:
    """Gather groups of lines into one list."""
    return [line for group in groups for lines in group for line in lines]


def stacked(values: Mapping[Any, Any], name: str) -> xr.Dataset:
    """Stack equally long values by what they belong to, for saving."""
    rows = np.stack([np.asarray(v, dtype=float) for v in values.values()])
    return xr.Dataset({name: (("of", "draw"), rows)}, coords={"of": [label(key) for key in values]})


def label(key: Perturbed | tuple[Perturbed, str] | str) -> str:
    """Write what a value belongs to."""
    if isinstance(key, Perturbed):
        return f"{key}, seed {key.seed}"
    return key if isinstance(key, str) else f"{label(key[0])}, {key[1]}"
