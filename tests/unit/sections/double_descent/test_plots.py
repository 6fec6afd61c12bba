import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from landscape_utils.sections.double_descent import plots as pictures
from tests.unit.sections.double_descent.test_claims import WIDTHS, table


def whole() -> xr.Dataset:
    made = table()
    made["capacity"] = made["radius"] / 10
    return made


def bold(ax) -> dict:
    return {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}


def test_errors_show_every_seed_and_the_mean() -> None:
    made = whole()
    ax = pictures.error_by_width(made)
    lines = bold(ax)
    assert list(lines) == ["test, at its best", "test, at the end", "training labels, at the end"]
    final = made["test_accuracy"].sel(moment="final")
    np.testing.assert_allclose(lines["test, at the end"].get_ydata(), 1 - final.mean("seed"))
    assert len(ax.lines) == 3 * (5 + 1) + 1
    assert ax.lines[-1].get_xdata()[0] == 32
    assert ax.lines[-1].get_label() == "99% of the training labels are fitted from here on"
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(w) for w in WIDTHS]


def test_dimension_stands_above_what_the_end_adds_to_it() -> None:
    made = whole()
    above, below = pictures.dimension_by_width(made).axes
    ends = {name: line.get_ydata() for name, line in bold(above).items()}
    assert list(ends) == ["at its best", "at the end"]
    (added,) = bold(below).values()
    np.testing.assert_allclose(added.get_ydata(), ends["at the end"] - ends["at its best"])


def test_geometry_has_an_axes_for_each_other_measure() -> None:
    figure = pictures.geometry_by_width(whole())
    assert [ax.get_ylabel().split("\n")[0] for ax in figure.axes] == [
        "manifold radius",
        "centre correlation",
        "manifold capacity",
    ]
    colours = [{to_hex(line.get_color()) for line in bold(ax).values()} for ax in figure.axes]
    assert all(found == {pictures.COLOURS[0].lower(), pictures.COLOURS[1].lower()} for found in colours)


def test_time_and_width_marks_where_labels_are_fitted_and_its_colours_end_at_the_peak() -> None:
    steps, widths = np.arange(0, 60, 10), [2, 4, 8, 16]
    fit = np.clip(steps / 40 * np.array([[0.5], [1.0], [2.0], [2.0]]), 0, 1)
    values = {"train_accuracy": fit, "test_accuracy": fit / 2 * np.array([[1.0], [1.0], [0.8], [0.9]])}
    course = xr.Dataset(
        {name: (("width", "seed", "step"), v[:, None]) for name, v in values.items()},
        coords={"width": widths, "step": steps},
    )
    ax = pictures.time_and_width(course, unit="epoch")
    mesh = ax.collections[0]
    # The start has no place in a logarithm.
    np.testing.assert_allclose(mesh.get_array(), 1 - values["test_accuracy"][:, 1:].T)
    assert mesh.norm.vmax == pytest.approx(0.6)  # of width 8: width 2, before the dip, errs more
    assert ax.get_ylabel() == "training time (epochs)"
    assert "99%" in ax.get_title()
    never = pictures.time_and_width(course * 0.5)
    assert never.get_title() == ""
    assert never.collections[0].norm.vmax == pytest.approx(1 - 0.4 / 2)
