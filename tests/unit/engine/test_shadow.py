import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from landscape_utils.engine import shadow, space


class Net(nn.Module):
    """Has a convolution, BatchNorm and two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 5, (3, 2)), nn.BatchNorm2d(5), nn.Dropout(0.5)
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5, bias=False), nn.Linear(5, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.norm(self.conv(x)).tanh()).mean((2, 3))
        return self.head(self.b(self.a(h).tanh()).tanh())


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = Net().double()
    net(torch.randn(20, 3, 6, 6, dtype=torch.float64))  # BatchNorm has seen data
    return net.train()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(7, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def counted(model: nn.Module) -> Tensor:
    """A vector whose entries are all different."""
    return torch.arange(1.0, 1 + sum(p.numel() for p in model.parameters()), dtype=torch.float64)


def snapshot(model: nn.Module) -> tuple[dict[str, Tensor], list[bool], list[bool], list[Tensor | None]]:
    flags = [p.requires_grad for p in model.parameters()]
    grads = [p.grad for p in model.parameters()]
    return copy.deepcopy(model.state_dict()), [m.training for m in model.modules()], flags, grads


def assert_untouched(model: nn.Module, before: tuple) -> None:
    state, modes, flags, grads = before
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert ([m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]) == (modes, flags)
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))


def test_a_shadow_shares_no_tensor_and_no_module(model: nn.Module) -> None:
    before = snapshot(model)
    tree = shadow.shadow(model)
    held, own = ([*m.parameters(), *m.buffers()] for m in (model, tree))
    assert all(torch.equal(a, b) for a, b in zip(held, own, strict=True))
    assert not {t.data_ptr() for t in held} & {t.data_ptr() for t in own}  # some forwards write into them
    assert not {id(m) for m in tree.modules()} & {id(m) for m in model.modules()}
    assert not any(m.training for m in tree.modules())
    assert_untouched(model, before)


def test_packing_and_viewing_are_inverse(model: nn.Module) -> None:
    vector = counted(model)
    parts = shadow.views(shadow.pack(vector, model), model)
    assert [p.shape for p in parts] == [p.shape for p in model.parameters()]
    assert torch.equal(torch.cat([p.reshape(-1) for p in parts]), vector)
    for part, want in zip(parts, space.split(vector, model), strict=True):
        assert torch.equal(part, want)


def test_packed_parameters_are_aligned_and_apart(model: nn.Module) -> None:
    packed = shadow.pack(counted(model), model)
    parts = shadow.views(packed, model)
    starts = [p.storage_offset() for p in parts]
    ends = [start + p.numel() for start, p in zip(starts, parts, strict=True)]
    assert all(start % shadow.ALIGNMENT == 0 for start in starts)
    assert starts[0] == 0
    for end, following in zip(ends, [*starts[1:], len(packed)], strict=True):
        assert 0 <= following - end < shadow.ALIGNMENT
        assert (packed[end:following] == 0).all()


def test_packed_weights_lie_in_memory_as_the_trees_do(model: nn.Module) -> None:
    assert all(part.is_contiguous() for part in shadow.views(shadow.pack(counted(model), model), model))
    tree = shadow.shadow(model).to(memory_format=torch.channels_last)
    for part in shadow.views(shadow.pack(counted(model), tree), tree):
        last = part.ndim == 4
        assert part.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        assert not last or not part.is_contiguous()


def test_views_write_through(model: nn.Module) -> None:
    packed = shadow.pack(torch.zeros_like(counted(model)), model)
    for part in shadow.views(packed, model):
        part.add_(1)
    assert packed.sum() == len(counted(model))


def test_packed_directions_take_the_models_type(model: nn.Module) -> None:
    vector = counted(model).float()
    assert shadow.pack(vector, model).dtype == torch.float64
    assert shadow.pack(vector.double(), copy.deepcopy(model).float()).dtype == torch.float32
    with pytest.raises(ValueError, match="the direction has shape"):
        shadow.pack(vector[1:], model)


def test_an_installed_vector_is_the_shadows_weights(model: nn.Module, x: Tensor) -> None:
    before, moved = snapshot(model), copy.deepcopy(model).eval()
    tree, direction = shadow.shadow(model), space.gaussian_direction(model)
    weights = shadow.pack(space.flatten(model), model)
    shadow.install(tree, weights)
    torch.testing.assert_close(tree(x), copy.deepcopy(model).eval()(x), rtol=1e-12, atol=1e-12)
    weights.add_(shadow.pack(direction, model), alpha=0.3)
    nn.utils.vector_to_parameters(space.flatten(model) + 0.3 * direction, moved.parameters())
    torch.testing.assert_close(tree(x), moved(x), rtol=1e-12, atol=1e-12)
    assert not any(p.requires_grad for p in tree.parameters())
    assert_untouched(model, before)


def test_tied_weights_stay_tied(model: nn.Module) -> None:
    tree = shadow.shadow(model)
    shadow.install(tree, shadow.pack(counted(model), model))
    assert tree.a.weight is tree.b.weight
    assert tree.a.weight is not model.a.weight
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert [name for name, _ in tree.named_parameters(remove_duplicate=False)] == names


def test_two_names_of_one_weight_stay_one() -> None:
    model = nn.Linear(3, 3)
    model.again = model.weight
    tree = shadow.shadow(model)
    shadow.install(tree, shadow.pack(space.flatten(model), model))
    assert tree.again is tree.weight
    assert tree.again is not model.weight


def test_statistics_of_its_own_leave_the_callers_alone(model: nn.Module, x: Tensor) -> None:
    before, tree = snapshot(model), shadow.shadow(model)
    norms = shadow.averaging_statistics(tree)
    assert norms == [tree.norm]
    for mine, theirs in zip(tree.norm.buffers(), model.norm.buffers(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
    assert (tree.norm.momentum, model.norm.momentum) == (None, 0.1)
    tree.norm.reset_running_stats()
    tree.norm.train()
    for part in (x[:4], x[4:]):
        tree(part)
    batches = [model.conv(part).mean((0, 2, 3)) for part in (x[:4], x[4:])]
    torch.testing.assert_close(tree.norm.running_mean, sum(batches) / 2, rtol=1e-12, atol=1e-12)
    assert int(tree.norm.num_batches_tracked) == 2
    assert_untouched(model, before)


def test_layers_without_statistics_get_none() -> None:
    tree = shadow.shadow(nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3), nn.ReLU()))
    assert shadow.averaging_statistics(tree) == [tree[1]]
    assert tree[0].momentum == 0.1


def test_what_a_module_holds_twice_stays_one_also_through_wrappers() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)
            self.one, self.other = nn.DataParallel(self.body), nn.DataParallel(self.body)
            self.bound, self.pair = self.body.forward, (self.body, {"in": [self.body]})

    model = Holder()
    tree = shadow.shadow(model)
    assert tree.body is not model.body
    assert all(held is tree.body for held in (tree.one, tree.other, tree.pair[0], tree.pair[1]["in"][0]))
    assert tree.bound.__self__ is tree.body
    assert len(list(tree.parameters())) == len(list(model.parameters())) == 2


def test_a_probe_leaves_the_model_alone(model: nn.Module, x: Tensor) -> None:
    F.cross_entropy(model(x), torch.arange(7) % 3).backward()
    before = snapshot(model)
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    logits = shadow.probe(model, x, space.flatten(model))[0]
    assert_untouched(model, before)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    assert not logits.requires_grad
    torch.testing.assert_close(logits.clone(), copy.deepcopy(model).eval()(x).detach(), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(logits, model(x))  # which would be those of training


def test_a_probe_answers_at_the_weights_it_is_given(model: nn.Module, x: Tensor) -> None:
    weights = space.flatten(model) + 0.3 * space.gaussian_direction(model)
    before, moved = snapshot(model), copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(weights, moved.parameters())
    torch.testing.assert_close(shadow.probe(model, x, weights)[0].clone(), moved(x).detach(), rtol=1e-12, atol=1e-12)
    assert_untouched(model, before)


def test_a_forward_that_writes_into_its_own_tensor_answers_at_every_place() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.out = nn.Linear(3, 2), torch.empty(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out.copy_(self.linear(x))

    model, x = Writing(), torch.ones(4, 3)
    weights = space.flatten(model)
    first, second = shadow.probe(model, x, weights, 2 * weights)
    torch.testing.assert_close(second.clone(), 2 * first.clone())


def test_a_forward_that_counts_or_keeps_activations_leaves_the_caller_alone() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.kept = self.a(x).relu()
            return self.kept

    model = Keeping()
    x = torch.randn(4, 3)
    model(x).sum().backward()
    kept = model.kept
    shadow.probe(model, x, space.flatten(model))
    assert int(model.calls) == 1
    assert model.kept is kept


def test_statistics_are_the_mean_over_batches_of_one_size(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "NORM_BATCH", 7)
    images = torch.randn(20, 3, 6, 6, dtype=torch.float64)
    expected = copy.deepcopy(model)
    update_bn(images.split([7, 7, 6]), expected)
    tree = shadow.shadow(model)
    norms = shadow.averaging_statistics(tree)
    shadow.update_statistics(norms, 20, lambda part: tree(images[part]))
    for (name, got), want in zip(tree.named_buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(got, want, msg=name)
    assert not tree.training


@pytest.mark.parametrize(
    ("shape", "few"), [((1000, 3, 32, 32), True), ((1001, 1, 2, 2), False), ((500, 3, 64, 64), False), ((7, 5), True)]
)
def test_few_are_no_more_than_derivatives_take_together_nor_than_fits(shape: tuple[int, ...], few: bool) -> None:
    assert shadow.few_enough(torch.empty(shape, device="meta")) == few
