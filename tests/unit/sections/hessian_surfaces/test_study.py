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
from landscape_utils.landscape.directions import Directions
from landscape_utils.landscape.second_order import quadratic_moments
from landscape_utils.landscape.traces import Estimate
from landscape_utils.sections.hessian_surfaces import study

AXIS = np.linspace(-1, 1, 9)


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
    draws = rng.standard_normal((100, len(lambdas)))
    draws = (draws - draws.mean(0)) / draws.std(0, ddof=1)
    traces = Estimate.of(400 + rng.standard_normal(30)), Estimate.of(1000 + rng.standard_normal(30))
    told = quadratic_moments(0.1, *traces, np.array(lambdas), 1.0)
    changes = told["mean"].values + np.sqrt(told["variance"].values) * (offset + stretch * draws)
    return study.Noise(xr.DataArray(changes, {"lam": list(lambdas)}, dims=("draw", "lam")), told)


def test_spectra_agree_with_the_whole_hessian(here: Directions, small: Dataset) -> None:
    around = {"mlp": {3: here}}
    (found,) = study.spectra(around, small.train, steps=40, probes=20, progress=False).values()
    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(lambda w: loss_at(here, small, w), here.weights))
    values = exact.double().numpy()
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], rel=1e-3)
    count, error = study.outliers(found)
    assert abs(count - (values > abs(values[0])).sum()) < 4 * error
    assert study.negative_share(found.density).mean() == pytest.approx(
        -values[values < 0].sum() / abs(values).sum(), abs=0.1
    )
    bulk = (abs(values) <= 0.01 * abs(values).max()).mean()
    assert study.bulk_share(found) == pytest.approx(bulk, abs=0.03)
    saved = study.spectrum_table({"mlp, E=3": found, "mlp, E=4": found})
    assert dict(saved.sizes) == {"model": 2, "probe": 20, "node": 40, "rank": 4}


def test_shares_and_outliers_are_sums_of_weights() -> None:
    one = spectrum([-2, -0.01, 0.01, 1, 3, 8], [0.05, 0.4, 0.4, 0.05, 0.06, 0.04], [8, 3, -0.01, -2])
    assert study.outliers(one) == (pytest.approx(10), pytest.approx(np.sqrt(20)))
    assert study.bulk_share(one) == pytest.approx(0.8)
    assert study.negative_share(one.density) == pytest.approx([0.104 / (0.104 + 0.004 + 0.05 + 0.18 + 0.32)])


def test_noise_is_measured_and_foretold_at_the_same_lambdas(here: Directions, small: Dataset) -> None:
    found = study.noise({"mlp": {3: here}}, small.train, [3], draws=5, progress=False)
    one = found["mlp, E=3"]
    assert one.measured["lam"].values.tolist() == one.predicted["lam"].values.tolist() == list(study.LAMBDAS)
    assert study.noise_table(found).sizes["draw"] == 5


def test_a_trace_has_the_interval_of_its_estimate() -> None:
    estimate = Estimate.of(np.random.default_rng(0).standard_normal(study.PROBES))
    told = quadratic_moments(1.0, estimate, estimate, np.array([0.1, 2.0]), 0.5)
    assert study.trace_interval(told) == pytest.approx((estimate.low, estimate.high))


def test_deviations_are_in_standard_errors() -> None:
    np.testing.assert_allclose(study.deviations(noise()).to_array(), 0, atol=1e-9)
    off = study.deviations(noise(offset=0.5))
    np.testing.assert_allclose(off["mean"], 5, rtol=0.05)  # half a deviation is five errors of 100 draws' mean
    np.testing.assert_allclose(off["variance"], 0, atol=1e-9)
    assert (study.deviations(noise(stretch=2.0))["variance"] > 3).all()


def test_pieces_are_exact_on_parabolas_and_miss_the_third_order() -> None:
    grid = np.linspace(-1.05, 0.05, 23)
    centres = grid[1::2]

    def drawn(power: int) -> study.Pieces:
        slope, curvature = power * centres ** (power - 1), power * (power - 1) * centres ** (power - 2)
        at = xr.Dataset({"loss": ("lam", centres**power), "slope": ("lam", slope), "curvature": ("lam", curvature)})
        return study.Pieces(xr.Dataset({"loss": ("lam", grid**power)}, coords={"lam": grid}), at)

    np.testing.assert_allclose(study.piece_errors(drawn(2)), 0, atol=1e-12)
    np.testing.assert_allclose(study.piece_errors(drawn(3)), 0.05**3 / np.ptp(grid**3), rtol=1e-6)


def test_both_ways_lead_from_the_solution_to_noise_and_to_the_initialisation(here: Directions, small: Dataset) -> None:
    found = study.both_ways({"mlp": {3: here}}, small.train, 3, progress=False)
    assert list(found) == ["mlp, GMI", "mlp, MLI"]
    for one in found.values():
        np.testing.assert_allclose(one.centres["lam"], np.linspace(-1, 0, 11), atol=1e-12)
        np.testing.assert_allclose(one.centres["loss"], one.curve["loss"][1::2], rtol=1e-5)
        assert study.piece_errors(one).max() < 0.02  # a smooth network
    initial = loss_at(here, small, 0.5 * here.weights).item()
    assert found["mlp, MLI"].centres["loss"][0] == pytest.approx(initial, rel=1e-5)
    assert study.piece_table(found).sizes == {"of": 2, "centre": 11, "point": 23}


def test_a_named_surface_is_the_loss_over_its_plane(here: Directions, small: Dataset) -> None:
    grid = study.named_surface(here, ("E=3", "Gau."), small.train, reach=0.05, points=4, progress=False)
    first, random = here["E=3"], here["Gau."]
    random = random - (random @ first) / (first @ first) * first
    moved = here.weights + 2 * first + random * 0.5 * here.weights.norm() / here["Gau."].norm()
    assert grid["loss"][-1, -1] == pytest.approx(loss_at(here, small, moved).item(), rel=1e-3)
    assert grid["lam1"].values.tolist() == pytest.approx([-1, 0, 1, 2])
    assert (grid.attrs["first"], grid.attrs["second"], grid.attrs["bn"]) == ("E=3", "Gau.", "update")


def test_statistics_are_kept_where_the_hessian_is_involved(here: Directions, small: Dataset) -> None:
    how = {"reach": 0.1, "points": 3, "progress": False}
    found = study.named_surfaces({"mlp": {3: here}}, [("P.E.1", "N.E.2"), ("Gau.", "Mine")], small.train, 3, **how)
    assert {name: grid.attrs["bn"] for name, grid in found["mlp"].items()} == {
        "P.E.1 x N.E.2": "keep",
        "Gau. x Mine": "keep",
    }
    assert found["mlp"]["P.E.1 x N.E.2"].attrs["norm_1"] == pytest.approx(0.1 * float(here.weights.norm()), rel=1e-5)
    assert study.surface_table(found)["surface"].values.tolist() == ["mlp, P.E.1 x N.E.2", "mlp, Gau. x Mine"]


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x, y: x**2 + 2 * y**2 + 3 * x, "bowl"),
        (lambda x, y: (x**2 + y**2 - 0.4) ** 2 + 0.1 * y, "bottle"),
        (lambda x, y: -(x**2) - y**2, "dome"),
        (lambda x, y: x**2 - 0.5 * y**2 - y, "saddle"),
        (lambda x, y: x**2 + 5 * y, "flat"),
    ],
)
def test_surfaces_are_named_by_rule_whatever_the_slope(f: Callable[..., np.ndarray], shape: str) -> None:
    assert study.surface_shape(plane(f)) == shape


def test_changes_are_half_the_curvature_and_rings_are_squares() -> None:
    np.testing.assert_allclose(study.axis_changes(plane(lambda x, y: 3 * x**2 - y**2 + x)), [3 / 16, -1 / 16])
    means = study.ring_means(plane(lambda x, y: np.maximum(abs(x), abs(y))))
    np.testing.assert_allclose(means, [0, 0.25, 0.5, 0.75, 1])


def test_axes_are_named_as_curves() -> None:
    assert study.axis_names(plane(lambda x, y: x**2 + (y**2 - 0.3) ** 2)) == ("v-basin", "w-peak")
    assert study.axis_names(plane(lambda x, y: -(x**2) + y)) == ("no name", "v-side")


def test_mixed_combinations_are_of_different_directions() -> None:
    assert all(first != second for first, second in study.mixed(5, 20))
    assert ("E'=5", "E=20") in study.mixed(5, 20)
