"""What the README says is what happens."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from tests import ROOT

README = (ROOT / "README.md").read_text()


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


def test_the_example_for_any_model_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    example = block_with("build_model")
    exec(compile(example, "README.md", "exec"), {})
    assert "error_share" in capsys.readouterr().out


def test_the_example_for_landscapes_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = block_with("trajectory_plane")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example.replace("epochs=10", "epochs=2"), "README.md", "exec"), names)
    assert dict(names["plane"].sizes) == {"lam1": 9, "lam2": 9, "class": 10}
    assert (tmp_path / "path.png").stat().st_size > 10_000


def test_files_and_targets_that_it_names_exist() -> None:
    headings = {"#" + h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", README, flags=re.M)}
    assert {name for name in re.findall(r"\]\((#[^)]+)\)", README)} <= headings
    for name in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) - {"or"} <= targets


def test_options_that_it_names_are_taken() -> None:
    from landscape_utils.suite.notebooks import parameters

    for notebook, options in re.findall(
        r"^landscape (?:run|sweep|app) (\w+)((?: -p [a-z_]+=\S+)+)", README, flags=re.M
    ):
        known = parameters(ROOT / "notebooks" / f"{notebook}.ipynb")
        assert set(re.findall(r"-p ([a-z_]+)=", options)) <= set(known)
