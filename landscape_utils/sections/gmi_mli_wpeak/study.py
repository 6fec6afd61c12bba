"""The sets of curves that notebook 04 draws around its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

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
from landscape_utils.landscape.side_by_side import by_model
from landscape_utils.landscape.walks import POINTS, TOWARDS, Line, Walk, draw, named_by_depth, way_back
from landscape_utils.training.runs import Run

GAMMAS = (0.1, 0.5, 0.9)
ALPHAS = (0.0, 0.1)
NORMALISATIONS: tuple[Normalisation, ...] = ("global", "layer", "filter")
ANOTHER = "Gau.11"  # draw, so that no curve is counted twice
Setting = tuple[float, float, str]  # alpha, gamma and the start of algorithm 2
LARGE = 250_000  # parameters from which ML-5 is judged: (25 / 0.05)^2


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


def away(points: int) -> Walk:
    """Walk to another model: at so many points, or a few more, that both models are among them."""
    return Walk(None, span=TOWARDS, points=points + -(points - 1) % 3)


def gaussian_lines(around: Around, images: Labelled, *, draws: int = 5, points: int = POINTS) -> list[Line]:
    """Draw Gaussian curves around every model, and around the last ones unnormalised and with kept statistics.

    A model without BatchNorm has one handling of it.
    """

    def of(place: Perturbed, here: Directions) -> list[Line]:
        others = [Walk(None, points=points), *([Walk(bn="keep", points=points)] if has_batchnorm(here) else [])]
        walks = [Walk(points=points), *(others if place.stage == "late" else [])]
        return [draw(here, f"Gau.{i + 1}", images, walk, place=place) for walk in walks for i in range(draws)]

    return chained(by_model(of, around, "Gaussian curves").values())


def scaled_lines(around: Around, images: Labelled, scales: Sequence[float], *, points: int = POINTS) -> list[Line]:
    """Draw a Gaussian curve around models at every normalisation and scale (figures 16 and 17)."""

    def of(place: Perturbed, here: Directions) -> list[Line]:
        walks = [
            Walk(normalisation, scale=scale, points=points) for normalisation in NORMALISATIONS for scale in scales
        ]
        return [draw(here, ANOTHER, images, walk, place=place) for walk in walks]

    return chained(by_model(of, around, "curves by scale").values())


def lines_along(around: Around, names: Sequence[str], images: Labelled, walk: Walk) -> list[Line]:
    """Draw the curves along named directions; names that a model lacks are left out."""

    def of(place: Perturbed, here: Directions) -> list[Line]:
        return [draw(here, name, images, walk, place=place) for name in names if name in here]

    return chained(by_model(of, around, "curves").values())


def to_solutions(around: Around, images: Labelled, *, independent: bool = False, points: int = POINTS) -> list[Line]:
    """Draw the curves towards the end of the same training, or towards checkpoints of the independent one."""

    def of(place: Perturbed, here: Directions) -> list[Line]:
        own = [] if place.stage == "late" else [f"E={last_epoch(here)}"]
        names = [name for name in here if name.startswith("E'=")] if independent else own
        return [draw(here, name, images, away(points), place=place) for name in names]

    return chained(by_model(of, around, "curves to other models").values())


def descents(
    around: Around, images: Labelled, seed: int, *, points: int = POINTS
) -> dict[Perturbed, tuple[list[Line], list[Line]]]:
    """Draw the negative gradient, and the Gaussian direction nearest to it at ten times the range, by model.

    Both have the gradient's norm; s is 0.01, 0.1 and 1 (mining the loss landscape, 2.3, figure 6). Around one seed's
    models, and around all that are large enough for ML-5.
    """
    looked_at = {p: here for p, here in around.items() if p.seed == seed or len(here.weights) >= LARGE}

    def of(place: Perturbed, here: Directions) -> tuple[list[Line], list[Line]]:
        def lines(around: Directions, name: str, times: int) -> list[Line]:
            walks = [Walk(None, scale=times * s, points=points) for s in (0.01, 0.1, 1.0)]
            return [draw(around, name, images, walk, place=place) for walk in walks]

        near = lines(here, "Neg. Grad.", 1)
        best = Directions(here.model, images, own={"Best Gau.": most_overlapping(here)[0]}, progress=False)
        return near, lines(best, "Best Gau.", 10)

    return by_model(of, looked_at, "gradients")


def eigenvector_lines(
    around: Around, images: Labelled, *, k: int = 5, reach: float = 0.1, points: int = POINTS
) -> list[Line]:
    """Draw the curves along the first k eigenvectors of both ends.

    Those of P.E. reach a share of |theta|; those of N.E. as far as the loss takes to be back at L(theta), where it
    falls at all.
    """
    share = Walk(scale=reach, points=points)

    def of(place: Perturbed, here: Directions) -> list[Line]:
        positive = [draw(here, name, images, share, place=place) for name in eigenvectors(here, "P", k)]
        return positive + [there_and_back_line(here, name, images, share, place) for name in eigenvectors(here, "N", k)]

    return chained(by_model(of, around, "eigenvectors").values())


def eigenvectors(here: Directions, end: str, k: int) -> list[str]:
    """List the first k eigenvectors at an end of the spectrum, P or N, or as many as there are."""
    return [name for name in here if name.startswith(f"{end}.E.")][:k]


def there_and_back_line(here: Directions, name: str, images: Labelled, walk: Walk, place: Perturbed) -> Line:
    """Draw a curve as far as the loss takes to be back at L(theta), or as a walk says where it never falls or returns.

    It is named by its depth, for the side that is back sooner becomes a wall.
    """
    back = way_back(here, name, images, within=0.5)
    far = back if np.isfinite(back) and back > 1e-3 * walk.scale else walk.scale
    return named_by_depth(draw(here, name, images, walk._replace(scale=far), place=place))


class PeakLines(NamedTuple):
    """Curves around one model along the direction that algorithm 1 mined.

    Attributes:
        whole: as long as it was mined.
        back: as far as the loss takes to be back at L(theta).
        negative: along N.E. directions, as long as `whole`.
    """

    whole: Line
    back: Line
    negative: list[Line]


def mined_peaks(
    around: Around, images: Labelled, *, k: int = 5, reach: float = 0.1, points: int = POINTS
) -> dict[Perturbed, PeakLines]:
    """Mine around every model, and draw the curves along what is found and along k N.E. directions."""

    def of(place: Perturbed, here: Directions) -> PeakLines:
        walk = Walk(None, scale=float(here["Mine"].norm()), points=points)
        return PeakLines(
            draw(here, "Mine", images, walk._replace(scale=1.0), place=place),
            there_and_back_line(here, "Mine", images, Walk(scale=reach, points=points), place),
            [draw(here, name, images, walk, place=place) for name in eigenvectors(here, "N", k)],
        )

    return by_model(of, around, "mining")


def second_models(around: Around, images: Labelled, seed: int, *, points: int = POINTS) -> list[Line]:
    """Draw the curves towards the second models of algorithm 2, from the independent solution and a fresh start.

    Around one seed's models at every alpha and gamma from the independent solution, and at the paper's own vvv-basin
    (alpha 0, gamma 0.1) from the fresh initialisation; around the others at that one from the independent solution.
    """
    paper: Setting = (ALPHAS[0], GAMMAS[0], "independent")
    every: list[Setting] = [*((*one, "independent") for one in product(ALPHAS, GAMMAS)), (*paper[:2], "fresh")]

    def of(one: tuple[Perturbed, Setting], here: Directions) -> Line:
        alpha, gamma, start = one[1]
        name = f"alpha={alpha:g}, gamma={gamma:g}, {start}"
        named = Directions(here.model, images, own={name: here.towards(alpha, gamma, start)})
        return draw(named, name, images, away(points), place=one[0])

    mined = {(p, setting): here for p, here in around.items() for setting in (every if p.seed == seed else [paper])}
    return list(by_model(of, mined, "second models").values())


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
