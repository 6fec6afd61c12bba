import re

from landscape_utils.suite.ledger import CLAIMS, SECTIONS
from landscape_utils.suite.profiles import section
from tests import ROOT


def test_every_claim_is_cited_by_the_notebook_whose_section_lists_it() -> None:
    cited: dict[str, str] = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cited |= dict.fromkeys(re.findall(r"\*\*([A-Z]{2}-\d+d?)\.\*\*", path.read_text()), section(path.stem))
    assert cited.keys() == CLAIMS.keys()
    for id, folder in cited.items():
        assert f"[{id}]\n" in (SECTIONS / folder / "ledger.toml").read_text()


def test_no_claim_is_listed_twice_and_each_has_all_its_fields() -> None:
    listed = [
        id for path in SECTIONS.glob("*/ledger.toml") for id in re.findall(r"^\[([^.]*)\]$", path.read_text(), re.M)
    ]
    assert sorted(listed) == sorted(CLAIMS)
    assert all(c.statement.endswith(".") and c.source and c.reported for c in CLAIMS.values())
    assert all(claim.id == id for id, claim in CLAIMS.items())


def test_every_part_says_what_it_measures_on_which_side_and_since_when() -> None:
    for claim in CLAIMS.values():
        assert claim.short
        for name, rule in claim.parts.items():
            assert name.isidentifier()
            assert rule.what
            assert rule.set
            assert rule.side in ("above", "below")
