"""What every notebook has for those who learn and teach with it."""

import re
from pathlib import Path

import nbformat
import pytest

from tests import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[str]:
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


@EVERY
def test_it_begins_with_what_one_will_see_and_be_able_to_do_and_how_long_it_takes(path: Path) -> None:
    first = cells(path, "markdown")[0]
    assert "**You will see**" in first
    objectives = re.findall(r"^\| (?!you will|---)(.+) \| (\d+) \|$", first, flags=re.M)
    assert len(objectives) >= 3
    assert re.search(r"At the quick profile: no download,.*two cores", first)
    assert re.search(r"^Papers?: ", first, flags=re.M)


@EVERY
def test_a_question_stands_before_each_panel(path: Path) -> None:
    every = nbformat.read(path, as_version=4).cells
    panels = [i for i, c in enumerate(every) if c.cell_type == "code" and c.source.endswith("\npanel")]
    assert panels
    for i in panels:
        assert every[i - 1].cell_type == "markdown"
        last = every[i - 1].source.split("\n\n")[-1]
        assert last.startswith("**Question.**")
        assert "?" in last


@EVERY
def test_exercises_check_themselves_with_hints_and_are_open_when_all_is_run(path: Path) -> None:
    asked = [source for source in cells(path, "code") if "exercises.check(" in source]
    assert len(asked) >= 2
    for source in asked:
        assert source.startswith("answer = None")
        assert 'hint="' in source
    said = [
        "".join(o.get("text", ""))
        for c in nbformat.read(path, as_version=4).cells
        if c.cell_type == "code" and "exercises.check(" in c.source
        for o in c.outputs
    ]
    assert said == ["Not answered yet: put your answer in place of None and run the cell again.\n"] * len(asked)


@EVERY
def test_it_ends_with_the_paper_against_this_run_and_a_key_point(path: Path) -> None:
    text = "\n\n".join(cells(path, "markdown"))
    headings = re.findall(r"^## (.*)$", text, flags=re.M)
    table = "The papers against your runs" if path.stem == "00_tour" else "The paper against this run"
    assert [h for h in headings if h in (table, "Exercises", "References")] == [table, "Exercises", "References"]
    assert len(re.findall(r"^> \*\*Key point\.\*\*", text, flags=re.M)) == 1
    assert text.index(table) < text.index("> **Key point.**") < text.index("## Exercises")


@EVERY
def test_its_own_references_lead_somewhere(path: Path) -> None:
    text = "\n\n".join(cells(path, "markdown"))
    known = {p.stem for p in NOTEBOOKS}
    assert {name for name in re.findall(r"`(\d\d_\w+)`", text)} <= known
    assert {name for name in re.findall(r"\((\d\d_\w+)\.ipynb\)", text)} <= known


def test_the_tour_has_a_picture_of_each_and_a_way_to_each() -> None:
    tour = ROOT / "notebooks" / "00_tour.ipynb"
    others = [p.stem for p in NOTEBOOKS if p.stem != "00_tour"]
    text = "\n\n".join(cells(tour, "markdown"))
    saved = re.findall(r'setup\.show\([\w.\[\]]+, "(\d\d)-', "\n".join(cells(tour, "code")))
    assert saved == [name[:2] for name in others]
    for name in others:
        assert f"[`{name}`]({name}.ipynb)" in text
