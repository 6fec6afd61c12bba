"""Draw the house as the code stands: `python -m tests.house` writes the drawing into CONTRIBUTING.md.

Rooms are the folders of the package; an arrow says that a module of the one imports from the other, anywhere in the
module. Arrows that follow from others are left out.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests import ROOT

PACKAGE, PAGE = ROOT / "landscape_utils", ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- the house, as `make house` draws it -->", "<!-- until here -->"


def imports(package: Path) -> dict[str, set[str]]:
    """List by room the other rooms that it imports.

    Raises:
        CycleError: rooms import one another in a circle, which has no top and no bottom.
    """
    rooms = sorted(path.parent.name for path in package.glob("*/__init__.py"))
    modules = {room: (package / room).rglob("*.py") for room in rooms}
    found = {
        room: {name for path in modules[room] for name in imported(path, package.name)} & {*rooms} - {room}
        for room in rooms
    }
    TopologicalSorter(found).prepare()
    return found


def imported(path: Path, package: str) -> Iterator[str]:
    """Give the first name below the package of all that a module imports, at its top, in a function or for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import; write it from {package} on"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith(f"{package}."))


def drawing(found: dict[str, set[str]]) -> str:
    """Draw rooms and arrows in Mermaid's words, top to bottom."""

    def below(room: str) -> set[str]:
        return found[room].union(*map(below, found[room]))

    top_down = sorted(found, key=lambda room: (-len(below(room)), room))
    arrows = [
        f"    {room} --> {other}"
        for room in top_down
        for other in top_down
        if other in found[room] and not any(other in below(between) for between in found[room])
    ]
    return "\n".join(["```mermaid", "graph TD", *(f"    {room}" for room in top_down), *arrows, "```"])


def redrawn(page: str, package: Path = PACKAGE) -> str:
    """Put the drawing between a page's two marks.

    Raises:
        ValueError: the page does not have both marks, each once.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{drawing(imports(package))}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text()))
