"""Work around several models, which is independent by model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tqdm import tqdm

from landscape_utils.kit.bars import BAR
from landscape_utils.kit.workers import Advance, at_once, in_workers
from landscape_utils.landscape.directions import Around, Directions, Perturbed

Found = TypeVar("Found")


def by_model(
    work: Callable[[Perturbed, Directions], Found], around: Around, what: str, *, progress: bool = True
) -> dict[Perturbed, Found]:
    """Do the same around every model: on the CPU by so many processes as torch has threads, each of one thread.

    What is computed lies on the shelves afterwards, so that directions which a process found are there for all.

    Args:
        work: takes a perturbed model and the directions around it.
        around: the models.
        what: stands before the bar.
        progress: a bar over the models.

    Returns:
        What was found, by model.

    Raises:
        Exception: of the first model that fails.
    """

    def one(job: tuple[Perturbed, Directions], advance: Advance) -> Found:
        found = work(*job)
        advance()
        return found

    with tqdm(total=len(around), desc=what, unit="model", disable=not progress, **BAR) as bar:
        found = in_workers(one, list(around.items()), at_once=at_once(len(around)), bar=bar)
    return dict(zip(around, found, strict=True))
