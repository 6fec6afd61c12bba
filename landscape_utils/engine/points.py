"""Finished points of a landscape, kept on disk while a grid is walked over, and known again later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from landscape_utils.engine.engine import Sums
from landscape_utils.engine.grids import DIGITS
from landscape_utils.kit import store
from landscape_utils.kit.store import Shelf

Name = tuple[str, ...]


def name(point: Sequence[float]) -> Name:
    """Spell a point's coordinates, so that rounding does not make two of one."""
    return tuple(f"{coordinate + 0.0:.{DIGITS}g}" for coordinate in point)  # + 0.0: there is one zero


class Finished(dict[Name, Sums]):
    """Points by name; those on a shelf are saved now and then, and when the walk ends in any way."""

    def __init__(self, shelf: Shelf | None, logits: Tensor) -> None:
        """Read what is kept, unless the model answers the probe otherwise than it did then."""
        super().__init__()
        self._shelf, self._logits = shelf, logits
        self._thrift, self._unsaved = store.Thrift(self.save, pause=1.0), False
        kept = shelf.get_tensors("points") if shelf is not None else None
        if kept is None or not store.same_logits(kept["probe"], logits):
            return
        for point, loss, right in zip(kept["coordinates"], kept["loss"], kept["right"], strict=True):
            self[name(point.tolist())] = Sums(loss, right)

    def add(self, point: Sequence[float], sums: Sums) -> None:
        """Take a point in, and now and then save all of them."""
        self[name(point)] = sums
        self._unsaved = True
        self._thrift.offer()

    def save(self) -> None:
        """Write all points to the shelf, in one file."""
        if self._shelf is None or not self._unsaved:
            return
        tensors = {
            "coordinates": torch.tensor([list(map(float, point)) for point in self], dtype=torch.float64),
            "loss": torch.stack([sums.loss for sums in self.values()]),
            "right": torch.stack([sums.right for sums in self.values()]),
            "probe": self._logits.double(),
        }
        self._shelf.put_tensors("points", tensors)
        self._unsaved = False


@contextmanager
def kept(fingerprint: str | None, logits: Tensor) -> Iterator[Finished]:
    """Open the finished points of a landscape, and save what was added, whatever happens inside.

    Another process that walks over the same landscape waits, and then finds the points.

    Args:
        fingerprint: of the landscape; None keeps nothing.
        logits: the model's answers to a few of the data, shape (n, C): a model whose code has changed since gives
            others, and then nothing of what was kept is used.
    """
    if fingerprint is None:
        yield Finished(None, logits)
        return
    shelf = store.shelf("points", fingerprint)
    with store.locked(shelf):
        finished = Finished(shelf, logits)
        try:
            yield finished
        finally:
            finished.save()
