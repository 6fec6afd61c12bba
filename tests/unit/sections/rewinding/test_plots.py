import numpy as np
import pytest
import xarray as xr

from landscape_utils.sections.rewinding import plots as pictures
from landscape_utils.sections.rewinding.study import SUBSETS
from tests.unit.sections.rewinding.test_claims import courses, settled_at
from tests.unit.sections.rewinding.test_study import made


def test_the_layers_that_matter_stand_out_and_early_stopping_goes_across():
    figure = pictures.rewind_curves({"vgg11": courses(0.76), "alexnet": courses(0.6)})
    assert len(figure.axes) == 6
    test = figure.axes[0]
    assert test.get_title() == "test images"
    assert len(test.lines) == 5 + 1
    named = {line.get_label(): line for line in test.lines}
    np.testing.assert_allclose(named["conv 4"].get_ydata(), [0.501, 0.761, 0.501, 0.501])
    assert named["early stopping"].get_ydata()[0] == pytest.approx(0.801)
    legend = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert legend[0] == "others"
    assert legend[-3:] == ["conv 4", "all", "early stopping"]
    assert 0.45 < test.get_ylim()[0] < 0.501  # the range of the layers, not of accuracies
    assert figure.axes[3].get_ylabel() == "accuracy of alexnet"


def test_a_line_ends_where_a_seed_is_unknown():
    curves = np.random.default_rng(0).uniform(size=(2, 17, 6))
    curves[1, 0, 2] = np.nan
    curves[:, 0, 3] = 0.99  # the first layer matters
    (ax, *_) = pictures.rewind_curves({"vgg16": made(curves)}, ["test"]).axes
    first = next(line for line in ax.lines if line.get_label() == "conv 1")
    assert first.get_xdata().tolist() == [0, 1, 3, 4, 5]


def test_a_long_training_has_a_logarithmic_axis_with_room_for_the_start():
    table = courses(0.76).assign_coords(epoch=[0, 1, 30, 100])
    assert pictures.rewind_curves_of(table.assign(stopped=table["stopped"] * 0 + 1), "test").get_xscale() == "symlog"
    assert pictures.rewind_curves_of(courses(0.76), "test").get_xscale() == "linear"


def test_gains_are_points_above_the_final_network():
    ax = pictures.gains({"vgg11": courses(0.76)}).axes[0]
    test = ax.containers[0]
    np.testing.assert_allclose(test.lines[0].get_ydata(), [0, 0, 0, 26], atol=1e-9)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["conv 1", "conv 2", "conv 3", "conv 4"]
    assert ax.get_ylabel() == "gain over the final network (points)"
    one = pictures.gains({"vgg11": courses(0.76).isel(seed=[0])}).axes[0]
    assert np.isfinite(one.containers[0].lines[0].get_ydata()).all()


def test_the_last_layers_are_named_by_the_first_of_them():
    values = np.linspace(0, 1, 3 * 4 * len(SUBSETS)).reshape(3, 4, -1)
    found = xr.DataArray(values, {"last": range(4), "subset": list(SUBSETS)}, ("seed", "last", "subset"))
    ax = pictures.last_layers(found, ["conv 1", "conv 2", "linear 1"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1: from linear 1", "2: from conv 2", "3: from conv 1"]
    assert len(ax.lines) == 3 * (3 + 1)
    np.testing.assert_allclose(ax.lines[3].get_ydata(), values.mean(0)[:, 0])


def test_settling_epochs_are_marked_by_seed_and_joined_by_mean():
    epochs = [[8, 6, 4, 2], [7, 6, 5, 1]]
    ax = pictures.settling_scatter({"vgg11": settled_at(epochs)})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.mean(epochs, axis=0))
    assert [c.get_offsets()[:, 1].tolist() for c in ax.collections] == epochs


def test_every_treatment_has_a_bar_for_every_layer():
    values = np.random.default_rng(0).uniform(size=(3, 1, 5, len(SUBSETS)))
    titles = ["nothing", "conv 1", "conv 2", "conv 3", "all"]
    found = xr.DataArray(
        values,
        {"bn": ["rewind", "keep", "update"], "title": ("rewound", titles), "subset": list(SUBSETS)},
        ("bn", "seed", "rewound", "subset"),
    )
    ax = pictures.treatment_bars(found)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], values[:, 0, :, 4].ravel())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "rewound with the layer",
        "final ones kept",
        "estimated anew after rewinding",
    ]
