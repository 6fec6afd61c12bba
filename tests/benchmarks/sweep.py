"""A sweep of eight runs on one worker and on two, each of one thread and with an empty cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

from tests.benchmarks.bars import draw

SWEEP = ("01_cctm", "-p", "architectures=mlp", "-p", "epochs=4", "-p", "seeds=0..7")


def main() -> None:
    """Print the seconds of both, their ratio, and whether the numbers are identical."""
    seconds, found = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            out = Path(folder, str(workers))
            environment = {**os.environ, "LANDSCAPE_HOME": str(out / "home")}
            command = [sys.executable, "-m", "landscape_utils.run.cli", "sweep", *SWEEP]
            begun = time.perf_counter()
            command += ["--workers", str(workers), "--out", str(out)]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds[workers] = time.perf_counter() - begun
            with xr.open_datatree(out / "01_cctm" / "sweep.nc", engine="netcdf4") as opened:
                found[workers] = opened.load()
    for tree in found.values():
        tree["seconds"].values[:] = 0
    print(f"one worker {seconds[1]:.0f} s, two workers {seconds[2]:.0f} s: {seconds[2] / seconds[1]:.2f} of the time")
    draw("sweep", {"eight runs": {f"{n} worker{'s' * (n > 1)}": seconds[n] for n in (2, 1)}}, "seconds")
    print("numbers", "identical" if found[1].identical(found[2]) else "DIFFER")


if __name__ == "__main__":
    main()
