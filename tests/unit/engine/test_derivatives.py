from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import landscape_utils as lu
from landscape_utils.engine.derivatives import differentiable


class Cut(nn.Module):
    """Lets no gradient through to its first layer."""

    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.cut = nn.Linear(4, 5), nn.Linear(5, 3), cut
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.cut(self.a(x).tanh()))


X, Y = torch.randn(12, 4), torch.arange(12) % 3


@pytest.mark.parametrize("call", [lu.class_gradients, lu.gradient_split, lu.hessian_trace, lu.mine_peak])
def test_a_missing_gradient_is_not_a_zero_one(call: Callable) -> None:
    with pytest.raises(ValueError, match=r"the logits depend on a\.weight, but its gradient is cut off"):
        call(Cut(lambda h: h.detach()), (X, Y))


def test_what_the_logits_do_not_depend_on_has_a_gradient_of_zero() -> None:
    model = Cut(lambda h: h)
    found = lu.class_gradients(model, (X, Y))[0]
    loss = F.cross_entropy(model(X[Y == 0]), Y[Y == 0])
    wanted = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(found, torch.cat([g.reshape(-1) for g in wanted]))


def test_a_part_without_a_second_derivative_is_named() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.EmbeddingBag(9, 4, mode="mean"), nn.Linear(4, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.table(tokens).tanh())

    tokens = torch.randint(0, 9, (12, 3))
    assert lu.class_gradients(Bag(), (tokens, Y)).isfinite().all()
    with pytest.raises(ValueError, match="no such derivative"):
        lu.hessian_trace(Bag(), (tokens, Y), progress=False)


def test_a_wrong_second_derivative_is_refused() -> None:
    class Lopsided(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, w: Tensor) -> Tensor:
            context.save_for_backward(w)
            return w * w.sum()

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            (w,) = context.saved_tensors
            return gradient * w.detach().sum() + (gradient * w).sum()  # right, but half of its derivative is missing

    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.out = nn.Parameter(torch.randn(5, 4)), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out((x @ Lopsided.apply(self.w).T).tanh())

    with pytest.raises(ValueError, match="the Hessian is not symmetric"):
        lu.hessian_trace(Wrong(), (X, Y), progress=False)


@pytest.mark.parametrize("margin", [13, 14, 15])
def test_examples_that_are_learned_to_rounding_have_a_symmetric_hessian(margin: float) -> None:
    """Their cross entropy's second derivatives in float32 are nearly all rounding; that is no fault of the model."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    x = torch.randn(1, 4).expand(12, -1)
    first, second = model(x[:1]).topk(2).values[0].tolist()
    with torch.no_grad():
        for parameter in model[4].parameters():
            parameter *= margin / (first - second)
    lu.hessian_trace(model, (x, model(x).argmax(dim=1)), progress=False)


def test_the_copy_is_in_evaluation_mode_and_the_callers_flags_stay() -> None:
    model = Cut(lambda h: h).train()
    model.a.requires_grad_(False)
    tree = differentiable(model, X)
    assert all(p.requires_grad for p in tree.parameters())
    assert not tree.training
    assert [p.requires_grad for p in model.a.parameters()] == [False, False]
