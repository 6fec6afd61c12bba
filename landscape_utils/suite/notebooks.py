"""The notebooks: where they lie, and what their parameters cells hold."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import write_atomically

PACKAGE = Path(__file__).parents[1]
# Papermill's own reader takes no `None | str`.
_TYPE_COMMENT = re.compile(r"\s*#\s*type:\s*([\w\[\],]+(?:\s*\|\s*[\w\[\],]+)*)")
_TYPES = {t.__name__: t for t in (str, int, float, bool, list)}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: its name, type as written, and literal default."""

    name: str
    annotation: str
    default: Any

    def checked(self, value: Any) -> Any:
        """Return a value of the parameter's type.

        Raises:
            ValueError: it has another type.
        """
        try:
            return TypeAdapter(eval(self.annotation, {"__builtins__": _TYPES})).validate_python(value, strict=True)
        except ValidationError as error:
            raise ValueError(f"parameter {self.name} is {value!r}; it must be {self.annotation}") from error


def notebook_path(name: str) -> Path:
    """Find a notebook by its name or by its path.

    Names are looked up in `./notebooks`, then beside the package (a checkout) and inside it (an installed wheel).

    Raises:
        ValueError: no such notebook; the nearest names are given.
    """
    if name.endswith(".ipynb") and Path(name).exists():
        return Path(name)
    for folder in (Path("notebooks"), *_folders()):
        path = folder / f"{name.removesuffix('.ipynb')}.ipynb"
        if path.exists():
            return path
    raise unknown("notebook", name, notebook_names())


def notebook_names() -> list[str]:
    """List the suite's notebooks by their numbers."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("[0-9][0-9]_*.ipynb")})


def copy_notebooks(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks and solutions as they came into a folder; what has one of their names there stays as it is.

    Returns:
        What was written, and what was there.
    """
    source = next(shipped for shipped in _folders() if shipped.is_dir())
    written: list[Path] = []
    kept: list[Path] = []
    for path in sorted((*source.glob("[0-9][0-9]_*.ipynb"), *source.glob("solutions/*.py"))):
        target = folder / path.relative_to(source)
        (kept if target.exists() else written).append(target)
        if not target.exists():
            write_atomically(target, path.read_bytes())
    return written, kept


def _folders() -> tuple[Path, Path]:
    return PACKAGE.parent / "notebooks", PACKAGE / "notebooks"


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook of format 4, with each cell's source as one text and its tags beside it.

    Not by nbformat, whose import takes two seconds of every kernel's start.

    Raises:
        ValueError: the file holds no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            {**cell, "source": "".join(cell["source"]), "tags": cell["metadata"].get("tags", [])}
            for cell in notebook["cells"]
        ]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is no notebook, or a damaged one; give a Jupyter notebook in its own format"
        ) from error
    return {**notebook, "cells": cells}


def minutes_in_class(path: Path) -> int:
    """Add up the minutes of a notebook's objectives, the table in its first cell."""
    return sum(map(int, re.findall(r"\| (\d+) \|$", read_notebook(path)["cells"][0]["source"], flags=re.M)))


def parameters(path: Path) -> dict[str, Parameter]:
    """Read the names, types and defaults in a notebook's cell tagged `parameters`.

    Each line there is `name = literal  # type: annotation help`, or `name: annotation = literal`.

    Raises:
        ValueError: there is no such cell, or a line has no type or no literal.
    """
    cells = [cell["source"] for cell in read_notebook(path)["cells"] if "parameters" in cell["tags"]]
    try:
        assigned = [s for s in ast.parse(cells[0]).body if isinstance(s, ast.Assign | ast.AnnAssign)] if cells else []
    except SyntaxError as error:
        raise ValueError(f"{path}: the cell tagged `parameters` is no Python ({error}); write literals only") from error
    if not assigned:
        raise ValueError(f"{path} has no cell tagged `parameters` with literals; tag the cell that holds them")
    return {p.name: p for p in (_parameter(path, cells[0], statement) for statement in assigned)}


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
