import numpy as np
import pytest
import torch

from landscape_utils.landscape import traces
from landscape_utils.landscape.hessian_operator import HessianOperator
from tests.unit.landscape.conftest import dense, images, network


def test_traces_lie_in_their_stated_intervals() -> None:
    model, data = network("conv"), images()
    h = dense(model, data)
    operator = HessianOperator(model, data)
    both = traces.trace_estimates(operator, operator.size, 60, progress=False)
    assert both[0].value == traces.hessian_trace(model, data, probes=60, progress=False).value
    for got, want in zip(both, (h.trace(), (h @ h).trace()), strict=True):
        assert got.low < float(want) < got.high
        assert got.standard_error == pytest.approx(got.draws.std(ddof=1) / 60**0.5)
        assert got.high - got.value == pytest.approx(2.001 * got.standard_error, rel=1e-3)


def test_the_stated_intervals_hold_the_truth_as_often_as_they_say() -> None:
    a = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = a + a.T
    inside = []
    for seed in range(400):
        first, second = traces.trace_estimates(lambda v: a @ v, 30, 20, seed=seed, progress=False)
        inside.append([e.low < t < e.high for e, t in ((first, a.trace()), (second, (a @ a).trace()))])
    shares = np.mean(inside, axis=0)
    assert (shares > 0.92).all()
    assert (shares < 0.98).all()
