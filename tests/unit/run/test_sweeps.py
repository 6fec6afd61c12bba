import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from landscape_utils.run import sweeps

PARAMETERS = (
    'width = 1  # type: int\nseeds = [0]  # type: list[int]\nwhat = "a"  # type: str\nnets = ["n"]  # type: list[str]\n'
)


class Failed:
    """A task whose worker gave an error back."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self) -> Any:
        raise self.error


class Finished:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def result(self) -> Any:
        return self.files, 1.5


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.ipynb")


def write(path: Path, code: str = "print(width)") -> Path:
    cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    made = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(code)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


def test_a_product_is_spelt_out_with_ranges_lists_and_constants(notebook: Path, tmp_path: Path) -> None:
    cells = sweeps.cells_of(notebook, ["seeds=0..2", "width=1,2,4,8", "what=b"], tmp_path)
    assert len(cells) == 12
    assert cells[0].values == {"seeds": [0], "width": 1, "what": "b"}
    assert cells[-1].point == {"seeds": 2, "width": 8}
    assert len({cell.folder for cell in cells}) == 12
    assert all(cell.folder.parent == tmp_path / "tiny" for cell in cells)
    assert cells[-1].folder.name.startswith("seeds=2,width=8-")


def test_lists_stay_together_in_brackets(notebook: Path, tmp_path: Path) -> None:
    cells = sweeps.cells_of(notebook, ["seeds=[0,1],[2,3],4"], tmp_path)
    assert [cell.values["seeds"] for cell in cells] == [[0, 1], [2, 3], [4]]
    assert [cell.point["seeds"] for cell in cells] == ["0+1", "2+3", 4]
    cells = sweeps.cells_of(notebook, ["nets=[mlp,vgg11],[dla]"], tmp_path)
    assert [cell.values["nets"] for cell in cells] == [["mlp", "vgg11"], ["dla"]]


def test_one_run_without_anything_swept(notebook: Path, tmp_path: Path) -> None:
    (cell,) = sweeps.cells_of(notebook, [], tmp_path)
    assert (cell.values, cell.point) == ({}, {})


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("seeds=3..1", "the smaller number first"),
        ("widht=1", "width"),
        ("width=a,b", "int"),
        ("width", "name=value"),
        ("width=1,1", "given twice"),
    ],
)
def test_bad_products_are_refused(assignment: str, told: str, notebook: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        sweeps.cells_of(notebook, [assignment], tmp_path)


def test_another_code_is_another_run_and_another_text_is_not(notebook: Path, tmp_path: Path) -> None:
    (before,) = sweeps.cells_of(notebook, ["width=2"], tmp_path)
    made = nbformat.read(notebook, as_version=4)
    made.cells.append(nbformat.v4.new_markdown_cell("A remark."))
    nbformat.write(made, notebook)
    (same,) = sweeps.cells_of(notebook, ["width=2"], tmp_path)
    (other,) = sweeps.cells_of(write(notebook, "print(2 * width)"), ["width=2"], tmp_path)
    assert before.folder == same.folder != other.folder


def test_a_run_is_done_when_all_its_files_are_there(notebook: Path, tmp_path: Path) -> None:
    (cell,) = sweeps.cells_of(notebook, ["width=2"], tmp_path)
    assert not cell.done
    assert sweeps._keep(cell, Failed(RuntimeError("cell 2: no\nluck"))) == "cell 2: no luck"
    assert not cell.done
    assert not cell.folder.exists()
    assert sweeps._keep(cell, Finished({"a.nc": b"1", "figures/b.png": b"2"})) == ""
    assert cell.done
    assert (cell.folder / "figures" / "b.png").read_bytes() == b"2"
    assert json.loads((cell.folder / sweeps.DONE).read_text())["seconds"] == 1.5


def test_a_disk_that_is_full_leaves_the_run_undone(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = sweeps.cells_of(notebook, ["width=2"], tmp_path)

    def full(path: Path, payload: bytes) -> None:
        if path.name == "b.nc":
            raise OSError(28, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)

    monkeypatch.setattr(sweeps, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        sweeps._keep(cell, Finished({"a.nc": b"1", "b.nc": b"2"}))
    assert not cell.done


def test_a_cluster_that_cannot_be_is_refused() -> None:
    for given, told in (((2, "tcp://127.0.0.1:1"), "not both"), ((0, None), "one at least")):
        with pytest.raises(ValueError, match=told), sweeps.cluster(*given):
            pass
