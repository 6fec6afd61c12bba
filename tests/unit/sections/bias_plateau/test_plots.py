import numpy as np
import pytest

from landscape_utils.plateau import hardness
from landscape_utils.sections.bias_plateau import plots as plateau_plots
from tests.unit.sections.bias_plateau.test_claims import orders, predictions, spread, ways


def test_a_panel_shows_every_seed_the_means_and_a_uniform_guess():
    panels = {"fcn": {"": ways(spread(0.1))}, "vgg": {"with": ways(spread(0.5)), "without": ways(spread(0.2))}}
    figure = plateau_plots.ways_grid(panels)
    assert len(figure.axes) == 4
    losses = figure.axes[1]
    assert losses.get_title() == "vgg"
    assert len(losses.lines) == 2 * (3 + 2) + 1
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["with [0.50]", "without [0.20]"]
    assert figure.axes[0].get_ylabel() == "mean loss (nats)"
    assert figure.axes[2].get_ylabel() == "error (share of images)"
    assert losses.lines[-1].get_ydata()[0] == pytest.approx(np.log(10))


def test_the_picture_says_what_was_done_about_batchnorm():
    plain, normed = ways(spread(0.2)), ways(spread(0.3))
    for way in normed:
        way.train.attrs["bn"] = "update"
    titles = [ax.get_title() for ax in plateau_plots.ways_grid({"vgg": {"": normed}, "fcn": {"": plain}}).axes[:2]]
    assert titles == ["vgg\nBatchNorm's statistics updated at every point", "fcn"]


def test_the_scatter_has_a_colour_for_each_depth():
    grid = np.linspace(0.1, 0.9, 12).reshape(3, 2, 2)
    ax = plateau_plots.prediction_scatter(predictions(grid, grid))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["as predicted", "2 layers", "4 layers", "6 layers"]
    assert all(len(c.get_offsets()) == 4 for c in ax.collections)


def test_the_order_is_a_place_among_the_classes():
    ax = plateau_plots.order_scatter(orders(1).assign_coords({"class": list("abcdefgh")}))
    places = np.concatenate([c.get_offsets()[:, 0] for c in ax.collections])
    assert sorted(set(places)) == list(range(1, 9))


def test_the_pair_is_drawn_along_the_way_and_over_the_steps():
    problems = [hardness.valley(100.0), hardness.chain(4)]
    curves = {p.name: (hardness.line(p), hardness.descent(p)) for p in problems}
    left, right = plateau_plots.hardness_pair(curves).axes
    assert len(left.lines) == len(right.lines) == 2
    assert right.get_xscale() == "log"
    for line, (way, _) in zip(left.lines, curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), way)
