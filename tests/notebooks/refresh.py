"""Write a fresh run's outputs into the committed notebooks: `python -m tests.notebooks.refresh [02 ...]`."""

import sys
from pathlib import Path

import nbformat

from landscape_utils import execute

ROOT = Path(__file__).parents[2]


def main(prefixes: tuple[str, ...]) -> None:
    """Refresh the notebooks whose names begin with one of the prefixes."""
    for path in sorted(p for p in (ROOT / "notebooks").glob("*.ipynb") if p.name.startswith(prefixes)):
        executed = nbformat.read(execute.execute(path, {}, out=ROOT / "out", figures=ROOT / "figures"), as_version=4)
        executed.metadata.pop("papermill", None)
        for cell in executed.cells:
            for trace in ("papermill", "execution", "collapsed", "scrolled"):
                cell.metadata.pop(trace, None)
            if cell.cell_type == "code":  # progress bars are for the person who waits
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        executed.metadata = {k: executed.metadata[k] for k in ("kernelspec", "language_info")}
        executed.metadata["language_info"] = {"name": "python"}
        nbformat.write(executed, path)
        print(f"refreshed {path.name}")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("",))
