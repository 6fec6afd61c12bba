import json

import numpy as np
import pytest
import xarray as xr

from landscape_utils.suite import surfaces as sp


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
    ax = sp.surface_map(bowl(h0_0=np.nan, h1_1=np.inf, h4_4=-np.inf).mistake_rate, flat=0.1)
    mesh = ax.collections[0]
    assert int(np.ma.getmaskarray(mesh.get_array()).sum()) == 3
    assert mesh.norm.vmax == 1.0
    assert ax.get_title() == "3 of 25 points diverged (grey)"
    everything = xr.full_like(bowl().mistake_rate, np.nan)
    assert sp.surface_map(everything).get_title() == "25 of 25 points diverged (grey)"


def test_the_flat_line_lies_a_tenth_above_the_centre() -> None:
    assert len(sp.surface_map(bowl().mistake_rate, flat=0.1).collections) == 2
    assert len(sp.surface_map(bowl().mistake_rate * 0.05, flat=0.1).collections) == 1  # flat everywhere: no line
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


def test_a_trajectory_lies_on_its_surface() -> None:
    space = bowl().rename(theta1="lam1", theta2="lam2")
    path = np.array([[-1, 0.5], [0, 0.2], [0.3, 0.1]])
    ax = sp.trajectory_map(space.loss, path, labels=["start", "", "end"])
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), path)
    assert [t.get_text() for t in ax.texts] == ["start", "", "end"]


def test_the_turning_surface_has_holes_where_it_diverged() -> None:
    described = sp.surface_3d(bowl(h0_0=np.inf).mistake_rate, title="here")
    json.dumps(described, allow_nan=False)
    assert described["data"][0]["type"] == "surface"
    assert described["layout"]["scene"]["zaxis"]["title"]["text"] == sp.LABELS["mistake_rate"]


@pytest.mark.parametrize("name", ["loss", "class_loss", "mistake_rate"])
def test_every_variable_has_a_label_with_its_unit(name: str) -> None:
    assert sp.LABELS[name]
