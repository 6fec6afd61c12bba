"""CONTRIBUTING.md shows the house as it is, and names only what there is."""

import ast
import re
import tomllib
from collections import defaultdict
from graphlib import CycleError
from itertools import chain
from pathlib import Path

import pytest

from tests import ROOT, house

TEXT = house.PAGE.read_text()
PARAGRAPHS = dict(re.findall(r"^\*\*(\w+)\*\* (.*?)(?=\n\n)", TEXT, flags=re.M | re.S))


def build(package: Path, modules: dict[str, str]) -> Path:
    for name, source in modules.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    return package


def test_the_drawing_is_of_the_code_as_it_stands() -> None:
    assert house.redrawn(TEXT) == TEXT, "run `make house`"


def test_imports_are_found_wherever_they_stand_and_arrows_that_follow_from_others_left_out(tmp_path: Path) -> None:
    modules = {
        "attic/a.py": "from pkg import hall\nimport pkg.cellar.a\nimport hall.kitchen, numpy",
        "hall/deep/a.py": "def f():\n    from pkg.cellar import a\n    from pkg.hall.deep import a as b",
        "cellar/a.py": "if TYPE_CHECKING:\n    import pkg\n    from pkg.nowhere import a",
        "shed/a.py": "",
    }
    found = house.imports(build(tmp_path / "pkg", modules | {"hall/a.py": ""}))
    assert found == {"attic": {"hall", "cellar"}, "cellar": set(), "hall": {"cellar"}, "shed": set()}
    lines = [line.strip() for line in house.drawing(found).splitlines()[2:-1]]
    assert lines == ["attic", "hall", "cellar", "shed", "attic --> hall", "hall --> cellar"]


def test_a_circle_and_a_page_without_marks_are_refused(tmp_path: Path) -> None:
    modules = {"attic/a.py": "import pkg.hall.a", "hall/a.py": "import pkg.attic.a"}
    with pytest.raises(CycleError):
        house.imports(build(tmp_path / "pkg", modules))
    with pytest.raises(ValueError, match="unpack"):
        house.redrawn("no marks")


def test_every_room_has_its_paragraph_which_allows_what_the_linter_allows() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [[re.findall(r"\w+", layer) for layer in c["layers"]] for c in contracts if c["type"] == "layers"]
    allowed = {room: {*chain(*layers[i + 1 :])} for i, layer in enumerate(layers) for room in layer}
    for contract in contracts:
        if contract["type"] == "forbidden":
            for source in contract["source_modules"]:
                allowed[source.split(".")[1]] -= {name.split(".")[1] for name in contract["forbidden_modules"]}
    said = {room: " ".join(text.split()).partition("May import:")[2] for room, text in PARAGRAPHS.items()}
    assert {room: set(re.findall(r"`(\w+)`", names)) for room, names in said.items()} == allowed
    assert allowed.keys() == house.imports(house.PACKAGE).keys()


def test_files_and_targets_that_it_names_exist() -> None:
    named = re.findall(r"`((?:landscape_utils|notebooks|tests)/[\w/.]+)`", TEXT)
    assert [name for name in named if not (ROOT / name).exists()] == ["tests/unit/sections/name"]  # of the how-to
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert set(re.findall(r"\bmake ([a-z]+)", TEXT)) <= set(targets)


def test_a_types_name_has_one_meaning() -> None:
    homes = defaultdict[str, list[str]](list)
    for path in sorted((ROOT / "landscape_utils").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            name = node.name if isinstance(node, ast.ClassDef) else _alias(node)
            if name:
                homes[name].append(path.name)
    assert len(homes) > 60
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def _alias(node: ast.stmt) -> str | None:
    """Return the name that an assignment gives to a type; a constant's is all in capitals."""
    if isinstance(node, ast.Assign) and isinstance(name := node.targets[0], ast.Name) and name.id[0].isupper():
        return None if name.id.isupper() else name.id
    return None
