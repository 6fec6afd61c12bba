"""A claim's parts as they were measured here, and the verdicts.

A part is one number with its 95 % interval over seeds against a threshold that stood before the result. The record of
all parts is what cards, tables, reports and sweeps are written from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import write_atomically
from landscape_utils.suite.ledger import CLAIMS, PartRule

PartVerdict = Literal["seen", "not seen", "undecided", "exact", "not tested"]
Verdict = Literal["reproduced", "partly reproduced", "not reproduced", "undecided", "not tested"]
LEAST_SEEDS = 3  # with fewer, an interval over seeds is too wide to decide anything


@dataclass(frozen=True)
class Part:
    """One number of a claim, against its threshold.

    Attributes:
        name: within its claim.
        what: is measured, in words.
        measured: the number, in words.
        criterion: what had to hold, in words.
        verdict: seen, not seen, undecided, exact, or not tested.
        effect: the number, a mean over the seeds; NaN for none.
        interval: its 95 % interval; None for none.
        reason: why it is undecided or not tested, or what limits the verdict.
        set: when its threshold was chosen.
        instrument: it holds by construction of the data, and is no evidence.
    """

    name: str
    what: str
    measured: str
    criterion: str
    verdict: PartVerdict
    effect: float = math.nan
    interval: tuple[float, float] | None = None
    reason: str = ""
    set: str = ""
    instrument: bool = False


@dataclass(frozen=True)
class Judgement:
    """A claim by its parts.

    Attributes:
        id: the claim.
        parts: one at least.
        note: what stands beside, in words.
    """

    id: str
    parts: tuple[Part, ...]
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Return what the parts say together.

        Reproduced is a claim of which every part is seen or exact, and partly reproduced one of which some are;
        otherwise one part that is not seen outweighs those that are undecided, and these those that are not tested.
        """
        verdicts = {part.verdict for part in self.parts}
        if verdicts & {"seen", "exact"}:
            return "reproduced" if verdicts <= {"seen", "exact"} else "partly reproduced"
        if "not seen" in verdicts:
            return "not reproduced"
        return "undecided" if "undecided" in verdicts else "not tested"

    @property
    def part(self) -> Part:
        """Return the only part of a claim that has one."""
        (only,) = self.parts
        return only


def judged(claim: str, *, note: str = "", **measured: ArrayLike | str) -> Judgement:
    """Hold what was measured against the thresholds of a claim's parts.

    Args:
        claim: id in `CLAIMS`, of a claim with parts.
        note: what stands beside, in words.
        measured: by part, the number, one a seed (NaN where a seed has none), or in words why it was not tested.

    Raises:
        ValueError: an unknown claim or part, or a part that is missing.
    """
    if claim not in CLAIMS:
        raise unknown("claim", claim, CLAIMS)
    rules = CLAIMS[claim].parts
    for name in measured.keys() - rules.keys():
        raise unknown(f"part of {claim}", name, rules)
    for name in rules.keys() - measured.keys():
        raise ValueError(f"{claim} has a part {name!r}; give its numbers, or why it was not tested")
    return Judgement(claim, tuple(_part(name, rule, measured[name]) for name, rule in rules.items()), note)


def _part(name: str, rule: PartRule, measured: ArrayLike | str) -> Part:
    common = Part(name, rule.what, "-", rule.criterion, "not tested", set=rule.set)
    if isinstance(measured, str):
        return replace(common, reason=measured)
    every = np.atleast_1d(np.asarray(measured, dtype=float))
    values = every[np.isfinite(every)]
    if not len(values):
        return replace(common, reason="no seed has such a number", verdict="not seen" if rule.exact else "not tested")
    words, effect = mean_text(values, rule.form), float(values.mean())
    if rule.exact:
        holds = len(values) == len(every) and float(values.max()) < rule.threshold
        return replace(common, measured=words, effect=effect, verdict="exact" if holds else "not seen")
    interval = student(values)
    few = f"too few seeds: {len(values)} of at least {LEAST_SEEDS}" if len(values) < LEAST_SEEDS else ""
    without = f"{len(every) - len(values)} of {len(every)} seeds have none" if len(values) < len(every) else ""
    return replace(
        common,
        measured=words,
        effect=effect,
        interval=interval if len(values) > 1 else None,
        verdict="undecided" if few else decide(interval, rule),
        reason=few or without,
    )


def decide(interval: tuple[float, float], rule: PartRule) -> PartVerdict:
    """Return on which side of a threshold an interval lies; undecided where it holds the threshold."""
    low, high = interval
    if low <= rule.threshold <= high:
        return "undecided"
    return "seen" if (low > rule.threshold) == (rule.side == "above") else "not seen"


def on(dataset: str, judgement: Judgement) -> Judgement:
    """Mark the parts that hold by construction of a dataset."""
    rules = CLAIMS[judgement.id].parts
    by_construction = {name for name, rule in rules.items() if {dataset, "any"} & set(rule.instrument)}
    return replace(judgement, parts=tuple(replace(p, instrument=p.name in by_construction) for p in judgement.parts))


def student(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return Student's 95 % interval of a mean, without bounds for fewer than two values."""
    if len(values) < 2:
        return -math.inf, math.inf
    reach = float(stdtrit(len(values) - 1, 0.975)) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def over_seeds(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means over seeds, and how far Student's 95 % intervals reach from them.

    Args:
        values: shape (seeds, places); NaN where a seed has no number.

    Returns:
        Both of shape (places,): NaN for a mean of no number, 0 for the reach of fewer than two.
    """
    known = [column[np.isfinite(column)] for column in values.T]
    means = np.array([column.mean() if len(column) else np.nan for column in known])
    ends = np.array([student(column)[1] if len(column) > 1 else np.nan for column in known])
    return means, np.nan_to_num(ends - means)


def mean_text(values: NDArray[np.float64], digits: str = ".2f") -> str:
    """Write a mean over seeds with Student's 95 % interval; one value stands alone, and none is a dash."""
    if not len(values):
        return "-"
    low, high = student(values)
    return f"{np.mean(values):{digits}}" + (f" ({low:{digits}} to {high:{digits}})" if len(values) > 1 else "")


def rank_correlation(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return Spearman's rank correlation; NaN where one side has no order."""
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return math.nan
    ranks = pd.DataFrame({"x": x, "y": y}).rank()
    return float(np.corrcoef(ranks, rowvar=False)[0, 1])


def save(judgements: Sequence[Judgement], path: Path, provenance: dict[str, Any]) -> None:
    """Write judgements and what they rest on (profile, data, seeds, machine, versions) as JSON."""
    payload = {"about": provenance, "claims": [_row(judgement) for judgement in judgements]}
    write_atomically(path, json.dumps(payload, indent=1, allow_nan=False).encode())


def _row(judgement: Judgement) -> dict[str, Any]:
    parts = [{**asdict(p), "effect": _number(p.effect), "interval": _interval(p.interval)} for p in judgement.parts]
    return {"id": judgement.id, "verdict": judgement.verdict, "note": judgement.note, "parts": parts}


def _number(value: float) -> float | None:
    """Return JSON's null for what is no number."""
    return value if math.isfinite(value) else None


def _interval(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return interval if interval and all(map(math.isfinite, interval)) else None


def load(path: Path) -> tuple[list[Judgement], dict[str, Any]]:
    """Read what `save` wrote."""
    try:
        content = json.loads(path.read_text())
        judgements = [Judgement(row["id"], tuple(map(_read, row["parts"])), row["note"]) for row in content["claims"]]
        return judgements, dict(content["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no claims; run the notebook again to write them") from error


def _read(row: dict[str, Any]) -> Part:
    effect = math.nan if row["effect"] is None else row["effect"]
    return Part(**{**row, "effect": effect, "interval": tuple(row["interval"]) if row["interval"] else None})


def card(judgement: Judgement) -> str:
    """Write one claim as it is judged, a part a row."""
    rows = [
        [f"**{judgement.id}**: {CLAIMS[judgement.id].short}" if not i else "", *cells(part)]
        for i, part in enumerate(judgement.parts)
    ]
    note = f"\n\n{judgement.note}" if judgement.note else ""
    return table(["claim", "part", "measured", "threshold", "verdict"], rows) + note


def markdown_table(judgements: Sequence[Judgement]) -> str:
    """Write the papers beside this run, one part a row; a claim's own verdict stands with its first part."""
    rows = []
    for judgement in judgements:
        claim = CLAIMS[judgement.id]
        for i, part in enumerate(judgement.parts):
            head = (f"{claim.id} {claim.statement} **{judgement.verdict}**", f"{claim.reported} ({claim.source})")
            rows.append([*(head if not i else ("", "")), *cells(part)])
    return table(["claim", "the paper", "part", "this run", "threshold", "verdict"], rows)


def cells(part: Part) -> list[str]:
    """Write a part as a row: what is measured, the number, the threshold, the verdict."""
    about = "; ".join(filter(None, [part.reason, "checks the instrument" if part.instrument else ""]))
    verdict = f"**{part.verdict}**" + (f" ({about})" if about else "")
    return [part.what if part.name else "", part.measured, part.criterion, verdict]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
