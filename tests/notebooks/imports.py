"""Which modules of the package a notebook comes to, and what they say without comments and docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import grimp

from landscape_utils.suite.notebooks import PACKAGE

ROOM = PACKAGE.name


def reached(code: str, section: str) -> set[str]:
    """List the modules that code imports, and all of a section's, with all that these import in turn."""
    found = {module for module in (*_imported(code), *_house().find_descendants(section)) if module != ROOM}
    return found.union(*(_house().find_upstream_modules(module) for module in found)) - {ROOM}


@cache
def code_of(module: str) -> str:
    """Write a module's syntax tree, which comments, docstrings and layout leave as it is."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _imported(code: str) -> Iterator[str]:
    """Find the modules that code names: those it imports, and where what it takes from the package itself lies."""
    tree, offered = ast.parse(code), _offered()
    names = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names if a.name == ROOM}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{ROOM}."):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from [name if name in _house().modules else str(node.module) for name in inner]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield offered[node.attr]


@cache
def _offered() -> dict[str, str]:
    """Read from the stub where each public name lies."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    parts = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {alias.name: f"{ROOM}.{node.module}" for node in parts for alias in node.names}


@cache
def _house() -> grimp.ImportGraph:
    return grimp.build_graph(ROOM)
