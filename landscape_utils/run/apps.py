"""The notebooks' panels without their code, for Voila to serve."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from landscape_utils.data.sources import is_path
from landscape_utils.kit import store
from landscape_utils.kit.files import home, write_atomically
from landscape_utils.run import app_index
from landscape_utils.suite.notebooks import read_notebook

# Voila's pages ask another host for icons; with this they do not, and a room without a network waits for nothing.
POLICY = "default-src 'self' data: blob: ws: wss: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
SETTINGS = {"Voila": {"tornado_settings": {"headers": {"Content-Security-Policy": POLICY}}}}
PANEL, KEY_POINT = "panel", "> **Key point.**"
TEMPLATES = "jupyter"  # folder beside the pages
BACK = "[All panels](../tree)"


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
    app_index.write_template([path for path, _ in jobs], folder / TEMPLATES)
    return folder


def _anywhere(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make paths absolute, for Voila's kernels run in the folder of the pages."""
    paths = {name: value for name, value in given.items() if isinstance(value, str) and is_path(value)}
    return {**given, **{name: str(Path(value).expanduser().resolve()) for name, value in paths.items()}}


def page(path: Path, given: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Make a notebook of a notebook's panel alone: of the cells tagged `parameters` or `panel`.

    Raises:
        ValueError: no cell tagged `panel` ends with that name.
    """
    notebook = read_notebook(path)
    sources = [_with(given, cell) for cell in notebook["cells"] if {PANEL, "parameters"} & {*cell["tags"]}]
    if not sources or not sources[-1].endswith(f"\n{PANEL}"):
        raise ValueError(
            f"{path} has no panel; tag the cells it needs `{PANEL}`, and end the last with a line that says `{PANEL}`"
        )
    texts = [t for c in notebook["cells"] if c["cell_type"] == "markdown" for t in c["source"].split("\n\n")]
    said = [BACK, *texts[:2], next((t for t in texts if t.startswith(app_index.QUESTION)), "")]
    cells = [
        nbformat.v4.new_markdown_cell("\n\n".join(said)),
        nbformat.v4.new_code_cell("\n".join(["%%capture", *sources])),
        nbformat.v4.new_code_cell(PANEL),
        nbformat.v4.new_markdown_cell(next((t for t in texts if t.startswith(KEY_POINT)), "")),
    ]
    made: nbformat.NotebookNode = nbformat.v4.new_notebook(
        cells=cells, metadata=nbformat.from_dict(notebook["metadata"])
    )
    return made


def _with(given: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """Return a cell's code; after the parameters, those that were given."""
    values = given if "parameters" in cell["tags"] else {}
    return "\n".join([cell["source"], *(f"{name} = {value!r}" for name, value in values.items())])


def serve(folder: Path, *, ip: str, port: int) -> None:
    """Become Voila's server of a folder of pages; who comes without the token is let in nowhere.

    The token is `$JUPYTER_TOKEN`, or a fresh one; it is handed on by the environment, which other users cannot read.
    """
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "voila", str(folder), "--no-browser", f"--port={port}", "--Voila.port_retries=0"]
    command += [f"--Voila.ip={ip}", "--Voila.auto_token=True", "--show_tracebacks=True"]
    command += [f"--template={app_index.TEMPLATE}"]
    # A visitor who is gone takes no memory for long.
    command += ["--MappingKernelManager.cull_idle_timeout=900", "--MappingKernelManager.cull_interval=60"]
    print(f"panels at http://{ip}:{port}/?token={token}", flush=True)
    paths = {"JUPYTER_CONFIG_PATH": folder, "JUPYTER_PATH": folder / TEMPLATES}
    first = {name: os.pathsep.join([str(path), *filter(None, [os.environ.get(name)])]) for name, path in paths.items()}
    os.execve(sys.executable, command, {**os.environ, **first, "JUPYTER_TOKEN": token})
