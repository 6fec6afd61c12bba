import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex

from landscape_utils.sections.bias_plateau import homogeneous_plots as pictures
from landscape_utils.suite.plots import COLOURS
from tests.unit.plateau.test_homogeneous import made_up

RESULTS = made_up([[1, 3, 2], [1, 2, 3]], [[-1, 2, 0.5], [0, 1, 2]])


def test_a_course_highlights_the_class_learned_last() -> None:
    axes = pictures.training_course(RESULTS.isel(seed=0))
    drawn = [line for line in axes[1].lines if to_hex(line.get_color()) == COLOURS[1].lower()]
    assert [line.get_label() for line in drawn] == ["class 1, learned last"]
    np.testing.assert_allclose(drawn[0].get_ydata(), [0, 2])
    assert len([line for line in axes[0].lines if to_hex(line.get_color()) == COLOURS[0].lower()]) == 3
    assert [ax.get_ylabel() for ax in axes] == ["smallest probability\nof the true class", "bias (nats)"]


def test_a_course_is_drawn_where_it_is_told() -> None:
    axes = plt.subplots(1, 2)[1]
    assert pictures.training_course(RESULTS.isel(seed=1), axes=axes) is axes


def test_ranks_by_order_share_one_colour_range() -> None:
    figure = pictures.bias_by_order({1: RESULTS, 3: RESULTS})
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["r = 1", "r = 3"]
    assert {ax.images[0].get_clim() for ax in panels} == {(0, 1)}
    np.testing.assert_allclose(panels[0].images[0].get_array(), np.eye(3))
    assert [text.get_text() for text in panels[0].texts] == ["100"] * 3
