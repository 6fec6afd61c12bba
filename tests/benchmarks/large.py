"""Three large jobs, each killed twice on its way: seconds, peak memory, and when the time left was first shown.

A surface of 201 x 201 points, a sweep of 200 runs, the top eigenpair of a network of 25 million parameters on 64 images
of 64 x 64. Run with `python -m tests.benchmarks.large [surface] [sweep] [eigenpair]`; a job's second word does it once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

import landscape_utils as lu

KILLS = {"surface": (60, 90), "sweep": (120, 240), "eigenpair": (60, 90)}  # s after each start
LEFT = re.compile(r"<(\d[\d:]*)")  # tqdm's time left


def surface() -> None:
    """Walk over 40,401 points of a small ResNet."""
    data = lu.load_dataset("glyphs10", train_size=100, test_size=100, image_size=16)
    torch.manual_seed(0)
    model = lu.build_model("resnet8", input_shape=data.input_shape, classes=10, width=0.25).eval()
    d1, d2 = (lu.gaussian_direction(model, seed=seed) for seed in (0, 1))
    grid = lu.surface(model, data.train, d1, d2, span=0.5, points=201, normalisation="filter")
    print(f"mean loss {float(grid.loss.mean()):.4f} nats over {grid.loss.size:,} points", flush=True)


def eigenpair() -> None:
    """Find both ends of the Hessian of a ResNet-50."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model, random = resnet50().eval(), torch.Generator().manual_seed(1)
    images, targets = torch.randn(64, 3, 64, 64, generator=random), torch.randint(1000, (64,), generator=random)
    pairs = lu.hessian_eigenpairs(model, (images, targets), 1, tol=1e-2)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters: {pairs.eigenvalue.values} after {pairs.attrs['products']} products", flush=True)


def sweep() -> None:
    """Train 200 small MLPs for one epoch, each in its own run of a notebook."""
    given = ("01_cctm", "-p", "architectures=mlp", "-p", "epochs=1", "-p", "seeds=0..199", "--out", os.environ["OUT"])
    subprocess.run([sys.executable, "-m", "landscape_utils.run.cli", "sweep", *given], check=True)


JOBS: dict[str, Callable[[], None]] = {"surface": surface, "sweep": sweep, "eigenpair": eigenpair}


def tried(job: str, folder: str, kill: float | None) -> tuple[float, float]:
    """Start a job, and kill it and all that it started after so many seconds: peak GiB, and first word of time left."""
    environment = {**os.environ, "LANDSCAPE_HOME": f"{folder}/home", "OUT": f"{folder}/out"}
    begun, peak, shown = time.monotonic(), 0.0, [float("nan")]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.large", job, "once"], stderr=subprocess.PIPE, env=environment
    ) as process:

        def listen() -> None:
            assert process.stderr is not None
            while text := os.read(process.stderr.fileno(), 1 << 16).decode(errors="replace"):
                if LEFT.search(text) and shown[0] != shown[0]:
                    shown[0] = time.monotonic() - begun
                sys.stderr.write(text)

        listener = threading.Thread(target=listen)
        listener.start()
        tree = psutil.Process(process.pid)
        while process.poll() is None and (kill is None or time.monotonic() - begun < kill):
            peak = max(peak, sum(map(_resident, [tree, *_below(tree)])))
            time.sleep(0.5)
        for one in [*_below(tree), tree] if process.poll() is None else []:
            one.kill()
        listener.join()
    if kill is None and process.returncode:
        raise SystemExit(f"{job} failed")
    return peak / 2**30, shown[0]


def _below(tree: psutil.Process) -> list[psutil.Process]:
    try:
        return tree.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def main(job: str) -> None:
    """Kill a job twice, and let it end."""
    with tempfile.TemporaryDirectory() as folder:
        begun, found = time.monotonic(), []
        for kill in (*KILLS[job], None):
            found.append(tried(job, folder, kill))
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**20
    peaks, shown = zip(*found, strict=True)
    print(
        f"{job}: {time.monotonic() - begun:.0f} s in all with kills after {KILLS[job]} s, peak {max(peaks):.1f} GiB, "
        f"time left first shown after {shown[0]:.0f} s, {disk:.0f} MiB on disk in the end",
        flush=True,
    )


if __name__ == "__main__":
    asked = sys.argv[1:] or list(JOBS)
    if asked[-1] == "once":
        JOBS[asked[0]]()
    else:
        for one in asked:
            main(one)
