"""The papers' claims by id, gathered from the sections that judge them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

SECTIONS = Path(__file__).parents[1] / "sections"


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes:
        id: as in a section's `ledger.toml`, e.g. CI-1.
        statement: what is claimed, in one sentence of our own.
        source: paper and section.
        reported: the paper's number, where it gives one.
        picture: of the notebook that judges it, by its name without the notebook's; empty for none.
    """

    id: str
    statement: str
    source: str
    reported: str
    picture: str = ""


def _read(path: Path) -> dict[str, Claim]:
    return {id: Claim(id, **fields) for id, fields in tomllib.loads(path.read_text()).items()}


CLAIMS = {id: claim for path in sorted(SECTIONS.glob("*/ledger.toml")) for id, claim in _read(path).items()}
