import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from landscape_utils.sections.hessian_surfaces import plots as pictures
from tests.unit.sections.hessian_surfaces.test_claims import bottle, pieces, saddle
from tests.unit.sections.hessian_surfaces.test_study import noise, plane, spectrum


def test_a_density_is_logarithmic_and_marks_both_ends() -> None:
    one = spectrum([-1.0, 0.0, 5.0], [0.1, 0.8, 0.1], [5.0, 4.0, -0.5, -1.0])
    figure = pictures.density_panels({"mlp, E=0": one, "mlp, E=5": one})
    ax = figure.axes[0]
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "mlp, E=0 [-1]"
    marks = {line.get_label(): list(line.get_xdata()) for line in ax.lines if line.get_marker() == "|"}
    assert marks == {"5 largest": [5.0, 4.0], "5 smallest": [-0.5, -1.0]}
    assert not figure.axes[-1].axison


def test_histograms_stand_beside_the_foretold_normal_curve() -> None:
    one = noise()
    figure = pictures.noise_histograms({"a": one, "b": one})
    assert len(figure.axes) == 6
    curve = figure.axes[1].lines[0]
    told = one.predicted.isel(lam=1)
    assert curve.get_xdata()[np.argmax(curve.get_ydata())] == pytest.approx(float(told["mean"]), abs=1e-3)
    assert max(curve.get_ydata()) == pytest.approx(1 / np.sqrt(2 * np.pi * float(told["variance"])), rel=1e-2)
    assert figure.axes[4].get_title() == "b, lambda = 0.003"
    assert [ax.get_xlabel() for ax in figure.axes] == [""] * 3 + ["loss change (nats)"] * 3


def test_pieces_are_drawn_on_their_curve() -> None:
    figure = pictures.piece_curves({"mlp, GMI": pieces(np.zeros(11))})
    curve, *drawn, dots = figure.axes[0].lines
    assert len(drawn) == len(dots.get_xdata()) == 11
    for one in drawn:
        np.testing.assert_allclose(one.get_ydata(), np.interp(one.get_xdata(), curve.get_xdata(), curve.get_ydata()))


def ranges(figure: Figure) -> list[Normalize]:
    return [c.norm for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh) and ax.get_title()]


def test_shapes_have_names_on_their_axes_and_colours_of_their_own() -> None:
    figure = pictures.shape_panels({"mlp": {"a": plane(bottle), "b": plane(saddle)}})
    first, second = figure.axes[:2]
    assert (first.get_xlabel(), first.get_ylabel()) == ("lam1 (P.E.1)", "lam2 (N.E.1)")
    assert (first.get_title(), second.get_title()) == ("mlp: bottle", "mlp: saddle")
    assert not figure.axes[2].axison
    assert len(figure.axes) == 5  # a colour scale for each
    one, other = ranges(figure)
    assert one.vmin == pictures.LOWEST
    assert one.vmax == pytest.approx(1.6**2)
    assert other.vmax == pytest.approx(1)


def test_every_network_begins_a_row_and_has_one_range() -> None:
    found = {"mlp": {str(i): plane(lambda x, y, i=i: 1 + i + x**2 + y**2) for i in range(4)}}
    figure = pictures.mixed_panels({**found, "resnet8": {"0": plane(saddle)}})
    assert [ax.axison for ax in figure.axes[:9]] == [True] * 4 + [False] * 2 + [True] + [False] * 2
    assert figure.axes[6].get_title() == "resnet8: v-basin x no name"
    *same, other = ranges(figure)
    assert {(norm.vmin, norm.vmax) for norm in same} == {(1, 6)}
    assert (other.vmin, other.vmax) == (pictures.LOWEST, 1)
    assert len(figure.axes) == 11


def test_what_is_tall_or_not_finite_does_not_stretch_the_colours() -> None:
    grid = plane(lambda x, y: 1 + 1e6 * (x + y + 2))
    grid["loss"][0, 1] = np.inf
    figure = pictures.mixed_panels({"mlp": {"a": grid}})
    (mesh,) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    assert mesh.norm.vmax == pytest.approx(100 * np.log(3))
    assert figure.axes[0].get_title() == "mlp: v-side x v-side\n1 of 81 points diverged (grey)"
