"""One clear sentence for a name that cannot be or a package that is not there: what would be right."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


def unknown(kind: str, name: object, valid: Iterable[str]) -> ValueError:
    """Return an error that names what is unknown and the valid names nearest to it.

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


def distinct(names: Iterable[object], what: str, count: int | None = None) -> tuple[str, ...]:
    """Return names as strings, or refuse two that are alike, or another number than `count`.

    Raises:
        ValueError: a name comes twice, or there are not `count` names.
    """
    given = tuple(map(str, names))
    if count is not None and len(given) != count:
        raise ValueError(f"{what}: {len(given)} names for {count}; give one name each")
    if len(set(given)) < len(given):
        twice = next(name for i, name in enumerate(given) if name in given[:i])
        raise ValueError(f"{what}: two are called {twice!r}; each needs a name of its own")
    return given


def require(package: str, extra: str) -> None:
    """Refuse to go on without a package that only one extra of this one brings.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"{package} is not installed; it comes with: pip install 'landscape-utils[{extra}]'")
