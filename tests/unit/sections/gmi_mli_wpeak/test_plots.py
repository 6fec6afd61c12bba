import numpy as np
import xarray as xr

from landscape_utils.landscape.walks import TOWARDS, Walk
from landscape_utils.sections.gmi_mli_wpeak import plots as pictures
from tests.unit.sections.gmi_mli_wpeak.test_claims import AWAY, CHANCE, LAM, TO, VVV, V, line, place


def test_a_panel_shows_chance_the_model_and_the_average_count() -> None:
    ax = pictures.curve_panel_axes([line(V), line(V + np.cos(20 * LAM))], title="mlp")
    assert ax.get_title().startswith("mlp [")
    horizontal = [x for x in ax.lines if len(set(np.atleast_1d(x.get_ydata()))) == 1]
    assert any(np.isclose(x.get_ydata()[0], CHANCE) for x in horizontal)
    assert ax.get_yscale() == "linear"


def test_the_other_model_is_marked_and_large_losses_are_logarithmic() -> None:
    lam = np.linspace(*TOWARDS, 41)
    lines = [line(1000 * lam**2 + 1, walk=Walk(None, span=TOWARDS))] * 2
    ax = pictures.curve_panel_axes(lines, colour=lambda x: x.direction)
    assert [x.get_xdata()[0] for x in ax.lines if len(set(x.get_xdata())) == 1] == [0, 1]
    assert ax.get_yscale() == "log"
    assert ax.get_legend_handles_labels()[1] == ["Gau.1"]


def test_what_diverged_is_left_out() -> None:
    loss = V.copy()
    loss[:3] = np.nan
    loss[-2:] = np.inf
    ax = pictures.curve_panel_axes([line(loss)])
    assert np.ma.getmaskarray(ax.lines[0].get_ydata()).sum() == 5


def test_rows_are_conditions_with_one_scale_and_columns_networks() -> None:
    lines = [line(V, place("mlp", stage="early")), line(500 * V + 1, place("resnet8", stage="early")), line(V)]
    figure = pictures.curve_matrix(lines, pictures.condition)
    axes = np.reshape(figure.axes, (2, 2))
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["early", "late"]
    assert [ax.axison for ax in axes.ravel()] == [True, True, True, False]
    assert [ax.get_yscale() for ax in axes.ravel()[:3]] == ["log", "log", "linear"]
    assert axes[0, 0].get_ylim() == axes[0, 1].get_ylim()
    assert [ax.get_title() for ax in axes[0]] == ["mlp, E=1 [1.0]", "resnet8, E=1 [1.0]"]


def test_a_barrier_and_a_peak_are_looked_at_on_their_own_scales() -> None:
    tall = VVV + 100 * np.clip(abs(TO - 0.5) - 1, 0, None)
    (ax,) = pictures.curve_matrix([line(tall, walk=AWAY)], pictures.condition, look="barrier").axes
    assert 0.15 < ax.get_ylim()[1] < 0.2  # the barriers are 0.1 high
    peak = 1 - LAM**2 + 5 * LAM**4
    (ax,) = pictures.curve_matrix([line(peak)], pictures.condition, look="peak").axes
    assert peak.min() > ax.get_ylim()[0]
    assert 1.04 < ax.get_ylim()[1] < 1.06
    (ax,) = pictures.curve_matrix([line(V - 0.1 * LAM, direction="P.E.1")], pictures.condition, look="peak").axes
    assert ax.get_ylim()[1] > 1  # what has no peak is shown whole


def test_relative_curves_fill_their_panels() -> None:
    ax = pictures.curve_panel_axes([line(V, walk=Walk(scale=0.1)), line(V, walk=Walk(scale=10.0))], relative=True)
    assert ax.lines[0].get_xdata()[-1] == 10.0  # this line's grid reaches 1, in units of its s
    assert ax.lines[1].get_xdata()[-1] == 0.1


def test_scales_are_columns_and_normalisations_rows() -> None:
    lines = [line(V, walk=Walk(n, scale=s)) for n in ("global", "filter") for s in (1.0, 0.1, 10.0)]
    axes = np.reshape(pictures.scale_matrix(lines).axes, (2, 3))
    assert [ax.get_title().split("\n")[0] for ax in axes[0]] == ["s = 0.1", "s = 1", "s = 10"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["mlp\nNorm", "mlp\nFilNorm"]


def test_angles_stand_beside_their_prediction_and_the_descents_own() -> None:
    seen = 90 + np.random.default_rng(0).standard_normal(100)
    of = place(stage="early")
    figure = pictures.angle_histograms({(of, "E=9"): seen, (of, "Neg. Grad."): seen}, {of: 88.5}, {of: 3000})
    assert len(figure.axes) == 2
    peak = max(figure.axes[0].lines[0].get_ydata())
    assert np.isclose(peak, np.sqrt(3000 / (2 * np.pi)) / np.degrees(1), rtol=0.01)
    assert figure.axes[0].lines[1].get_xdata()[0] == 88.5


def test_cosines_are_bars_over_seeds_beside_chance_in_the_papers_order() -> None:
    ranks = ["P.E.1", "P.E.2", "N.E.1", "N.E.2"]
    cosines = {
        place(seed=s): xr.DataArray(np.array([0.1, 0.2, 0.3, 0.4]) * (1 + s), dims="rank", coords={"rank": ranks})
        for s in (0, 1)
    }
    (ax,) = pictures.cosine_bars(cosines, dict.fromkeys(cosines, 1000)).axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["N.E.1", "N.E.2", "P.E.2", "P.E.1"]
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], 1.5 * np.array([0.3, 0.4, 0.2, 0.1]))
    assert np.isclose(ax.lines[-1].get_ydata()[0], np.sqrt(2 / (np.pi * 1000)))


def test_rows_have_names() -> None:
    early = place(stage="early")
    for points in (25, 41):
        assert pictures.condition(line(V, early, walk=Walk(points=points))) == "early"
    assert pictures.condition(line(V, walk=Walk(None))) == "no norm, UpBN"
    assert pictures.gradients_range(line(V, direction="Best Gau.", walk=Walk(None, scale=0.1))) == "s = 0.01"
    assert pictures.way_down(line(V, early, direction="E=9")) == "to the end, early"
    ends = [(early, "E'=1"), (early, "E'=9"), (place(), "E'=1"), (place(), "E'=9")]
    named = [pictures.both_ends(line(V, at, direction=name)) for at, name in ends]
    assert named == ["early to early", "early to late", "late to early", "late to late"]
    assert pictures.eigenvectors_end(line(V, early, direction="N.E.3")) == "N.E., early"
    second = line(VVV, direction="alpha=0, gamma=0.1, fresh", walk=AWAY)
    assert (pictures.setting(second), pictures.start(second)) == ("alpha=0\ngamma=0.1", "fresh")
    told = pictures.end_losses([second, line(VVV + 1, walk=AWAY)])
    assert told.startswith("mlp, E=9, L(phi) = ")
    assert told.count("not fitted") == 1
