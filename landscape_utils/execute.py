"""Run notebooks with checked parameters, through papermill."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from landscape_utils.errors import unknown
from landscape_utils.profile_tables import PROFILES
from landscape_utils.profiles import Setup, settle

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
    here = Path(__file__).parent
    for folder in (Path("notebooks"), here.parent / "notebooks", here / "notebooks"):
        path = folder / f"{name.removesuffix('.ipynb')}.ipynb"
        if path.exists():
            return path
    raise unknown("notebook", name, PROFILES)


def parameters(path: Path) -> dict[str, Parameter]:
    """Read the names, types and defaults in a notebook's cell tagged `parameters`.

    Each line there is `name = literal  # type: annotation help`, as papermill reads it too.

    Raises:
        ValueError: there is no such cell, or a line has no type or no literal.
    """
    from papermill.inspection import inspect_notebook

    found = {}
    for name, seen in inspect_notebook(path).items():
        try:
            default = ast.literal_eval(seen["default"])
            annotation = seen["inferred_type_name"]
            eval(annotation, {"__builtins__": _TYPES})
        except (ValueError, SyntaxError, NameError) as error:
            raise ValueError(
                f"{path}: parameter {name} has no literal default and type; write `{name} = 1  # type: int`"
            ) from error
        found[name] = Parameter(name, annotation, default)
    if not found:
        raise ValueError(f"{path} has no cell tagged `parameters`; tag the cell that holds its literals")
    return found


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
) -> Iterator[tuple[Path, float]]:
    """Execute notebooks, one or several at a time, and give each with its seconds as it is finished.

    Several at a time have one thread each: small networks gain little from a second one, and imports nothing.

    Args:
        jobs: notebooks, and the parameters of each.
        at_once: how many at a time.
        out, figures: as for `execute`.

    Raises:
        RuntimeError: a cell failed; the notebooks beside it are stopped.
    """

    def one(path: Path, values: Mapping[str, Any], progress: bool = True) -> float:
        begun = time.monotonic()
        execute(path, values, out=out, figures=figures, progress=progress)
        return time.monotonic() - begun

    if at_once == 1:
        yield from ((path, one(path, values)) for path, values in jobs)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(one, path, values, False): path for path, values in jobs}
        try:
            for task in tqdm(as_completed(running), total=len(running), unit="notebook", desc="notebooks"):
                yield running[task], task.result()
        except BaseException:  # also Ctrl-C, of which kernels hear nothing
            pool.shutdown(wait=False, cancel_futures=True)
            for kernel in psutil.Process().children(recursive=True):
                kernel.terminate()
            raise


def execute(path: Path, given: Mapping[str, Any], *, out: Path, figures: Path, progress: bool = True) -> Path:
    """Execute a notebook with parameters and keep it with all its outputs.

    Args:
        path: the notebook.
        given: parameters that differ from its defaults.
        out: folder for the executed notebook, the numbers and the claims.
        figures: folder for the pictures.
        progress: show a bar of the notebook's cells.

    Returns:
        The executed notebook; a failing cell's error is kept in it.

    Raises:
        RuntimeError: a cell failed; the executed notebook shows its error.
    """
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    out.mkdir(parents=True, exist_ok=True)
    target = out / path.name
    # The kernel inherits these; a notebook opened by hand writes to the cache folder instead.
    os.environ["LANDSCAPE_OUT"], os.environ["LANDSCAPE_FIGURES"] = str(out.resolve()), str(figures.resolve())
    try:
        execute_notebook(
            path,
            target,
            parameters=dict(given),
            kernel_name="python3",
            cwd=Path.cwd(),
            progress_bar=progress,
            extra_arguments=["--log-level=ERROR"],  # the kernel warns of its transport, which stays on this machine
        )
    except PapermillExecutionError as error:  # which holds the whole traceback, and cannot be sent between processes
        said = f"{path.stem} failed in cell {error.exec_count}: {error.ename}: {error.evalue}; see {target}"
        raise RuntimeError(said) from None
    return target
