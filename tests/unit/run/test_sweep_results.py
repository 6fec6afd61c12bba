import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from landscape_utils.run import sweep_results
from landscape_utils.run.sweeps import DONE, Cell
from landscape_utils.suite import claims
from tests.unit.judgements import of_one_part

ABOUT = {"notebook": "n", "profile": "quick", "data": "d", "seeds": [0], "machine": "m", "versions": {"torch": "2"}}


def finished(folder: Path, width: int, seed: int, *, numbers: xr.Dataset | None = None) -> Cell:
    """Write what a run leaves behind."""
    cell = Cell({"width": width, "seed": seed, "epochs": 3}, {"width": width, "seed": seed}, folder / f"{width}-{seed}")
    cell.folder.mkdir(parents=True)
    effect = 10.0 * width + seed
    first = of_one_part("CI-1", "seen" if effect > 15 else "not seen", effect=effect, interval=(0.0, effect))
    second = of_one_part("CI-2", "not tested", reason="few")
    claims.save([first, second], cell.folder / "n.claims.json", ABOUT)
    if numbers is not None:
        numbers.to_netcdf(cell.folder / "n-curve.nc", engine="netcdf4")
    (cell.folder / DONE).write_text(json.dumps({"seconds": effect / 10}))
    return cell


def curve(width: int, epochs: int = 3) -> xr.Dataset:
    values = width * np.arange(float(epochs))
    return xr.Dataset({"loss": ("epoch", values), "word": ("epoch", ["a"] * epochs)}, {"epoch": range(epochs)})


def test_every_number_is_at_its_place(tmp_path: Path) -> None:
    cells = [finished(tmp_path, w, s, numbers=curve(w)) for w in (1, 2) for s in (0, 1, 2)]
    tree = sweep_results.collect(cells)
    assert dict(tree.sizes) == {"width": 2, "seed": 3, "part": 2}
    assert float(tree["effect"].sel(width=2, seed=1, part="CI-1")) == 21
    assert tree["high"].sel(width=1, part="CI-1").values.tolist() == [10, 11, 12]
    assert np.isnan(tree["effect"].sel(part="CI-2")).all()
    assert tree["verdict"].sel(seed=0, part="CI-1").values.tolist() == ["not seen", "seen"]
    assert str(tree["what"].sel(part="CI-1").values) == "look-alike classes lead the interference"
    assert tree["seconds"].sel(width=2, seed=2) == 2.2
    assert (tree.attrs["runs"], tree.attrs["fixed"], tree.attrs["left_out"]) == (6, "{'epochs': 3}", "")
    assert tree["n-curve/loss"].sel(width=2, seed=0).values.tolist() == [0, 2, 4]
    assert "word" not in tree["n-curve"]


def test_what_is_missing_is_nan_and_shorter_runs_are_padded(tmp_path: Path) -> None:
    cells = [finished(tmp_path, 1, 0, numbers=curve(1)), finished(tmp_path, 2, 1, numbers=curve(2, epochs=5))]
    cells.append(Cell({"width": 1, "seed": 1}, {"width": 1, "seed": 1}, tmp_path / "none"))
    tree = sweep_results.collect(cells)
    assert (tree.attrs["runs"], tree.attrs["finished"]) == (4, 2)
    assert np.isnan(tree["effect"].sel(width=1, seed=1)).all()
    assert tree["verdict"].sel(width=1, seed=1, part="CI-1") == ""
    loss = tree["n-curve/loss"]
    assert np.isfinite(loss.sel(width=1, seed=0)).values.tolist() == [True, True, True, False, False]
    assert np.isnan(loss.sel(width=1, seed=1)).all()


def test_names_that_are_swept_too_are_told_apart_and_what_cannot_be_laid_is_named(tmp_path: Path) -> None:
    own = xr.Dataset({"loss": ("width", [1.0, 2.0])}, {"width": [1, 2]})
    tree = sweep_results.collect([finished(tmp_path / "a", w, 0, numbers=own) for w in (1, 2)])
    assert tree["n-curve/loss"].sizes == {"width of the run": 2, "width": 2, "seed": 1}
    twice = xr.Dataset({"loss": ("epoch", [1.0, 2.0])}, {"epoch": [1, 1]})
    cells = [finished(tmp_path / "b", 1, 0, numbers=twice), finished(tmp_path / "b", 2, 0, numbers=curve(2))]
    tree = sweep_results.collect(cells)
    assert tree.attrs["left_out"].startswith("n-curve (")
    assert "n-curve" not in tree.children


def test_it_is_kept_as_netcdf(tmp_path: Path) -> None:
    tree = sweep_results.collect([finished(tmp_path, w, s, numbers=curve(w)) for w in (1, 2) for s in (0, 1)])
    path = tmp_path / "sweep.nc"
    path.write_bytes(tree.to_netcdf(engine="netcdf4"))
    with xr.open_datatree(path, engine="netcdf4") as read:
        xr.testing.assert_equal(read.load(), tree)


def test_names_of_any_length_are_kept_whole(tmp_path: Path) -> None:
    ranks = {1: ["N.E.1"], 2: ["N.E.1", "N.E.10"]}
    tables = {w: xr.Dataset({"end": ("rank", np.ones(len(names)))}, {"rank": names}) for w, names in ranks.items()}
    tree = sweep_results.collect([finished(tmp_path, w, 0, numbers=table) for w, table in tables.items()])
    path = tmp_path / "sweep.nc"
    path.write_bytes(tree.to_netcdf(engine="netcdf4"))
    with xr.open_datatree(path, engine="netcdf4") as kept:
        assert kept["n-curve"]["rank"].values.tolist() == ["N.E.1", "N.E.10"]


def test_nothing_finished_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run"):
        sweep_results.collect([Cell({}, {}, tmp_path)])
