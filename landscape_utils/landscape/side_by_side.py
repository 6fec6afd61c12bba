"""Work around several models, which is independent by model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from tqdm import tqdm

from landscape_utils.kit.bars import BAR
from landscape_utils.kit.store import NotKeptError, only_looking
from landscape_utils.kit.workers import Advance, at_once, in_workers
from landscape_utils.landscape.directions import Directions

Filing = TypeVar("Filing", bound=tuple[Any, ...])
Found = TypeVar("Found")


def by_model(
    work: Callable[[Filing, Directions], Found],
    around: Mapping[Filing, Directions],
    what: str,
    *,
    progress: bool = True,
) -> dict[Filing, Found]:
    """Do the same around every model: on the CPU by so many processes as torch has threads, each of one thread.

    What is computed lies on the shelves afterwards, so that directions which a process found are there for all. Where
    everything is on the shelves already it is read here: no process is started, or waited for.

    Args:
        work: takes a perturbed model, and what else it is filed under, and the directions around it.
        around: the models, in the order in which they are begun.
        what: stands before the bar.
        progress: a bar over the models.

    Returns:
        What was found, by what it was filed under.

    Raises:
        Exception: of the first model that fails.
    """

    found: dict[Filing, Found] = {}
    for place, here in around.items():
        with suppress(NotKeptError), only_looking():
            found[place] = work(place, here)
    missing = [(place, here) for place, here in around.items() if place not in found]

    def one(job: tuple[Filing, Directions], advance: Advance) -> Found:
        computed = work(*job)
        advance()
        return computed

    with tqdm(total=len(missing), desc=what, unit="model", disable=not (progress and missing), **BAR) as bar:
        computed = in_workers(one, missing, at_once=at_once(len(missing)), bar=bar) if missing else []
    found |= {place: result for (place, _), result in zip(missing, computed, strict=True)}
    return {place: found[place] for place in around}
