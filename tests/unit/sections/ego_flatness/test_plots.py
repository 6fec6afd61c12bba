import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from landscape_utils.kit import Floats
from landscape_utils.sections.ego_flatness import plots as ego_plots
from landscape_utils.suite.plots import to_png
from tests.unit.suite.test_surfaces import bowl

SIZES = {"architecture": ["vgg", "resnet"], "recipe": ["small-lr", "big-lr", "anneal-lr"], "seed": [0, 1]}


def members(*names: str) -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset({name: (list(SIZES), rng.random((2, 3, 2)) + 0.01) for name in names}, SIZES)


def numbers(drawn: object) -> Floats:
    return np.asarray(drawn, dtype=float)


def dots(ax: Axes) -> list[float]:
    return [numbers(line.get_ydata())[0] for line in ax.lines if line.get_marker() in ("o", "s")]


def test_class_surfaces_have_a_row_a_space_and_a_column_a_class_in_one_logarithmic_range() -> None:
    spaces = {"E-F": bowl(), "G-F": bowl(h0_0=9.0).assign_attrs(first="G")}
    figure = ego_plots.class_surfaces(spaces, ["F", "E"])
    titles = [ax.get_title() for ax in figure.axes[:4]]
    assert titles == ["loss of F (own space)", "loss of E (own space)", "loss of F (own space)", "loss of E"]
    meshes = [mesh for ax in figure.axes[:4] for mesh in ax.collections if isinstance(mesh, QuadMesh)]
    for mesh, (space, name) in zip(meshes, [(s, n) for s in spaces.values() for n in "FE"], strict=True):
        want = space["class_loss"].sel({"class": name}).clip(min=1e-3)  # E's loss is 0 in the middle
        np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(5, 5), want.values.T)
        assert isinstance(mesh.norm, LogNorm)
        assert [mesh.norm.vmin, mesh.norm.vmax] == pytest.approx([1e-3, 90.1])


def test_accuracies_show_every_seed() -> None:
    accuracies = members("train_accuracy", "test_accuracy")
    axes = ego_plots.accuracy_dots(accuracies)
    assert [ax.get_title() for ax in axes] == SIZES["architecture"]
    for ax, name in zip(axes, SIZES["architecture"], strict=True):
        of_model = accuracies.sel(architecture=name)
        assert dots(ax) == [*of_model.train_accuracy.values.ravel(), *of_model.test_accuracy.values.ravel()]


def test_areas_show_every_seed_in_theta_and_in_distance_walked() -> None:
    radii = members("area", "area_theta")
    radii["area"][0, 1, 1] = np.inf  # flat as far as was looked
    figure = ego_plots.area_dots(radii)
    for ax, measure in zip(figure.axes, ("area_theta", "area"), strict=True):
        assert dots(ax) == list(radii[measure].values.ravel())
        assert ax.get_yscale() == "log"
    left, right = figure.axes
    assert left.get_legend_handles_labels()[1] == SIZES["architecture"]
    assert left.get_ylabel() == "flat area (theta squared)"
    assert right.get_ylabel() == "flat area (share of |w|, squared)"
    assert to_png(figure)


def test_radii_are_geometric_means_around_a_turn_beside_the_range_of_random_ones() -> None:
    coords = {"architecture": SIZES["architecture"], "seed": [0, 1], "angle": [0.0, 90.0, 180.0, 270.0]}
    values = np.geomspace(0.02, 0.09, 16).reshape(2, 2, 4)
    values[0, 1, 2] = np.inf  # one seed's; the other's is shown
    walked = xr.DataArray(values, coords, list(coords))
    drawn = [[[0.2, 0.4], [0.3, np.inf]], [[0.5, 0.7], [0.6, 0.8]]]
    random = xr.DataArray(drawn, {"architecture": SIZES["architecture"]}, ("architecture", "seed", "direction"))
    figure = ego_plots.radius_polar({"E-F": walked, "G-H": walked.copy(data=2 * values)}, random)
    assert [ax.get_title() for ax in figure.axes] == SIZES["architecture"]
    for i, (ax, (low, high)) in enumerate(zip(figure.axes, ((0.2, 0.4), (0.5, 0.8)), strict=True)):
        means = np.sqrt(values[i, 0] * values[i, 1])
        if i == 0:
            means[2] = values[0, 0, 2]
        for line, factor in zip(ax.lines, (1, 2), strict=True):
            np.testing.assert_allclose(numbers(line.get_xdata()), np.pi / 2 * np.arange(5))
            np.testing.assert_allclose(10 ** numbers(line.get_ydata()), factor * numbers(means[[0, 1, 2, 3, 0]]))
        band = numbers(ax.collections[0].get_paths()[0].vertices)[:, 1]
        assert [10 ** band.min(), 10 ** band.max()] == pytest.approx([low, high])
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["10 %", "100 %"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random directions", "E-F", "G-H"]


def test_similarity_and_rises() -> None:
    names = ["a", "b", "c"]
    similar = xr.DataArray(np.arange(9.0).reshape(3, 3), {"class": names, "other": names}, ("class", "other"))
    ax = ego_plots.similarity_scatter(similar, similar.rename({"class": "true", "other": "predicted"}) / 10)
    np.testing.assert_allclose(numbers(ax.collections[0].get_offsets()), numbers([(0.2, 1), (0.4, 2), (0.6, 5)]))
    assert [text.get_text() for text in ax.texts] == ["b-c", "a-c", "a-b"]
    rises = xr.DataArray([1.0, 2.0, 3.0], dims="class", coords={"class": names})
    for factor, scale in ((2, "linear"), (4, "symlog")):
        ax = ego_plots.rise_bars({"a-b": rises, "b-c": factor * rises})
        heights = [bar.get_height() for bar in ax.patches if isinstance(bar, Rectangle)]
        assert heights == [1, 2, 3, factor, 2 * factor, 3 * factor]
        assert ax.get_yscale() == scale
