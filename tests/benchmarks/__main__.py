"""Run benchmarks, and write them to docs/benchmarks.md: `make bench`, or `python -m tests.benchmarks landscape mftma`.

Those of the page that are not run stay as they are, and so do those by other instructions of the processor. A processor
with AVX-512 plays one with AVX2 by ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Mapping
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


HEAD = """# Benchmarks

Written by `python -m tests.benchmarks`; not to be edited. Seconds are of one machine, at one hour; what carries over
are the ratios, each of which was taken in one run."""


def main(names: list[str]) -> None:
    """Run benchmarks one after the other, and put them on the page."""
    sections = read()
    for name in names:
        about = importlib.import_module(f"tests.benchmarks.{name}").__doc__ or ""
        command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        sys.stdout.write(printed)
        picture = f"![{QUESTIONS[name]}]({picture_of(name).name})"
        sections[title(name)] = "\n\n".join([about.strip(), f"```text\n{printed.rstrip()}\n```", picture, machine()])
        write_atomically(PAGE, page(sections).encode())


def title(name: str) -> str:
    """Name a section: its question, and by which instructions it is answered."""
    return f"{QUESTIONS[name]} ({torch.backends.cpu.get_cpu_capability()})"


def machine() -> str:
    """Say where and when, and with which versions."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"*{processor()}, {torch.get_num_threads()} threads, {datetime.now(UTC):%Y-%m-%d}; {versions}.*"


def read() -> dict[str, str]:
    """Read the page's sections by their titles."""
    _, *sections = PAGE.read_text().split("\n## ") if PAGE.exists() else [""]
    return {title: text.strip() for title, text in (section.split("\n", 1) for section in sections)}


def page(sections: Mapping[str, str]) -> str:
    """Put the sections together in the order of the questions."""

    def place(title: str) -> tuple[int, str]:
        return next(i for i, question in enumerate(QUESTIONS.values()) if title.startswith(question)), title

    ordered = sorted(sections, key=place)
    return "\n\n".join([HEAD, *(f"## {title}\n\n{sections[title]}" for title in ordered)]) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:] or list(QUESTIONS))
