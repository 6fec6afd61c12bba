"""Run notebooks with checked parameters, through papermill."""

from __future__ import annotations

import ast
import logging
import os
import re
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
import psutil
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from landscape_utils.data import sources
from landscape_utils.data.datasets import load_dataset
from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import UNFINISHED, write_atomically
from landscape_utils.suite.profile_tables import PROFILES
from landscape_utils.suite.session import Setup, settle

# Papermill's own reader takes no `None | str`.
_TYPE_COMMENT = re.compile(r"\s*#\s*type:\s*([\w\[\],]+(?:\s*\|\s*[\w\[\],]+)*)")
_TYPES = {t.__name__: t for t in (str, int, float, bool, list)}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: its name, type as written, and literal default."""

    name: str
    annotation: str
    default: Any


def notebook_path(name: str) -> Path:
    """Find a notebook by its name or by its path.

    Names are looked up in `./notebooks`, then beside the package (a checkout) and inside it (an installed wheel).

    Raises:
        ValueError: no such notebook; the nearest names are given.
    """
    if name.endswith(".ipynb") and Path(name).exists():
        return Path(name)
    here = Path(__file__).parents[1]
    for folder in (Path("notebooks"), here.parent / "notebooks", here / "notebooks"):
        path = folder / f"{name.removesuffix('.ipynb')}.ipynb"
        if path.exists():
            return path
    raise unknown("notebook", name, PROFILES)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Raises:
        ValueError: the file holds no notebook.
    """
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, TypeError, KeyError, nbformat.ValidationError) as error:
        raise ValueError(
            f"{path} is no notebook, or a damaged one; give a Jupyter notebook in its own format"
        ) from error
    return notebook


def parameters(path: Path) -> dict[str, Parameter]:
    """Read the names, types and defaults in a notebook's cell tagged `parameters`.

    Each line there is `name = literal  # type: annotation help`, or `name: annotation = literal`.

    Raises:
        ValueError: there is no such cell, or a line has no type or no literal.
    """
    cells = [c.source for c in read_notebook(path).cells if "parameters" in c.metadata.get("tags", [])]
    try:
        assigned = [s for s in ast.parse(cells[0]).body if isinstance(s, ast.Assign | ast.AnnAssign)] if cells else []
    except SyntaxError as error:
        raise ValueError(f"{path}: the cell tagged `parameters` is no Python ({error}); write literals only") from error
    if not assigned:
        raise ValueError(f"{path} has no cell tagged `parameters` with literals; tag the cell that holds them")
    return {found.name: found for found in (_parameter(path, cells[0], statement) for statement in assigned)}


def _parameter(path: Path, source: str, statement: ast.Assign | ast.AnnAssign) -> Parameter:
    after = source.encode().splitlines()[(statement.end_lineno or 1) - 1][statement.end_col_offset :].decode()
    commented = _TYPE_COMMENT.match(after)
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    if isinstance(statement, ast.AnnAssign):
        annotation = ast.unparse(statement.annotation)
    else:
        annotation = commented[1] if commented else ""
    try:
        eval(annotation, {"__builtins__": _TYPES})
        return Parameter(ast.unparse(target), annotation, ast.literal_eval(statement.value or ""))
    except (ValueError, SyntaxError, NameError, TypeError) as error:
        raise ValueError(
            f"{path}: the parameter `{ast.unparse(statement)}` has no literal default and type; "
            "write `name = 1  # type: int`"
        ) from error


def parse(path: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """Turn `name=value` texts into the values that a notebook's parameters take.

    A list is written `a,b,c` or as a Python literal.

    Raises:
        ValueError: not of that form, an unknown parameter, or a value of another type.
    """
    known = parameters(path)
    given = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"{assignment!r} is no parameter; write -p name=value")
        if name not in known:
            raise unknown(f"parameter of {path.stem}", name, known)
        given[name] = _value(known[name], text)
    return given


def _value(parameter: Parameter, text: str) -> Any:
    wanted: Any = TypeAdapter(eval(parameter.annotation, {"__builtins__": _TYPES}))
    candidates: list[Any] = [_literal(text), text, [_literal(part) for part in text.split(",")], text.split(",")]
    for candidate in candidates:
        try:
            return wanted.validate_python(candidate, strict=True)
        except ValidationError:
            continue
    raise ValueError(f"parameter {parameter.name} is {text!r}; it must be {parameter.annotation}")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def setup_of(path: Path, given: Mapping[str, Any]) -> Setup | None:
    """Settle a notebook's profile with the parameters that were given; None for a notebook that has no profiles.

    Raises:
        ValueError, FileNotFoundError: as `settle` does.
    """
    if path.stem not in PROFILES:
        return None
    defaults = {name: parameter.default for name, parameter in parameters(path).items()}
    profile = PROFILES[path.stem].get(given.get("profile", defaults["profile"]), {})
    settled = {f.name for f in fields(Setup)} - {"notebook"} | {"recipe", *profile.get("own", {})}
    return settle(path.stem, **{k: v for k, v in {**defaults, **given}.items() if k in settled})


def check_data(setups: Iterable[Setup | None]) -> None:
    """Check what notebooks are to read before a kernel starts: paths by reading them, stored archives by their ends.

    Raises:
        ValueError, FileNotFoundError: as `load_dataset` does.
    """
    known = [setup for setup in setups if setup is not None]
    distinct = {(s.dataset, s.train_size, s.test_size, s.image_size): s for s in known if sources.is_path(s.dataset)}
    for setup in distinct.values():
        setup.load_data(download=False)
    second = {setup.own["simple"] for setup in known if "simple" in setup.own}  # of 05, which compares two
    for name in second:
        sources.check_name(name)
        if sources.is_path(name):
            load_dataset(name, download=False)
    for name in second | {setup.dataset for setup in known}:
        packed = sources.data_folder() / f"{name}.npz"
        if name in sources.PUBLISHED and packed.exists() and not zipfile.is_zipfile(packed):
            raise ValueError(f"{packed} is damaged or is no .npz archive; fetch or write it again")


# Trainings that notebooks share are met in turn, not at once; the tour tells what the others found.
ORDER = (
    "01_cctm",
    "02_ego_flatness",
    "04_gmi_mli_wpeak",
    "06_mftma",
    "05_bias_plateau",
    "03_label_dancing",
    "09_hessian_surfaces",
    "07_rewinding",
    "08_double_descent",
    "10_gradient_split",
    "00_tour",
)


def execute_all(
    jobs: Sequence[tuple[Path, Mapping[str, Any]]], *, at_once: int, out: Path, figures: Path
) -> Iterator[tuple[Path, float, str]]:
    """Execute notebooks, one or several at a time, and give each with its seconds and its error as soon as it ends.

    One that fails stops no other. Several at a time have one thread each: small networks gain little from a second
    one, and imports nothing. Whatever stops the iteration, such as Ctrl-C, stops the notebooks and all they started.

    Args:
        jobs: notebooks, and the parameters of each.
        at_once: how many at a time.
        out, figures: as for `execute`.
    """
    from jupyter_core.utils import ensure_event_loop

    threads = {"OMP_NUM_THREADS": "1"} if at_once > 1 else {}

    def one(path: Path, values: Mapping[str, Any]) -> tuple[float, str]:
        begun, problem = time.monotonic(), ""
        try:
            execute(path, values, out=out, figures=figures, progress=at_once == 1, environment=threads)
        except Exception as error:  # a cell's, a dead kernel's, a full disk's: told, and the others go on
            problem = str(error)
        ensure_event_loop().close()  # nbclient leaves each thread's open
        return time.monotonic() - begun, problem

    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(one, path, values): path for path, values in jobs}
        try:
            ended = as_completed(running)
            for task in tqdm(ended, total=len(running), unit="notebook", desc="notebooks", disable=at_once == 1):
                seconds, problem = task.result()
                if problem:
                    write_atomically(out / f"{running[task].stem}{UNFINISHED}", problem.encode())
                yield running[task], seconds, problem
        except BaseException:  # also Ctrl-C, of which kernels hear nothing
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(task.done() for task in running):  # again, for a kernel may have been about to start
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                time.sleep(0.1)
            raise


def execute(
    path: Path,
    given: Mapping[str, Any],
    *,
    out: Path,
    figures: Path,
    progress: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Execute a notebook with parameters and keep it with all its outputs.

    What an earlier run claimed goes first: until the notebook has finished, a file beside it says that it has not.

    Args:
        path: the notebook.
        given: parameters that differ from its defaults.
        out: folder for the executed notebook, the numbers and the claims.
        figures: folder for the pictures.
        progress: show a bar of the notebook's cells.
        environment: variables for its kernel, beside this process's own.

    Returns:
        The executed notebook; a failing cell's error is kept in it.

    Raises:
        RuntimeError: a cell failed, or the kernel died in it; the executed notebook shows how far it got.
    """
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    target, unfinished, begun = out / path.name, out / f"{path.stem}{UNFINISHED}", []
    write_atomically(unfinished, f"{path.stem} did not finish".encode())
    (out / f"{path.stem}.claims.json").unlink(missing_ok=True)
    # A notebook opened by hand writes to the cache folder instead.
    folders = {"LANDSCAPE_OUT": str(out.resolve()), "LANDSCAPE_FIGURES": str(figures.resolve())}
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # it knows fewer types, and errors are told below
    try:
        execute_notebook(
            path,
            target,
            parameters=dict(given),
            kernel_name="python3",
            cwd=Path.cwd(),
            progress_bar=progress,
            extra_arguments=["--log-level=CRITICAL"],  # the kernel warns of its transport, which stays on this machine
            kernel_manager_class=_with_environment({**folders, **(environment or {})}),
            on_cell_execute=lambda cell, cell_index: begun.append(cell_index),
        )
    except PapermillExecutionError as error:  # which holds the whole traceback, and cannot be sent between processes
        problem = f"{error.ename}: {error.evalue}"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        unfinished.unlink(missing_ok=True)
        return target
    raise RuntimeError(f"{path.stem} failed in cell {len(begun)}: {' '.join(problem.split())}; see {target}")


def _with_environment(variables: Mapping[str, str]) -> type:
    """Make a class of kernels that are given variables, which threads of one process cannot share."""
    from jupyter_client.manager import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # typed as the synchronous one
            await super().start_kernel(env={**os.environ, **variables}, **options)

    return Kernel
