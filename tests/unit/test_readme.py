"""What the README says is what happens."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_example_for_your_own_model_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", README, flags=re.S) if "build_model" in block]
    exec(compile(example, "README.md", "exec"), {})
    assert "error_share" in capsys.readouterr().out


def test_the_example_for_landscapes_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", README, flags=re.S) if "ego_surface" in block]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example.replace("epochs=10", "epochs=2"), "README.md", "exec"), names)
    assert dict(names["plane"].sizes) == {"lam1": 9, "lam2": 9, "class": 10}
    assert (tmp_path / "path.png").stat().st_size > 10_000


def test_files_and_targets_that_it_names_exist() -> None:
    for name in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) - {"or"} <= targets


def test_options_that_it_names_are_taken() -> None:
    from landscape_utils import execute

    for notebook, options in re.findall(r"^landscape run (\w+)((?: -p [a-z_]+=\S+)+)", README, flags=re.M):
        known = execute.parameters(ROOT / "notebooks" / f"{notebook}.ipynb")
        assert set(re.findall(r"-p ([a-z_]+)=", options)) <= set(known)
