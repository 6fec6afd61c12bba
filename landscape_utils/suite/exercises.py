"""Exercises whose answers check themselves; an unanswered one never stops "Run all"."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


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


def check_function(function: Callable[..., Any], expected: ArrayLike, *given: object, hint: str) -> str:
    """Compare what a reader's function returns with the numbers it should.

    Args:
        function: returns None while it is not written.
        expected: numbers of any shape.
        given: the function's arguments.
        hint: shown for wrong numbers.

    Returns:
        What to tell the reader; an error in the function is told, not raised.
    """
    try:
        answer = function(*given)
        if answer is None:
            return "Not answered yet: write the function and run the cell again."
        answer, expected = np.asarray(answer, dtype=float), np.asarray(expected, dtype=float)
    except Exception as error:  # the reader's own, of any kind
        return f"It ended with {type(error).__name__}: {error}"
    if answer.shape != expected.shape:
        return f"Its result has the shape {answer.shape}; {expected.shape} would be right. {hint}"
    return "Right." if np.allclose(answer, expected, rtol=1e-5, atol=1e-8, equal_nan=True) else f"Not quite. {hint}"
