"""A rewound network is the final one with some entries of an earlier one, and nothing else."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from landscape_utils import build_model, rewind, rewound_accuracies
from landscape_utils.engine.layers import main_layers
from landscape_utils.engine.shadow import NORM_BATCH
from landscape_utils.memorization import rewinding

SHAPE = (3, 8, 8)
NETWORKS = {"vgg11": {"width": 0.1}, "resnet8": {}, "mlp": {"width": 8}}


def states(model: nn.Module, count: int = 3) -> dict[int, dict[str, Tensor]]:
    """Make checkpoints whose weights, biases and running statistics all differ."""
    found = {}
    for epoch in range(count):
        model.train()
        model(torch.randn(12, *SHAPE) + epoch)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.2 * torch.randn_like(p) * (p.abs().mean() + 0.1))
        found[epoch] = copy.deepcopy(model.state_dict())
    return found


def build(name: str) -> tuple[nn.Module, dict[int, dict[str, Tensor]]]:
    torch.manual_seed(0)
    model = build_model(name, input_shape=SHAPE, classes=4, **NETWORKS[name])
    return model, states(model)


@pytest.fixture(params=NETWORKS)
def trained(request: pytest.FixtureRequest) -> tuple[nn.Module, dict[int, dict[str, Tensor]]]:
    return build(request.param)


def images(count: int = 9, seed: int = 1) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def predict(model: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Load a state into a copy and look: what anyone would write."""
    own = copy.deepcopy(model)
    own.load_state_dict(state)
    with torch.no_grad():
        return own.eval()(x).argmax(1)


def test_every_layer_to_the_final_epoch_changes_nothing_and_all_to_an_epoch_are_its_state(trained) -> None:
    model, kept = trained
    final = kept[2]
    for layers in rewinding.single_layers(model, images(1)).values():
        same = rewind(final, kept[2], layers)
        assert list(same) == list(final)
        assert all(torch.equal(same[key], value) for key, value in final.items())
    back = rewind(final, kept[0])
    assert all(torch.equal(back[key], value) for key, value in kept[0].items())


@pytest.mark.parametrize("bn", ["rewind", "keep"])
def test_a_layers_own_entries_are_the_earlier_ones_and_no_others(trained, bn) -> None:
    model, kept = trained
    for layer in main_layers(model, images(1)):
        got = rewind(kept[2], kept[0], [layer], bn=bn)
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        for key in got:
            mine = key.rpartition(".")[0] in layer.modules
            early = mine and (bn == "rewind" or not key.endswith(statistics))
            assert torch.equal(got[key], kept[0 if early else 2][key])


def test_projections_go_with_the_last_layers_and_with_all_but_with_no_single_one() -> None:
    model = build_model("resnet18", input_shape=SHAPE, classes=4, width=0.1)
    single, last = rewinding.single_layers(model, images(1)), rewinding.last_layers(model, images(1))
    assert (len(single), len(last)) == (19, 18)
    assert single["all"] is last["last 18"] is None
    assert not any("downsample" in layer.name for layers in single.values() for layer in layers or ())
    names = {k: [layer.name for layer in last[f"last {k}"]] for k in (1, 2, 4, 5)}
    assert names[1] == ["fc"]
    assert names[2] == ["layer4.1.conv2", "fc"]
    assert names[4] == ["layer4.0.conv2", "layer4.0.downsample.0", "layer4.1.conv1", "layer4.1.conv2", "fc"]
    assert names[5] == ["layer4.0.conv1", *names[4]]


def test_layers_are_named_for_a_reader() -> None:
    model = build_model("vgg11", input_shape=SHAPE, classes=4, width=0.1)
    found = rewinding.titles(model, images(1))
    assert list(found.values()) == [*(f"conv {i}" for i in range(1, 9)), "linear 1"]
    assert list(found) == [layer.name for layer in main_layers(model, images(1))]


@pytest.mark.parametrize("bn", ["rewind", "keep"])
def test_predictions_equal_those_of_the_rewound_state(trained, bn, monkeypatch) -> None:
    monkeypatch.setattr(rewinding, "BATCH", 3)
    model, kept = trained
    x, final = images(5), kept.pop(2)  # not among the checkpoints: what is not put back would stay
    parts = {**rewinding.single_layers(model, x[:1]), **rewinding.last_layers(model, x[:1])}
    got = rewinding.rewound_predictions(model, kept, x, parts, bn=bn, progress=False)
    assert got.dims == ("rewound", "epoch", "example")
    for name, layers in list(parts.items())[:: len(parts) // 4]:
        for epoch in kept:
            expected = predict(model, rewind(final, kept[epoch], layers, bn=bn), x)
            np.testing.assert_array_equal(got.sel(rewound=name, epoch=epoch), expected)
    assert (got != xr.DataArray(predict(model, final, x), dims="example")).any()


def test_statistics_are_estimated_anew_after_the_rewinding(monkeypatch) -> None:
    model, kept = build("vgg11")
    x, seen = images(), images(40, seed=2)
    monkeypatch.setattr("landscape_utils.engine.shadow.NORM_BATCH", 20)
    parts = {"nothing": [], **rewinding.single_layers(model, x[:1])}
    got = rewinding.rewound_predictions(model, kept, x, parts, bn="update", images=seen, progress=False)
    own = copy.deepcopy(model)
    for name, layers in list(parts.items())[::3]:
        own.load_state_dict(rewind(kept[2], kept[0], layers))
        update_bn(rewinding._shuffled(seen).split(20), own)
        with torch.no_grad():
            expected = own.eval()(x).argmax(1)
        np.testing.assert_array_equal(got.sel(rewound=name, epoch=0), expected)
    assert not torch.equal(rewinding._shuffled(seen), seen)  # else batches of one class where classes come in turn
    as_it_is = rewinding.rewound_predictions(model, kept, x, parts, progress=False)
    assert (got != as_it_is).any()
    assert NORM_BATCH > 20


class Tied(nn.Module):
    """Two layers that share a weight, so that nothing can be taken from memory."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.relu, self.again, self.last = (
            nn.Linear(192, 192),
            nn.ReLU(),
            nn.Linear(192, 192),
            nn.Linear(192, 4),
        )
        self.again.weight = self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu(self.again(self.relu(self.inner(x.flatten(1))))))


def test_tied_weights_move_together() -> None:
    torch.manual_seed(0)
    model = Tied()
    kept, x = states(model), images()
    got = rewinding.rewound_predictions(model, kept, x, progress=False)
    own = copy.deepcopy(model)
    with torch.no_grad():
        own.inner.weight.copy_(kept[0]["again.weight"])
        own.again.bias.copy_(kept[0]["again.bias"])
        np.testing.assert_array_equal(got.sel(rewound="again", epoch=0), own(x).argmax(1))


def test_accuracies_are_the_shares_of_right_predictions(trained) -> None:
    model, kept = trained
    train, test = (images(7, 3), torch.arange(7) % 4), (images(5, 4), torch.arange(5) % 4)
    got = rewound_accuracies(model, kept, train, test, progress=False)
    assert dict(got.sizes) == {"rewound": len(main_layers(model, images(1))) + 1, "epoch": 3}
    for name, (x, y) in (("train_accuracy", train), ("test_accuracy", test)):
        expected = float((predict(model, kept[1], x) == y).double().mean())
        assert float(got[name].sel(rewound="all", epoch=1)) == pytest.approx(expected)
    assert got.attrs["bn"] == "rewind"


def test_the_model_stays_as_it_was(trained) -> None:
    model, kept = trained
    model.train()
    x, before = images(), copy.deepcopy(model.state_dict())
    rewinding.rewound_predictions(model, kept, x, bn="update", images=x, progress=False)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or "forward" in vars(m) for m in model.modules())


def test_a_result_is_computed_once_and_again_when_anything_changes(monkeypatch) -> None:
    model, kept = build("vgg11")
    x, computed = images(3), []
    del kept[1]
    predictions = rewinding._Rewinder.predictions

    def counting(self: object, **how: bool) -> xr.DataArray:
        computed.append(1)
        return predictions(self, **how)

    monkeypatch.setattr(rewinding._Rewinder, "predictions", counting)
    first = rewinding.rewound_predictions(model, kept, x, progress=False)
    again = rewinding.rewound_predictions(model, kept, x, progress=False)
    assert len(computed) == 1
    xr.testing.assert_identical(first, again)
    first = main_layers(model, x)[0]
    other = {**kept, 0: {key: value + 1 for key, value in kept[0].items()}}
    for change in (
        {"checkpoints": other},
        {"inputs": x + 1},
        {"parts": {first.name: [first]}},
        {"bn": "keep"},
        {"bn": "update", "images": x},
        {"bn": "update", "images": x + 1},
    ):
        call = {"model": model, "checkpoints": kept, "inputs": x, "progress": False, **change}
        computed.clear()
        rewinding.rewound_predictions(**call)
        assert len(computed) == 1, change


def test_a_model_whose_code_changed_is_measured_again(monkeypatch) -> None:
    torch.manual_seed(0)
    model = Tied()
    kept, x = states(model), images()
    before = rewinding.rewound_predictions(model, kept, x, progress=False)
    monkeypatch.setattr(Tied, "forward", lambda self, x: -self.last(self.inner(x.flatten(1))))
    assert (rewinding.rewound_predictions(model, kept, x, progress=False) != before).any()


def test_what_cannot_be_is_refused() -> None:
    model = build_model("mlp", input_shape=SHAPE, classes=4, width=8)
    state, x = model.state_dict(), images()
    with pytest.raises(ValueError, match="no checkpoint to rewind to"):
        rewinding.rewound_predictions(model, {}, x)
    with pytest.raises(ValueError, match="cannot be updated without images"):
        rewinding.rewound_predictions(model, {0: state}, x, bn="update")
    with pytest.raises(ValueError, match="unknown bn 'kept'"):
        rewinding.rewound_predictions(model, {0: state}, x, bn="kept")
    with pytest.raises(ValueError, match="unknown bn 'update'"):
        rewind(state, state, bn="update")
    wider = build_model("mlp", input_shape=SHAPE, classes=4, width=9).state_dict()
    for other in (wider, {key: value for key, value in list(state.items())[1:]}, {**state, "more": x}):
        with pytest.raises(ValueError, match="not of one architecture"):
            rewind(state, other)
        with pytest.raises(ValueError, match="not of one architecture"):
            rewinding.rewound_predictions(model, {0: other}, x)
