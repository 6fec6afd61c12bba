import numpy as np
import pytest

from landscape_utils.sections.gradient_split import plots as gradient_plots
from tests.unit.sections.gradient_split.test_claims import EPOCHS, course
from tests.unit.sections.gradient_split.test_study import sizes


def test_norm_maps_share_one_range_and_have_the_first_layer_on_top():
    made = course(first=0.25)
    figure = gradient_plots.norm_maps(made)
    *maps, bar = figure.axes
    assert [ax.get_title() for ax in maps] == [f"{name} examples" for name in ("all", "unpermuted", "permuted")]
    for ax in maps:
        assert ax.images[0].get_clim() == pytest.approx((0.25, 1.0))
    np.testing.assert_allclose(maps[0].images[0].get_array()[0], 0.25)
    assert [t.get_text() for t in maps[0].get_yticklabels()] == ["conv1", "conv2", "fc"]
    assert [t.get_text() for t in maps[1].get_xticklabels()] == EPOCHS
    assert "norm of the gradient" in bar.get_ylabel()


def test_ratio_maps_are_symmetric_around_one_and_hold_mean_logarithms():
    figure = gradient_plots.ratio_maps(course((0.1, 0.2, 0.3, 0.9), independent=2.0))
    *maps, bar = figure.axes
    assert len(maps) == 4
    tops = {ax.images[0].get_clim() for ax in maps}
    assert len(tops) == 1
    low, high = tops.pop()
    assert low == -high
    dependent, independent = maps[2].images[0].get_array(), maps[3].images[0].get_array()
    expected = -np.log10([[s * share for share in (0.1, 0.2, 0.3, 0.9)] for s in (0.95, 1.0, 1.05)]).mean(0)
    np.testing.assert_allclose(dependent[1], expected)
    np.testing.assert_allclose(independent[1], np.log10(0.5))
    np.testing.assert_allclose(independent[0], 0)
    assert "1" in [t.get_text() for t in bar.get_yticklabels()]


def test_shares_stand_by_epoch_and_by_layer_with_their_intervals():
    left, right = gradient_plots.share_panels(course(), 0.5).axes
    points = left.containers[0].lines[0].get_ydata()
    mean = 0.3 * np.exp(np.mean(np.log([0.95, 1.0, 1.05])))
    assert points[0] == pytest.approx(mean)
    assert [t.get_text() for t in left.get_xticklabels()] == EPOCHS
    assert [t.get_text() for t in right.get_xticklabels()] == ["conv1", "conv2", "fc"]
    assert [c.get_label() for c in right.containers] == ["dependent part, epoch 0", "dependent part, epoch 1"]
    low, high = left.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert low < mean < high
    assert mean / low == pytest.approx(high / mean)


def test_the_mean_falls_and_the_weighted_mean_grows():
    left, right = gradient_plots.scaling_pair(sizes(2.0, 0.3), 400).axes
    assert len(left.lines) == 2 * (3 + 1) + 1
    permuted = left.lines[7].get_ydata()
    np.testing.assert_allclose(permuted / permuted[0], np.sqrt(25 / np.array([25, 50, 100, 200])))
    np.testing.assert_allclose(left.lines[-1].get_ydata(), permuted)
    weighted = right.lines[7].get_ydata()
    np.testing.assert_allclose(weighted, permuted * np.array([25, 50, 100, 200]) / 400)
    assert right.get_title() == "weighted by their share, n / 400"
    some = sizes(2.0, 0.3)
    some["dependent"].loc[{"seed": 1, "number": 100}] = np.nan
    left, _ = gradient_plots.scaling_pair(some, 400).axes
    assert {tuple(line.get_xdata()) for line in left.lines} == {(25, 50, 200)}
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["unpermuted", "permuted", "as 1 / sqrt(n)"]
