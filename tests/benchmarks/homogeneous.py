"""A hundred r-homogeneous-weight networks at once against a loop over seeds, in one run: `make bench`.

Both train the same seeds to the same end by the same function, the loop with one seed a call. The batch runs before,
in the middle of and after the loop, so that what else the machine does falls on both alike, and its median counts. The
larger r, the heavier the tail: for r = 5 the slowest seed takes six times the steps of the mean, which bounds what
training at once can gain.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable

from landscape_utils.plateau.homogeneous import train_homogeneous
from tests.benchmarks.bars import draw

SEEDS, FIRST = 100, 100


def batch(r: int) -> float:
    """Time all seeds at once."""
    begun = time.perf_counter()
    train_homogeneous(r, seeds=SEEDS, seed=FIRST)
    return time.perf_counter() - begun


def loop(r: int, seeds: Iterable[int]) -> float:
    """Time one seed after the other."""
    begun = time.perf_counter()
    for seed in seeds:
        train_homogeneous(r, seeds=1, seed=seed)
    return time.perf_counter() - begun


def main() -> None:
    """Print both for the r that the notebook trains."""
    half, end = FIRST + SEEDS // 2, FIRST + SEEDS
    taken = {}
    for r in (1, 3, 4, 5):
        at_once, one_by_one = [batch(r)], 0.0
        for seeds in (range(FIRST, half), range(half, end)):
            one_by_one += loop(r, seeds)
            at_once.append(batch(r))
        ours = statistics.median(at_once)
        print(f"r = {r}  {SEEDS} at once {ours:5.2f} s, one by one {one_by_one:6.2f} s: {one_by_one / ours:5.1f} times")
        taken[f"r = {r}"] = {"at once": ours, "one by one": one_by_one}
    draw("homogeneous", taken, f"seconds for {SEEDS} networks")


if __name__ == "__main__":
    main()
