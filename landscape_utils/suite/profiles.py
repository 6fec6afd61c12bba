"""What the sections say of their notebooks: profiles, rules for parameters, whose trainings they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from landscape_utils.kit.errors import unknown
from landscape_utils.suite.notebooks import PACKAGE, notebook_names

if TYPE_CHECKING:
    from landscape_utils.suite.session import Session
    from landscape_utils.training.recipes import RunSpec

Rule = tuple[Callable[[Any], object], str]
Profiles = dict[str, dict[str, Any]]

POSITIVE: Rule = (lambda value: value > 0, "it must be above 0")
ODD: Rule = (
    lambda value: value >= 3 and value % 2 == 1,
    "it must be odd and at least 3, so that the centre is a point",
)
SHARES: Rule = (lambda values: values and all(0 <= x <= 1 for x in values), "give shares between 0 and 1")


def at_least(least: int, why: str = "") -> Rule:
    """Make the rule that a number is not smaller."""
    return lambda value: value >= least, why or f"it must be at least {least}"


def increasing(least: float, words: str) -> Rule:
    """Make the rule that there are two numbers or more above one, each once, the smallest first."""
    return lambda v: len(v) > 1 and min(v) > least and list(v) == sorted(set(v)), words


def section(notebook: str) -> str:
    """Name a notebook's section: the notebook without its number."""
    return notebook.partition("_")[2]


def names() -> list[str]:
    """List the notebooks that have profiles."""
    return [name for name in notebook_names() if _has_profile(section(name))]


def _has_profile(folder: str) -> bool:
    return (PACKAGE / "sections" / folder / "profile.py").exists()


@cache
def _facts(notebook: str) -> ModuleType:
    if not _has_profile(section(notebook)):
        raise unknown("notebook", notebook, names())
    return import_module(f"landscape_utils.sections.{section(notebook)}.profile")


def profiles(notebook: str) -> Profiles:
    """Read a notebook's profiles, with those of the trainings that it reads.

    Raises:
        ValueError: no such notebook; the nearest names are given.
    """
    facts = _facts(notebook)
    shared = trainings(notebook)
    base = profiles(shared) if shared else {}
    own: Mapping[str, Mapping[str, Any]] = facts.PROFILES
    return {name: {**{k: v for k, v in base.get(name, {}).items() if k != "own"}, **own[name]} for name in own}


def trainings(notebook: str) -> str | None:
    """Name the notebook whose trainings a notebook reads; None where it has its own."""
    shared = getattr(_facts(notebook), "TRAININGS", None)
    return next(name for name in names() if section(name) == shared) if shared else None


def every_training(session: Session) -> dict[str, list[RunSpec]]:
    """List all that a notebook trains, by what it is for: what its section lists, or else a run a seed."""
    listed: Callable[[Session], dict[str, list[RunSpec]]] = _said(session, "every_training", type(session).specs)
    return listed(session)


def beside_runs(session: Session) -> dict[str, float]:
    """Predict in seconds what a notebook trains that is no run, by what it is for; most have nothing of the kind."""
    predicted: Callable[[Session], dict[str, float]] = _said(session, "beside_runs", lambda _: {})
    return predicted(session)


def _said(session: Session, function: str, otherwise: Callable[[Session], Any]) -> Callable[[Session], Any]:
    """Find a function of the section's study."""
    name = f"landscape_utils.sections.{section(session.notebook)}.study"
    return getattr(import_module(name), function, otherwise) if find_spec(name) else otherwise


def rules(notebook: str) -> dict[str, Rule]:
    """Read what a notebook's own numbers must be like."""
    return dict(getattr(_facts(notebook), "RULES", {}))


def datasets(notebook: str) -> tuple[str, ...]:
    """List the notebook's own parameters that name a dataset."""
    return tuple(getattr(_facts(notebook), "DATASETS", ()))


def in_order() -> list[str]:
    """List the notebooks so that trainings which several read are made first, and what reads all results comes last."""

    def place(notebook: str) -> tuple[bool, bool, str]:
        return getattr(_facts(notebook), "LAST", False), trainings(notebook) is not None, notebook

    return sorted(names(), key=place)
