"""What the README and the pages in docs say is what happens."""

import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import typer
import yaml
from PIL import Image
from safetensors.torch import save_file

from landscape_utils.run import cli
from landscape_utils.suite.notebooks import notebook_path, parameters
from tests import ROOT

README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def block_with(word: str) -> str:
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", README, flags=re.S) if word in block]
    return example


def draw_photos(folder: Path) -> None:
    """Photographs of three classes, in several sizes."""
    rng = np.random.default_rng(0)
    for part, c, i in product(("train", "test"), range(3), range(12)):
        place = folder / "photos" / part / f"class{c}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 80 * (c + 1), (60 + i, 70, 3), dtype=np.uint8)).save(place / f"{i}.png")


def test_five_lines_open_a_panel_on_your_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = block_with("lu.panel")
    lines = [line for line in example.splitlines() if line]
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path)
    lines[-1] = f"panel = {lines[-1]}"
    names: dict[str, Any] = {}
    exec(compile("\n".join(lines), "README.md", "exec"), names)
    first = names["panel"].children[0]
    first.wait()
    assert first.error is None
    assert "ego_surface" in first.shown.code


def test_the_ten_lines_for_your_own_model_and_folder_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer's path: photographs of several sizes in a folder, and weights in a file."""
    example = block_with("load_file")
    assert len([line for line in example.splitlines() if line and "import " not in line]) <= 10
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path)
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t", num_classes=3).state_dict(), tmp_path / "mine.safetensors")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert dict(names["rates"].sizes) == {"true": 3, "predicted": 3}
    assert names["data"].mean == (0.485, 0.456, 0.406)
    assert dict(names["ego"].mistake_rate.sizes) == {"theta1": 9, "theta2": 9}
    assert (tmp_path / "ego.png").stat().st_size > 10_000
    assert names["spectrum"].sizes["node"] == 10
    assert all(float(found.capacity) > 0 for found in names["geometry"].values())
    assert len(names["geometry"]) > 5


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_readme_names_the_papers_as_the_citation_does() -> None:
    said = " ".join(README.split())
    for paper in yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]:
        authors = ", ".join(f"{a['given-names']} {a['family-names']}" for a in paper["authors"])
        assert f"**{paper['title']}.** {authors}." in said
        assert f"({paper['url']})" in said


def test_the_moving_picture_is_light_and_moves() -> None:
    path = ROOT / "docs" / "panel.gif"
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as moving:
        assert moving.n_frames > 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_pictures_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in [*re.findall(r"\]\(((?!https?:)[^)]+)\)", text), *re.findall(r'src="([^"]+)"', text)]:
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert {name for code in coded(text) for name in re.findall(r"^make ([a-z]+)", code, flags=re.M)} <= targets


def anchors(page: Path) -> set[str]:
    """List what a page's headings are linked by."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def coded(text: str) -> list[str]:
    """List what a page sets as code, in blocks and in lines."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.S)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_options_and_parameters_are_taken(page: Path) -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for code in coded(page.read_text()):
        for line in re.findall(r"^(?:\w+=\S+ )?(?:\.venv/bin/)?landscape ([a-z]+[^#\n]*)", code, flags=re.M):
            name, *words = line.split()
            assert name in commands, line
            command = commands[name]
            options = {option for parameter in command.params for option in parameter.opts}
            given = [word for word in words if word.startswith("-")]
            assert set(given) <= options | set(getattr(command, "commands", ())), line
            if name in ("run", "sweep", "app"):
                check_parameters(words)


def check_parameters(words: list[str]) -> None:
    """Check that a command's notebooks exist, and have the parameters that it gives."""
    notebooks = [word for word in words if re.fullmatch(r"\d\d_\w+", word)]
    given = {after.strip('"').partition("=")[0] for word, after in pairwise(words) if word == "-p"}
    for notebook in notebooks:
        assert given <= set(parameters(notebook_path(notebook)))


def test_the_plans_for_teaching_add_up() -> None:
    text = (ROOT / "docs" / "teaching.md").read_text()
    plans = {heading: part for heading, part in re.findall(r"^## (.*?)$(.*?)(?=^## |\Z)", text, flags=re.M | re.S)}
    minutes = {heading: sum(map(int, re.findall(r"^\| (\d+) \|", plan, flags=re.M))) for heading, plan in plans.items()}
    assert minutes["90 minutes"] == 90
    assert minutes["Half a day"] == 240
