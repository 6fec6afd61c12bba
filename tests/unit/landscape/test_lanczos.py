import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape_utils.kit import store
from landscape_utils.kit.journal import Journal
from landscape_utils.landscape import lanczos
from tests.unit.landscape.conftest import images, quiet


def extremal(a: Tensor, largest: int, smallest: int, **how: object) -> lanczos.Extremal:
    start = torch.randn(len(a), generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    how = {"tol": 1e-8, "max_products": 3000, "tick": lambda *_: None, **how}
    return lanczos.extremal_pairs(lambda v: a @ v, start, largest, smallest, **how)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(size=st.integers(1, 60), largest=st.integers(0, 4), smallest=st.integers(0, 4), seed=st.integers(0, 99))
def test_both_ends_of_any_symmetric_matrix(size: int, largest: int, smallest: int, seed: int) -> None:
    largest = max(1, min(largest, size))
    smallest = min(smallest, size - largest)
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    a = a + a.T
    found = extremal(a, largest, smallest, basis=max(20, size // 2))
    exact = torch.linalg.eigvalsh(a)
    want = torch.cat([exact.flip(0)[:largest], exact[:smallest]])
    torch.testing.assert_close(found.values, want, rtol=1e-7, atol=1e-7)
    true = (found.vectors @ a - found.values[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, true, rtol=1e-3, atol=1e-9)


def symmetric(values: Tensor) -> Tensor:
    """Turn a diagonal matrix at random."""
    random = torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q = torch.linalg.qr(random).Q
    return q * values @ q.T


OUTLIERS = torch.cat([torch.linspace(-1, 1, 400), torch.tensor([1.2, 1.1, -1.2, -1.1])]).double()
ZEROS = torch.cat([torch.zeros(60), torch.tensor([3.0, 2.0])]).double()  # of which one Krylov space sees one


def test_a_small_basis_restarts_and_finds_the_same() -> None:
    a = symmetric(OUTLIERS)
    whole, restarted = extremal(a, 3, 2, basis=404), extremal(a, 3, 2, basis=25)
    torch.testing.assert_close(restarted.values, torch.tensor([1.2, 1.1, 1, -1.2, -1.1]).double())
    torch.testing.assert_close(whole.values, restarted.values)
    assert float(restarted.ratios.max()) <= 1e-8
    assert whole.products < restarted.products < 3 * whole.products
    for found, steps in ((whole, whole.products), (restarted, 25)):
        start = torch.randn(404, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        nodes, weights = lanczos.quadrature(lambda v: a @ v, start, steps)
        torch.testing.assert_close(found.nodes, nodes)
        torch.testing.assert_close(found.weights, weights)


def test_zeros_that_have_company_are_all_found() -> None:
    """A Hessian without negative curvature: one Krylov space sees a single one of its zero eigenvectors."""
    values = torch.cat([torch.zeros(200), torch.linspace(0.5, 4, 30)]).double()
    q = torch.linalg.qr(torch.randn(230, 230, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    found = extremal(q * values @ q.T, 2, 3)
    torch.testing.assert_close(found.values[2:], torch.zeros(3).double(), rtol=0, atol=1e-7)
    model, data = nn.Sequential(nn.Flatten(), nn.Linear(32, 4)).double(), images()
    np.testing.assert_allclose(quiet(model, data, 4).eigenvalue[4:], 0, atol=1e-7)


def test_eigenvalues_that_are_there_several_times_are_all_found() -> None:
    found = extremal(torch.diag(torch.tensor([3.0, 3, 2, 1, 1] + [1.5] * 50)).double(), 3, 2)
    torch.testing.assert_close(found.values, torch.tensor([3.0, 3, 2, 1, 1]).double())


def test_a_zero_operator_has_zeros_only() -> None:
    found = extremal(torch.zeros(30, 30, dtype=torch.float64), 2, 2)
    assert not found.values.any()
    assert not found.ratios.any()


@pytest.mark.parametrize(("values", "stops"), [(OUTLIERS, (5, 24, 26, 61)), (ZEROS, (2, 4, 7))])
def test_wherever_a_run_is_stopped_the_next_one_repeats_no_product_and_ends_bit_for_bit_the_same(
    values: Tensor, stops: tuple[int, ...], tmp_path: Path, kept_at_once: None
) -> None:
    a, taken = symmetric(values), 0
    start = torch.randn(len(a), generator=torch.Generator().manual_seed(1), dtype=a.dtype)

    def run(stop: float, shelf: store.Shelf | None) -> lanczos.Extremal:
        def product(v: Tensor) -> Tensor:
            nonlocal taken
            if taken == stop:
                raise KeyboardInterrupt
            taken += 1
            return a @ v

        how = {"tol": 1e-8, "max_products": 3000, "tick": lambda *_: None, "basis": 25, "journal": Journal(shelf, "x")}
        return lanczos.extremal_pairs(product, start, 3, 2, **how)

    whole, products = run(math.inf, None), taken
    taken = 0
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(stop, store.Shelf(tmp_path))
    found = run(math.inf, store.Shelf(tmp_path))
    assert taken == products == found.products > stops[-1]
    for name, value in whole._asdict().items():
        assert torch.equal(torch.as_tensor(getattr(found, name)), torch.as_tensor(value)), name
