"""Write a fresh run's outputs into notebooks, docs and README: `python -m tests.notebooks.refresh [02 ...]`.

As in `make run` a notebook has one thread: on two, sums are added up in another order, and trainings end elsewhere.
"""

import os
import sys

import nbformat

from landscape_utils.run import execute
from tests import ROOT
from tests.notebooks import findings, parameters


def main(prefixes: tuple[str, ...]) -> None:
    """Refresh the notebooks whose names begin with one of the prefixes, and what docs and README say of all."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for path in sorted(p for p in (ROOT / "notebooks").glob("*.ipynb") if p.name.startswith(prefixes)):
        executed = nbformat.read(execute.execute(path, {}, out=ROOT / "out", figures=ROOT / "figures"), as_version=4)
        executed.metadata.pop("papermill", None)
        for cell in executed.cells:
            for trace in ("papermill", "execution", "collapsed", "scrolled"):
                cell.metadata.pop(trace, None)
            if cell.cell_type == "code":  # progress bars are for the person who waits
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
                for output in cell.outputs:  # where no kernel runs a panel is its picture
                    output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        executed.metadata = {k: executed.metadata[k] for k in ("kernelspec", "language_info")}
        executed.metadata["language_info"] = {"name": "python"}
        nbformat.write(executed, path)
        findings.keep_quick(path.stem, ROOT / "out")
        print(f"refreshed {path.name}")
    findings.main()
    parameters.main()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("",))
