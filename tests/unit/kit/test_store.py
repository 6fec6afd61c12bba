import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from landscape_utils.kit import files, store
from landscape_utils.kit.store import DamagedFileWarning, Shelf


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(content: dict[str, object]) -> None:
    assert store.digest(content) == store.digest(dict(reversed(content.items())))
    assert store.digest({**content, "more": 1}) != store.digest({**content, "more": 2})


def test_tensors_datasets_and_json_come_back(shelf: Shelf) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "t": torch.randn(4, 3).T}
    shelf.put_tensors("weights", tensors)
    back = shelf.get_tensors("weights")
    assert back is not None
    assert all(torch.equal(back[k], v) for k, v in tensors.items())
    dataset = xr.Dataset({"x": (("epoch", "class"), np.eye(3))}, coords={"class": ["é", "b", "c"]}, attrs={"seed": 1})
    shelf.put_dataset("history", dataset)
    xr.testing.assert_identical(shelf.get_dataset("history"), dataset)
    shelf.put_json("run", {"a": [1, 2]})
    assert shelf.get_json("run") == {"a": [1, 2]}


def test_what_came_back_takes_longer_names_in_and_keeps_them_whole(shelf: Shelf) -> None:
    for name, ranks in (("few", ["N.E.1"]), ("many", ["N.E.1", "N.E.10"])):
        shelf.put_dataset(name, xr.Dataset({"end": ("rank", np.ones(len(ranks)))}, coords={"rank": ranks}))
    both = [shelf.get_dataset(name) for name in ("few", "many")]
    shelf.put_dataset("both", xr.concat(both, "model", join="outer"))
    together = shelf.get_dataset("both")
    assert together is not None
    assert together["rank"].values.tolist() == ["N.E.1", "N.E.10"]


def test_what_is_not_there_is_none(shelf: Shelf) -> None:
    assert shelf.get("x") is shelf.get_tensors("x") is shelf.get_dataset("x") is shelf.get_json("x") is None
    assert not shelf.has("x")


def test_putting_again_replaces(shelf: Shelf) -> None:
    shelf.put("x", "bin", b"old")
    shelf.put("x", "bin", b"new")
    assert shelf.get("x") == b"new"
    assert len(list(shelf.folder.iterdir())) == 1
    shelf.drop("x")
    assert not shelf.has("x")


def test_names_that_begin_alike_are_kept_apart(shelf: Shelf) -> None:
    shelf.put("weights-1", "bin", b"one")
    shelf.put("weights-10", "bin", b"ten")
    shelf.drop("weights-1")
    assert shelf.get("weights-10") == b"ten"


@pytest.mark.parametrize("harm", ["truncated", "flipped", "emptied"])
def test_truncated_and_flipped_files_are_set_aside_with_a_warning(shelf: Shelf, harm: str) -> None:
    path = shelf.put("x", "bin", bytes(range(200)))
    content = bytearray(path.read_bytes())
    if harm == "flipped":
        content[77] ^= 1
    path.write_bytes(content[: {"truncated": 120, "flipped": 200, "emptied": 0}[harm]])
    with pytest.warns(DamagedFileWarning, match="set aside"):
        assert shelf.get("x") is None
    assert path.with_name(path.name + ".damaged").exists()
    assert shelf.get("x") is None  # no second warning: it is out of the way
    shelf.put("x", "bin", b"again")
    assert shelf.get("x") == b"again"


def test_leftovers_of_a_killed_writer_go_when_the_shelf_is_locked(shelf: Shelf) -> None:
    shelf.put("x", "bin", b"kept")
    (shelf.folder / f"{files.TEMPORARY}abc").write_bytes(b"half")
    with store.locked(shelf):
        pass
    assert [p.name.split(".")[0] for p in shelf.folder.iterdir()] == ["x"]


def test_clear_leaves_alone_what_another_process_holds(shelf: Shelf, home: Path) -> None:
    shelf.put("x", "bin", b"busy")
    store.shelf("things", "free").put("x", "bin", b"free")
    program = (
        "import sys; from landscape_utils.kit import store\n"
        "with store.locked(store.shelf('things', 'abc')):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert store.clear("things") == (1, 1)
        holder.communicate()
    assert shelf.get("x") == b"busy"
    assert store.clear("things") == (1, 0)
    assert store.shelves("things") == []


def test_where_one_only_looks_nothing_is_computed_and_what_is_kept_is_found() -> None:
    def compute() -> xr.Dataset:
        asked.append(1)
        return xr.Dataset({"x": 1.0})

    asked: list[int] = []
    with store.only_looking(), pytest.raises(store.NotKeptError, match="not kept yet"):
        store.remembered("tried", "a", "found", compute)
    assert not asked
    store.remembered("tried", "a", "found", compute)
    with store.only_looking():
        assert float(store.remembered("tried", "a", "found", compute)["x"]) == 1.0
    assert len(asked) == 1


def test_sizes_add_up(shelf: Shelf) -> None:
    shelf.put("x", "bin", b"12345")
    shelf.put("y", "bin", b"123")
    assert store.size(shelf) == 8


FULL = """
import json, os, pathlib, sys, warnings
warnings.simplefilter("error")
import landscape_utils as lu
home = pathlib.Path(os.environ["LANDSCAPE_HOME"])
spec = dict(dataset=sys.argv[1], model="mlp", epochs=2)
first = lu.train(lu.RunSpec(seed=0, **spec), progress=False)
free = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize
(home / "filler").write_bytes(bytes(free - 30_000))
try:
    lu.train(lu.RunSpec(seed=1, **spec), progress=False)
except OSError as error:
    said = str(error)
left = [str(p) for p in home.rglob(".tmp-*")]
(home / "filler").unlink()
before = {str(p): p.stat().st_mtime_ns for p in first.shelf.folder.iterdir()}
again = lu.train(lu.RunSpec(seed=0, **spec), progress=False)
untouched = before == {str(p): p.stat().st_mtime_ns for p in again.shelf.folder.iterdir()}
second = lu.train(lu.RunSpec(seed=1, **spec), progress=False)
print(json.dumps({"said": said, "left": left, "untouched": untouched, "trained": second.epochs}))
"""


def test_a_full_disk_names_the_path_and_leaves_the_cache_valid(tmp_path: Path, small_npz: Path) -> None:
    """Fill a real file system of three megabytes, mounted in a namespace of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f"mount -t tmpfs -o size=3000k none {folder}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no ordinary user mount a small file system to fill")
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", FULL, str(small_npz)],
        capture_output=True,
        text=True,
        env={**os.environ, "LANDSCAPE_HOME": str(folder)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert str(folder / "runs") in told["said"]
    assert "No space left" in told["said"]
    assert told["left"] == []
    assert told["untouched"] is True
    assert told["trained"][0] == 0
