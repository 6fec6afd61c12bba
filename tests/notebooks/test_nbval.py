"""The committed notebooks say what a fresh run says: nbval, cell by cell."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from landscape_utils.run import costs, execute
from landscape_utils.suite import profiles
from tests import ROOT

wide = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="the outputs are those of a processor with AVX-512: without it the quick profile takes an hour, and "
    "networks of the same seed may end in other solutions",
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def nbval(path: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests/notebooks/sanitize.cfg'}", "-p", "no:cacheprovider", str(path)]
    # `-c /dev/null`: the project's own pytest settings are for its tests, not for kernels.
    command += ["-c", "/dev/null", f"--rootdir={path.parent}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


@wide
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_committed_outputs_are_what_a_run_gives(
    path: Path, notebook_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = nbval(path, notebook_environment)
    assert result.returncode == 0, result.stdout[-5000:]
    if session := execute.session_of(path, {}):
        monkeypatch.setenv("LANDSCAPE_HOME", notebook_environment["LANDSCAPE_HOME"])
        listed = profiles.every_training(session)
        assert not {name: left for name, specs in listed.items() if (left := costs.left_of(specs, set()))}
        assert not any(profiles.beside_runs(session).values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_committed_notebook_carries_outputs_without_errors(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(c.execution_count for c in cells)
    kinds = [o.output_type for c in cells for o in c.outputs]
    assert "error" not in kinds
    assert any("image/png" in o.get("data", {}) for c in cells for o in c.outputs)
    assert not any(o.get("name") == "stderr" for c in cells for o in c.outputs)
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_where_no_kernel_runs_the_panel_is_a_picture(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    (panel,) = [c for c in cells if c.cell_type == "code" and c.source.endswith("\npanel")]
    kinds = [kind for output in panel.outputs for kind in output.get("data", {})]
    assert "image/png" in kinds
    assert not [kind for kind in kinds if "widget" in kind]


BREAKS = {
    "an exception": ("print(data.sizes)", "raise RuntimeError('broken on purpose')"),
    "another output": ("print(data.sizes)", "print('other data')"),
}


@wide
@pytest.mark.parametrize("harm", BREAKS)
def test_nbval_fails_on_a_cell_broken_on_purpose(
    harm: str, tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    old, new = BREAKS[harm]
    notebook = nbformat.read(ROOT / "notebooks" / "01_cctm.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "print(data.sizes)" in c.source]
    assert old in cell.source
    cell.source = cell.source.replace(old, new)
    notebook.cells = notebook.cells[: notebook.cells.index(cell) + 1]
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    result = nbval(tmp_path / "broken.ipynb", notebook_environment)
    assert result.returncode == 1
    assert "1 failed" in result.stdout or "failed" in result.stdout.splitlines()[-1]
