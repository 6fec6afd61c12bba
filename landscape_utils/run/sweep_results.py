"""What a sweep found, gathered over its parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from landscape_utils.run.sweeps import DONE, Cell
from landscape_utils.suite import claims

SEEDS = ("seed", "seeds")  # parameters that repeat a measurement


def collect(cells: Sequence[Cell]) -> xr.DataTree:
    """Gather the results of a sweep's finished runs.

    Returns:
        At the root, over the swept parameters and `part` (a claim's id, and the part's name where it has some):
        `effect`, the number, its interval `low` to `high`, and `verdict`, in words and empty where there is none; over
        the swept parameters `seconds`; over `part` what is measured, `what`. Runs that are not finished are NaN.
        Below it, one node a picture: the picture's numbers over the swept parameters; what cannot be laid over them is
        named in the root's attribute `left_out`.
        Executed notebooks without claims or numbers leave these out.

    Raises:
        ValueError: no run is finished.
    """
    finished = [cell for cell in cells if cell.done]
    if not finished:
        raise ValueError("no run of the sweep is finished; nothing can be gathered")
    axes = {name: list(dict.fromkeys(cell.point[name] for cell in cells)) for name in cells[0].point}
    root, left_out = _verdicts(finished, axes), []
    children = {}
    for name in sorted({path.stem for cell in finished for path in cell.folder.glob("*.nc")}):
        try:
            children[name] = _numbers(finished, axes, name)
        except (ValueError, TypeError, xr.AlignmentError) as error:
            left_out.append(f"{name} ({' '.join(str(error).split())[:200]})")
    root.attrs["left_out"] = "; ".join(left_out)
    return xr.DataTree.from_dict({"/": root, **{f"/{name}": numbers for name, numbers in children.items()}})


def _verdicts(finished: Sequence[Cell], axes: Mapping[str, list[Any]]) -> xr.Dataset:
    judged = {cell: _judged(cell) for cell in finished}
    parts = {cell: {_label(j, p): p for j in judgements for p in j.parts} for cell, (judgements, _) in judged.items()}
    every = {label: part.what for of_cell in parts.values() for label, part in of_cell.items()}
    names, shape = list(every), tuple(map(len, axes.values()))
    numbers = {name: np.full((*shape, len(names)), math.nan) for name in ("effect", "low", "high")}
    verdicts, seconds = np.full((*shape, len(names)), "", dtype="U10"), np.full(shape, math.nan)
    for cell, of_cell in parts.items():
        place = tuple(values.index(cell.point[name]) for name, values in axes.items())
        seconds[place] = json.loads((cell.folder / DONE).read_text())["seconds"]
        for label, part in of_cell.items():
            at = (*place, names.index(label))
            numbers["effect"][at], verdicts[at] = part.effect, part.verdict
            numbers["low"][at], numbers["high"][at] = part.interval or (math.nan, math.nan)
    dims = (*axes, "part")
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in numbers.items()},
            "verdict": (dims, verdicts),
            "seconds": (tuple(axes), seconds, {"units": "s"}),
        },
        coords={
            **axes,
            "part": np.array(names, dtype=str),
            "what": ("part", np.array(list(every.values()), dtype=str)),
        },
        attrs={"runs": math.prod(shape), "finished": len(finished), **_fixed(finished[0], judged[finished[0]][1])},
    )


def _label(judgement: claims.Judgement, part: claims.Part) -> str:
    return f"{judgement.id} {part.name}".strip()


def _fixed(cell: Cell, provenance: Mapping[str, Any]) -> dict[str, str]:
    fixed = {name: value for name, value in cell.values.items() if name not in cell.point}
    kept = {
        name: provenance[name] for name in ("notebook", "profile", "data", "machine", "versions") if name in provenance
    }
    return {**{name: str(value) for name, value in kept.items()}, "fixed": str(fixed)}


def _judged(cell: Cell) -> tuple[list[claims.Judgement], dict[str, Any]]:
    files = sorted(cell.folder.glob("*.claims.json"))
    return claims.load(files[0]) if files else ([], {})


def _numbers(finished: Sequence[Cell], axes: Mapping[str, list[Any]], name: str) -> xr.Dataset:
    """Lay one picture's numbers over the swept parameters."""
    here = [cell for cell in finished if (cell.folder / f"{name}.nc").exists()]
    parts = [_plain(cell.folder / f"{name}.nc", axes) for cell in here]
    joined = xr.concat(parts, "run", join="outer", data_vars="all", coords="minimal", compat="override")
    if not axes:
        return joined.isel(run=0, drop=True)
    index = pd.MultiIndex.from_tuples([tuple(c.point.values()) for c in here], names=list(axes))
    coordinates = xr.Coordinates.from_pandas_multiindex(index, "run")
    return joined.drop_vars("run", errors="ignore").assign_coords(coordinates).unstack("run").reindex(axes)


def _plain(path: Path, axes: Mapping[str, list[Any]]) -> xr.Dataset:
    """Read a picture's numbers; a name that is swept as well is told apart, and words are left out."""
    with xr.open_dataset(path, engine="netcdf4") as opened:
        numbers = opened.load().drop_encoding()  # as from a shelf: longer names would be cut when all are saved
    numbers = numbers.rename({name: f"{name} of the run" for name in axes if name in numbers.dims or name in numbers})
    return numbers.drop_vars([name for name, values in numbers.items() if values.dtype.kind not in "biuf"])
