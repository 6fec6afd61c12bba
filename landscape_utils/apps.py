"""The notebooks' panels without their code, for Voila to serve."""

from __future__ import annotations

import ast
import json
import os
import secrets
import symtable
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from landscape_utils import store
from landscape_utils.files import home, write_atomically
from landscape_utils.sources import is_path

# Voila's pages ask another host for icons; with this they do not, and a room without a network waits for nothing.
POLICY = "default-src 'self' data: blob: ws: wss: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
SETTINGS = {"Voila": {"tornado_settings": {"headers": {"Content-Security-Policy": POLICY}}}}
PANEL, QUESTION, KEY_POINT = "panel", "**Question.**", "> **Key point.**"


def prepare(jobs: Sequence[tuple[Path, Mapping[str, Any]]]) -> Path:
    """Write one page a notebook: its title, the question, the panel and the key point.

    Args:
        jobs: notebooks, and the parameters of each that differ from its defaults.

    Returns:
        The folder of the pages.

    Raises:
        ValueError: a notebook has no panel.
    """
    key = store.digest({str(path.resolve()): _anywhere(given) for path, given in jobs})[:12]
    folder = home() / "app" / key
    for path, given in jobs:
        write_atomically(folder / path.name, nbformat.writes(page(path, _anywhere(given))).encode())
    write_atomically(folder / "voila.json", json.dumps(SETTINGS).encode())
    return folder


def _anywhere(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make paths absolute, for Voila's kernels run in the folder of the pages."""
    paths = {name: value for name, value in given.items() if isinstance(value, str) and is_path(value)}
    return {**given, **{name: str(Path(value).expanduser().resolve()) for name, value in paths.items()}}


def page(path: Path, given: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Make a notebook of a notebook's panel alone; only what the panel needs is computed.

    Raises:
        ValueError: no cell ends with the name `panel`.
    """
    notebook = nbformat.read(path, as_version=4)
    last = [i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and c.source.endswith(f"\n{PANEL}")]
    if not last:
        raise ValueError(f"{path} has no panel; end a cell with a line that says `{PANEL}`")
    sources = [_with(given, c) for c in notebook.cells[: last[0] + 1] if c.cell_type == "code"]
    texts = [part for c in notebook.cells if c.cell_type == "markdown" for part in c.source.split("\n\n")]
    said = [*texts[:2], next((t for t in texts if t.startswith(QUESTION)), "")]
    cells = [
        nbformat.v4.new_markdown_cell("\n\n".join(said)),
        nbformat.v4.new_code_cell("%%capture\n" + needed("\n".join(sources), PANEL)),
        nbformat.v4.new_code_cell(PANEL),
        nbformat.v4.new_markdown_cell(next((t for t in texts if t.startswith(KEY_POINT)), "")),
    ]
    made: nbformat.NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    return made


def _with(given: Mapping[str, Any], cell: nbformat.NotebookNode) -> str:
    """Give a cell's code; after the parameters, those that were given."""
    told = given if "parameters" in cell.metadata.get("tags", []) else {}
    return "\n".join([cell.source, *(f"{name} = {value!r}" for name, value in told.items())])


def needed(code: str, name: str) -> str:
    """Leave out the statements on which a name does not depend.

    A statement stays if it binds, or puts something into, a name that is used further down by one that stays.
    Statements that do neither, such as calls that draw or save, go.
    """
    wanted, kept = {name}, []
    for statement in reversed(ast.parse(code).body):
        text = ast.unparse(statement)
        bound, used = _names(symtable.symtable(text, "<cell>", "exec"))
        if (bound | _filled(statement)) & wanted:
            kept.append(text)
            if isinstance(statement, ast.Assign | ast.Import | ast.ImportFrom | ast.FunctionDef):
                wanted -= bound - _filled(statement)  # what stood there before is of no use any more
            wanted |= used
    return "\n".join(reversed(kept))


def _names(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Give the notebook's names that a statement binds, and those that it uses, in functions and comprehensions too."""
    symbols = table.get_symbols()
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in symbols if s.is_referenced()}
    inner = [_names(child)[1] & _globals(child) for child in table.get_children()]
    return bound, used.union(*inner)


def _globals(table: symtable.SymbolTable) -> set[str]:
    here = {s.get_name() for s in table.get_symbols() if s.is_global()}
    return here.union(*map(_globals, table.get_children()))


def _filled(statement: ast.stmt) -> set[str]:
    """Give the names into which a statement puts something: `name[...] = `, `name.x = `, `name |= `."""
    into = [n.value for n in ast.walk(statement) if isinstance(n, ast.Subscript | ast.Attribute) and _stores(n)]
    into += [n.target for n in ast.walk(statement) if isinstance(n, ast.AugAssign)]
    return {n.id for n in into if isinstance(n, ast.Name)}


def _stores(node: ast.Subscript | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def serve(folder: Path, *, ip: str, port: int) -> None:
    """Become Voila's server of a folder of pages; who comes without the token is let in nowhere.

    The token is `$JUPYTER_TOKEN`, or a fresh one; it is handed on by the environment, which other users cannot read.
    """
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "voila", str(folder), "--no-browser", f"--port={port}", "--Voila.port_retries=0"]
    command += [f"--Voila.ip={ip}", "--Voila.auto_token=True", "--show_tracebacks=True"]
    # A visitor who is gone takes no memory for long.
    command += ["--MappingKernelManager.cull_idle_timeout=900", "--MappingKernelManager.cull_interval=60"]
    print(f"panels at http://{ip}:{port}/?token={token}", flush=True)
    settings = os.pathsep.join([str(folder), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])])
    os.execve(sys.executable, command, {**os.environ, "JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": settings})
