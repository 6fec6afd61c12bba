"""Exercises whose answers check themselves; an unanswered one never stops "Run all"."""

from __future__ import annotations

import math


def check(answer: object, expected: object, *, hint: str, tolerance: float = 0.0) -> str:
    """Compare an answer with the computed one.

    Args:
        answer: what the reader filled in; None while it is open.
        expected: a number or a text, computed by the notebook.
        hint: shown for a wrong answer.
        tolerance: absolute, for numbers.

    Returns:
        What to tell the reader.
    """
    if answer is None:
        return "Not answered yet: put your answer in place of None and run the cell again."
    if isinstance(expected, int | float) and isinstance(answer, int | float):
        right = math.isclose(answer, expected, rel_tol=0, abs_tol=tolerance)
    else:
        right = str(answer).strip().lower() == str(expected).strip().lower()
    return "Right." if right else f"Not quite. {hint}"
