import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import xarray as xr

from landscape_utils.run import reports
from landscape_utils.sections.cctm import claims as interference_claims
from landscape_utils.suite import claims
from landscape_utils.suite.ledger import CLAIMS
from tests import ROOT
from tests.unit.judgements import of_one_part

ABOUT = {
    "notebook": "01_cctm",
    "profile": "quick",
    "data": "glyphs10, 60 training images",
    "seeds": [0, 1],
    "machine": "a <fast> one",
    "versions": {"torch": "2.15.0"},
}


SENTENCE = (
    "Class interference, reproduced: look-alike classes lead the interference (CI-1); not reproduced: interference is "
    "mutual (CI-2); not tested: interference models combine two ego models (CI-13)."
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    judgements = [
        of_one_part("CI-1", measured="13 %"),
        of_one_part("CI-2", "not seen", criterion="x < 1 | y", reason="why"),
        of_one_part("CI-13", "not tested", reason="why"),
    ]
    claims.save(judgements, tmp_path / "01_cctm.claims.json", ABOUT)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "01_cctm-heatmaps.png").write_bytes(b"one picture")
    (tmp_path / "figures" / "01_cctm-symmetry-mlp.png").write_bytes(b"a picture of one network")
    return tmp_path


def test_both_pages_hold_all_of_every_claim(out: Path) -> None:
    sections = reports.gather(out, out / "figures")
    pages = {"md": reports.markdown(sections, beside=out), "html": reports.html(sections)}
    for page in pages.values():
        assert "glyphs10, 60 training images" in page.lower()
        assert SENTENCE in page
        for text in ("seeds 0, 1", "torch 2.15.0", "13 %", CLAIMS["CI-1"].statement, CLAIMS["CI-2"].source, "why"):
            assert text in page
    assert "](figures/01_cctm-heatmaps.png)" in pages["md"]
    assert "](figures/01_cctm-symmetry-mlp.png)" in pages["md"]
    assert pages["html"].count("<img ") == 2
    assert "a &lt;fast&gt; one" in pages["html"]
    assert 'src="http' not in pages["html"]


def test_a_broken_claim_changes_its_verdict_in_the_report(out: Path) -> None:
    """Interference that goes one way only is not symmetric, and the page says so."""
    rng, classes = np.random.default_rng(0), [f"c{i}" for i in range(10)]
    pairs = rng.random((10, 10))
    for matrix, verdict in ((pairs + pairs.T, "reproduced"), (np.triu(rng.random((10, 10))), "not reproduced")):
        wrong = 0.2 * matrix / matrix.sum(1).max()
        np.fill_diagonal(wrong, 1 - (wrong.sum(1) - wrong.diagonal()))
        coords = {"true": classes, "predicted": classes, "examples": ("true", [200] * 10)}
        rates = xr.DataArray(wrong, coords, dims=("true", "predicted"))
        claims.save([interference_claims.is_symmetric([{"a": rates}] * 3)], out / "01_cctm.claims.json", ABOUT)
        sections = reports.gather(out, out / "figures")
        assert reports.sentences(sections) == [f"Class interference, {verdict}: interference is mutual (CI-2)."]
        assert f"**{verdict}**" in reports.markdown(sections, beside=out)
        assert f'<span class="verdict">{verdict}</span>' in reports.html(sections)


def test_numbers_come_from_the_files(out: Path) -> None:
    file = out / "01_cctm.claims.json"
    content = json.loads(file.read_text())
    content["claims"][0]["parts"][0]["measured"] = "98.76 % instead"
    file.write_text(json.dumps(content))
    assert "98.76 % instead" in reports.html(reports.gather(out, out / "figures"))


def test_an_undecided_claim_is_counted_and_has_a_colour_of_its_own(out: Path) -> None:
    few = of_one_part("MG-1", "undecided", reason="too few seeds: 2 of at least 3")
    claims.save([few], out / "06_mftma.claims.json", {**ABOUT, "notebook": "06_mftma"})
    sections = reports.gather(out, out)
    assert "undecided: " in reports.sentences(sections)[1]
    assert "**undecided** (too few seeds: 2 of at least 3)" in reports.markdown(sections, beside=out)
    assert f"--verdict: {reports.COLOURS['undecided']}" in reports.html(sections)
    assert "| 06_mftma | quick | 0 | 0 | 0 | 1 | 0 |" in reports.overview(out)
    assert set(reports.COLOURS) == set(get_args(claims.Verdict))
    assert len(set(reports.COLOURS.values())) == len(reports.COLOURS)


def test_seconds_are_told_by_work(tmp_path: Path) -> None:
    about = {**ABOUT, "seconds": {"training": 20.4, "landscapes": 9.6}}
    claims.save([of_one_part("CI-1")], tmp_path / "01_cctm.claims.json", about)
    table = reports.seconds({"01_cctm": 40.0, "00_tour": 7.0}, tmp_path)
    assert [line.split() for line in table.splitlines()][1:] == [
        ["01_cctm", "20", "s", "10", "s", "10", "s", "40", "s"],
        ["00_tour", "0", "s", "0", "s", "7", "s", "7", "s"],
    ]


def test_what_did_not_finish_is_told_on_both_pages_with_and_without_others(out: Path, tmp_path: Path) -> None:
    for folder in (out, tmp_path / "empty"):
        folder.mkdir(exist_ok=True)
        (folder / "03_other.unfinished").write_text("03_other failed in cell 2: ValueError: <no>")
        sections, missing = reports.gather(folder, folder), reports.missing(folder)
        assert "**Missing:** 03_other failed in cell 2: ValueError: <no>." in reports.markdown(
            sections, missing, beside=folder
        )
        assert "03_other failed in cell 2: ValueError: &lt;no&gt;." in reports.html(sections, missing)


def test_a_folder_without_claims_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run a notebook first"):
        reports.gather(tmp_path, tmp_path)


def test_the_overview_counts_or_says_that_there_is_nothing(out: Path, home: Path) -> None:
    assert "| 01_cctm | quick | 1 | 0 | 1 | 0 | 1 |" in reports.overview(out)
    assert "landscape run --all" in reports.overview()


def test_every_picture_of_a_claim_is_one_that_its_notebook_saves() -> None:
    saved = {path.stem for path in (ROOT / "figures").glob("*.png")}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text()
        for claim in re.findall(r"\*\*([A-Z]{2}-\d+d?)\.\*\*", text):
            if picture := CLAIMS[claim].picture:
                stem = f"{path.stem}-{picture}"
                assert any(name == stem or name.startswith(f"{stem}-") for name in saved), (claim, stem)
