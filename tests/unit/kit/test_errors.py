import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_utils.kit.errors import distinct, require, unknown


def test_names_what_was_wrong_and_the_nearest_right_ones() -> None:
    error = unknown("model", "resnet9", ["resnet8", "vgg11", "mlp"])
    assert str(error) == "unknown model 'resnet9'; the nearest valid names are: resnet8"


def test_lists_all_names_when_none_is_near() -> None:
    assert "a, b" in str(unknown("model", "zzzz", ["b", "a"]))


@given(names=st.lists(st.sampled_from([0, 1, "0", "1", "a", "b", "c"])), count=st.none() | st.integers(0, 4))
def test_names_are_as_many_as_wanted_and_no_two_are_alike(names: list[object], count: int | None) -> None:
    strings = tuple(str(name) for name in names)
    if count not in (None, len(names)):
        with pytest.raises(ValueError, match=f"the classes: {len(names)} names for {count}"):
            distinct(iter(names), "the classes", count)
    elif len(set(strings)) < len(strings):
        with pytest.raises(ValueError, match="two are called") as caught:
            distinct(names, "the classes", count)
        assert any(f"{s!r}" in str(caught.value) for s in strings if strings.count(s) > 1)
    else:
        assert distinct(names, "the classes", count) == strings


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    require("numpy", "cluster")
    with pytest.raises(
        ModuleNotFoundError, match=r"no_dask is not installed; .* pip install 'landscape-utils\[cluster\]'"
    ):
        require("no_dask", "cluster")
