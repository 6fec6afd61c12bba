"""Independent jobs side by side: worker processes that share the processor's threads.

Small networks gain nothing from a second thread. Measured on two cores: eight trainings in 35 s by two workers of one
thread, in 60 s one after the other in two threads. And they end the same wherever there are two threads or one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
import xarray as xr
from loky import get_reusable_executor
from tqdm import tqdm

from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.clock import SECONDS, Work
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.files import home

Advance = Callable[[], object]
Job = TypeVar("Job")
Result = TypeVar("Result")

POLL = 0.2  # s between two looks at how far the jobs are
IDLE = 60  # s after which workers that have nothing to do end: the next cell finds them warm
GROWTH = 2**30  # bytes that a worker may grow by before loky replaces it: torch's optimisers and UMAP alone take 0.4 GB
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def at_once(jobs: int) -> int:
    """Say how many jobs are done side by side: as many as torch has threads; one after the other on another device."""
    return max(1, min(torch.get_num_threads(), jobs)) if default_device() == "cpu" else 1


def remembered_each(
    kind: str,
    name: str,
    jobs: Sequence[tuple[str, Callable[[], tuple[Any, ...]]]],
    work: Callable[..., xr.Dataset],
    *,
    progress: bool = True,
) -> list[xr.Dataset]:
    """Look results up on their shelves, and compute side by side what is missing.

    Args:
        kind, name: of the shelves, and of the result on each; see `store.remembered`.
        jobs: each the key of its shelf, the digest of all that decides the result, and what gives the arguments of
            `work`, which is called only where the result is missing.
        work: computes a result.
        progress: show a bar over the jobs.

    Returns:
        The results, in the order of the jobs.

    Raises:
        Exception: as `in_workers` does.
    """
    found = [store.shelf(kind, key).get_dataset(name) for key, _ in jobs]
    missing = [(key, given()) for (key, given), kept in zip(jobs, found, strict=True) if kept is None]

    def one(job: tuple[str, tuple[Any, ...]], advance: Advance) -> xr.Dataset:
        result = store.remembered(kind, job[0], name, lambda: work(*job[1]))
        advance()
        return result

    with tqdm(total=len(missing), desc=name.replace("-", " "), disable=not (progress and missing), **BAR) as bar:
        computed = iter(in_workers(one, missing, at_once=at_once(len(jobs)), bar=bar) if missing else ())
    return [next(computed) if kept is None else kept for kept in found]


def in_workers(
    work: Callable[[Job, Advance], Result], jobs: Sequence[Job], *, at_once: int, bar: tqdm | None = None
) -> list[Result]:
    """Do independent jobs in worker processes, each with an equal share of torch's threads.

    Args:
        work: takes a job, and what it calls after each step of it, which moves the bar.
        jobs: of any kind that can be pickled; functions too are carried over.
        at_once: workers; with 1 everything is done here, one job after the other.
        bar: of all jobs' steps.

    Returns:
        What the jobs gave, in their order.

    Raises:
        Exception: of the first job that fails. The others are ended, as they are when this process is interrupted or
            killed.
    """
    advance = bar.update if bar is not None else lambda _=1: None
    if at_once == 1:
        return [work(job, advance) for job in jobs]
    threads = str(max(1, torch.get_num_threads() // at_once))
    with TemporaryDirectory() as folder:
        steps = Path(folder) / "steps"
        steps.touch()
        executor = get_reusable_executor(
            max_workers=at_once,
            timeout=IDLE,
            env={
                **dict.fromkeys(POOLS, threads),
                "LANDSCAPE_HOME": str(home()),
                "LOKY_MAX_MEMORY_LEAK_SIZE": str(GROWTH),
                "TQDM_DISABLE": "1",
            },
            initializer=_end_with,
            initargs=(os.getpid(),),
        )
        futures = [executor.submit(_counted, work, job, steps) for job in jobs]
        try:
            waiting, seen = set(futures), 0
            while waiting:
                done, waiting = wait(waiting, timeout=POLL, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if new := steps.stat().st_size - seen:
                    advance(new)
                    seen += new
        except BaseException:
            executor.shutdown(kill_workers=True)
            raise
    found, spent = zip(*(future.result() for future in futures), strict=True)
    for kind, seconds in sum(spent, Counter()).items():
        # By the clock on the wall, as if they had been done here.
        SECONDS[kind] += seconds / at_once  # type: ignore[assignment]  # a Counter of seconds
    return list(found)


def _counted(work: Callable[[Job, Advance], Result], job: Job, steps: Path) -> tuple[Result, Counter[Work]]:
    """Do a job in a worker, and say where its seconds went; a file that grows by a byte a step is shared by all."""
    before = SECONDS.copy()
    with steps.open("ab", buffering=0) as file:
        result = work(job, lambda: file.write(b"."))
    return result, SECONDS - before


def _end_with(parent: int) -> None:
    """End this process as soon as its parent is gone: a killed notebook leaves nothing that computes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
