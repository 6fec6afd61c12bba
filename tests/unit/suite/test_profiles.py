import pytest

from landscape_utils.suite import notebooks, profiles
from tests import ROOT


def test_every_notebook_has_its_section_and_every_section_its_notebook() -> None:
    sections = {path.parent.name for path in (ROOT / "landscape_utils" / "sections").glob("*/profile.py")}
    assert profiles.names() == notebooks.notebook_names()
    assert {profiles.section(name) for name in profiles.names()} == sections


def test_shared_trainings_come_first_and_the_tour_last() -> None:
    order = profiles.in_order()
    assert sorted(order) == profiles.names()
    assert order[-1] == "00_tour"
    for name in order:
        shared = profiles.trainings(name)
        assert shared is None or order.index(shared) < order.index(name)
    readers = {name: profiles.trainings(name) for name in order if profiles.trainings(name)}
    assert readers.pop("00_tour") == "01_cctm"
    memorizing = dict.fromkeys(("07_rewinding", "10_gradient_split"), "06_mftma")
    assert readers == {**memorizing, "09_hessian_surfaces": "04_gmi_mli_wpeak"}


def test_who_reads_trainings_has_their_profiles_and_numbers_of_its_own() -> None:
    mine, shared = (profiles.profiles(name)["standard"] for name in ("07_rewinding", "06_mftma"))
    assert (mine["dataset"], mine["epsilon"], mine["epochs"]) == (
        shared["dataset"],
        shared["epsilon"],
        shared["epochs"],
    )
    assert mine["architectures"] == ["vgg16", "resnet18"]
    assert set(mine["own"]) == {"images", "test_images"}


def test_every_rule_is_about_a_number_of_the_notebooks_own() -> None:
    for name in profiles.names():
        own = {key for profile in profiles.profiles(name).values() for key in profile.get("own", {})}
        assert set(profiles.rules(name)) | set(profiles.datasets(name)) <= own


def test_an_unknown_notebook_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown notebook '01_cctn'; the nearest valid names are: 01_cctm"):
        profiles.profiles("01_cctn")
