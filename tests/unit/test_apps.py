import ast
import os
from pathlib import Path

import nbformat
import pytest

from landscape_utils import apps, execute

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("a = 1\nb = 2\npanel = a", "a = 1\npanel = a"),
        ("a = 1\nprint(a)\npanel = a", "a = 1\npanel = a"),
        ("a = 1\na = 2\npanel = a", "a = 2\npanel = a"),
        ("a = 1\na = a + 1\npanel = a", "a = 1\na = a + 1\npanel = a"),
        ("a = []\na += [1]\npanel = a", "a = []\na += [1]\npanel = a"),
        ("a = {}\na['b'] = 2\npanel = a", "a = {}\na['b'] = 2\npanel = a"),
        ("a = 1\nif a:\n    a = 2\npanel = a", "a = 1\nif a:\n    a = 2\npanel = a"),
        ("x = 9\na = [x for x in range(3)]\npanel = a", "a = [x for x in range(3)]\npanel = a"),
        ("n = 3\npanel = [[n for _ in 'ab'] for x in 'ab']", "n = 3\npanel = [[n for _ in 'ab'] for x in 'ab']"),
        ("n = 3\n\ndef f(x):\n    return n + x\npanel = f(1)", "n = 3\n\ndef f(x):\n    return n + x\npanel = f(1)"),
        ("import numpy as np\nimport os\npanel = np.pi", "import numpy as np\npanel = np.pi"),
        ("import os.path\npanel = os.path.sep", "import os.path\npanel = os.path.sep"),
        ("a, b = 1, 2\npanel = b", "a, b = (1, 2)\npanel = b"),
    ],
)  # fmt: skip
def test_only_what_a_name_needs_is_kept(code: str, kept: str) -> None:
    assert ast.unparse(ast.parse(apps.needed(code, "panel"))) == ast.unparse(ast.parse(kept))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_gives_a_page(path: Path) -> None:
    made = apps.page(path, {"profile": "quick"})
    title, code, panel, key_point = (cell.source for cell in made.cells)
    assert title.startswith("# ")
    assert "**Question.**" in title
    assert panel == "panel"
    assert key_point.startswith("> **Key point.**")
    assert code.startswith("%%capture\n")
    assert "profile = 'quick'" in code
    compile(code.removeprefix("%%capture\n"), path.stem, "exec")
    for useless in ("setup.save", "judged", "verdicts.", "check("):
        assert useless not in code.replace("verdicts.final_cctm", "")


def test_given_parameters_are_the_last_word(tmp_path: Path, home: Path) -> None:
    path = ROOT / "notebooks" / "01_cctm.ipynb"
    folder = apps.prepare([(path, execute.parse(path, ["epochs=1", "architectures=mlp"]))])
    code = nbformat.read(folder / "01_cctm.ipynb", as_version=4).cells[1].source
    assert code.index("epochs = 1") < code.index("lu.settle")
    assert "epochs = None" not in code
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
