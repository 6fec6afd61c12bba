"""Run notebooks with checked parameters, through papermill."""

from __future__ import annotations

import ast
import logging
import os
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from landscape_utils.data import sources
from landscape_utils.data.datasets import load_dataset
from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import UNFINISHED, write_atomically
from landscape_utils.suite import profiles
from landscape_utils.suite.notebooks import Parameter, parameters
from landscape_utils.suite.session import Session, settle


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
    for candidate in (_literal(text), text, [_literal(part) for part in text.split(",")], text.split(",")):
        with suppress(ValueError):
            return parameter.checked(candidate)
    raise ValueError(f"parameter {parameter.name} is {text!r}; it must be {parameter.annotation}")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def session_of(path: Path, given: Mapping[str, Any]) -> Session | None:
    """Settle a notebook's profile with the parameters that were given; None for a notebook that has no profiles.

    Raises:
        ValueError, FileNotFoundError: as `settle` does.
    """
    if path.stem not in profiles.names():
        return None
    return settle(path.stem, {**{name: p.default for name, p in parameters(path).items()}, **given})


def check_data(sessions: Iterable[Session | None]) -> None:
    """Check what notebooks are to read before a kernel starts: paths by reading them, stored archives by their ends.

    Raises:
        ValueError, FileNotFoundError: as `load_dataset` does.
    """
    known = [one for one in sessions if one is not None]
    distinct = {(s.dataset, s.train_size, s.test_size, s.image_size): s for s in known if sources.is_path(s.dataset)}
    for one in distinct.values():
        one.load_data(download=False)
    others = {one.own[name] for one in known for name in profiles.datasets(one.notebook)}
    for name in others:
        sources.check_name(name)
        if sources.is_path(name):
            load_dataset(name, download=False)
    for name in others | {one.dataset for one in known}:
        packed = sources.data_folder() / f"{name}.npz"
        if name in sources.PUBLISHED and packed.exists() and not zipfile.is_zipfile(packed):
            raise ValueError(f"{packed} is damaged or is no .npz archive; fetch or write it again")


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
    # jsonschema would compile a grammar of addresses, of which notebooks have none: longer than all other imports.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None stands for what cannot be imported
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
