"""Judgements of one part, for what is done with them."""

from __future__ import annotations

import math

from landscape_utils.suite.claims import Judgement, Part, PartVerdict
from landscape_utils.suite.ledger import CLAIMS


def of_one_part(
    claim: str,
    verdict: PartVerdict = "seen",
    *,
    measured: str = "m",
    criterion: str = "c",
    effect: float = math.nan,
    interval: tuple[float, float] | None = None,
    reason: str = "",
) -> Judgement:
    """Make a judgement whose only part is called what the claim is."""
    return Judgement(claim, (Part("", CLAIMS[claim].short, measured, criterion, verdict, effect, interval, reason),))
