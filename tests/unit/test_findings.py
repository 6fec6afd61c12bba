"""What was found on real images stands in docs/findings, as `make evidence` writes it."""

import re
from pathlib import Path

import pytest

from landscape_utils.suite import claims
from tests import ROOT
from tests.notebooks import evidence, imports, stable


@pytest.mark.parametrize("name", evidence.with_findings())
def test_every_claim_of_a_notebook_is_judged_on_real_images(name: str) -> None:
    judgements, about = claims.load(evidence.FINDINGS / f"{name}.json")
    judged_in_text = re.findall(r"\*\*([A-Z]{2}-\d+d?)\.\*\*", (ROOT / "notebooks" / f"{name}.ipynb").read_text())
    assert {j.id for j in judgements} == set(judged_in_text)
    assert (about["notebook"], about["profile"]) == (name, "laptop")
    assert about["took"] > 0
    for picture in evidence.pictures_of(name):
        assert 5_000 < (evidence.FINDINGS / f"{name}-{picture}.png").stat().st_size < 150_000


def test_only_what_is_seen_here_and_not_seen_there_flips() -> None:
    one = {"a": "seen", "b": "seen", "c": "undecided", "d": "not seen"}
    other = {"a": "seen", "b": "not seen", "c": "seen", "d": "undecided"}
    assert stable.flips({"one": one, "other": other}) == ["b"]  # type: ignore[dict-item]


def test_a_notebook_comes_to_what_it_names_and_to_what_that_imports() -> None:
    code = "import landscape_utils as lu\nfrom landscape_utils.landscape import walks\nlu.cctm(runs)"
    reached = imports.reached(code, "landscape_utils.sections.rewinding")
    for module in ("interference.cctm", "landscape.walks", "engine.evaluate", "sections.rewinding.study", "kit.store"):
        assert f"landscape_utils.{module}" in reached
    assert "landscape_utils.sections.mftma.study" not in reached
    assert "landscape_utils.run.apps" not in reached


def test_comments_and_docstrings_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'def f():\n    """Say one."""\n    return 1  # one\n', "def f():\n    return 1\n", "def f():\n    return 2\n"
    for i, source in enumerate(said):
        (tmp_path / f"said_{i}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    one, same, other = (imports.code_of(f"said_{i}") for i in range(3))
    assert one == same != other
