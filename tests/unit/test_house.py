"""CONTRIBUTING.md shows the house as it is, and names only what there is."""

import re
import tomllib
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
