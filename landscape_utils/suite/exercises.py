"""Exercises whose answers check themselves; an unanswered one never stops "Run all"."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_utils.kit import Floats


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


def check_function(
    function: Callable[..., Any], expected: ArrayLike | Mapping[str, ArrayLike], *given: object, hint: str
) -> str:
    """Compare what a reader's function returns with the numbers it should.

    Args:
        function: returns None while it is not written, or a list with a None in it.
        expected: numbers of any shape, or some by name, as in a state dict.
        given: the function's arguments.
        hint: shown for wrong numbers.

    Returns:
        What to tell the reader; an error in the function is told, not raised.
    """
    try:
        answer = function(*given)
        if answer is None or (isinstance(answer, list) and None in answer):
            return "Not answered yet: write the function and run the cell again."
        found, wanted = _numbers(answer), _numbers(expected)
    except Exception as error:  # the reader's own, of any kind
        return f"It ended with {type(error).__name__}: {error}"
    if found.keys() != wanted.keys():
        return f"Its result has no entries of these names, or others beside them. {hint}"
    for name, right in wanted.items():
        if found[name].shape != right.shape:
            return f"Its result has the shape {found[name].shape}; {right.shape} would be right. {hint}"
    close = (np.allclose(found[k], wanted[k], rtol=1e-5, atol=1e-8, equal_nan=True) for k in wanted)
    return "Right." if all(close) else f"Not quite. {hint}"


def _numbers(values: Any) -> dict[str, Floats]:
    """Read numbers by name; a tensor's without its graph, and an empty name for those that have none."""
    named = values if isinstance(values, Mapping) else {"": values}
    bare = {name: value.detach() if isinstance(value, Tensor) else value for name, value in named.items()}
    return {name: np.asarray(value, dtype=float) for name, value in bare.items()}
