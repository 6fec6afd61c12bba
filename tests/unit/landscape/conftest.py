import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape_utils.engine import space
from landscape_utils.landscape import hessian
from landscape_utils.landscape.hessian_operator import HessianOperator


class Tied(nn.Module):
    """Uses one weight twice, and has a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.b.weight = self.a.weight
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x.flatten(1)[:, :6]).tanh()).tanh())


class Attention(nn.Module):
    """Has a kernel whose fast versions have no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(x.flatten(2)[..., :4]).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.ReLU(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


def conv() -> nn.Module:
    first = [nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    second = [nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 4)]
    return nn.Sequential(*first, *second)


BUILDERS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "conv": conv, "tied": Tied, "attention": Attention}


def network(name: str) -> nn.Module:
    """Build a float64 classifier of 2x4x4 images whose BatchNorm has seen data, in training mode."""
    torch.manual_seed(3)
    model = BUILDERS[name]().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    for _ in range(5):
        model(1 + 2 * torch.randn(40, 2, 4, 4, dtype=torch.float64))
    return model.train()


def images(count: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 2, 4, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(4, (count,), generator=generator)


def dense(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    """Differentiate the plain loss twice, shape (P, P)."""
    own = copy.deepcopy(model).eval()
    names = [name for name, _ in own.named_parameters()]

    def loss(weights: Tensor) -> Tensor:
        named = dict(zip(names, space.split(weights, own), strict=True))
        return F.cross_entropy(functional_call(own, named, (data[0],)), data[1])

    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(loss, space.flatten(own))


def matrix(operator: HessianOperator) -> Tensor:
    return torch.stack([operator(row) for row in torch.eye(operator.size, dtype=operator.dtype)])


def quiet(model: nn.Module, data: object, k: int = 5, **how: object) -> xr.Dataset:
    return hessian.hessian_eigenpairs(model, data, k, progress=False, **how)
