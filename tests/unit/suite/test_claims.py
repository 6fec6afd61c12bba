import math
from pathlib import Path

import pytest

from landscape_utils.suite import claims


def test_a_verdict_needs_a_known_claim_and_a_reason_when_it_is_not_testable() -> None:
    with pytest.raises(ValueError, match="unknown claim"):
        claims.judge("CI-99", criterion="x", measured="y", holds=True)
    with pytest.raises(ValueError, match="say why"):
        claims.judge("CI-1", criterion="x", measured="y", holds=None)


def test_judgements_survive_a_file(tmp_path: Path) -> None:
    rows = [
        claims.judge("CI-1", criterion="c | d", measured="m", holds=True, effect=0.5, interval=(0.1, 0.9)),
        claims.judge("CI-2", criterion="c", measured="m", holds=False, clear=False),
        claims.judge("CI-3", criterion="c", measured="m", holds=None, reason="because"),
    ]
    claims.save(rows, tmp_path / "x.claims.json", {"profile": "quick"})
    back, about = claims.load(tmp_path / "x.claims.json")
    assert about == {"profile": "quick"}
    assert [b.verdict for b in back] == ["reproduced", "not reproduced", "not testable here"]
    assert back[0] == rows[0]
    assert math.isnan(back[1].effect)
    assert [str(b) for b in back] == ["CI-1: reproduced", "CI-2: close to its criterion", "CI-3: not testable here"]
    table = claims.markdown_table(back)
    assert "**not testable here** (because)" in table
    assert "c \\| d" in table
    assert len(table.splitlines()) == 5


def test_infinite_numbers_and_other_files_are_no_claims(tmp_path: Path) -> None:
    row = claims.judge("CI-1", criterion="c", measured="m", holds=False, interval=(math.nan, math.nan))
    claims.save([row], tmp_path / "x.json", {})
    assert claims.load(tmp_path / "x.json")[0][0].interval is None
    (tmp_path / "y.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no claims"):
        claims.load(tmp_path / "y.json")
