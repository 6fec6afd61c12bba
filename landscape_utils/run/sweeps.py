"""A notebook over a product of parameters, on processes of this machine or on any Dask cluster.

Every run of the product has a folder of its own, and its last file, `done.json`, says that all others are there.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from landscape_utils.kit import store
from landscape_utils.kit.errors import require
from landscape_utils.kit.files import write_atomically
from landscape_utils.run import execute
from landscape_utils.suite.notebooks import read_notebook

if TYPE_CHECKING:
    from distributed import Client, Future

DONE = "done.json"


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of the product.

    Attributes:
        values: all parameters that are given, swept or not.
        point: the swept ones, as they stand on an axis.
        folder: where its results lie.
    """

    values: Mapping[str, Any]
    point: Mapping[str, Any]
    folder: Path

    @property
    def done(self) -> bool:
        """Check whether all its results are there."""
        return (self.folder / DONE).exists()


def cells_of(path: Path, assignments: Sequence[str], out: Path) -> list[Cell]:
    """Spell out a product of parameters.

    Args:
        path: the notebook.
        assignments: `name=value`, `name=first..last` (whole numbers, both included) or `name=a,b,[c,d]`; a parameter
            that takes a list takes one list for each part.
        out: folder of all sweeps; a run's own folder below it is named after its parameters and the notebook's code.

    Raises:
        ValueError: as `execute.parse` does, a range that is empty, or the same run twice.
    """
    choices = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        parts = _parts(text) if equals else [text]
        choices[name] = [execute.parse(path, [f"{name}={part}" if equals else name])[name] for part in parts]
    code = store.digest(
        {"code": [cell["source"] for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]}
    )
    swept = [name for name, values in choices.items() if len(values) > 1]
    cells = []
    for combination in product(*choices.values()):
        values = dict(zip(choices, combination, strict=True))
        point = {name: _on_axis(values[name]) for name in swept}
        name = re.sub(r"[^\w=,.+-]", "_", ",".join(f"{k}={v}" for k, v in point.items())) or "run"
        key = store.digest({"code": code, "values": values})[:8]
        cells.append(Cell(values, point, out / path.stem / f"{name[:100]}-{key}"))
    if len({cell.folder for cell in cells}) < len(cells):
        raise ValueError("a value is given twice; each run of a sweep must differ from the others")
    return cells


def _parts(text: str) -> list[str]:
    """Split at the commas outside brackets, and spell out a range."""
    bounds = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", text)
    if bounds is None:
        return [part.removeprefix("[").removesuffix("]") for part in re.split(r",(?![^\[]*\])", text)]
    first, last = map(int, bounds.groups())
    if first > last:
        raise ValueError(f"{text} is empty; write a range as first..last, the smaller number first")
    return [str(number) for number in range(first, last + 1)]


def _on_axis(value: Any) -> Any:
    """Return a parameter's place on an axis: a list of one value stands for the value."""
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else "+".join(map(str, value))


def sweep(path: Path, cells: Sequence[Cell], client: Client) -> dict[Cell, str]:
    """Run what is missing of a product, and keep each run's results as soon as they are there.

    A run whose worker dies is started again on another one. A run that fails does not stop the others.

    Args:
        path: the notebook.
        cells: of `cells_of`.
        client: of the cluster that computes.

    Returns:
        What went wrong, for each run that failed.
    """
    from distributed import as_completed

    missing = [cell for cell in cells if not cell.done]
    notebook = path.read_bytes()
    tasks = {client.submit(run, notebook, path.name, dict(c.values), pure=False): c for c in missing}
    wrong: dict[Cell, str] = {}
    try:
        with tqdm(total=len(cells), initial=len(cells) - len(missing), desc=path.stem, unit="run") as bar:
            for task in as_completed(tasks):
                problem = _keep(tasks[task], task)
                if problem:
                    wrong[tasks[task]] = problem
                task.release()
                bar.update()
    finally:
        client.cancel(list(tasks))
    return wrong


def _keep(cell: Cell, task: Future[Any]) -> str:
    """Write a finished run's files, the one that says so last; or tell why it failed."""
    try:
        files, seconds = task.result()
    except Exception as error:  # a cell's, or the death of one worker after the other
        return " ".join(str(error).split())[-300:]
    for name, payload in files.items():
        write_atomically(cell.folder / name, payload)
    content = {"values": dict(cell.values), "point": dict(cell.point), "seconds": seconds}
    write_atomically(cell.folder / DONE, json.dumps(content, indent=1).encode())
    return ""


def run(notebook: bytes, name: str, values: Mapping[str, Any]) -> tuple[dict[str, bytes], float]:
    """Execute a notebook on a worker.

    Args:
        notebook: its file's bytes; a worker elsewhere need not see this machine's disk.
        name: its file's name.
        values: its parameters.

    Returns:
        All files that it wrote, itself executed among them, and the seconds it took.

    Raises:
        RuntimeError: a cell failed.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)  # Dask's choice makes small batches slow, see the engine
        path, out = Path(folder, name), Path(folder, "out")
        path.write_bytes(notebook)
        execute.execute(path, values, out=out, figures=out / "figures", progress=False)
        files = {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    return files, time.monotonic() - begun


@contextmanager
def cluster(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """Join a Dask cluster, or start one of this machine's processes, of one thread each.

    Raises:
        ValueError: both are given, or fewer than one worker.
        ConnectionError: no scheduler answers there.
        ModuleNotFoundError: Dask is not installed.
    """
    require("distributed", "cluster")
    from distributed import Client, LocalCluster

    if scheduler is not None:
        if workers is not None:
            raise ValueError("a scheduler has its own workers; give --workers or --scheduler, not both")
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise ConnectionError(f"no scheduler answers at {scheduler}; start one with: dask scheduler") from error
        with client:
            yield client
        return
    if workers is not None and workers < 1:
        raise ValueError(f"{workers} workers; give one at least")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=workers or os.cpu_count(),
            threads_per_worker=1,
            memory_limit=0,  # a kernel's memory is its own process's
            dashboard_address="127.0.0.1:0",  # its usual port may be taken, by another sweep
            host="127.0.0.1",
            local_directory=folder,
        ) as local,
        Client(local) as client,
    ):
        yield client
