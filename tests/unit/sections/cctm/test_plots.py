import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.image import AxesImage

from landscape_utils.interference import cctm as i10e
from landscape_utils.sections.cctm import plots as interference_plots
from landscape_utils.suite import plots
from tests.unit.interference.test_cctm import random_rates


def heat(ax: plt.Axes) -> AxesImage:
    return ax.images[0]


def test_the_heat_map_leaves_the_diagonal_out_and_names_its_axes() -> None:
    rates = random_rates(4, 0)
    ax = interference_plots.cctm_heatmap(rates)
    shown = np.ma.filled(heat(ax).get_array().astype(float), np.nan)
    assert np.isnan(shown.diagonal()).all()
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(shown[off], rates.values[off])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert [t.get_text() for t in ax.get_xticklabels()] == list("abcd")


def test_several_heat_maps_share_one_colour_range() -> None:
    figure = interference_plots.cctm_heatmaps({"a": random_rates(4, 0), "b": random_rates(4, 1)}, note="8 images")
    ranges = {heat(ax).get_clim() for ax in figure.axes if ax.get_title()}
    assert len(ranges) == 1
    assert figure.get_supxlabel() == "8 images"


def test_a_heat_map_without_errors_can_be_drawn() -> None:
    rates = random_rates(3, 0)
    plots.to_png(interference_plots.cctm_heatmap(rates.copy(data=np.eye(3))).figure)


def test_many_classes_get_few_ticks_and_no_numbers() -> None:
    rng = np.random.default_rng(0)
    names = [f"class{i}" for i in range(100)]
    rates = xr.DataArray(
        rng.dirichlet(np.ones(100), 100),
        dims=("true", "predicted"),
        coords={"true": names, "predicted": names, "examples": ("true", [50] * 100)},
    )
    ax = interference_plots.cctm_heatmap(rates)
    assert len(ax.get_xticks()) == 20
    assert not ax.texts


def test_plots_draw_on_the_axes_they_are_given() -> None:
    rates = random_rates(5, 0)
    given = plt.figure().subplots()
    result = i10e.symmetry(rates, permutations=20)
    assert interference_plots.symmetry_scatter(rates, ax=given) is given
    assert interference_plots.null_histogram(0.5, result.null.values, ax=given) is given
    assert interference_plots.error_share_bars(i10e.error_shares(rates), ax=given) is given
    assert interference_plots.recall_lines({"m": i10e.recalls(rates)}, ax=given) is given
    assert interference_plots.cctm_row(rates, "a", 0.005, ax=given) is given
    assert len(plt.get_fignums()) == 1


def test_the_row_counts_interferers_above_the_threshold() -> None:
    rates = random_rates(5, 0)
    threshold = 0.2
    ax = interference_plots.cctm_row(rates, "b", threshold)
    count = int(i10e.interferers(rates, threshold).sel(true="b").sum())
    assert f"{count} interferer" in ax.get_title()
    coloured = [bar for bar in ax.patches if bar.get_facecolor()[:3] != (0.75, 0.75, 0.75)]
    assert len(coloured) == count


def test_known_pairs_are_marked_in_either_order() -> None:
    shares = i10e.error_shares(random_rates(3, 0))
    first, second = str(shares["first"][0].item()), str(shares["second"][0].item())
    ax = interference_plots.error_share_bars(shares, known=[(second, first)])
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()


def test_both_interferer_plots_share_the_recall_axis() -> None:
    left, right = interference_plots.interferer_scatter({"m": random_rates(5, 0)}, 0.005)
    assert left.get_ylim() == right.get_ylim()
    assert right.get_xlabel() == "number of interferers above 0.5%"
