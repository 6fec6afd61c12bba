"""What stands in docs is what the records, the notebooks and the package say."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

import landscape_utils as lu
from landscape_utils.suite import claims
from landscape_utils.suite.ledger import CLAIMS
from tests import ROOT
from tests.notebooks import findings, parameters

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_page_of_findings_says_what_the_records_say() -> None:
    assert findings.page(findings.read()) == findings.PAGE.read_text()


def test_the_readme_says_what_the_records_say() -> None:
    text = findings.README.read_text()
    assert findings.in_readme(text, findings.read()) == text


def test_every_claim_and_every_part_stands_on_the_page() -> None:
    text = findings.PAGE.read_text()
    for claim in CLAIMS.values():
        assert claim.statement.replace("|", "\\|") in text, claim.id
        for part in claim.parts.values():
            assert part.what.replace("|", "\\|") in text, (claim.id, part.what)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_records_of_quick_are_what_the_notebooks_carry(path: Path) -> None:
    record = findings.FOLDERS["quick"] / f"{path.stem}.json"
    if not record.exists():
        assert carried(path) == []
        return
    judgements, about = claims.load(record)
    assert claims.markdown_table(judgements).splitlines()[2:] == carried(path)
    assert (about["notebook"], about["profile"]) == (path.stem, "quick")


def carried(path: Path) -> list[str]:
    """Read the rows of the table of claims off a committed notebook's outputs."""
    cells = nbformat.read(path, as_version=4).cells
    tables = [o["data"].get("text/markdown", "") for c in cells for o in c.get("outputs", []) if "data" in o]
    (table,) = [t for t in tables if t.startswith("| claim | the paper |")] or [""]
    return table.splitlines()[2:]


def test_what_two_profiles_disagree_on_comes_first() -> None:
    seen, unseen = (
        claims.Judgement("CI-2", (claims.Part("", "w", f"{value}", "above 0", verdict),))
        for value, verdict in ((1, "seen"), (-1, "not seen"))
    )
    about = {"data": "d", "seeds": [0], "machine": "m", "versions": {"torch": "2"}, "took": 61}
    quick, laptop = (findings.Record({"CI-2": judgement}, about) for judgement in (seen, unseen))
    text = findings.page({"01_cctm": {"quick": quick, "laptop": laptop}})
    assert "## Where the two profiles disagree\n\n| claim | part | quick | laptop |" in text
    assert text.count("| 1 **seen** | -1 **not seen** |") == 2
    assert "seeds 0; m; torch 2; 2 min." in text
    agreed = findings.page({"01_cctm": {"quick": quick, "laptop": quick}})
    assert "No part is seen at one" in agreed
    assert "Held at both profiles: interference is mutual (CI-2). Seen: 1 of 1 parts at `quick` and 1 of 1" in agreed
    instrument = replace(seen, parts=(replace(seen.part, instrument=True),))
    checked = {"quick": findings.Record({"CI-2": instrument}, about), "laptop": laptop}
    missed = "Did not hold where tested: interference is mutual (CI-2). Seen: 0 of 1 parts"
    assert missed in findings.page({"01_cctm": checked})
    assert "`quick`, where alone they were tested" in findings.page({"01_cctm": {"quick": quick}})


PYTHON = (ROOT / "docs" / "python.md").read_text()


def test_the_examples_run_from_top_to_bottom(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PYTHON, flags=re.S):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "path.png").stat().st_size > 10_000
    assert names["panel"].children[0].error is None


def test_every_public_name_stands_in_an_example() -> None:
    blocks = "".join(re.findall(r"```python\n(.*?)```", PYTHON, flags=re.S))
    assert {name for name in lu.__all__ if not re.search(rf"\blu\.{name}\b", blocks)} == set()


def test_the_page_of_parameters_says_what_the_notebooks_say() -> None:
    assert parameters.page() == parameters.PAGE.read_text()
