"""Run the quick studies on one thread, on two, and as an older processor: `python -m tests.notebooks.stable [01 ...]`.

Each in a cache of its own. A part that is seen in one of them and not seen in another is listed, and is a failure: its
threshold lies where rounding decides.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from landscape_utils.run import execute
from landscape_utils.suite import claims, profiles
from landscape_utils.suite.claims import PartVerdict
from tests import ROOT

OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
MACHINES = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "AVX2, one thread": {"OMP_NUM_THREADS": "1", **OLDER},
}
Verdicts = dict[str, PartVerdict]  # by claim and part


def main(prefixes: tuple[str, ...]) -> int:
    """Run the notebooks whose names begin with one of the prefixes, and count the parts that flip."""
    names = [name for name in profiles.in_order() if name.startswith(prefixes)]
    with tempfile.TemporaryDirectory() as folder:
        found = {machine: verdicts_on(machine, names, Path(folder) / str(i)) for i, machine in enumerate(MACHINES)}
    print("| part | " + " | ".join(MACHINES) + " |\n|" + "---|" * (1 + len(MACHINES)))
    for part in found["one thread"]:
        print(f"| {part} | " + " | ".join(of.get(part, "-") for of in found.values()) + " |")
    flipping = flips(found)
    print("\n" + (f"seen here and not seen there: {', '.join(flipping)}" if flipping else "no part flips"))
    return len(flipping)


def verdicts_on(machine: str, notebooks: list[str], folder: Path) -> Verdicts:
    """Run notebooks with an empty cache, one after another, and gather the verdicts of all their parts."""
    found: Verdicts = {}
    environment = {**MACHINES[machine], "LANDSCAPE_HOME": str(folder / "home")}
    for name in notebooks:
        path, where = ROOT / "notebooks" / f"{name}.ipynb", {"out": folder, "figures": folder / "figures"}
        execute.execute(path, {}, environment=environment, progress=False, **where)
        judgements, _ = claims.load(folder / f"{name}.claims.json")
        found |= {f"{j.id} {part.name}".strip(): part.verdict for j in judgements for part in j.parts}
        print(f"{name}, {machine}: done", file=sys.stderr, flush=True)
    return found


def flips(found: dict[str, Verdicts]) -> list[str]:
    """List the parts that are seen on one machine and not seen on another."""
    parts = dict.fromkeys(part for of in found.values() for part in of)
    return [part for part in parts if {"seen", "not seen"} <= {of.get(part) for of in found.values()}]


if __name__ == "__main__":
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    sys.exit(min(main(tuple(sys.argv[1:]) or ("",)), 1))
