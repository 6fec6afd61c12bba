import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_utils import build_model, interpolate, plateau_length
from landscape_utils.engine.shadow import probe
from landscape_utils.plateau.paths import path
from landscape_utils.plateau.plateau import ALPHAS, bulge, class_flips, competition, level_of, violations

GENERATOR = torch.Generator().manual_seed(1)
INPUTS = torch.randn(60, 1, 3, 4, dtype=torch.float64, generator=GENERATOR)
TARGETS = torch.randint(0, 3, (60,), generator=GENERATOR)


def net(name="fcn", **options):
    torch.manual_seed(0)
    options = {"width": 6, **options} if name == "fcn" else options
    model = build_model(name, input_shape=(1, 3, 4), classes=3, **options).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model


def zeros(model):
    return {k: torch.zeros_like(v) for k, v in model.state_dict().items()}


def curve_of(loss, classes=10, mistake_rate=None):
    loss = np.asarray(loss, dtype=float)
    rate = loss if mistake_rate is None else mistake_rate
    coordinates = {"alpha": np.linspace(0, 1, len(loss)), "class": range(classes)}
    return xr.Dataset({"loss": ("alpha", loss), "mistake_rate": ("alpha", rate)}, coords=coordinates)


# --- the curve -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["linear", "homogeneous", "weights", "biases"])
def test_the_curve_is_the_loss_of_the_model_at_each_point(scheme):
    model = net(depth=3)
    start = {k: torch.randn_like(v) for k, v in model.state_dict().items()}
    alphas = [0.0, 0.2, 0.9, 1.0]
    way = path(model, start, model.state_dict(), INPUTS, scheme=scheme)
    curve = interpolate(model, start, model.state_dict(), (INPUTS, TARGETS), alphas, scheme, progress=False)
    for i, alpha in enumerate(alphas):
        logits = probe(model, INPUTS, way.at(alpha))[0]
        assert float(curve.loss[i]) == pytest.approx(float(F.cross_entropy(logits, TARGETS)), rel=1e-10)
        assert float(curve.mistake_rate[i]) == pytest.approx(float((logits.argmax(1) != TARGETS).double().mean()))
    assert curve.attrs["scheme"] == scheme
    assert curve.attrs["bn"] == "none"


def test_batchnorms_statistics_are_updated_unless_told_otherwise_and_the_curve_says_so():
    torch.manual_seed(0)
    model = build_model("vgg11", input_shape=(3, 8, 8), classes=3, width=0.05)
    images = (torch.randn(40, 3, 8, 8), torch.randint(0, 3, (40,)))
    start = {k: v.clone() for k, v in model.state_dict().items()}
    end = {k: v + 0.1 * torch.randn_like(v.float()).to(v.dtype).abs() for k, v in start.items()}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    updated = interpolate(model, start, end, images, [0.0, 1.0], progress=False)
    kept = interpolate(model, start, end, images, [0.0, 1.0], bn="keep", progress=False)
    assert (updated.attrs["bn"], kept.attrs["bn"]) == ("update", "keep")
    finished = build_model("vgg11", input_shape=(3, 8, 8), classes=3, width=0.05)
    finished.load_state_dict(end)
    with torch.inference_mode():  # kept are the end's own statistics
        loss = F.cross_entropy(finished.eval()(images[0]), images[1])
    assert float(kept.loss[-1]) == pytest.approx(float(loss), rel=1e-5)
    for module in finished.modules():
        module.train(isinstance(module, torch.nn.BatchNorm2d))  # updated are those of all 40 together
    with torch.inference_mode():
        loss = F.cross_entropy(finished(images[0]), images[1])
    assert float(updated.loss[-1]) == pytest.approx(float(loss), rel=1e-4)
    assert abs(float(updated.loss[-1]) - float(kept.loss[-1])) > 1e-3
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_dataloader_and_class_names_are_taken():
    model = net(depth=2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(INPUTS, TARGETS), batch_size=7)
    names = ("a", "b", "c")
    curve = interpolate(model, zeros(model), model.state_dict(), loader, [0, 1], classes=names, progress=False)
    plain = interpolate(model, zeros(model), model.state_dict(), (INPUTS, TARGETS), [0, 1], progress=False)
    assert tuple(curve["class"].values) == names
    np.testing.assert_allclose(curve.loss, plain.loss)


# --- the plateau's length --------------------------------------------------------------------------------------


def test_the_plateau_ends_where_a_tenth_of_the_gain_is_made_for_good():
    guess = np.log(10)
    alphas = np.linspace(0, 1, 101)
    ramp = np.where(alphas < 0.4, guess, guess * (1 - (alphas - 0.4) / 0.6))  # flat, then straight to zero
    assert plateau_length(curve_of(ramp), "loss") == pytest.approx(0.4 + 0.06)
    dip = ramp.copy()
    dip[5] = 0.0  # an early dip that is lost again ends nothing
    assert plateau_length(curve_of(dip), "loss") == pytest.approx(0.46)
    rate = np.where(alphas <= 0.7, 0.93, 0.0)  # above chance is plateau, too
    assert plateau_length(curve_of(ramp, mistake_rate=rate)) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(("variable", "guess"), [("loss", np.log(10)), ("mistake_rate", 0.9)])
def test_the_level_of_a_plateaus_end_is_a_tenth_of_the_way_from_a_guess_to_the_solution(variable, guess):
    curve = curve_of(np.linspace(2, 0.3, 11), mistake_rate=np.linspace(0.8, 0.2, 11))
    end = float(curve[variable][-1])
    assert level_of(curve, variable) == pytest.approx(0.9 * guess + 0.1 * end)
    assert level_of(curve, variable, tolerance=1.0) == pytest.approx(end)


def test_a_straight_line_from_chance_has_a_plateau_of_the_tolerance():
    line = 0.9 * (1 - np.linspace(0, 1, 11))
    assert plateau_length(curve_of(line)) == pytest.approx(0.1)
    assert plateau_length(curve_of(line), tolerance=0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("classes", [2, 3, 7, 10])
def test_a_network_that_takes_all_for_one_class_has_no_plateau_to_leave(classes):
    targets = torch.arange(classes).repeat(5)
    bias = torch.eye(classes)[0] * 9
    expected = competition(bias.repeat(len(targets), 1), bias, targets, 3)
    assert np.isnan(plateau_length(expected))


def test_curves_that_are_not_finite_have_neither_length_nor_shape():
    broken = curve_of([2.3, np.nan, 0.0])
    assert np.isnan([plateau_length(broken, "loss"), violations(broken), bulge(broken)]).all()


def test_a_curve_that_starts_below_has_none_and_one_that_ends_at_chance_is_not_a_number():
    assert plateau_length(curve_of(np.linspace(0.5, 0, 11))) == 0
    assert np.isnan(plateau_length(curve_of(np.full(11, 0.9))))


@given(st.lists(st.floats(0, 0.9), min_size=3, max_size=20), st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_length_is_where_the_level_is_crossed_last(values, tolerance):
    curve = curve_of([0.9, *values, 0.1])
    length = plateau_length(curve, tolerance=tolerance)
    level = 0.9 - tolerance * 0.8
    fine = np.union1d(np.linspace(0, 1, 4001), curve.alpha)  # a point may be above the level by a hair
    above = fine[np.interp(fine, curve.alpha, curve.mistake_rate) > level]
    assert length == pytest.approx(above.max(), abs=1e-3)


# --- the shape ---------------------------------------------------------------------------------------------------


def test_points_above_an_earlier_one_break_monotonicity():
    assert violations(curve_of([2, 1.5, 1, 0.5, 0])) == 0
    assert violations(curve_of([2, 1.0, 1.5, 1.2, 0])) == 2
    assert violations(curve_of([2, 1.0, 1.01, 0.5, 0])) == 0  # half a percent of the range


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=15))
@settings(max_examples=60, deadline=None)
def test_a_bulge_is_the_height_over_the_chords(values):
    curve = curve_of(values)
    x, y = curve.alpha.values, curve.loss.values
    below = [
        min(
            [y[k]]
            + [y[i] + (y[j] - y[i]) * (x[k] - x[i]) / (x[j] - x[i]) for i in range(k) for j in range(k + 1, len(x))]
        )
        for k in range(len(x))
    ]
    expected = (y - below).max() / np.ptp(y) if np.ptp(y) > 0 else 0
    assert bulge(curve) == pytest.approx(expected, abs=1e-9)


def test_a_parabola_is_convex_and_a_late_drop_is_not():
    x = np.linspace(0, 1, 51)
    assert bulge(curve_of((1 - x) ** 2)) == pytest.approx(0, abs=1e-12)
    assert bulge(curve_of(1 - x**6)) > 0.5


# --- the competition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 4, 6])
def test_the_competition_is_exact_from_zero_where_only_the_last_layer_has_a_bias(depth):
    model = net(depth=depth, bias="last")
    with torch.no_grad():
        model[-1].bias.mul_(20)
    logits = model(INPUTS).detach()
    measured = interpolate(model, zeros(model), model.state_dict(), (INPUTS, TARGETS), progress=False)
    predicted = competition(logits, model[-1].bias.detach(), TARGETS, depth)
    np.testing.assert_allclose(predicted.loss, measured.loss, rtol=1e-10)
    np.testing.assert_allclose(predicted.mistake_rate[1:], measured.mistake_rate[1:], rtol=1e-10)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_class_flips_where_its_signal_outgrows_the_gap(depth):
    bias = torch.tensor([0.0, 2.0, 1.0])
    signal = torch.tensor([[5.0, 1.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 3.0]])
    targets = torch.tensor([0, 1, 2])
    flips = class_flips(signal + bias, bias, targets, depth)
    np.testing.assert_allclose(flips.alpha, [(2 / 4) ** (1 / (depth - 1)), 0, (1 / 3) ** (1 / (depth - 1))])
    for c in (0, 2):
        for alpha, right in ((float(flips.alpha[c]) * 0.99, False), (float(flips.alpha[c]) * 1.01, True)):
            f = alpha**depth * signal[c] + alpha * bias
            assert (f[c] > f[1]) == right


def test_a_class_that_never_flips_and_one_without_examples_are_not_numbers():
    bias = torch.tensor([0.0, 2.0, 1.0])
    logits = torch.tensor([[0.0, 5.0, 0.0]]) + bias
    flips = class_flips(logits, bias, torch.tensor([0]), 3)
    assert np.isnan(flips.alpha.values[[0, 2]]).all()
    assert float(flips.alpha[1]) == 0


def test_options_that_would_move_the_ends_are_refused():
    model = net(depth=2)
    for option, value in (("origin", torch.zeros(3)), ("normalisation", "filter"), ("leave_out_1d", True)):
        with pytest.raises(ValueError, match=f"leave {option} out"):
            interpolate(model, zeros(model), model.state_dict(), (INPUTS, TARGETS), **{option: value})


def test_a_class_that_flips_beyond_the_end_does_not_flip():
    bias = torch.tensor([0.0, 2.0])
    flips = class_flips(torch.tensor([[1.0, 0.0]]) + bias, bias, torch.tensor([0]), 3)
    assert np.isnan(float(flips.alpha[0]))
    assert float(flips.signal_margin[0]) == 1


def test_shapes_and_depths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="they must be"):
        competition(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3).long(), 2)
    with pytest.raises(ValueError, match="one layer at least"):
        competition(torch.zeros(3, 2), torch.zeros(2), torch.zeros(3).long(), 0)
    with pytest.raises(ValueError, match="at least 2"):
        class_flips(torch.zeros(3, 2), torch.zeros(2), torch.zeros(3).long(), 1)


def test_the_grid_is_fifty_one_points_from_start_to_end():
    assert len(ALPHAS) == 51
    assert (ALPHAS[0], ALPHAS[-1]) == (0, 1)
