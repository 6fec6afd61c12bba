import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm

from landscape_utils import surface_plots as sp


def bowl(size: int = 5, **holes: float) -> xr.Dataset:
    """Build an interference space whose mistake rate is a bowl, with values put at 'row_column'."""
    axis = np.linspace(-1, 1, size)
    rate = 0.5 * (axis[:, None] ** 2 + axis[None] ** 2)
    for place, value in holes.items():
        i, j = (int(k) for k in place[1:].split("_"))
        rate[i, j] = value
    losses = np.stack([rate, 10 * rate + 0.1], axis=-1)
    data = {
        "mistake_rate": (("theta1", "theta2"), rate),
        "loss": (("theta1", "theta2"), 3 * rate),
        "class_loss": (("theta1", "theta2", "class"), losses),
    }
    coords = {"theta1": axis, "theta2": axis, "class": ["E", "F"]}
    walked = {f"walked{a}": (f"theta{a}", axis * a / 100) for a in (1, 2)}
    return xr.Dataset(data, coords={**coords, **walked}, attrs={"first": "E", "second": "F"})


def test_a_map_shows_its_values_with_the_first_coordinate_along_x() -> None:
    space = bowl(h0_4=0.9)
    ax = sp.surface_map(space.mistake_rate)
    mesh = ax.collections[0].get_array()
    assert mesh[4, 0] == 0.9  # theta1 is lowest, theta2 highest: top left
    assert ax.get_xlabel() == "theta1"


def test_what_diverged_is_masked_and_counted_and_does_not_stretch_the_colours() -> None:
    ax = sp.surface_map(bowl(h0_0=np.nan, h1_1=np.inf, h4_4=-np.inf).mistake_rate, flat=True)
    mesh = ax.collections[0]
    assert int(np.ma.getmaskarray(mesh.get_array()).sum()) == 3
    assert mesh.norm.vmax == 1.0
    assert ax.get_title() == "3 of 25 points diverged (grey)"
    everything = xr.full_like(bowl().mistake_rate, np.nan)
    assert sp.surface_map(everything).get_title() == "25 of 25 points diverged (grey)"


def test_the_flat_line_lies_a_tenth_above_the_centre() -> None:
    assert len(sp.surface_map(bowl().mistake_rate, flat=True).collections) == 2
    assert len(sp.surface_map(bowl().mistake_rate * 0.05, flat=True).collections) == 1  # flat everywhere: no line
    assert len(sp.surface_map(bowl().mistake_rate).collections) == 1


def test_distance_walked_is_read_on_the_far_axes() -> None:
    ax = sp.surface_map(bowl().mistake_rate, walked=True)
    ax.figure.canvas.draw()
    top, right = ax.child_axes
    np.testing.assert_allclose(top.get_xlim(), np.array(ax.get_xlim()) / 100)
    np.testing.assert_allclose(right.get_ylim(), np.array(ax.get_ylim()) * 2 / 100)
    assert "share of |w|" in top.get_xlabel()


def test_a_grid_has_one_colour_range_and_leaves_missing_cells_empty() -> None:
    deep = bowl()
    deep["mistake_rate"] = deep.mistake_rate * 0.5
    figure = sp.surface_grid({"vgg": {"small": bowl(), "big": deep}, "resnet": {"big": bowl(h0_0=np.nan)}})
    maps = [ax for ax in figure.axes if ax.collections and ax.get_xlabel()]
    assert {(ax.collections[0].norm.vmin, ax.collections[0].norm.vmax) for ax in maps} == {(0.0, 1.0)}
    titles = [ax.get_title() for ax in maps]
    assert titles == ["vgg, small", "vgg, big", "resnet, big\n1 of 25 points diverged (grey)"]
    assert not figure.axes[2].axison


def test_class_surfaces_name_the_classes_and_share_a_logarithmic_range() -> None:
    figure = sp.class_surfaces(bowl())
    first, second = figure.axes[:2]
    assert first.get_title() == "loss of E (own space)"
    assert isinstance(first.collections[0].norm, LogNorm)
    assert first.collections[0].norm is second.collections[0].norm


def test_a_trajectory_lies_on_its_surface() -> None:
    space = bowl().rename(theta1="lam1", theta2="lam2")
    path = np.array([[-1, 0.5], [0, 0.2], [0.3, 0.1]])
    ax = sp.trajectory_map(space.loss, path, labels=["start", "", "end"])
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), path)
    assert [t.get_text() for t in ax.texts] == ["start", "", "end"]


def members(**values: float) -> xr.Dataset:
    shape = (2, 3, 2)
    coords = {"architecture": ["vgg", "resnet"], "recipe": ["small-lr", "big-lr", "anneal-lr"], "seed": [0, 1]}
    rng = np.random.default_rng(0)
    data = {name: (tuple(coords), top * rng.random(shape) + 0.01) for name, top in values.items()}
    return xr.Dataset({**data, "cut_off": (tuple(coords), np.arange(12).reshape(shape) == 3)}, coords=coords)


def test_accuracies_and_areas_show_every_seed() -> None:
    axes = sp.accuracy_dots(members(train_accuracy=1, test_accuracy=0.9))
    assert [ax.get_title() for ax in axes] == ["vgg", "resnet"]
    assert len([line for line in axes[0].lines if line.get_marker() in "so"]) == 12
    figure = sp.area_dots({"theta": members(theta=5, walked=1), "distance": members(theta=5, walked=1)})
    left, right = figure.axes
    hollow = [line for line in left.lines if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 1
    assert (left.get_yscale(), right.get_ylabel()) == ("log", "flat area (share of |w|, squared)")


def test_cuts_similarity_and_rises() -> None:
    angles = xr.DataArray(
        np.random.default_rng(0).random((1, 2, 4)),
        dims=("architecture", "seed", "angle"),
        coords={"architecture": ["vgg"], "seed": [0, 1], "angle": [0, 45, 90, 135]},
    )
    (ax,) = sp.cut_lines(angles, angles.rename(angle="cut"))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "seed 0",
        "seed 1",
        "random cuts (range)",
        "135 degrees",
    ]
    names = ["a", "b", "c"]
    square = xr.DataArray(
        np.arange(9.0).reshape(3, 3), dims=("class", "other"), coords={"class": names, "other": names}
    )
    ax = sp.similarity_scatter(square, square.rename({"class": "true", "other": "predicted"}) / 10)
    assert len(ax.collections[0].get_offsets()) == 3
    rises = xr.DataArray([1.0, 2.0, 3.0], dims="class", coords={"class": names})
    ax = sp.rise_bars({"a-b": rises, "b-c": 2 * rises})
    assert [bar.get_height() for bar in ax.patches] == [1, 2, 3, 2, 4, 6]
    plt.close("all")


def test_the_turning_surface_has_holes_where_it_diverged() -> None:
    described = sp.surface_3d(bowl(h0_0=np.inf).mistake_rate, title="here")
    json.dumps(described, allow_nan=False)
    assert described["data"][0]["type"] == "surface"
    assert described["layout"]["scene"]["zaxis"]["title"]["text"] == sp.LABELS["mistake_rate"]


@pytest.mark.parametrize("name", ["loss", "class_loss", "mistake_rate"])
def test_every_variable_has_a_label_with_its_unit(name: str) -> None:
    assert sp.LABELS[name]
