"""The project's own files agree with one another."""

import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import yaml

from tests import ROOT

# conda-forge's name: the index's name
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "playwright-python": "playwright"}


def split(requirement: str) -> tuple[str, str]:
    name, bound = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
    return CONDA_NAMES.get(name, name), bound


def requirements(project: dict[str, Any]) -> list[str]:
    """List what a full environment holds: all but the peers that only the benchmarks need."""
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["app"], *extras["cluster"], *extras["dev"]]


def test_environment_yml_and_pyproject_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(map(split, requirements(project)))
    wanted["python"] = project["requires-python"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge"]
    *names, others = conda["dependencies"]
    *indexed, package = others["pip"]  # what conda-forge lacks, and the package itself
    assert package == "-e ."
    assert {k: v for k, v in map(split, [*names, *indexed]) if k != "pip"} == wanted


def test_the_lock_pins_every_dependency_with_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", lock, flags=re.M))
    for requirement in requirements(project):
        assert split(requirement)[0] in pinned
    entries = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", lock, flags=re.M | re.S)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock


def modules(folder: Path, pattern: str) -> set[str]:
    """List the modules in and below a folder by their paths."""
    found = [path.relative_to(folder).with_suffix("") for path in folder.rglob(pattern)]
    return {path.with_name(path.name.removeprefix("test_")).as_posix() for path in found if path.name != "__init__"}


def test_unit_tests_mirror_the_package_path_for_path() -> None:
    package, tests = ROOT / "landscape_utils", ROOT / "tests" / "unit"
    rooms = {path for path in modules(tests, "test_*.py") if "/" in path}
    # What a section says of its notebook is tested where it is read, for all sections alike.
    assert {path for path in modules(package, "*.py") if not path.endswith("/profile")} == rooms


def test_licence_and_citation() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert len(citation["references"]) == 4
    assert citation["license"] == "BSD-3-Clause"


def test_the_first_cell_of_code_installs_the_package_in_colab_and_does_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notebooks = [nbformat.read(path, as_version=4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    (source,) = {next(cell.source for cell in notebook.cells if cell.cell_type == "code") for notebook in notebooks}
    asked: list[tuple[str, str]] = []
    shell = SimpleNamespace(run_line_magic=lambda *given: asked.append(given))
    exec(source, {"get_ipython": lambda: shell})  # the notebooks' own
    assert not asked
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    exec(source, {"get_ipython": lambda: shell})
    assert asked == [("pip", "install --quiet landscape-utils")]
