import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from landscape_utils.suite import claims, ledger
from landscape_utils.suite.ledger import Claim, PartRule
from tests.unit.judgements import of_one_part

RULES = {
    "gain": PartRule("the gain", "above", 0.5, "on trial seeds"),
    "loss": PartRule("the loss", "below", 0.0, "before the first result", instrument=["glyphs10"]),
}
IDENTITY = {"same": PartRule("the error", "below", 1e-12, "an identity", form=".0e", exact=True)}


@pytest.fixture(autouse=True)
def claims_with_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"short": "it gains", "statement": "It gains.", "source": "a paper, 1", "reported": "much"}
    monkeypatch.setitem(ledger.CLAIMS, "T-1", Claim("T-1", **about, parts=RULES))
    monkeypatch.setitem(ledger.CLAIMS, "T-2", Claim("T-2", **about, parts=IDENTITY))


def test_every_part_is_wanted_and_no_other() -> None:
    with pytest.raises(ValueError, match="unknown claim"):
        claims.judged("T-99", gain=[1, 2, 3])
    with pytest.raises(ValueError, match=r"unknown part of T-1 'gains'.*gain"):
        claims.judged("T-1", gains=[1, 2, 3], loss="why")
    with pytest.raises(ValueError, match="T-1 has a part 'loss'"):
        claims.judged("T-1", gain=[1, 2, 3])


@given(st.lists(st.floats(-2, 3), min_size=1, max_size=6))
def test_a_part_is_seen_where_its_interval_lies_beyond_the_threshold(values: list[float]) -> None:
    gain = claims.judged("T-1", gain=values, loss="why").parts[0]
    if len(values) < 3:
        assert gain.verdict == "undecided"
        assert gain.reason == f"too few seeds: {len(values)} of at least 3"
        return
    if np.std(values) == 0:
        low = high = np.mean(values)
    else:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    wanted = "seen" if low > 0.5 else "not seen" if high < 0.5 else "undecided"
    if min(abs(low - 0.5), abs(high - 0.5)) > 1e-9:
        assert gain.verdict == wanted
    assert gain.effect == pytest.approx(np.mean(values))
    assert gain.interval == pytest.approx((low, high))


def test_below_is_the_mirror_of_above() -> None:
    for values, verdict in (([-1, -1.1, -0.9], "seen"), ([1, 1.1, 0.9], "not seen"), ([-1, 0, 1], "undecided")):
        assert claims.judged("T-1", gain="why", loss=values).parts[1].verdict == verdict


def test_what_stands_on_the_threshold_is_undecided() -> None:
    assert claims.judged("T-1", gain=[0.5] * 3, loss=[0.0] * 3).verdict == "undecided"


def test_seeds_without_a_number_are_named_and_none_at_all_is_not_tested() -> None:
    gain, loss = claims.judged("T-1", gain=[1, math.nan, 1.1, 0.9], loss=[math.nan] * 3).parts
    assert (gain.verdict, gain.reason) == ("seen", "1 of 4 seeds have none")
    assert (loss.verdict, loss.reason) == ("not tested", "no seed has such a number")


@pytest.mark.parametrize(
    ("error", "verdict"), [([1e-15], "exact"), ([1e-15, 1e-9], "not seen"), ([1e-15, math.nan], "not seen")]
)
def test_an_identity_needs_one_seed_and_holds_in_all(error: list[float], verdict: str) -> None:
    assert claims.judged("T-2", same=error).parts[0].verdict == verdict


@pytest.mark.parametrize(
    ("gain", "loss", "verdict"),
    [
        ([1, 1, 1], [-1, -1, -1], "reproduced"),
        ([1, 1, 1], [1, 1, 1], "partly reproduced"),
        ([1, 1, 1], "why", "partly reproduced"),
        ([0, 0, 0], "why", "not reproduced"),
        ([0, 0, 0], [1, -1, 0], "not reproduced"),
        ("why", [1, -1, 0], "undecided"),
        ("why", "why", "not tested"),
    ],
)
def test_a_claim_is_what_its_parts_say(gain: list[float] | str, loss: list[float] | str, verdict: str) -> None:
    assert claims.judged("T-1", gain=gain, loss=loss).verdict == verdict


def test_what_holds_by_construction_of_the_data_is_marked_on_these_data_alone() -> None:
    judgement = claims.judged("T-1", gain=[1, 1, 1], loss=[-1, -1, -1])
    assert [p.instrument for p in claims.on("glyphs10", judgement).parts] == [False, True]
    assert not any(p.instrument for p in claims.on("cifar10", judgement).parts)
    assert "checks the instrument" in claims.card(claims.on("glyphs10", judgement))


def test_judgements_survive_a_file(tmp_path: Path) -> None:
    rows = [
        of_one_part("CI-1", criterion="c | d", effect=0.5, interval=(0.1, 0.9)),
        of_one_part("CI-2", "undecided", reason="too few seeds: 1 of at least 3"),
        of_one_part("CI-3", "not tested", reason="because"),
        claims.judged("T-1", gain=[1, 1.1, 1], loss="no time", note="of one network"),
    ]
    claims.save(rows, tmp_path / "x.claims.json", {"profile": "quick"})
    back, about = claims.load(tmp_path / "x.claims.json")
    assert about == {"profile": "quick"}
    assert [b.verdict for b in back] == ["reproduced", "undecided", "not tested", "partly reproduced"]
    assert (back[0], back[3].parts[0], back[3].note) == (rows[0], rows[3].parts[0], "of one network")
    assert math.isnan(back[1].part.effect)
    assert back[1].part.reason == "too few seeds: 1 of at least 3"
    table = claims.markdown_table(back)
    assert "**not tested** (because)" in table
    assert "c \\| d" in table
    assert len(table.splitlines()) == 2 + 5  # a part a row
    assert claims.card(back[3]).endswith("\n\nof one network")


def test_infinite_numbers_and_other_files_are_no_claims(tmp_path: Path) -> None:
    row = of_one_part("CI-1", "not seen", interval=(math.nan, math.nan))
    claims.save([row], tmp_path / "x.json", {})
    assert claims.load(tmp_path / "x.json")[0][0].part.interval is None
    for content in ({}, {"about": {}, "claims": [{"id": "CI-1", "verdict": "reproduced", "effect": 1.0}]}):
        (tmp_path / "y.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="holds no claims"):
            claims.load(tmp_path / "y.json")


def test_means_over_seeds_leave_out_what_there_is_not() -> None:
    values = np.array([[1.0, 2.0, math.nan], [3.0, math.nan, math.nan], [5.0, math.nan, math.nan]])
    means, reach = claims.over_seeds(values)
    assert means[:2].tolist() == [3, 2]
    assert math.isnan(means[2])
    assert reach == pytest.approx([stats.t.interval(0.95, 2, 3, stats.sem([1, 3, 5]))[1] - 3, 0, 0])
