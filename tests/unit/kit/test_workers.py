import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
import xarray as xr
from loky import get_reusable_executor
from tqdm import tqdm

from landscape_utils.kit import store, workers
from landscape_utils.kit.clock import SECONDS, spent_on
from landscape_utils.kit.workers import at_once, in_workers, remembered_each

TWO = 2  # workers


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    get_reusable_executor().shutdown(kill_workers=True)


def about(job: int, advance: Callable[[], object]) -> tuple[int, int, int]:
    for _ in range(job):
        advance()
    return job * job, torch.get_num_threads(), os.getpid()


def test_jobs_are_done_in_workers_and_come_back_in_their_order() -> None:
    bar = tqdm(total=6, disable=True)
    moved: list[int] = []
    bar.update = moved.append  # type: ignore[method-assign, assignment]
    found = in_workers(about, [3, 1, 2], at_once=TWO, bar=bar)
    assert [square for square, _, _ in found] == [9, 1, 4]
    assert os.getpid() not in {worker for _, _, worker in found}
    assert {threads for _, threads, _ in found} == {max(1, torch.get_num_threads() // TWO)}
    assert sum(moved) == 6


def test_workers_draw_no_bars(capfd: pytest.CaptureFixture[str]) -> None:
    def work(job: int, advance: Callable[[], object]) -> bool:
        return bool(tqdm([job], delay=0).disable)

    assert in_workers(work, [1, 2], at_once=TWO) == [True, True]
    assert capfd.readouterr().err == ""


def test_seconds_are_counted_where_the_jobs_were_asked_for() -> None:
    def work(job: int, advance: Callable[[], object]) -> None:
        with spent_on("landscapes"):
            time.sleep(0.5)

    before = SECONDS["landscapes"]
    in_workers(work, [1, 2], at_once=TWO)
    assert SECONDS["landscapes"] - before >= 0.5  # of the wall: both slept at once, or one after the other


def test_alone_everything_is_done_here() -> None:
    assert in_workers(about, [3, 1], at_once=1) == [(n * n, torch.get_num_threads(), os.getpid()) for n in (3, 1)]


KEPT = list[bytes]()


def grown(job: int, advance: Callable[[], object]) -> int:
    """Keep 0.3 GB more, as imports of torch's optimisers and UMAP do; loky looks at the memory once a second."""
    KEPT.append(b"1" * 320_000_000)
    time.sleep(1.1)
    return os.getpid()


def test_workers_that_have_imported_much_are_kept() -> None:
    assert len(set(in_workers(grown, range(6), at_once=2))) == 2


def test_a_failing_job_ends_the_others(tmp_path: Path) -> None:
    def work(job: str, advance: Callable[[], object]) -> None:
        if job == "bad":
            while not list(tmp_path.iterdir()):
                time.sleep(0.1)
            raise ValueError("this one cannot be done")
        (tmp_path / str(os.getpid())).touch()
        time.sleep(600)

    with pytest.raises(ValueError, match="this one cannot be done"):
        in_workers(work, ["slow", "bad", "slow"], at_once=TWO)
    slow = [psutil.Process(int(p.name)) for p in tmp_path.iterdir() if psutil.pid_exists(int(p.name))]
    assert not psutil.wait_procs(slow, timeout=60)[1]


@pytest.mark.parametrize(("threads", "jobs", "device", "want"), [
    (4, 9, "cpu", 4), (4, 3, "cpu", 3), (1, 3, "cpu", 1), (4, 0, "cpu", 1), (4, 9, "cuda", 1),
])  # fmt: skip
def test_as_many_at_once_as_there_are_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, jobs: int, device: str, want: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(workers, "default_device", lambda: device)
    assert at_once(jobs) == want


def test_what_is_known_is_not_computed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workers, "at_once", lambda jobs: TWO)
    notes = tmp_path / "notes"
    notes.mkdir()

    def work(number: int, power: int) -> xr.Dataset:
        (notes / f"{number}-{power}-{os.getpid()}").touch()
        return xr.Dataset({"x": number**power})

    def asked(*numbers: int) -> tuple[list[int], int]:
        jobs = [(store.digest({"n": n}), lambda n=n: (n, 2)) for n in numbers]
        found = remembered_each("tests", "squares", jobs, work, progress=False)
        return [int(one["x"]) for one in found], len(list(notes.iterdir()))

    assert asked(3, 2) == ([9, 4], 2)
    assert asked(2, 5, 3) == ([4, 25, 9], 3)
    assert asked(5, 5) == ([25, 25], 3)
    assert not [path for path in notes.iterdir() if path.name.endswith(f"-{os.getpid()}")]


ENDLESS = """
import time
from landscape_utils.kit.workers import in_workers

def work(job, advance):
    open(job, "w").close()
    time.sleep(600)

in_workers(work, [{0!r}, {1!r}], at_once=2)
"""


def test_a_killed_process_leaves_no_worker(tmp_path: Path) -> None:
    begun = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, "-c", ENDLESS.format(*map(str, begun))])
    until = time.monotonic() + 120
    while not all(path.exists() for path in begun) and time.monotonic() < until:
        time.sleep(0.1)
    working = psutil.Process(parent.pid).children(recursive=True)
    assert len(working) >= TWO
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, left = psutil.wait_procs(working, timeout=30)
    assert not left
