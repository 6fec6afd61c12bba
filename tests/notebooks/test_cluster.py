"""Sweeps and surfaces over real worker processes, some of which are killed on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import xarray as xr

PARAMETERS = 'x = 1  # type: int\nseed = 0  # type: int\nlog = ""  # type: str\nseconds = 1.5  # type: float\n'
CODE = """
import json, os, random, time
from pathlib import Path

with open(log, "a") as file:
    file.write(f"begun {x} {seed}\\n")
time.sleep(seconds)
effect = x + random.Random(seed).random()
part = {"name": "", "what": "w", "criterion": "c", "measured": "m", "verdict": "seen", "effect": effect,
        "interval": None, "reason": "", "set": "", "instrument": False}
claim = {"id": "CI-1", "verdict": "reproduced", "note": "", "parts": [part]}
about = {"notebook": "tiny", "profile": "quick", "data": "d", "seeds": [seed], "machine": "m", "versions": {}}
Path(os.environ["LANDSCAPE_OUT"], "tiny.claims.json").write_text(json.dumps({"about": about, "claims": [claim]}))
with open(log, "a") as file:
    file.write(f"ended {x} {seed}\\n")
"""
RUNS = {(x, seed) for x in (1, 2) for seed in range(3)}


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    made = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(CODE)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tmp_path / "tiny.ipynb")
    return tmp_path / "tiny.ipynb"


def sweep(notebook: Path, *words: str) -> list[str]:
    log = notebook.with_name("log")
    product = ["-p", "x=1,2", "-p", "seed=0..2", "-p", f"log={log}", "--out", str(notebook.parent / "sweeps")]
    return [sys.executable, "-m", "landscape_utils.run.cli", "sweep", str(notebook), *product, *words]


def noted(notebook: Path, what: str) -> Counter[tuple[int, int]]:
    """Count the lines that runs have left, by run."""
    log = notebook.with_name("log")
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return Counter((int(x), int(seed)) for word, x, seed in lines if word == what)


def kept(notebook: Path) -> set[tuple[int, int]]:
    files = (notebook.parent / "sweeps").rglob("done.json")
    points = [json.loads(file.read_text())["point"] for file in files]
    return {(point["x"], point["seed"]) for point in points}


def until(condition: Callable[[], object], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def kernels_worker(driver: int) -> psutil.Process:
    """Find a worker that has a kernel."""
    kernels = [p for p in psutil.Process(driver).children(recursive=True) if "ipykernel_launcher" in _words(p)]
    parents = [kernel.parent() for kernel in kernels]
    return next(parent for parent in parents if parent is not None)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def check_result(notebook: Path) -> None:
    assert kept(notebook) == RUNS
    with xr.open_datatree(notebook.parent / "sweeps" / "tiny" / "sweep.nc", engine="netcdf4") as found:
        assert dict(found.sizes) == {"x": 2, "seed": 3, "part": 1}
        assert np.isfinite(found["effect"]).all()
        np.testing.assert_allclose(np.diff(found["effect"].values, axis=0), 1)


def test_after_killing_driver_and_worker_only_what_is_missing_is_run(
    notebook: Path, notebook_environment: dict[str, str]
) -> None:
    words = sweep(notebook, "--workers", "2")
    with subprocess.Popen(words, env=notebook_environment, stderr=subprocess.DEVNULL) as driver:
        until(lambda: len(kept(notebook)) >= 2)
        until(lambda: sum((noted(notebook, "begun") - noted(notebook, "ended")).values()))
        worker = kernels_worker(driver.pid)
        everyone = psutil.Process(driver.pid).children(recursive=True)
        worker.kill()
        driver.send_signal(signal.SIGKILL)
    before = kept(notebook)
    assert 2 <= len(before) < len(RUNS)
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in everyone), 60)
    begun = noted(notebook, "begun")
    done = subprocess.run(words, env=notebook_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_result(notebook)
    again = noted(notebook, "begun") - begun
    assert set(again) == RUNS - before
    assert set(again.values()) == {1}
    assert "6 of 6 runs" in done.stdout
    third = subprocess.run(words, env=notebook_environment, capture_output=True, text=True, check=False)
    assert third.returncode == 0
    assert sum((noted(notebook, "begun") - begun - again).values()) == 0


@contextmanager
def dask(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Start a scheduler and two workers, as an administrator would on several machines."""
    where = folder / "scheduler.json"
    started = [_start(folder, environment, "scheduler", "--port=0", "--no-dashboard", f"--scheduler-file={where}")]
    try:
        until(where.exists, 60)
        address = json.loads(where.read_text())["address"]
        each = ["--nthreads=1", "--no-dashboard", "--host=127.0.0.1", f"--local-directory={folder}"]
        started += [_start(folder, environment, "worker", address, *each) for _ in range(2)]
        yield address, [psutil.Process(p.pid) for p in started[1:]]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(60)


def _start(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    host = ["--host=127.0.0.1"] if words[0] == "scheduler" else []
    command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:], *host]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)


def worker_process(nanny: psutil.Process) -> psutil.Process:
    """Find the process that a nanny looks after."""
    return next(p for p in nanny.children() if "spawn_main" in _words(p) or "dask" in _words(p))


def test_a_sweep_on_a_cluster_loses_nothing_with_a_worker(
    notebook: Path, tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    with dask(tmp_path, notebook_environment) as (address, nannies):
        words = sweep(notebook, "--scheduler", address)
        with subprocess.Popen(words, env=notebook_environment, stderr=subprocess.DEVNULL) as driver:
            until(lambda: sum((noted(notebook, "begun") - noted(notebook, "ended")).values()) == 2)
            worker_process(nannies[0]).kill()
            assert driver.wait(300) == 0
    check_result(notebook)
    begun = noted(notebook, "begun")
    assert sum(begun.values()) == len(RUNS) + 1  # the one that died with its worker, once more


SURFACE = """
import sys
from distributed import Client
import landscape_utils as lu

data = lu.load_dataset("glyphs10", train_size=300, test_size=100)
model = lu.build_model("mlp", input_shape=data.input_shape, classes=10)
d1, d2 = (lu.gaussian_direction(model, seed=s) for s in (1, 2))

def note(done, total):
    print(done, total, flush=True)

with Client(sys.argv[1]) as client:
    there = lu.surface(model, data.train, d1, d2, points=33, client=client, cache=False, progress=note)
here = lu.surface(model, data.train, d1, d2, points=33, cache=False, progress=False)
print("largest difference", float(abs(there.loss - here.loss).max() / here.loss.max()))
"""


def test_a_surface_on_a_cluster_loses_nothing_with_a_worker(
    tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    environment = {**notebook_environment, "PYTHONUNBUFFERED": "1"}
    with dask(tmp_path, environment) as (address, nannies):
        command = [sys.executable, "-c", SURFACE, address]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            counted = []
            for line in driver.stdout:
                if "difference" in line:
                    break
                counted.append(int(line.split()[0]))
                if len(counted) == 100:
                    worker_process(nannies[0]).kill()
            assert driver.wait(120) == 0
    assert counted == list(range(1, 33 * 33 + 1))  # nothing lost, nothing twice
    assert float(line.split()[-1]) < 1e-5
