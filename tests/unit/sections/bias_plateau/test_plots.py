import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from landscape_utils.plateau import hardness
from landscape_utils.plateau.plateau import plateau_length
from landscape_utils.sections.bias_plateau import plots as plateau_plots
from landscape_utils.suite.claims import student
from landscape_utils.suite.plots import COLOURS
from tests.unit.sections.bias_plateau.test_claims import GRID, orders, predictions, spread, ways


def test_a_row_shows_every_seed_the_means_the_ends_and_a_uniform_guess():
    rows = {
        "fcn": {"": ways(spread(0.1))},
        "vgg": {"with": ways(spread(0.5), spread(0.6)), "without": ways(spread(0.2))},
    }
    figure = plateau_plots.ways_rows(rows)
    assert len(figure.axes) == 4
    losses, errors = figure.axes[2:]
    assert len(losses.lines) == 2 * (3 + 1 + 1) + 1
    legend = errors.get_legend()
    assert legend.get_title().get_text() == "vgg\nplateau in loss / error"
    assert [t.get_text() for t in legend.get_texts()] == ["with\n0.60 / 0.50", "without\n0.20 / 0.20"]
    assert [ax.get_ylabel() for ax in (losses, errors)] == ["mean loss (nats)", "error (share of images)"]
    assert losses.lines[-1].get_ydata()[0] == pytest.approx(np.log(10))
    assert figure.axes[0].get_ylim() == losses.get_ylim()


def test_the_dots_lie_on_the_curves_where_the_plateaus_end():
    made = ways(spread(0.4))
    ax = plateau_plots.ways_axes({"": made}, "mistake_rate")
    (dots,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert to_hex(dots.get_markerfacecolor()) == COLOURS[0].lower()
    for x, y, way in zip(*dots.get_data(), made, strict=True):
        assert x == pytest.approx(plateau_length(way.curve))
        assert y == pytest.approx(float(way.curve.mistake_rate.interp(alpha=x)), abs=1e-9)


def test_a_run_that_diverged_leaves_the_others_mean_as_it_is():
    made = ways(spread(0.4))
    made[1].curve["loss"][:] = np.nan
    ax = plateau_plots.ways_axes({"": made}, "loss")
    (mean,) = [line for line in ax.lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(mean.get_ydata(), (made[0].curve.loss + made[2].curve.loss) / 2)


def test_the_picture_says_what_was_done_about_batchnorm():
    plain, normed = ways(spread(0.2)), ways(spread(0.3))
    for way in normed:
        way.curve.attrs["bn"] = "update"
    figure = plateau_plots.ways_rows({"vgg": {"": normed}, "fcn": {"": plain}})
    titles = [ax.get_legend().get_title().get_text().split("\n")[:2] for ax in figure.axes[1::2]]
    assert titles == [["vgg", "BatchNorm updated at every point"], ["fcn", "plateau in loss / error"]]


def test_the_prediction_stands_beside_what_is_measured_and_what_shrunken_starts_give():
    left, right = plateau_plots.prediction_pair(predictions(0.8 * GRID, GRID)).axes
    assert all(len(c.get_offsets()) == 6 for c in left.collections)
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["2 layers", "4 layers", "6 layers"]
    dashed = [line for line in right.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose([line.get_ydata()[0] for line in dashed], GRID[..., 0].mean(1))
    for bars, depth in zip(right.containers, GRID, strict=True):
        means = np.array(bars.lines[0].get_ydata(), dtype=float)
        np.testing.assert_allclose(means, [0.8 * depth[:, 0].mean(), depth[:, 0].mean()])


def test_the_order_is_drawn_as_means_over_seeds_with_their_intervals():
    made = orders(1)
    ax = plateau_plots.order_means(made)
    (bars,) = ax.containers
    for rank, (x, y) in enumerate(zip(*bars.lines[0].get_data(), strict=True)):
        of_rank = made.bias.values[made.epoch.values == rank]
        assert (x, y) == (rank + 1, pytest.approx(of_rank.mean()))
        (_, low), (_, high) = bars.lines[2][0].get_segments()[rank]
        assert (low, high) == pytest.approx(student(of_rank))


def test_the_pair_is_drawn_along_the_way_and_over_the_steps():
    problems = [hardness.valley(100.0), hardness.chain(4)]
    curves: dict[str, tuple[xr.DataArray, xr.DataArray]] = {
        p.name: (hardness.line(p), hardness.descent(p)) for p in problems
    }
    figure = plateau_plots.hardness_pair(curves)
    left, right = figure.axes
    assert len(left.lines) == len(right.lines) == 2
    assert right.get_xscale() == "log"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(curves)
    for line, (way, _) in zip(left.lines, curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), way)
