"""A long computation's costly steps, kept as they come: what was killed repeats what was not kept yet, and no more.

The computation itself begins again, and is the same up to where it stopped, for it is given the kept steps instead of
computing them. Where it can go on without the steps so far, it says so, and they are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from landscape_utils.kit.store import Shelf, Thrift

PAUSE = 1.0  # s between two files


class Journal:
    """A computation's steps on a shelf, whose lock is held: a few a file, and one of the state that they follow."""

    def __init__(self, shelf: Shelf | None, name: str) -> None:
        """Open what is kept under a name.

        Args:
            shelf: None keeps nothing.
            name: of the files, which come every second at most and take a twentieth of the time.
        """
        self._shelf, self._name = shelf, name
        kept = (shelf.get_tensors(f"{name}-state") if shelf is not None else None) or {}
        self._turns = int(kept.pop("turns", torch.tensor(0)))
        self.state = kept or None  # what the computation goes on from; None at its beginning
        self._replaying, self._coming, self._new = shelf is not None, list[Tensor](), list[Tensor]()
        self._written = 0
        self._thrift = Thrift(self._save, pause=PAUSE)

    def step(self, compute: Callable[[], Tensor]) -> Tensor:
        """Give the next step's tensor: on the CPU as it was kept, or else computed."""
        if self._replayed():
            return self._coming.pop(0)
        found = compute()
        if self._shelf is not None:
            self._new.append(found.detach().cpu())
            self._thrift.offer()
        return found

    def turn(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Keep what the computation goes on from instead of the steps so far, if any of them are kept."""
        if self._shelf is None or self._replayed() or not self._written:
            return
        self._turns += 1
        self._shelf.put_tensors(f"{self._name}-state", {**state(), "turns": torch.tensor(self._turns)})
        for path in self._shelf.folder.glob(f"{self._name}-steps-{self._turns - 1}-*"):
            path.unlink()
        self._written, self._new = 0, []

    def _replayed(self) -> bool:
        """Check whether the next step is kept, and read its file; behind a damaged one all are computed again."""
        if self._replaying and not self._coming and self._shelf is not None:
            kept = self._shelf.get_tensors(self._next_file())
            self._replaying = kept is not None
            self._coming = list(kept["steps"]) if kept is not None else []
            self._written += len(self._coming)
        return bool(self._coming)

    def _save(self) -> None:
        """Write the steps that are not kept yet."""
        assert self._shelf is not None
        self._shelf.put_tensors(self._next_file(), {"steps": torch.stack(self._new)})
        self._written += len(self._new)
        self._new = []

    def _next_file(self) -> str:
        return f"{self._name}-steps-{self._turns}-{self._written}"
