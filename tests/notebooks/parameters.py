"""Write docs/parameters.md from the notebooks' parameter cells: `python -m tests.notebooks.parameters`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_utils.kit.files import write_atomically
from landscape_utils.suite import claims, notebooks, profiles
from tests import ROOT

PAGE = ROOT / "docs" / "parameters.md"
HEAD = """# Parameters

Written by `make notebooks` from the notebooks' parameter cells and profiles; not to be edited.

`landscape run 01_cctm -p epochs=30 -p architectures=resnet20,dla` sets them; they are checked before anything runs.
`None` means what the profile says, which stands beside it. What stands there is not always one value for all networks:
`landscape run 01_cctm --dry-run` says what a choice would train, and what it would cost."""


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page().encode())


def page() -> str:
    """Write a table a notebook: name, type, what it means, default, and its value at the profiles."""
    blocks = [HEAD]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        beside = profiles.profiles(path.stem)
        shown = [profile for profile in ("quick", "laptop") if profile in beside]
        helps = meanings(path)
        rows = [
            [f"`{p.name}`", f"`{p.annotation}`", helps[p.name], f"`{p.default!r}`"]
            + [at_profile(beside[profile], p) for profile in shown]
            for p in notebooks.parameters(path).values()
        ]
        blocks += [f"## {path.stem}", f"Profiles: {', '.join(f'`{name}`' for name in beside)}."]
        blocks.append(claims.table(["parameter", "type", "meaning", "default", *shown], rows))
    return "\n\n".join(blocks) + "\n"


def meanings(path: Path) -> dict[str, str]:
    """Read what stands behind the types of a notebook's parameters."""
    (cell,) = [c["source"] for c in notebooks.read_notebook(path)["cells"] if "parameters" in c["tags"]]
    return dict(re.findall(r"^(\w+) = .*?# type: \S+ ?(.*)$", cell, flags=re.M))


def at_profile(profile: Mapping[str, Any], parameter: notebooks.Parameter) -> str:
    """Write the value that a profile gives a parameter; nothing where it gives none."""
    values = {**profile, **profile.get("own", {})}
    value = values.get(parameter.name, values.get("recipes") if parameter.name == "recipe" else None)
    return f"`{value!r}`" if parameter.default is None and value is not None else ""


if __name__ == "__main__":
    main()
