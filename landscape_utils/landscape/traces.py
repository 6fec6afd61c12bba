"""Traces of a model's Hessian, and of an operator's square, by random probes, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs
from landscape_utils.landscape.hessian_operator import HessianOperator, Parameters, products_bar

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over random probes.

    Attributes:
        value: the mean.
        standard_error: standard deviation of the probes' values / sqrt(probes).
        low, high: 95 % confidence interval of the mean, by Student's t.
        draws: one value a probe, shape (probes,).
    """

    value: float
    standard_error: float
    low: float
    high: float
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, draws: NDArray[np.float64]) -> Estimate:
        """Average one value a probe."""
        value, error = float(draws.mean()), float(draws.std(ddof=1) / np.sqrt(len(draws)))
        reach = error * float(stdtrit(len(draws) - 1, (1 + CONFIDENCE) / 2))
        return cls(value, error, value - reach, value + reach, draws)


def hessian_trace(
    model: nn.Module,
    data: Pairs,
    *,
    probes: int = 30,
    parameters: Parameters = None,
    seed: int = 0,
    progress: bool = True,
) -> Estimate:
    """Estimate the trace of the Hessian by Hutchinson's method: the mean of v^T H v over random signs v.

    Args:
        model, data, parameters: as for `hessian_eigenpairs`; products are in the model's dtype.
        probes: products; the standard error falls as 1 / sqrt(probes).
        seed: of the probes.
        progress: a bar over the products.

    Returns:
        The trace, in nats per squared unit of weight, with its standard error and 95 % confidence interval.

    Raises:
        ValueError: fewer than two probes, an unknown layer, or unusable data.
        FloatingPointError: a product is not finite.
    """
    operator = HessianOperator(model, data, parameters=parameters)
    return trace_estimates(operator, operator.size, probes, seed=seed, progress=progress)[0]


def trace_estimates(
    product: Callable[[Tensor], Tensor], size: int, probes: int, *, seed: int = 0, progress: bool = True
) -> tuple[Estimate, Estimate]:
    """Estimate tr A and tr A^2 of a symmetric operator from the same products with random signs.

    Args:
        product: maps v to A v, both of shape (P,); v is float64 on the CPU.
        size: P.
        probes: products, at least two.
        seed: of the signs.
        progress: a bar over the products.

    Raises:
        ValueError: fewer than two probes.
    """
    if probes < 2:
        raise ValueError(f"probes is {probes}; a standard error needs at least 2")
    generator = torch.Generator().manual_seed(seed)
    first, second = np.empty((2, probes))
    with products_bar("Hessian trace", probes, progress) as tick:
        for i in range(probes):
            signs = torch.randint(2, (size,), generator=generator).double() * 2 - 1
            image = product(signs).double().cpu()
            first[i], second[i] = float(signs @ image), float(image @ image)
            tick(i + 1, None)
    return Estimate.of(first), Estimate.of(second)
