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


def test_accuracies_show_every_seed_and_the_mean() -> None:
    made = whole()
    ax = pictures.accuracy_by_width(made)
    lines = bold(ax)
    assert list(lines) == ["test, at its best", "test, at the end", "training labels, at the end"]
    final = made["test_accuracy"].sel(moment="final")
    np.testing.assert_allclose(lines["test, at the end"].get_ydata(), final.mean("seed"))
    assert len(ax.lines) == 3 * (5 + 1) + 1
    assert ax.lines[-1].get_xdata()[0] == 32  # the threshold
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(w) for w in WIDTHS]


def test_geometry_has_an_axes_for_each_measure() -> None:
    figure = pictures.geometry_by_width(whole())
    assert [ax.get_ylabel().split("\n")[0] for ax in figure.axes] == [
        "manifold dimension",
        "manifold radius",
        "centre correlation",
        "manifold capacity",
    ]
    colours = [{to_hex(line.get_color()) for line in bold(ax).values()} for ax in figure.axes]
    assert all(found == {pictures.COLOURS[0].lower(), pictures.COLOURS[1].lower()} for found in colours)


def test_what_memorization_adds_is_a_share_of_its_largest() -> None:
    made = table(noise=0)
    made["dimension"].loc[{"moment": "best"}] = 1.0
    made["test_accuracy"].loc[{"moment": "best"}] = 1.0
    ax = pictures.memorization_adds(made)
    lines = bold(ax)
    assert list(lines) == ["test error (at most 0.6)", "manifold dimension (at most 6)"]
    assert all(line.get_ydata().max() == pytest.approx(1) for line in lines.values())
    assert lines["manifold dimension (at most 6)"].get_ydata().argmax() == 3


def test_time_and_width_marks_where_labels_are_fitted() -> None:
    steps, widths = np.arange(0, 60, 10), [2, 4, 8]
    fit = np.clip(steps / 40 * np.array([[0.5], [1.0], [2.0]]), 0, 1)
    values = {"train_accuracy": fit, "test_accuracy": fit / 2}
    course = xr.Dataset(
        {name: (("width", "seed", "step"), v[:, None]) for name, v in values.items()},
        coords={"width": widths, "step": steps},
    )
    ax = pictures.time_and_width(course, unit="epoch")
    mesh = ax.collections[0]
    np.testing.assert_allclose(mesh.get_array(), fit[:, 1:].T / 2)  # the start has no place in a logarithm
    assert ax.get_ylabel() == "training time (epochs)"
    assert "99%" in ax.get_title()
    never = pictures.time_and_width(course * 0.5)
    assert never.get_title() == ""
