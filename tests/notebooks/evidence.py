"""Run the laptop profile on real images, and keep what is found: `python -m tests.notebooks.evidence [01 ...]`.

Records go to docs/findings, and from there to docs/findings.md. Two notebooks at a time, of one thread each; a single
one has them all. What was killed goes on from its last epoch; what was found by the same code is not run again: code
that the notebook does not come to, comments and docstrings may have changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import nbformat
from PIL import Image

from landscape_utils.kit.files import write_atomically
from landscape_utils.run import execute
from landscape_utils.suite import profiles
from landscape_utils.suite.notebooks import PACKAGE
from tests import ROOT
from tests.notebooks import findings, imports
from tests.notebooks.findings import FINDINGS, pictures_of

OUT = ROOT / "out" / "laptop"
WIDTH, COLOURS = 1000, 256  # of a small picture
NO_MATTER = ("profile", "workers")  # modules: what other profiles hold, and in which process a job is done


def main(prefixes: tuple[str, ...]) -> None:
    """Run the notebooks whose names begin with one of the prefixes."""
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in with_findings() if name.startswith(prefixes)]
    missing = [path for path in paths if found_by(path.stem) != code_of(path)]
    for path in paths:
        print(f"{path.stem}: {'to be run' if path in missing else 'found already by the same code'}", flush=True)
    jobs = [(path, {"profile": "laptop"}) for path in missing]
    at_once = max(1, min(2, len(jobs)))
    for path, seconds, problem in execute.execute_all(jobs, at_once=at_once, out=OUT, figures=OUT / "figures"):
        print(f"{path.stem}: {problem or f'{seconds:.0f} s'}", flush=True)
        if not problem:
            keep(path, seconds)
    findings.main()


def with_findings() -> list[str]:
    """List the notebooks that have a laptop profile."""
    return [name for name in profiles.names() if "laptop" in profiles.profiles(name)]


def code_of(notebook: Path) -> str:
    """Digest what a result was computed by: the laptop profile, the notebook's code, and the modules it comes to."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    section = f"{PACKAGE.name}.sections.{profiles.section(notebook.stem)}"
    ledger = PACKAGE / "sections" / profiles.section(notebook.stem) / "ledger.toml"
    digest = hashlib.sha256(json.dumps(profiles.profiles(notebook.stem)["laptop"], sort_keys=True).encode())
    digest.update(code.encode() + ledger.read_bytes())
    for module in sorted(imports.reached(code, section)):
        if module.rpartition(".")[2] not in NO_MATTER:
            digest.update(imports.code_of(module).encode())
    return digest.hexdigest()[:16]


def found_by(notebook: str) -> str | None:
    """Read by which code the kept record was found."""
    path = FINDINGS / f"{notebook}.json"
    return json.loads(path.read_text())["about"]["code"] if path.exists() else None


def keep(notebook: Path, seconds: float) -> None:
    """Keep a finished run's claims, and small copies of its pictures."""
    found = json.loads((OUT / f"{notebook.stem}.claims.json").read_text())
    found["about"] |= {"code": code_of(notebook), "took": round(seconds)}
    write_atomically(FINDINGS / f"{notebook.stem}.json", (json.dumps(found, indent=1) + "\n").encode())
    for name in pictures_of(notebook.stem):
        picture = Image.open(OUT / "figures" / f"{notebook.stem}-{name}.png").convert("RGB")
        picture.thumbnail((WIDTH, WIDTH))
        small = io.BytesIO()
        picture.quantize(COLOURS).save(small, "png", optimize=True)
        write_atomically(FINDINGS / f"{notebook.stem}-{name}.png", small.getvalue())


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("",))
