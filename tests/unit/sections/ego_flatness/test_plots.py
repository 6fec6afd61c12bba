import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm

from landscape_utils.sections.ego_flatness import plots as ego_plots
from tests.unit.suite.test_surfaces import bowl


def test_class_surfaces_name_the_classes_and_share_a_logarithmic_range() -> None:
    figure = ego_plots.class_surfaces(bowl())
    first, second = figure.axes[:2]
    assert first.get_title() == "loss of E (own space)"
    assert isinstance(first.collections[0].norm, LogNorm)
    assert first.collections[0].norm is second.collections[0].norm


def members(**values: float) -> xr.Dataset:
    shape = (2, 3, 2)
    coords = {"architecture": ["vgg", "resnet"], "recipe": ["small-lr", "big-lr", "anneal-lr"], "seed": [0, 1]}
    rng = np.random.default_rng(0)
    data = {name: (tuple(coords), top * rng.random(shape) + 0.01) for name, top in values.items()}
    return xr.Dataset({**data, "cut_off": (tuple(coords), np.arange(12).reshape(shape) == 3)}, coords=coords)


def test_accuracies_and_areas_show_every_seed() -> None:
    axes = ego_plots.accuracy_dots(members(train_accuracy=1, test_accuracy=0.9))
    assert [ax.get_title() for ax in axes] == ["vgg", "resnet"]
    assert len([line for line in axes[0].lines if line.get_marker() in "so"]) == 12
    figure = ego_plots.area_dots({"theta": members(theta=5, walked=1), "distance": members(theta=5, walked=1)})
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
    (ax,) = ego_plots.cut_lines(angles, angles.rename(angle="cut"))
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
    ax = ego_plots.similarity_scatter(square, square.rename({"class": "true", "other": "predicted"}) / 10)
    assert len(ax.collections[0].get_offsets()) == 3
    rises = xr.DataArray([1.0, 2.0, 3.0], dims="class", coords={"class": names})
    ax = ego_plots.rise_bars({"a-b": rises, "b-c": 2 * rises})
    assert [bar.get_height() for bar in ax.patches] == [1, 2, 3, 2, 4, 6]
    plt.close("all")
