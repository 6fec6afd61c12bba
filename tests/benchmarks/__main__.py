"""Run every benchmark, and write docs/benchmarks.md: `make bench`, or `python -m tests.benchmarks landscape mftma`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from landscape_utils.kit.files import write_atomically
from landscape_utils.kit.threads import processor
from tests import ROOT
from tests.benchmarks.bars import picture_of

PAGE = ROOT / "docs" / "benchmarks.md"
QUESTIONS = {
    "landscape": "A surface, against `loss-landscapes` and plain loops",
    "hessian": "Both ends of a spectrum, against PyHessian and curvlinops",
    "mftma": "The geometry of manifolds, against one interior-point solve a vector",
    "plain": "`interpolate` and `cctm`, against plain loops",
    "training": "A training, against a bare loop",
    "homogeneous": "Many small trainings at once, against one by one",
    "growth": "How costs grow",
    "sweep": "A sweep, on one worker and on two",
}
PACKAGES = ("torch", "numpy", "scipy", "loss-landscapes", "pyhessian", "curvlinops-for-pytorch", "cvxopt")


def main(names: list[str]) -> None:
    """Run benchmarks one after the other, and write the page."""
    machine = f"{processor()}, {torch.get_num_threads()} threads; {torch.backends.cpu.get_cpu_capability()}"
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    parts = [
        "# Benchmarks",
        f"{', '.join(names)}: by `python -m tests.benchmarks` on {datetime.now(UTC):%Y-%m-%d}: {machine}; {versions}. "
        "Seconds are of this machine, at that "
        "hour; what carries over are the ratios, each of which was taken in one run.",
    ]
    for name in names:
        about = importlib.import_module(f"tests.benchmarks.{name}").__doc__ or ""
        command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        sys.stdout.write(printed)
        parts += [f"## {QUESTIONS[name]}", about.strip(), f"```text\n{printed.rstrip()}\n```"]
        parts.append(f"![{QUESTIONS[name]}]({picture_of(name).name})")
    write_atomically(PAGE, ("\n\n".join(parts) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:] or list(QUESTIONS))
