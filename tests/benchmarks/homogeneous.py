"""A hundred r-homogeneous-weight networks at once against a loop over seeds, in one run: `make bench`.

Both train the same seeds to the same end by the same function, the loop with one seed a call. The loop goes through
every fifth seed, and its seconds are scaled to all; the batch runs before and after it, and the slower run counts.
"""

from __future__ import annotations

import time

from landscape_utils.homogeneous import train_homogeneous

SEEDS, EVERY, FIRST = 100, 5, 100


def seconds(r: int, first: int, seeds: int) -> float:
    begun = time.perf_counter()
    train_homogeneous(r, seeds=seeds, seed=first)
    return time.perf_counter() - begun


def main() -> None:
    """Print both for the r that the notebook trains."""
    for r in (1, 3, 4, 5):
        before = seconds(r, FIRST, SEEDS)
        loop = EVERY * sum(seconds(r, FIRST + i, 1) for i in range(0, SEEDS, EVERY))
        batch = max(before, seconds(r, FIRST, SEEDS))
        print(f"r = {r}  {SEEDS} at once {batch:6.2f} s, one by one {loop:7.2f} s (scaled): {loop / batch:5.1f} times")


if __name__ == "__main__":
    main()
