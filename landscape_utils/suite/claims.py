"""How a claim was measured here, and the verdict.

A criterion is stated with its verdict; a claim that fails says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import stdtrit

from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import write_atomically
from landscape_utils.suite.ledger import CLAIMS

Verdict = Literal["reproduced", "not reproduced", "undecided", "not testable here"]
LEAST_SEEDS = 3  # with fewer, an interval over seeds is too wide to decide anything


@dataclass(frozen=True)
class Judgement:
    """A claim's measurement and verdict.

    Attributes:
        id: the claim.
        criterion: what had to hold, as chosen beforehand.
        measured: the numbers, in words.
        verdict: reproduced, not reproduced, undecided, or not testable here.
        effect: the effect size the criterion looks at.
        interval: its 95 % interval.
        reason: why it is undecided or cannot be tested here, or what limits the verdict.
        clear: the criterion is met or missed by a margin that another processor's rounding would not change.
    """

    id: str
    criterion: str
    measured: str
    verdict: Verdict
    effect: float
    interval: tuple[float, float] | None = None
    reason: str = ""
    clear: bool = True

    def __str__(self) -> str:
        """Return the verdict; only a clear one, so that notebooks can be compared between processors."""
        return f"{self.id}: {self.verdict}" if self.clear else f"{self.id}: close to its criterion"


def judge(
    claim: str,
    *,
    criterion: str,
    measured: str,
    holds: bool | None,
    effect: float = math.nan,
    interval: tuple[float, float] | None = None,
    reason: str = "",
    clear: bool = True,
    seeds: int = LEAST_SEEDS,
) -> Judgement:
    """Turn a measurement into a verdict.

    Args:
        claim: id in `CLAIMS`.
        criterion: what had to hold.
        measured: the numbers, in words.
        holds: whether it held; None when it cannot be tested here, and then `reason` says why.
        effect, interval, reason, clear: as in `Judgement`.
        seeds: how many values an interval over seeds rests on; with fewer than three the claim is undecided.

    Raises:
        ValueError: an unknown claim, or no reason for a claim that is not testable.
    """
    if claim not in CLAIMS:
        raise unknown("claim", claim, CLAIMS)
    if seeds < LEAST_SEEDS:
        few = f"too few seeds: {seeds} of at least {LEAST_SEEDS}" + (f"; {reason}" if reason else "")
        return Judgement(claim, criterion, measured, "undecided", float(effect), interval, few)
    if holds is None and not reason:
        raise ValueError(f"{claim} has no verdict and no reason; say why it is not testable here")
    verdict: Verdict = "not testable here" if holds is None else "reproduced" if holds else "not reproduced"
    return Judgement(claim, criterion, measured, verdict, float(effect), interval, reason, bool(clear))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    interval = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def student(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return Student's 95 % interval of a mean, without bounds for fewer than two values."""
    if len(values) < 2:
        return -math.inf, math.inf
    reach = float(stdtrit(len(values) - 1, 0.975)) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


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
    return float(stats.spearmanr(x, y).statistic)


def save(judgements: Sequence[Judgement], path: Path, provenance: dict[str, Any]) -> None:
    """Write judgements and what they rest on (profile, data, seeds, machine, versions) as JSON."""
    rows = [{**asdict(j), "effect": _number(j.effect), "interval": _interval(j.interval)} for j in judgements]
    payload = {"about": provenance, "claims": rows}
    write_atomically(path, json.dumps(payload, indent=1, allow_nan=False).encode())


def _number(value: float) -> float | None:
    """Return JSON's null for what is no number."""
    return value if math.isfinite(value) else None


def _interval(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return interval if interval and all(map(math.isfinite, interval)) else None


def load(path: Path) -> tuple[list[Judgement], dict[str, Any]]:
    """Read what `save` wrote."""
    try:
        content = json.loads(path.read_text())
        listed, provenance = content["claims"], content["about"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no claims; run the notebook again to write them") from error
    rows = []
    for row in listed:
        row["effect"] = math.nan if row["effect"] is None else row["effect"]
        row["interval"] = tuple(row["interval"]) if row["interval"] else None
        rows.append(Judgement(**row))
    return rows, dict(provenance)


def markdown_table(judgements: Sequence[Judgement]) -> str:
    """Write the paper beside this run, one claim a row."""
    lines = ["| claim | the paper | this run | criterion | verdict |", "|---|---|---|---|---|"]
    for j in judgements:
        claim = CLAIMS[j.id]
        verdict = f"**{j.verdict}**" + (f" ({j.reason})" if j.reason else "")
        cells = (
            f"{j.id} {claim.statement}",
            f"{claim.reported} ({claim.source})",
            j.measured,
            j.criterion,
            verdict,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
