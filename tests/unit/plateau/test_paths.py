import pytest
import torch
from torch import nn

from landscape_utils import build_model, flatten
from landscape_utils.engine.shadow import probe
from landscape_utils.plateau.paths import layer_depths, path


def net(**options):
    torch.manual_seed(0)
    model = build_model("fcn", input_shape=(1, 3, 4), classes=3, width=5, **options).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model


def state_of(model, scale=1.0):
    return {k: scale * v.clone() for k, v in model.state_dict().items()}


INPUTS = torch.randn(7, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def along(model, way, alpha):
    return probe(way.model, INPUTS, way.at(alpha))[0]


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8, 1.0])
def test_homogeneous_interpolation_from_zero_scales_the_output_by_alpha_to_the_depth(depth, alpha):
    model = net(depth=depth)
    way = path(model, state_of(model, 0.0), state_of(model), INPUTS, scheme="homogeneous")
    expected = alpha**depth * model(INPUTS).detach()
    torch.testing.assert_close(along(model, way, alpha), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
def test_interpolating_the_weights_alone_scales_the_output_without_biases(depth):
    model = net(depth=depth)
    bare = state_of(model) | {k: torch.zeros_like(v) for k, v in model.state_dict().items() if k.endswith("bias")}
    way = path(model, state_of(model, 0.0), state_of(model), INPUTS, scheme="weights")
    at_the_end = torch.func.functional_call(model, bare, (INPUTS,)).detach()
    torch.testing.assert_close(along(model, way, 0.7), 0.7**depth * at_the_end, rtol=1e-12, atol=1e-12)


def test_linear_interpolation_is_linear_and_not_homogeneous():
    model = net(depth=4)
    start = {k: torch.randn_like(v) for k, v in state_of(model).items()}
    way = path(model, start, state_of(model), INPUTS)
    flat = torch.cat([v.reshape(-1) for v in start.values()])
    torch.testing.assert_close(way.at(0.25), 0.75 * flat + 0.25 * flatten(model))
    zero = path(model, state_of(model, 0.0), state_of(model), INPUTS)
    assert (along(model, zero, 0.5) - 0.5**4 * model(INPUTS)).abs().max() > 0.01


@pytest.mark.parametrize("scheme", ["linear", "homogeneous"])
def test_the_ends_are_the_two_states(scheme):
    model = net(depth=3)
    start = {k: torch.randn_like(v) for k, v in state_of(model).items()}
    way = path(model, start, state_of(model), INPUTS, scheme=scheme)
    torch.testing.assert_close(way.at(0.0), torch.cat([v.reshape(-1) for v in start.values()]))
    torch.testing.assert_close(way.at(1.0), flatten(model))


@pytest.mark.parametrize("rest", ["start", "end"])
def test_only_what_is_chosen_moves_and_the_rest_stays(rest):
    model = net(depth=3)
    start, end = {k: torch.randn_like(v) for k, v in state_of(model).items()}, state_of(model)
    way = path(model, start, end, INPUTS, scheme="biases", layers=["1", "3"], rest=rest)
    moved = dict(zip(end, way.at(0.5).split([v.numel() for v in end.values()]), strict=True))
    for name, values in moved.items():
        held = {"start": start, "end": end}[rest][name]
        expected = 0.5 * (start[name] + end[name]) if name in ("1.bias", "3.bias") else held
        torch.testing.assert_close(values.reshape(expected.shape), expected)


def test_depths_count_the_layers_in_the_order_in_which_they_are_gone_through():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 3), nn.Linear(12, 4)
            self.norm = nn.BatchNorm1d(4)
            self.unused = nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.norm(self.first(x.flatten(1))))

    depths = layer_depths(Backwards(), INPUTS.float())
    assert depths == {
        "first.weight": 1,
        "first.bias": 1,
        "norm.weight": 1,
        "norm.bias": 1,
        "last.weight": 2,
        "last.bias": 2,
    }


def test_a_vggs_depth_is_its_number_of_layers():
    model = build_model("vgg16", input_shape=(3, 32, 32), classes=10, width=0.05, batchnorm=False)
    depths = layer_depths(model, torch.zeros(1, 3, 32, 32))
    assert depths["features.0.bias"] == 1
    assert depths["classifier.bias"] == 14
    assert set(depths) == {name for name, _ in model.named_parameters()}


def test_the_model_and_the_states_are_left_alone():
    model = net(depth=3, bias=True)
    before, start, end = state_of(model), state_of(model, 0.0), state_of(model, 2.0)
    way = path(model, start, end, INPUTS, scheme="homogeneous")
    way.at(0.5)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(torch.equal(2 * before[k], v) for k, v in end.items())
    assert not model[1]._forward_pre_hooks


def test_what_is_wrong_is_told_in_one_sentence():
    model = net(depth=2)
    state = state_of(model)
    with pytest.raises(ValueError, match=r"unknown scheme 'homogenous'.*homogeneous"):
        path(model, state, state, INPUTS, scheme="homogenous")
    with pytest.raises(ValueError, match="unknown layer '7'"):
        path(model, state, state, INPUTS, layers=["7"])
    for layers in ([], ["2"]):  # none, and a ReLU
        with pytest.raises(ValueError, match="have no parameters"):
            path(model, state, state, INPUTS, layers=layers)
    with pytest.raises(ValueError, match=r"unknown rest 'middle'.*start"):
        path(model, state, state, INPUTS, rest="middle")
    with pytest.raises(ValueError, match="this model's has shape"):
        path(model, state | {"1.weight": torch.zeros(2, 2)}, state, INPUTS)
