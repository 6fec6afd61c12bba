"""What was found on real images stands in docs/findings, as `make evidence` writes it."""

import re

import pytest

from landscape_utils.suite import claims
from tests import ROOT
from tests.notebooks import evidence, stable


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
