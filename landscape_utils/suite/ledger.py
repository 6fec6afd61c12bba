"""The papers' claims by id and their parts, gathered from the sections that judge them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SECTIONS = Path(__file__).parents[1] / "sections"


@dataclass(frozen=True)
class PartRule:
    """What a part of a claim asks for: one number, and the threshold it is held against.

    Attributes:
        what: is measured, in words.
        side: of the threshold on which the part is seen.
        threshold: as it stood before the result.
        set: when and by what it was chosen.
        form: how the number is written, as Python formats it.
        exact: an identity; the number is an error, and the threshold its tolerance.
        instrument: the datasets on which the part holds by construction, so that it is no evidence; `any` for all.
    """

    what: str
    side: Literal["above", "below"]
    threshold: float
    set: str
    form: str = ".2f"
    exact: bool = False
    instrument: Sequence[str] = ()

    @property
    def criterion(self) -> str:
        """Write side and threshold."""
        return f"{self.side} {self.threshold:{self.form}}"


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes:
        id: as in a section's `ledger.toml`, e.g. CI-1.
        short: it in a few words, for a sentence on many.
        statement: what is claimed, in one sentence of our own.
        source: paper and section.
        reported: the paper's number, where it gives one.
        picture: of the notebook that judges it, by its name without the notebook's; empty for none.
        parts: what each part of it asks for, by name.
    """

    id: str
    short: str
    statement: str
    source: str
    reported: str
    picture: str = ""
    parts: Mapping[str, PartRule] = field(default_factory=dict)

    @property
    def paper(self) -> str:
        """Name the paper."""
        return self.source.removeprefix("this project, beside ").split(",")[0]


def _read(path: Path) -> dict[str, Claim]:
    return {id: _claim(id, **fields) for id, fields in tomllib.loads(path.read_text()).items()}


def _claim(id: str, *, parts: Mapping[str, Any] | None = None, **fields: str) -> Claim:
    return Claim(id, parts={name: PartRule(**rule) for name, rule in (parts or {}).items()}, **fields)


CLAIMS = {id: claim for path in sorted(SECTIONS.glob("*/ledger.toml")) for id, claim in _read(path).items()}
