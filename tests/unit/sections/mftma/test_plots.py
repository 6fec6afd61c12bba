"""The pictures show what they are given, and say what it is."""

import numpy as np
import pytest
import xarray as xr

from landscape_utils.data.labels import SUBSETS
from landscape_utils.sections.mftma import plots as manifold_plots

random = np.random.default_rng(0)


def geometry(seeds: int = 3) -> xr.Dataset:
    over, shape = ("seed", "epoch", "subset", "layer"), (seeds, 2, 4, 3)
    names = (*manifold_plots.LABELS, "lower_bound", "ball_capacity")
    return xr.Dataset(
        {name: (over, random.uniform(0.1, 1, shape)) for name in names},
        coords={
            "seed": range(seeds),
            "epoch": ["best", "final"],
            "subset": list(SUBSETS),
            "layer": ["pixels", "a", "b"],
            "depth": ("layer", [0, 1, 2]),
        },
    )


def test_the_course_ends_its_mean_where_the_first_seed_ends() -> None:
    values = random.uniform(size=(2, 4))
    values[0, 3] = np.nan
    found = xr.Dataset(
        {
            **{f"{name}_accuracy": (("seed", "epoch"), values) for name in ("train", "test")},
            "subset_accuracy": (("seed", "epoch", "subset"), np.repeat(values[..., None], 4, 2)),
            "best": ("seed", [1, 2]),
        },
        coords={"epoch": range(4), "subset": list(SUBSETS)},
    )
    left, right = manifold_plots.accuracy_course(found).axes
    mean = next(line for line in left.get_lines() if line.get_label() == "test")
    assert np.isnan(mean.get_ydata()).tolist() == [False, False, False, True]  # type: ignore[arg-type]
    assert [text.get_text() for text in right.get_legend().get_texts()] == list(SUBSETS)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_grid_has_a_row_a_quantity_and_shares_its_ranges(seeds: int) -> None:
    found = geometry(seeds)
    figure = manifold_plots.geometry_grid(found)
    assert len(figure.axes) == 8
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[0].get_ylim()[0] == 0
    assert figure.axes[0].get_ylim()[1] >= float(found["capacity"].mean("seed").max())
    drawn = figure.axes[0].containers[1][0].get_ydata()
    np.testing.assert_allclose(drawn, found["capacity"].sel(epoch="best", subset="permuted").mean("seed"))
    assert figure.axes[2].get_title() == ""
    assert figure.axes[0].get_title() == "best epoch"


def test_shares_have_a_panel_a_layer() -> None:
    found = geometry().isel(epoch=0).rename(seed="epsilon").assign_coords(epsilon=[0, 0.5, 1])
    found = found.expand_dims(seed=2, axis=1)
    figure = manifold_plots.epsilon_row(found, ["a", "b"])
    assert [ax.get_title() for ax in figure.axes] == ["layer 1 (a)", "layer 2 (b)"]
    assert figure.axes[0].get_ylim()[1] >= float(found["capacity"].sel(layer=["a", "b"]).max())


def test_capacities_stand_beside_both_comparisons() -> None:
    over, shape = ("seed", "subset", "layer"), (2, 4, 2)
    counted = xr.Dataset(
        {name: (over, random.uniform(0.1, 0.3, shape)) for name in ("mean_field", "mean_field_error")}
        | {"empirical": (over, np.full(shape, 0.2))}
        | {"low": (over, np.full(shape, 0.1)), "high": (over, np.full(shape, 0.3))},
        coords={"seed": [0, 1], "subset": list(SUBSETS), "layer": ["a", "b"]},
    )
    left, right = manifold_plots.capacity_scatter(counted, geometry()).axes
    assert left.get_xlim() == left.get_ylim()
    assert right.get_xscale() == "log"


def test_planes_have_a_row_an_epoch_and_a_column_a_subset() -> None:
    label = np.full((1, 4, 12), -1)
    label[..., :4] = 3 * random.integers(0, 2, (1, 4, 4))
    planes = xr.Dataset(
        {
            "position": (("seed", "epoch", "layer", "example", "axis"), random.normal(size=(1, 2, 1, 12, 2))),
            "label": (("seed", "subset", "example"), label),
            "agreement": (("seed", "epoch", "layer", "subset"), np.full((1, 2, 1, 4), 0.25)),
        },
        coords={"epoch": ["initial", "final"], "layer": ["a"], "subset": list(SUBSETS)},
        attrs={"classes": ["cat", "dog"], "numbers": [0, 3]},
    )
    figure = manifold_plots.planes_grid(planes, "a")
    assert [ax.get_title() for ax in figure.axes] == 2 * [f"{subset}: 25% agree" for subset in SUBSETS]
    assert [ax.get_ylabel() for ax in figure.axes[::4]] == ["initialisation", "final epoch"]
    assert len(figure.axes[0].collections[1].get_offsets()) + len(figure.axes[0].collections[2].get_offsets()) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog"]
