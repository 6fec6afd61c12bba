"""One clear sentence for a name that does not exist: what was wrong, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: object, valid: Iterable[str]) -> ValueError:
    """Say that a name is unknown and which valid names are nearest to it.

    Args:
        kind: what the name was meant to name, e.g. "model".
        name: what was passed.
        valid: the names that would have been right.

    Returns:
        A ValueError to raise.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names
    hint = ", ".join(near[:12]) + (", ..." if len(near) > 12 else "")
    return ValueError(f"unknown {kind} {str(name)!r}; the nearest valid names are: {hint}")
