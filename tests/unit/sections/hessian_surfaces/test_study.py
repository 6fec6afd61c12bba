from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn
from torch.func import functional_call

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import space
from landscape_utils.landscape.directions import Directions, Perturbed
from landscape_utils.landscape.second_order import quadratic_moments
from landscape_utils.landscape.traces import Estimate
from landscape_utils.sections.hessian_surfaces import study

AXIS = np.linspace(-1, 1, 9)
HERE = Perturbed("mlp", 1, 3, "late")
THERE = Perturbed("mlp", 2, 3, "late")


@pytest.fixture
def here(small: Dataset) -> Directions:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Tanh(), nn.Linear(2, 3)).eval()
    weights = space.flatten(model)
    to = {"init": 0.5 * weights, "E=3": 1.5 * weights}
    return Directions(model, small.train, checkpoints=to, k=2, tol=1e-5, peak={"epochs": 1}, progress=False)


def loss_at(here: Directions, small: Dataset, weights: torch.Tensor) -> torch.Tensor:
    names = [name for name, _ in here.model.named_parameters()]
    parts = dict(zip(names, space.split(weights, here.model), strict=True))
    return F.cross_entropy(functional_call(here.model, parts, (small.train.inputs,)), small.train.targets)


def spectrum(nodes: list[float], weights: list[float], ends: list[float], size: int = 100) -> study.Spectrum:
    """A spectrum with these nodes; the ends are its eigenvalues, from the largest."""
    density = xr.Dataset({"eigenvalue": (("probe", "node"), [nodes]), "weight": (("probe", "node"), [weights])})
    names = [f"{'P' if i < (len(ends) + 1) // 2 else 'N'}.E.{i}" for i in range(len(ends))]
    pairs = xr.Dataset({"eigenvalue": ("rank", ends)}, coords={"rank": names})
    return study.Spectrum(density.assign_attrs(size=size), pairs)


def plane(f: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> xr.Dataset:
    """The surface f(lam1, lam2) of a classifier with three classes."""
    coords = {"lam1": AXIS, "lam2": AXIS, "class": range(3)}
    recall = np.zeros((len(AXIS), len(AXIS), 3))
    values = {"loss": (("lam1", "lam2"), f(AXIS[:, None], AXIS[None])), "recall": (("lam1", "lam2", "class"), recall)}
    return xr.Dataset(values, coords=coords, attrs={"first": "P.E.1", "second": "N.E.1"})


def noise(offset: float = 0.0, stretch: float = 1.0, lambdas: tuple[float, ...] = study.LAMBDAS) -> study.Noise:
    """Draws that lie where the prediction puts them, or `offset` standard deviations off and `stretch` times as far."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((200, len(lambdas)))
    draws = ((draws - draws.mean(0)) / draws.std(0)).reshape(100, 2, -1)
    traces = Estimate.of(400 + rng.standard_normal(30)), Estimate.of(1000 + rng.standard_normal(30))
    told = quadratic_moments(0.1, *traces, np.array(lambdas), 1.0)
    changes = told["mean"].values + np.sqrt(told["variance"].values) * (offset + stretch * draws)
    coords = {"sign": [1, -1], "lam": list(lambdas)}
    return study.Noise(xr.DataArray(changes, coords, dims=("draw", "sign", "lam")), told)


def test_spectra_agree_with_the_whole_hessian(here: Directions, small: Dataset) -> None:
    found = study.spectra({HERE: here}, small.train, steps=40, probes=20, progress=False)[HERE]
    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(lambda w: loss_at(here, small, w), here.weights))
    values = exact.double().numpy()
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], rel=1e-3)
    tall = values[values > abs(values[0])][::-1]
    assert study.outliers(found) == 1 + np.argmax(tall / np.append(tall[1:], abs(values[0])))
    assert study.negative_share(found.density).mean() == pytest.approx(
        -values[values < 0].sum() / abs(values).sum(), abs=0.1
    )
    bulk = (abs(values) <= 0.01 * abs(values).max()).mean()
    assert study.bulk_share(found) == pytest.approx(bulk, abs=0.03)
    saved = study.spectrum_table({HERE: found, THERE: found})
    assert dict(saved.sizes) == {"model": 2, "probe": 20, "node": 40, "rank": 4}
    assert saved["model"].values.tolist() == ["mlp, E=3, seed 1", "mlp, E=3, seed 2"]


def test_density_and_ends_rest_on_the_same_statistics(small: Dataset) -> None:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(192, 2), nn.BatchNorm1d(2), nn.Tanh(), nn.Linear(2, 3)
    model = nn.Sequential(*layers).eval()
    largest = {}
    for bn in ("keep", "batch"):
        around = {HERE: Directions(model, small.train, k=1, tol=1e-4, bn=bn, progress=False)}
        one = study.spectra(around, small.train, steps=12, probes=1, progress=False)[HERE]
        assert float(one.density["eigenvalue"].max()) == pytest.approx(one.largest, rel=0.01)
        largest[bn] = one.largest
    assert abs(np.log(largest["batch"] / largest["keep"])) > 0.1  # the two are told apart


def test_shares_are_sums_of_weights() -> None:
    one = spectrum([-2, -0.01, 0.01, 1, 3, 8], [0.05, 0.4, 0.4, 0.05, 0.06, 0.04], [8, 3, -0.01, -2])
    assert study.bulk_share(one) == pytest.approx(0.8)
    assert study.negative_share(one.density) == pytest.approx([0.104 / (0.104 + 0.004 + 0.05 + 0.18 + 0.32)])


@pytest.mark.parametrize(
    ("above", "count"),
    [([9, 8, 7, 3, 2.5], 3), ([9, 3, 2.9, 2.8], 1), ([9, 8, 7], 3), ([], 0), ([2.1], 1), ([9, 5, 4.9, 2.5, 2.4], 3)],
)
def test_outliers_are_what_lies_above_the_largest_gap(above: list[float], count: int) -> None:
    nodes = [-2, -1, 0, 1, 1.9, *above[::-1]]
    assert study.outliers(spectrum(nodes, [1 / len(nodes)] * len(nodes), [9, -2])) == count
    unused = spectrum([*nodes, 50, 60], [*[1 / len(nodes)] * len(nodes), 0, 0], [9, -2])
    assert study.outliers(unused) == count  # nodes without weight fill up a shorter probe


def test_one_probe_costs_nothing_beside_the_ends(
    here: Directions, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = study.spectra({HERE: here}, small.train, steps=40, probes=20, progress=False)[HERE]
    monkeypatch.setattr(study, "hessian_density", None)
    beside = study.spectra({HERE: here}, small.train, progress=False)[HERE]
    assert beside.density.sizes == {"probe": 1, "node": here.spectrum.attrs["products"]}
    assert float(beside.density["weight"].sum()) == pytest.approx(1)
    assert study.negative_share(beside.density)[0] == pytest.approx(study.negative_share(drawn.density).mean(), abs=0.2)
    saved = study.spectrum_table(
        {HERE: beside, THERE: drawn.__class__(beside.density.isel(node=slice(3)), beside.ends)}
    )
    assert saved["eigenvalue"].isnull().sum() == here.spectrum.attrs["products"] - 3


def test_ends_keep_their_ranks_where_some_models_have_more_of_them() -> None:
    nodes, weights = [-1, 0, 1], [1 / 3] * 3
    few, many = spectrum(nodes, weights, [9, -2]), spectrum(nodes, weights, [*range(21, 11, -1), *range(-21, -11)])
    saved = study.spectrum_table({HERE: few, THERE: many})["end"]
    assert saved["rank"].to_index().is_unique
    for one, kept in zip((few, many), saved, strict=True):
        np.testing.assert_array_equal(kept.sel(rank=one.ends["rank"]), one.ends["eigenvalue"])
        assert kept.notnull().sum() == one.ends.sizes["rank"]


def test_noise_is_measured_and_foretold_at_the_same_lambdas(
    here: Directions, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = study.noise({HERE: here}, small.train, draws=5, progress=False)
    one = found[HERE]
    assert one.measured["lam"].values.tolist() == one.predicted["lam"].values.tolist() == list(study.LAMBDAS)
    twice = study.noise_table({HERE: one, THERE: one})
    assert (twice.sizes["model"], twice.sizes["draw"]) == (2, 5)
    np.testing.assert_array_equal(twice["change"].sel(model="mlp, E=3, seed 2"), one.measured)
    monkeypatch.setattr(study, "gaussian_changes", None)
    monkeypatch.setattr(study, "gaussian_moments", None)
    again = study.noise({THERE: here}, small.train, draws=5, progress=False)[THERE]
    assert again.measured.equals(one.measured)
    assert again.predicted.attrs["trace"] == one.predicted.attrs["trace"]


def test_a_trace_has_the_interval_of_its_estimate() -> None:
    estimate = Estimate.of(np.random.default_rng(0).standard_normal(study.PROBES))
    told = quadratic_moments(1.0, estimate, estimate, np.array([0.1, 2.0]), 0.5)
    assert study.trace_interval(told) == pytest.approx((estimate.low, estimate.high))


def test_deviations_are_in_standard_errors() -> None:
    np.testing.assert_allclose(study.deviations(noise()).to_array(), 0, atol=1e-9)
    off = study.deviations(noise(offset=0.5))
    np.testing.assert_allclose(off["mean"], 0.5 * np.sqrt(200), rtol=0.2)  # of changes that are not bound to each other
    np.testing.assert_allclose(off["variance"], 0, atol=1e-9)
    assert (study.deviations(noise(stretch=2.0))["variance"] > 3).all()


def test_a_slope_widens_no_error_of_the_mean() -> None:
    one, sloped = noise(), noise()
    slopes = np.random.default_rng(1).standard_normal((100, 1))
    sloped.measured.values += 5 * (slopes * [1, -1])[..., None]
    at_one, at_other = (study.deviations(x.__class__(x.measured + 0.1, x.predicted))["mean"] for x in (one, sloped))
    np.testing.assert_allclose(at_other, at_one, rtol=1e-6)


def test_pieces_are_exact_on_parabolas_and_miss_the_third_order() -> None:
    grid = np.linspace(-1.05, 0.05, 23)
    centres = grid[1::2]

    def drawn(power: int) -> study.Pieces:
        slope, curvature = power * centres ** (power - 1), power * (power - 1) * centres ** (power - 2)
        at = xr.Dataset({"loss": ("lam", centres**power), "slope": ("lam", slope), "curvature": ("lam", curvature)})
        return study.Pieces(xr.Dataset({"loss": ("lam", grid**power)}, coords={"lam": grid}), at)

    np.testing.assert_allclose(study.piece_errors(drawn(2)), 0, atol=1e-12)
    # The third-order term that is left out is s^3: what is missing is negative at 0.05, and at -0.05 what is too much.
    np.testing.assert_allclose(study.piece_residuals(drawn(3)), [[0.05**3, -(0.05**3)]] * 11, atol=1e-12)
    np.testing.assert_allclose(study.piece_errors(drawn(3)), 0.05**3 / np.ptp(grid**3), rtol=1e-6)


def test_a_pieces_error_is_that_of_its_worse_end() -> None:
    grid = np.linspace(-1.05, 0.05, 23)
    loss = grid.copy()
    loss[4] += 0.3  # the end between the second piece and the third belongs to neither of the others
    lines = {"loss": ("lam", grid[1::2]), "slope": ("lam", np.ones(11)), "curvature": ("lam", np.zeros(11))}
    one = study.Pieces(xr.Dataset({"loss": ("lam", loss)}, coords={"lam": grid}), xr.Dataset(lines))
    want = np.zeros((11, 2))
    want[1, 1] = want[2, 0] = -0.3
    np.testing.assert_allclose(study.piece_residuals(one), want, atol=1e-12)
    np.testing.assert_allclose(study.piece_errors(one), np.abs(want).max(1) / 1.1, atol=1e-12)


def test_both_ways_lead_from_the_solution_to_noise_and_to_the_initialisation(here: Directions, small: Dataset) -> None:
    found = study.both_ways({HERE: here}, small.train, progress=False)
    gmi, mli = study.Departure(HERE, "GMI"), study.Departure(HERE, "MLI")
    assert list(found) == [gmi, mli]
    assert str(mli) == "mlp, E=3, MLI"
    for one in found.values():
        np.testing.assert_allclose(one.centres["lam"], np.linspace(-1, 0, 11), atol=1e-12)
        np.testing.assert_allclose(one.centres["loss"], one.curve["loss"][1::2], rtol=1e-5)
        assert study.piece_errors(one).max() < 0.02  # a smooth network
    initial = loss_at(here, small, 0.5 * here.weights).item()
    assert found[mli].centres["loss"][0] == pytest.approx(initial, rel=1e-5)
    random = here["Gau."] * here.weights.norm() / here["Gau."].norm()
    noisy = loss_at(here, small, here.weights - random).item()
    assert found[gmi].centres["loss"][0] == pytest.approx(noisy, rel=1e-4)
    saved = study.piece_table(found)
    assert saved.sizes == {"of": 2, "centre": 11, "point": 23}
    assert saved["of"].values.tolist() == ["mlp, E=3, GMI, seed 1", "mlp, E=3, MLI, seed 1"]


def test_a_named_surface_is_the_loss_over_its_plane(here: Directions, small: Dataset) -> None:
    grid = study.named_surface(here, ("E=3", "Gau."), small.train, reach=0.05, points=4, progress=False)
    first, random = here["E=3"], here["Gau."]
    random = random - (random @ first) / (first @ first) * first
    moved = here.weights + 2 * first + random * 0.5 * here.weights.norm() / here["Gau."].norm()
    assert grid["loss"][-1, -1] == pytest.approx(loss_at(here, small, moved).item(), rel=1e-3)
    assert grid["lam1"].values.tolist() == pytest.approx([-1, 0, 1, 2])
    assert (grid.attrs["first"], grid.attrs["second"]) == ("E=3", "Gau.")


@pytest.mark.parametrize(("statistics", "handling"), [("keep", "keep"), ("batch", "update")])
def test_surfaces_take_the_statistics_that_their_directions_rest_on(
    here: Directions, small: Dataset, statistics: str, handling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(study, "way_back", lambda *args, bn, **how: (asked.append(bn), 0.3)[1])
    of = Directions(here.model, small.train, k=2, bn=statistics, peak={"epochs": 1}, progress=False)
    how = {"reach": 0.1, "points": 3, "progress": False}
    planes = [("P.E.1", "N.E.2"), ("Gau.", "Mine")]
    study.named_surfaces({HERE: of, THERE: of}, planes, small.train, **how)
    asked.clear()
    found = study.named_surfaces({HERE: of, THERE: of}, planes, small.train, **how)
    assert list(found) == [HERE, THERE]
    assert {name: grid.attrs["bn"] for name, grid in found[HERE].items()} == {
        "P.E.1 x N.E.2": handling,
        "Gau. x Mine": handling,
    }
    assert asked == [handling] * 2  # once a model
    saved = study.surface_table(found)
    assert saved["surface"].values.tolist() == [
        f"mlp, E=3, seed {seed}, {names}" for seed in (1, 2) for names in ("P.E.1 x N.E.2", "Gau. x Mine")
    ]
    assert saved.sizes == {"surface": 4, "i": 3, "j": 3}


@pytest.mark.parametrize(
    ("names", "backs", "reaches"),
    [
        (("P.E.1", "P.E.2"), {}, (0.1, 0.1)),
        (("P.E.1", "N.E.1"), {"N.E.1": 0.2}, (0.1, 0.3)),
        (("N.E.1", "N.E.2"), {"N.E.1": 0.2, "N.E.2": 0.4}, (0.6, 0.6)),
        (("N.E.1", "N.E.2"), {"N.E.1": 0.2, "N.E.2": np.inf}, (0.3, 0.3)),
        (("N.E.1", "N.E.2"), {"N.E.1": 2e-4, "N.E.2": 0.9e-4}, (3e-4, 3e-4)),
        (("N.E.1", "N.E.2"), {"N.E.1": np.inf, "N.E.2": 0.9e-4}, (0.1, 0.1)),  # no fall, and none that ends
        (("Neg. Grad.", "Gau."), {}, (0.1, 1.0)),
    ],
)
def test_directions_are_walked_to_the_reach_and_negative_ones_back_to_the_models_loss(
    here: Directions,
    small: Dataset,
    names: tuple[str, str],
    backs: dict[str, float],
    reaches: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        study, "way_back", lambda of, name, *args, on_average, **how: backs[name] if on_average else np.nan
    )
    grid = study.named_surface(here, names, small.train, reach=0.1, points=3, progress=False)
    walked = [grid.attrs[f"norm_{i}"] / float(here.weights.norm()) for i in (1, 2)]
    assert walked == pytest.approx(reaches, rel=1e-2)  # a Gaussian direction is not quite orthogonal to the gradient
    assert [grid[name].values.tolist() for name in ("lam1", "lam2")] == [[-1, 0, 1]] * 2


def test_along_negative_eigenvectors_the_loss_falls_and_is_back_at_an_edge(here: Directions, small: Dataset) -> None:
    grid = study.named_surface(here, ("N.E.1", "P.E.1"), small.train, reach=0.1, points=9, progress=False)
    back = grid.attrs["norm_1"] / study.BEYOND
    unit = here["N.E.1"] / here["N.E.1"].norm()
    centre = loss_at(here, small, here.weights).item()
    sides = [[loss_at(here, small, here.weights + r * back * s * unit).item() for s in (-1, 1)] for r in (0.8, 1.25)]
    assert np.mean(sides[0]) < centre < np.mean(sides[1])  # known to a fifth of itself
    assert study.axis_changes(grid)[0] < 0 < study.axis_changes(grid)[1]


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x, y: x**2 + 2 * y**2 + 3 * x, "bowl"),
        (lambda x, y: (x**2 + y**2 - 0.4) ** 2 + 0.1 * y, "bottle"),
        (lambda x, y: -(x**2) - y**2, "dome"),
        (lambda x, y: x**2 - 0.5 * y**2 - y, "saddle"),
        (lambda x, y: x**2 + 5 * y, "flat"),
        (lambda x, y: x**2 + y**2 - 0.2 * (abs(x) == 0.25), "bowl"),  # a ripple nearer than half way
        (lambda x, y: 3.9e-4 * x**2 + y**2, "flat"),  # less than 0.0001 nats half way, a quarter of which is at 1
        (lambda x, y: 4.1e-4 * x**2 + y**2, "bowl"),
        (lambda x, y: y**2 - 4.1e-4 * x**2, "saddle"),
    ],
)
def test_surfaces_are_named_by_rule_whatever_the_slope(f: Callable[..., np.ndarray], shape: str) -> None:
    assert study.surface_shape(plane(f)) == shape


def test_a_hump_with_an_open_moat_is_a_dome() -> None:
    moat = plane(lambda x, y: (x**2 + y**2 - 0.4) ** 2)
    assert study.walled(moat) == 1.0
    assert study.surface_shape(moat) == "bottle"
    opened = moat.copy(deep=True)
    opened["loss"][:, -1] = -1.0  # one side of four has no wall
    assert study.walled(opened) == pytest.approx(23 / 32)
    assert study.surface_shape(opened) == "dome"


def test_changes_are_taken_half_way_to_the_edges() -> None:
    np.testing.assert_allclose(study.axis_changes(plane(lambda x, y: 3 * x**2 - y**2 + x)), [3 / 4, -1 / 4])
    np.testing.assert_allclose(study.axis_changes(plane(lambda x, y: x**4 + y**2)[{"lam2": slice(3, 6)}]), [1 / 16] * 2)


def test_axes_are_named_as_curves() -> None:
    assert study.axis_names(plane(lambda x, y: x**2 + (y**2 - 0.3) ** 2)) == ("v-basin", "w-peak")
    assert study.axis_names(plane(lambda x, y: -(x**2) + y)) == ("no name", "v-side")


def test_mixed_combinations_are_of_different_directions() -> None:
    assert all(first != second for first, second in study.mixed(5, 20))
    assert ("E'=5", "E=20") in study.mixed(5, 20)
