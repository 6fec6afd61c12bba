import ast
import builtins
import os
import symtable
from pathlib import Path

import nbformat
import pytest

from landscape_utils.run import apps, execute
from tests import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_gives_a_page(path: Path) -> None:
    made = apps.page(path, {"profile": "quick"})
    title, code, panel, key_point = (cell.source for cell in made.cells)
    assert title.startswith("[All panels](../tree)\n\n# ")
    assert "**Question.**" in title
    assert panel == "panel"
    assert key_point.startswith("> **Key point.**")
    assert code.startswith("%%capture\n")
    assert "profile = 'quick'" in code
    compile(code.removeprefix("%%capture\n"), path.stem, "exec")
    for useless in ("setup.show", "setup.judge", "setup.conclude", "verdicts.", "check("):
        assert useless not in code.replace("verdicts.final_cctm", "")


def tagged(path: Path) -> list[tuple[str, bool]]:
    """List a notebook's code cells, and whether its panel's page has them."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return [(c.source, bool({"panel", "parameters"} & {*c.metadata.get("tags", [])})) for c in cells]


def gaps(cells: list[tuple[str, bool]]) -> set[str]:
    """Name what a page's cells use that is not bound there, or was bound anew since in a cell that the page lacks."""
    sound, missing = {*dir(builtins)}, set[str]()
    for source, on_page in cells:
        for statement in ast.parse(source).body:
            bound, used = names(symtable.symtable(ast.unparse(statement), "<cell>", "exec"))
            if on_page:
                missing |= used - sound
                sound |= bound
            elif not isinstance(statement, ast.AugAssign):  # it adds what a panel may do without
                sound -= bound
    return missing


def names(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Name the globals that a statement binds and those that it uses, in functions and comprehensions too."""
    symbols, inner = table.get_symbols(), [names(child)[1] for child in table.get_children()]
    top = table.get_type() == "module"
    bound = {s.get_name() for s in symbols if top and (s.is_assigned() or s.is_imported())}
    used = {s.get_name() for s in symbols if s.is_referenced() and (top or s.is_global())}
    return bound, used.union(*inner)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_all_that_a_panel_needs_is_tagged(path: Path) -> None:
    assert gaps(tagged(path)) == set()


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        ([("rows = []", True), ("rows.append(1)", True), ("panel = rows", True)], set()),
        ([("rows = []", False), ("rows.append(1)", True), ("panel = 1", True)], {"rows"}),
        ([("def f(x):\n    return n + x", True), ("panel = f(1)", True)], {"n"}),
        ([("n = [1]", True), ("panel = [[n for _ in 'ab'] for x in n if x]", True)], set()),
        ([("panel = [[n for _ in 'ab'] for x in 'ab']", True)], {"n"}),
        ([("a = 1", True), ("a = 2", False), ("panel = a", True)], {"a"}),
        ([("import numpy as np", False), ("panel = np.pi", True)], {"np"}),
    ],
)
def test_a_tag_that_is_missing_is_seen(cells: list[tuple[str, bool]], missing: set[str]) -> None:
    assert gaps(cells) == missing


def test_every_statement_of_a_tagged_cell_is_kept_and_of_others_none(tmp_path: Path) -> None:
    codes = {"rows = []": True, "rows.append(1)": True, "rows.append(2)": False, "panel = rows\npanel": True}
    cells = [nbformat.v4.new_code_cell(c, metadata={"tags": ["panel"] if on else []}) for c, on in codes.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    code = apps.page(tmp_path / "n.ipynb", {}).cells[1].source
    space: dict[str, object] = {}
    exec(code.removeprefix("%%capture\n"), space)
    assert space["panel"] == [1]


def test_given_parameters_are_the_last_word(tmp_path: Path, home: Path) -> None:
    path = ROOT / "notebooks" / "01_cctm.ipynb"
    folder = apps.prepare([(path, execute.parse(path, ["epochs=1", "architectures=mlp"]))])
    code = nbformat.read(folder / "01_cctm.ipynb", as_version=4).cells[1].source
    assert code.index("epochs = 1") < code.index("lu.settle")
    assert code.index("epochs = None") < code.index("epochs = 1")
    assert "architectures = ['mlp']" in code
    assert folder.is_relative_to(home)
    assert apps.prepare([(path, {})]) != folder  # two apps do not write into each other's pages


def test_paths_lead_there_from_anywhere(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    path = ROOT / "notebooks" / "01_cctm.ipynb"
    code = nbformat.read(apps.prepare([(path, {"dataset": "photos"})]) / path.name, as_version=4).cells[1].source
    assert f"dataset = '{tmp_path / 'photos'}'" in code


def test_a_notebook_without_a_panel_is_refused(tmp_path: Path) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), tmp_path / "n.ipynb")
    with pytest.raises(ValueError, match="no panel"):
        apps.page(tmp_path / "n.ipynb", {})


def test_the_server_listens_here_with_a_token_that_is_on_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, words, environment: called.append((words, environment)))
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    for _ in range(2):
        apps.serve(tmp_path, ip="127.0.0.1", port=1234)
    (words, first), (_, second) = called
    assert "--Voila.ip=127.0.0.1" in words
    assert "--Voila.auto_token=True" in words
    assert first["JUPYTER_TOKEN"] != second["JUPYTER_TOKEN"]
    assert len(first["JUPYTER_TOKEN"]) > 30
    assert first["JUPYTER_TOKEN"] not in " ".join(words)
    assert f"http://127.0.0.1:1234/?token={first['JUPYTER_TOKEN']}" in capsys.readouterr().out
