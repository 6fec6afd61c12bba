from pathlib import Path

import pytest

from landscape_utils.run import execute
from landscape_utils.suite import notebooks
from tests import ROOT
from tests.conftest import write_notebook

PARAMETERS = [
    ("foo = 1  # type: int", "2", 2),
    ("foo: int = 1", "2", 2),
    ("foo: None | str = None", "bar", "bar"),
    ("foo: 'str | None' = None", "bar", "bar"),
    ("foo = None  # type: None | str", "None", None),
    ("foo = None  # type: str|None a name (or none)", "bar", "bar"),
    ("foo = 'ä # type: int'  # type: str some words", "# type: int", "# type: int"),
    ("foo = [\n    1,  # one\n    2,\n]  # type: list[int]", "3,4", [3, 4]),
    ("import os\n'''A text.'''\nfoo = -1.5  # type: float", "2", 2.0),
]


@pytest.mark.parametrize(("source", "text", "value"), PARAMETERS)
def test_parameters_are_read_by_their_types(source: str, text: str, value: object, tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "own.ipynb", source)
    assert execute.parse(path, [f"foo={text}"]) == {"foo": value}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("foo = 1", "the parameter `foo = 1` has no literal default and type; write `name = 1  # type: int`"),
        ("foo = 1  # a number", "has no literal default and type"),
        ("foo = 1  # type: number", "has no literal default and type"),
        ("foo = open('x')  # type: str", "has no literal default and type"),
        ("foo: int", "has no literal default and type"),
        ("foo = (1", "is no Python"),
        ("pass", "no cell tagged `parameters`"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused_in_a_sentence(source: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own") as refused:
        execute.parse(write_notebook(tmp_path / "own.ipynb", source), ["foo=2"])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_parameters_cells_hold_annotated_literals_only() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert notebooks.parameters(path)["profile"].default == "quick"


def test_a_notebook_is_found_by_its_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert notebooks.notebook_path("01_cctm") == ROOT / "notebooks" / "01_cctm.ipynb"
    own = write_notebook(tmp_path / "mine.ipynb", "x = 1  # type: int")
    assert notebooks.notebook_path(str(own)) == own
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks" / "01_cctm.ipynb", "x = 1  # type: int")
    assert notebooks.notebook_path("01_cctm") == Path("notebooks/01_cctm.ipynb")  # an edited copy goes first
    with pytest.raises(ValueError, match="unknown notebook '01_cctn'; the nearest valid names are: 01_cctm"):
        notebooks.notebook_path("01_cctn")


def test_a_copy_of_the_notebooks_keeps_what_is_there(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "01_cctm.ipynb"
    own.parent.mkdir()
    own.write_text("my answers")
    written, kept = notebooks.copy_notebooks(own.parent)
    assert own.read_text() == "my answers"
    assert kept == [own]
    every = {p.relative_to(own.parent) for p in own.parent.rglob("*") if p.is_file()}
    assert every == {p.relative_to(own.parent) for p in (*written, own)}
    shipped = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.py")]
    assert every == {p.relative_to(ROOT / "notebooks") for p in shipped}
    assert notebooks.copy_notebooks(own.parent) == ([], sorted([own, *written]))


def test_a_copy_is_of_what_came_and_not_of_what_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_tour.ipynb").write_text("my answers")
    notebooks.copy_notebooks(tmp_path / "fresh")
    came = (ROOT / "notebooks" / "00_tour.ipynb").read_bytes()
    assert (tmp_path / "fresh" / "00_tour.ipynb").read_bytes() == came
    assert (tmp_path / "fresh" / "10_gradient_split.ipynb").exists()
