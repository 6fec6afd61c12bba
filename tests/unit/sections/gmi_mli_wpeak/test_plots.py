import numpy as np
import xarray as xr

from landscape_utils.landscape.walks import TOWARDS, Walk
from landscape_utils.sections.gmi_mli_wpeak import plots as pictures
from tests.unit.sections.gmi_mli_wpeak.test_claims import CHANCE, LAM, V, line


def test_a_panel_shows_chance_the_model_and_the_average_count() -> None:
    ax = pictures.curve_panel_axes([line(V), line(V + np.cos(20 * LAM))], title="mlp")
    assert ax.get_title().startswith("mlp [")
    horizontal = [x for x in ax.lines if len(set(np.atleast_1d(x.get_ydata()))) == 1]
    assert any(np.isclose(x.get_ydata()[0], CHANCE) for x in horizontal)
    assert ax.get_yscale() == "linear"


def test_the_other_model_is_marked_and_large_losses_are_logarithmic() -> None:
    lam = np.linspace(*TOWARDS, 41)
    ax = pictures.curve_panel_axes([line(1000 * lam**2 + 1, walk=Walk(None, span=TOWARDS))], labels=True)
    assert [x.get_xdata()[0] for x in ax.lines if len(set(x.get_xdata())) == 1] == [0, 1]
    assert ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["Gau.1"]


def test_what_diverged_is_left_out() -> None:
    loss = V.copy()
    loss[:3] = np.nan
    loss[-2:] = np.inf
    ax = pictures.curve_panel_axes([line(loss)])
    assert np.ma.getmaskarray(ax.lines[0].get_ydata()).sum() == 5


def test_panels_stand_in_rows_of_five() -> None:
    figure = pictures.curve_grid({str(i): [line(V)] for i in range(7)})
    assert len(figure.axes) == 10
    assert [ax.axison for ax in figure.axes] == [True] * 7 + [False] * 3


def test_angles_stand_beside_their_prediction() -> None:
    seen = 90 + np.random.default_rng(0).standard_normal(100)
    figure = pictures.angle_histograms({"a": seen, "b": seen}, {"a": 3000, "b": 3000})
    peak = max(figure.axes[0].lines[0].get_ydata())
    assert np.isclose(peak, np.sqrt(3000 / (2 * np.pi)) / np.degrees(1), rtol=0.01)


def test_cosines_are_bars_beside_chance() -> None:
    cosines = xr.DataArray([0.1, 0.2], dims="rank", coords={"rank": ["P.E.1", "N.E.1"]})
    figure = pictures.cosine_bars({f"m{i}": cosines for i in range(5)}, {f"m{i}": 1000 for i in range(5)})
    ax = figure.axes[0]
    assert [bar.get_height() for bar in ax.patches] == [0.1, 0.2]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert np.isclose(ax.lines[0].get_ydata()[0], np.sqrt(2 / (np.pi * 1000)))
    assert not figure.axes[-1].axison
