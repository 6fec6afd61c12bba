"""Where a process's seconds went: to training, to landscapes, or to the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Work = Literal["training", "landscapes"]
SECONDS: Counter[Work] = Counter()  # of this process so far


@contextmanager
def spent_on(work: Work) -> Iterator[None]:
    """Count the seconds of what is done inside; work inside work of the same kind would count twice."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        SECONDS[work] += time.perf_counter() - begun  # type: ignore[assignment]  # a Counter of seconds
