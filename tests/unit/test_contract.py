"""The promise: any module, any data, and both are left bit for bit as they were found, whatever forward does."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import xarray as xr
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import landscape_utils as lu

EXAMPLES = 18


class Small(nn.Module):
    """Two layers, between which a kind of module does what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def between(self, h: Tensor) -> Tensor:
        return h.tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.a(x)))


class WritesItsInput(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).mul_(2))


class Counts(Small):
    """Counts its calls in a buffer, a plain tensor, an array, a number, a list and an object."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.plain, self.array, self.number, self.each = torch.zeros(1), np.zeros(1), 0, []
        self.notes = SimpleNamespace(calls=0)

    def between(self, h: Tensor) -> Tensor:
        self.calls += 1
        self.plain += 1
        self.array += 1
        self.number += 1
        self.each.append(h.mean())
        self.notes.calls += 1
        return h.tanh()


class Observes(Small):
    """Its range follows what it sees, in every mode, as a quantised network's does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("high", torch.tensor(0.1))

    def between(self, h: Tensor) -> Tensor:
        self.high.copy_(torch.maximum(self.high, h.detach().abs().max()))
        return h.clamp(-self.high, self.high)


class Checkpointed(Small):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.middle, self.reentrant = nn.Linear(5, 5), reentrant

    def between(self, h: Tensor) -> Tensor:
        return checkpoint(self.middle, h.tanh(), use_reentrant=self.reentrant).tanh()


class Tied(Small):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Linear(5, 5), nn.Linear(5, 5)
        self.d.weight = self.c.weight

    def between(self, h: Tensor) -> Tensor:
        return self.d(self.c(h).tanh())


class Holds(Small):
    """Holds what cannot be copied, a module of its own in a plain object, and activations with their graph."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.numbers, self.helper = threading.Lock(), (i for i in range(3)), SimpleNamespace(layer=self.a)
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.kept["h"] = self.helper.layer(x)
        return self.b(self.kept["h"].tanh())


class Views(nn.Module):
    """Flattens by `.view` what a convolution gives, which no other memory layout allows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.conv(x)).relu_().view(len(x), -1))


class Words(nn.Module):
    """Renormalises the rows of its table in place, in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(9, 5, max_norm=0.5, sparse=True), nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.table(tokens).mean(1))


class Gives(Small):
    """Gives its logits in something else."""

    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(super().forward(x))


def norms() -> nn.Module:
    weight = nn.utils.parametrizations
    return nn.Sequential(weight.spectral_norm(nn.Linear(6, 5)), nn.Tanh(), weight.orthogonal(nn.Linear(5, 3)))


def rows() -> Tensor:
    return torch.randn(EXAMPLES, 6)


def pictures(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(EXAMPLES, *shape)


KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "plain": (Small, rows),
    "in-place input": (WritesItsInput, rows),
    "counters": (Counts, rows),
    "observer": (Observes, rows),
    "checkpoint": (lambda: Checkpointed(False), rows),
    "reentrant checkpoint": (lambda: Checkpointed(True), rows),
    "tied": (Tied, rows),
    "lock, generator, kept graph": (Holds, rows),
    "parametrised": (norms, rows),
    "max_norm, sparse": (Words, lambda: torch.randint(0, 9, (EXAMPLES, 4))),
    "view after convolution": (Views, pictures(2, 4, 4)),
    "dict": (lambda: Gives(lambda z: {"logits": z}), rows),
    "object": (lambda: Gives(lambda z: SimpleNamespace(logits=z)), rows),
    "DataParallel": (lambda: nn.DataParallel(Small()), rows),
    "compiled": (lambda: torch.compile(Small(), backend="eager"), rows),
    "timm tf_": (lambda: timm.create_model("tf_mobilenetv3_small_minimal_100", num_classes=3), pictures(3, 32, 32)),
    "timm vit_": (
        lambda: timm.models.VisionTransformer(8, 4, 3, num_classes=3, embed_dim=12, depth=1, num_heads=2),
        pictures(3, 8, 8),
    ),
}

QUIET: dict[str, Any] = {"cache": False, "progress": False}
State = dict[str, Tensor]


def state(model: nn.Module, scale: float = 1.0) -> State:
    return {k: v.clone() * scale if v.is_floating_point() else v.clone() for k, v in model.state_dict().items()}


CALLS: dict[str, Callable[[nn.Module, tuple[Tensor, Tensor]], object]] = {
    "cctm": lu.cctm,
    "outcomes": lu.outcomes,
    "class_gradients": lu.class_gradients,
    "ego_surface": lambda m, data: lu.ego_surface(m, data, 0, 1, points=3, **QUIET),
    "curve": lambda m, data: lu.curve(m, data, lu.gaussian_direction(m), [-0.1, 0.0, 0.1], **QUIET),
    "surface": lambda m, data: lu.surface(m, data, lu.flatten(m), lu.gaussian_direction(m), points=2, **QUIET),
    "curve, statistics updated": lambda m, data: lu.curve(m, data, lu.flatten(m), [0.0], bn="update", **QUIET),
    "interpolate": lambda m, data: lu.interpolate(m, state(m), state(m, 0.9), data, [0.0, 0.5, 1.0], **QUIET),
    "hessian_eigenpairs": lambda m, data: lu.hessian_eigenpairs(m, data, k=1, tol=0.9, max_products=40, **QUIET),
    "hessian_trace": lambda m, data: lu.hessian_trace(m, data, probes=2, progress=False),
    "slope_and_curvature": lambda m, data: lu.slope_and_curvature(m, data, lu.flatten(m), [0.1], progress=False),
    "mine_peak": lambda m, data: lu.mine_peak(m, data, epochs=1, lr=1e-3, progress=False),
    "gradient_split": lu.gradient_split,
    "activations": lambda m, data: lu.activations(m, data[0]),
    "class_manifolds": lu.class_manifolds,
    "rewound_accuracies": lambda m, data: lu.rewound_accuracies(m, {0: state(m, 0.9)}, data, data, progress=False),
    "Directions": lambda m, data: lu.Directions(m, data, progress=False)["Neg. Grad."],
}

# What has no answer says so in one sentence, and leaves no trace either.
SENTENCES = {
    ("gradient_split", "parametrised"): "has no weight of its own",
    ("gradient_split", "tied"): "has no weight of its own",
}


def photograph(value: Any, seen: set[int] | None = None) -> Any:
    """Describe all that a value holds: tensors by their bytes and versions, the rest by what it is."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        version = None if value.is_inference() else value._version
        flags = (value.requires_grad, value.is_leaf and value.grad is None, value.dtype, value.stride(), version)
        return id(value), flags, value.detach().numpy().tobytes()
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if id(value) in seen:
        return id(value)
    seen.add(id(value))
    if isinstance(value, dict):
        return id(value), [(str(k), photograph(v, seen)) for k, v in value.items()]
    if isinstance(value, list | tuple | set):
        return id(value), [photograph(v, seen) for v in value]
    if isinstance(value, nn.Module | SimpleNamespace):
        return id(value), photograph(vars(value), seen)
    return id(value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # torch's, of reentrant checkpoints
def test_model_and_data_are_left_bit_for_bit_as_they_were(kind: str, call: str) -> None:
    build, draw = KINDS[kind]
    torch.manual_seed(0)
    model, data = build().train(), (draw(), torch.arange(EXAMPLES) % 3)
    if kind == "lock, generator, kept graph":
        model(data[0])
    random, before = torch.get_rng_state(), (photograph(model), photograph(data))
    refused = pytest.raises(ValueError, match=SENTENCES[call, kind]) if (call, kind) in SENTENCES else nullcontext()
    with refused:
        CALLS[call](model, data)
    assert (photograph(model), photograph(data)) == before
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("call", CALLS)
def test_inference_mode_around_a_call_changes_nothing(call: str) -> None:
    torch.manual_seed(0)
    model, data = Small(), (rows(), torch.arange(EXAMPLES) % 3)
    wanted = CALLS[call](model, data)
    with torch.inference_mode():
        born_inside = tuple(t.clone() for t in data)
        found = [CALLS[call](model, data), CALLS[call](model, born_inside)]
    for one in found:
        torch.testing.assert_close(numbers(one), numbers(wanted), equal_nan=True)


def numbers(result: Any) -> list[Tensor]:
    """Gather all numbers of a result, whatever holds them."""
    if isinstance(result, Tensor):
        return [result.clone().double()]
    if isinstance(result, xr.DataArray | np.ndarray):
        values = np.asarray(result)
        return [torch.as_tensor(values).double()] if values.dtype.kind in "fiub" else []
    parts = result.values() if isinstance(result, dict | xr.Dataset) else getattr(result, "__dict__", {}).values()
    return [number for part in (result if isinstance(result, tuple) else parts) for number in numbers(part)]


@pytest.mark.parametrize(
    "call", sorted(CALLS.keys() - {"interpolate", "rewound_accuracies"})
)  # which need its state, too
@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Small().to("meta"), r"a\.weight has no values yet"),
        (lambda: nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 3)), r"0\.weight has no shape yet"),
    ],
)
def test_parameters_without_values_get_a_sentence(build: Callable[[], nn.Module], sentence: str, call: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CALLS[call](build(), (rows(), torch.arange(EXAMPLES) % 3))


def broken(model: nn.Module, value: float) -> Tensor:
    return torch.where(torch.arange(len(lu.flatten(model))) % 3 == 0, value, 1.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("kind", ["plain", "view after convolution", "checkpoint"])
def test_a_coefficient_of_zero_towards_what_diverged_leaves_no_trace(kind: str, value: float) -> None:
    build, draw = KINDS[kind]
    model, data = build().eval(), (draw(), torch.arange(EXAMPLES) % 3)
    wrong, fine = broken(model, value), lu.gaussian_direction(model)
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model(data[0]), data[1]))
    line = lu.curve(model, data, wrong, [-1.0, 0.0, 1.0], **QUIET)
    assert line.loss.values[1] == pytest.approx(loss, rel=1e-5)
    assert np.isnan(line.loss.values[[0, 2]]).all()
    plane = lu.surface(model, data, fine, wrong, points=3, **QUIET)
    assert np.isfinite(plane.loss.values).tolist() == [[False, True, False]] * 3
    end = dict(model.state_dict())
    end |= {name: torch.full_like(p, value) for name, p in model.named_parameters()}
    way = lu.interpolate(model, model.state_dict(), end, data, [0.0, 0.5, 1.0], bn="keep", **QUIET)
    assert np.isfinite(way.loss.values).tolist() == [True, False, False]
    found = lu.slope_and_curvature(model, data, torch.zeros_like(wrong), [0.0], progress=False)
    assert float(found.loss[0]) == pytest.approx(loss, rel=1e-5)
