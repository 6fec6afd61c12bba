import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from landscape_utils.sections.hessian_surfaces import plots as pictures
from landscape_utils.sections.hessian_surfaces.study import Departure
from tests.unit.sections.gmi_mli_wpeak.test_claims import place
from tests.unit.sections.hessian_surfaces.test_claims import bottle, pieces, saddle
from tests.unit.sections.hessian_surfaces.test_study import noise, plane, spectrum

MLP, RESNET = place("mlp", stage="early"), place("resnet8", stage="early")


def texts(figure: Figure) -> list[str]:
    """The entries of a legend above the panels."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_densities_are_bulks_as_far_as_the_smallest_eigenvalues_tell() -> None:
    early = spectrum([-2.0, 0.0, 5.0], [0.1, 0.8, 0.1], [5.0, -2.0])
    late = spectrum([-1.0, 0.0, 50.0], [0.1, 0.8, 0.1], [50.0, -1.0])
    found = {MLP: early, place("mlp"): late, RESNET: early}
    figure = pictures.density_panels(found, 10)
    assert len(figure.axes) == 4
    bulk, counts, other, further = figure.axes
    assert bulk.get_yscale() == "log"
    assert [ax.get_ylabel() for ax in (bulk, other)] == ["mlp\ndensity", "resnet8\ndensity"]
    assert [text.get_text() for text in counts.get_legend().get_texts()] == ["early, E=1 [-2]", "late, E=9 [-1]"]
    assert [text.get_text() for text in further.get_legend().get_texts()] == ["early, E=1 [-2]"]
    curves = [line for line in bulk.lines if not line.get_label().startswith("_")]
    assert [line.get_color() for line in curves] == list(pictures.COLOURS[:2])
    for line in curves:
        x, y = line.get_xdata(), line.get_ydata()
        assert abs(x).max() <= 4  # twice the largest of the smallest
        assert abs(x[np.argmax(y)]) < 0.1
    # An eighth of |smallest| is the width: 0.8 at 0 is 0.8 / (sqrt(2 pi) / 4) for early, and twice that for late.
    tops = [line.get_ydata().max() for line in curves]
    assert tops == pytest.approx([3.2 / np.sqrt(2 * np.pi), 6.4 / np.sqrt(2 * np.pi)], rel=0.03)
    assert bulk.get_ylim() == pytest.approx((1e-4 * max(tops), 3 * max(tops)))


def test_beside_each_bulk_is_how_many_eigenvalues_are_above_what() -> None:
    one = spectrum([-1.0, 2.0, 0.0, 50.0], [0.1, 0.05, 0.7, 0.15], [50.0, -1.0], size=200)
    two = xr.concat([one.density, one.density.assign(eigenvalue=one.density["eigenvalue"] + 1)], "probe")
    figure = pictures.density_panels({MLP: one._replace(density=two.assign_attrs(size=200))}, 10)
    ax = figure.axes[1]
    steps, dotted = ax.lines
    # Half the probes each: 0.15 of 200 at 51, then at 50; the weights at 3, 2 and 1 follow.
    assert steps.get_xdata().tolist() == [51, 50, 3, 2, 1]
    np.testing.assert_allclose(steps.get_ydata(), [15, 30, 35, 40, 110])
    assert steps.get_drawstyle() == "steps-post"
    assert set(dotted.get_ydata()) == {10}
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_ylim()[0] == 0.5
    assert ax.get_xlim()[0] == pytest.approx(1e-3 * ax.get_xlim()[1])


def test_histograms_stand_beside_the_foretold_normal_curve() -> None:
    one = noise()
    figure = pictures.noise_histograms({MLP: one, RESNET: one})
    assert len(figure.axes) == 6
    curve = figure.axes[1].lines[0]
    told = one.predicted.isel(lam=1)
    assert curve.get_xdata()[np.argmax(curve.get_ydata())] == pytest.approx(float(told["mean"]), abs=1e-3)
    assert max(curve.get_ydata()) == pytest.approx(1 / np.sqrt(2 * np.pi * float(told["variance"])), rel=1e-2)
    bars = figure.axes[1].patches
    assert len(bars) == 16
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1)
    moments = f"{float(told['mean']):.2g} +- {float(told['variance']) ** 0.5:.2g}"
    assert figure.axes[4].get_title() == f"lambda = 0.003: {moments}\nforetold {moments}"
    assert [ax.get_ylabel() for ax in figure.axes] == ["mlp, E=1\ndensity", "", "", "resnet8, E=1\ndensity", "", ""]
    assert texts(figure) == ["100 draws, both ways", "second order"]
    assert figure.get_supxlabel() == "loss change (nats)"


def test_a_histograms_title_tells_what_was_measured_from_what_was_foretold() -> None:
    one, off = noise(), noise(offset=10.0, stretch=2.0)
    mean, spread = float(one.predicted["mean"][0]), float(one.predicted["variance"][0]) ** 0.5
    first, second = pictures.noise_histograms({MLP: off}).axes[0].get_title().split("\n")
    assert first == f"lambda = 0.001: {mean + 10 * spread:.2g} +- {2 * spread:.2g}"
    assert second == f"foretold {mean:.2g} +- {spread:.2g}"


def test_pieces_are_drawn_on_their_curve_and_below_how_far_they_are_off() -> None:
    misses = np.linspace(0, 0.1, 11)
    found = {Departure(MLP, "GMI"): pieces(np.zeros(11)), Departure(MLP, "MLI"): pieces(misses)}
    figure = pictures.piece_curves(found)
    on, off, below_on, below_off = figure.axes
    assert [ax.get_title() for ax in (on, off)] == ["mlp, E=1, GMI", "mlp, E=1, MLI"]
    for ax, away in ((on, np.zeros(11)), (off, 1.1 * misses)):
        curve, *drawn, dots = ax.lines
        assert len(drawn) == len(dots.get_xdata()) == 11
        for one, by in zip(drawn, away, strict=True):
            at = np.interp(one.get_xdata(), curve.get_xdata(), curve.get_ydata())
            np.testing.assert_allclose(one.get_ydata(), at + by)
            assert np.ptp(one.get_xdata()) == pytest.approx(0.1)
    np.testing.assert_allclose([bar.get_height() for bar in below_on.patches], 0, atol=1e-12)
    np.testing.assert_allclose([bar.get_height() for bar in below_off.patches], misses, atol=1e-12)
    assert texts(figure) == ["measured", "second order"]


def ranges(figure: Figure) -> list[Normalize]:
    return [c.norm for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh) and ax.get_title()]


def levels(ax: Axes) -> dict[str, float]:
    """The levels of a panel's lines, by colour."""
    sets = [c for c in ax.collections if isinstance(c, QuadContourSet)]
    return {to_hex(c.get_edgecolor()[0]): float(level) for c in sets for level in c.levels}


def test_shapes_have_names_on_their_axes_and_colours_of_their_own() -> None:
    figure = pictures.shape_panels({MLP: {"a": plane(bottle), "b": plane(saddle)}, RESNET: {"a": plane(saddle)}})
    first, second, third, fourth = figure.axes[:4]
    assert (first.get_xlabel(), first.get_ylabel()) == ("lam1 (P.E.1)", "lam2 (N.E.1)")
    titles = [ax.get_title() for ax in (first, second, third)]
    assert titles == ["mlp, E=1: bottle", "mlp, E=1: saddle", "resnet8, E=1: saddle"]
    assert not fourth.axison
    assert len(figure.axes) == 7  # a colour scale for each
    one, other, _ = ranges(figure)
    assert one.vmin == pictures.LOWEST
    assert one.vmax == pytest.approx(1.6**2)
    assert other.vmax == pytest.approx(1)


def test_lines_are_at_the_models_loss_and_at_chance_where_the_surface_has_them() -> None:
    low, high, none = plane(bottle), plane(lambda x, y: 2 + saddle(x, y)), plane(lambda x, y: 2 + x**2 + y**2)
    axes = pictures.shape_panels({MLP: {"a": low, "b": high, "c": none}}).axes
    assert levels(axes[0]) == pytest.approx({"#ffffff": 0.16, "#000000": np.log(3)})
    assert levels(axes[1]) == pytest.approx({"#ffffff": 2, "#000000": np.log(3)})
    assert levels(axes[2]) == {}  # the model's loss is the lowest


def test_colours_go_by_decades_where_a_surface_has_some() -> None:
    surfaces = {
        "a": plane(lambda x, y: 1 + 2 * x**2 + 2 * y**2),
        "b": plane(lambda x, y: 1 + 5 * x**2 + 5 * y**2),
        "c": plane(bottle) * 0,
    }
    near, far, even = ranges(pictures.shape_panels({MLP: surfaces}))
    assert (type(near), near.vmin, near.vmax) == (Normalize, 1, 5)
    assert (type(far), far.vmin, far.vmax) == (LogNorm, 1, 11)
    assert even.vmin < even.vmax


def test_every_network_begins_a_row_of_curve_names() -> None:
    found = {MLP: {str(i): plane(lambda x, y, i=i: 1 + i + x**2 + y**2) for i in range(5)}}
    figure = pictures.mixed_panels({**found, RESNET: {"0": plane(saddle)}})
    assert [ax.axison for ax in figure.axes[:12]] == [True] * 5 + [False] * 3 + [True] + [False] * 3
    assert figure.axes[8].get_title() == "resnet8, E=1: v-basin x no name"
    *own, other = ranges(figure)
    assert [(norm.vmin, norm.vmax) for norm in own] == [(1 + i, 3 + i) for i in range(5)]
    assert (other.vmin, other.vmax) == (pictures.LOWEST, 1)
    assert len(figure.axes) == 18


def test_what_is_tall_or_not_finite_does_not_stretch_the_colours() -> None:
    grid = plane(lambda x, y: 1 + 1e6 * (x + y + 2))
    grid["loss"][0, 1] = np.inf
    figure = pictures.mixed_panels({MLP: {"a": grid}})
    (mesh,) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    assert mesh.norm.vmax == pytest.approx(100 * np.log(3))
    assert figure.axes[0].get_title() == "mlp, E=1: v-side x v-side\n1 of 81 points diverged (grey)"
