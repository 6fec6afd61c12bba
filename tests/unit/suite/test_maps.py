import pytest
from matplotlib.figure import Figure

from landscape_utils.suite.maps import Map

Places = list[tuple[float, float]]


@pytest.fixture
def clicks() -> Places:
    return []


@pytest.fixture
def clickable(clicks: Places) -> Map:
    shown = Map(lambda x, y: clicks.append((x, y)), lambda x, y: f"at {x:.2f}, {y:.2f}", width=300, alt="a square")
    ax = Figure(figsize=(4, 2)).add_axes((0.25, 0.5, 0.5, 0.25))  # from a quarter of the width, and of the height below
    ax.set(xlim=(0, 10), ylim=(5, -5), xticks=[], yticks=[])
    shown.show(ax)
    return shown


@pytest.mark.parametrize(("place", "want"), [((0.5, 0.375), (5, 0)), ((0.3, 0.275), (1, -4)), ((0.7, 0.475), (9, 4))])
def test_a_click_is_told_in_the_axes_own_coordinates(
    clickable: Map, clicks: Places, place: tuple[float, float], want: tuple[float, float]
) -> None:
    clickable.clicked = [*place, 1.0]
    clickable.clicked = [*place, 2.0]
    assert clicks == [pytest.approx(want)] * 2
    assert clickable.tip == ""


def test_the_pointer_is_answered_and_clicks_nothing(clickable: Map, clicks: Places) -> None:
    clickable.pointer = [0.5, 0.375, 1.0]
    assert clickable.tip == "at 5.00, 0.00"
    clickable.pointer = [0.1, 0.375, 2.0]
    assert clickable.tip == ""
    assert clicks == []


def test_beside_the_axes_there_is_nothing_to_click(clickable: Map, clicks: Places) -> None:
    for place in ([0.2, 0.375, 1.0], [0.5, 0.2, 2.0], [0.5, 0.6, 3.0], [0.8, 0.375, 4.0]):
        clickable.clicked = place
    assert clicks == []


def test_before_a_picture_is_shown_a_click_is_nothing(clicks: Places) -> None:
    Map(lambda x, y: clicks.append((x, y)), lambda x, y: "", width=300, alt="").clicked = [0.5, 0.5, 1.0]
    assert clicks == []
