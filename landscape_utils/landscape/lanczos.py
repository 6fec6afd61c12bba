"""Lanczos' method for a symmetric operator that is only known by its products: extremal eigenpairs and quadrature.

Both ends of the spectrum come from one Krylov space, orthogonalised in full. Products are kept beside the basis, so
that residuals are computed from them and not believed; when the basis is full, the best Ritz vectors of both ends stay
and the rest goes (thick restart, Wu and Simon 2000).

Products until five pairs at each end meet tol=1e-2, for a trained small ResNet on 500 images. Both were run on the
80 x 80 tridiagonal matrix that Lanczos' method made of the Hessian, in which up to 80 products are the Hessian's own.

    here, with a basis of 200 / 40 / 30 vectors                         48 / 49 / 50
    SciPy's eigsh(which="BE", tol=1e-2), with 60 / 40 / 25 / default    61 / 65 / 69 / 70
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from landscape_utils.kit.journal import Journal

Product = Callable[[Tensor], Tensor]

BASIS = 200  # vectors; beyond that orthogonalising costs as much as the products it saves
BASIS_BYTES = 4 << 30  # of vectors and their products
ROOM = 20  # vectors beside the wanted ones, without which restarts gain nothing
FLOOR = 0.01  # share of the largest |eigenvalue| below which smaller eigenvalues are not resolved further
CHUNK = 1 << 18  # columns of the basis that are combined at once


class Extremal(NamedTuple):
    """Eigenpairs at both ends of a spectrum.

    Attributes:
        values: the largest ones in descending order, then the smallest ones in ascending order, shape (n,).
        vectors: orthonormal, shape (n, P).
        residuals: |A v - lambda v|, shape (n,).
        ratios: residuals in units of max(|lambda|, 0.01 max |lambda|), shape (n,).
        products: how many were taken.
        nodes, weights: of the start's spectral measure, as `quadrature` gives them, from the products before the first
            restart.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    ratios: Tensor
    products: int
    nodes: Tensor
    weights: Tensor


def extremal_pairs(
    product: Product,
    start: Tensor,
    largest: int,
    smallest: int,
    *,
    tol: float,
    max_products: int,
    tick: Callable[[int, float], None],
    basis: int | None = None,
    journal: Journal | None = None,
) -> Extremal:
    """Find the largest and smallest eigenvalues of a symmetric operator, with their vectors.

    Stops when |A v - lambda v| <= tol max(|lambda|, 0.01 max |lambda|) for every pair, or after `max_products`; in less
    than float64 also where the residuals' estimates are far below that and the residuals are not: the products' own
    rounding is larger then than what was asked for, and more of them do not help.

    Args:
        product: maps v to A v, both of shape (P,), in the dtype of `start`.
        start: where the Krylov space starts, shape (P,); its device and dtype are those of the products.
        largest, smallest: how many pairs of each end; together at most P, and at least one.
        tol: see above.
        max_products: an upper limit.
        tick: called after each product with the products so far and the worst ratio, as estimated.
        basis: vectors kept at most; by default as many as are of use and fit into 4 GiB.
        journal: where products are kept, and at a restart what is left of them; by default nowhere.
    """
    wanted = largest + smallest
    journal = journal or Journal(None, "")
    space = _Space(lambda v: journal.step(lambda: product(v)), start, basis or _basis_size(start, wanted))
    settled: Tensor | None = None
    chain, longest = 0, 0
    if journal.state is not None:
        settled, (chain, longest) = journal.state.get("settled"), journal.state["chains"].tolist()
        space.resume(journal.state)

    def state() -> dict[str, Tensor]:
        before = {} if settled is None else {"settled": settled}
        return {**space.state(), **before, "chains": torch.tensor([chain, longest])}

    while True:
        space.grow()
        chain += 1
        values, mixes = torch.linalg.eigh(space.projected)
        count = min(wanted, len(values))
        high = min(largest, count)
        order = [*range(len(values) - 1, len(values) - 1 - high, -1), *range(count - high)]
        values, picked = values[order], mixes[:, order]
        scale = _scale(values)
        ratio = float((space.beta * picked[-1].abs() / scale).max()) if count == wanted else torch.inf
        tick(space.products, ratio)
        over = space.products >= max_products or space.full
        if over or (ratio <= tol and chain >= longest):
            result = space.pairs(values, picked)
            if over:
                return result
            if float(result.ratios.max()) <= tol:
                # Of an eigenvalue that is there several times one Krylov space sees a single vector. Zeros mostly are
                # (directions that the outputs do not feel): from a fresh start, and as long, the next one shows up.
                doubtful = space.ended or _reaches_zero(values, largest, tol * float(scale.min()))
                unchanged = settled is not None and bool(((values - settled).abs() <= tol * scale).all())
                if not doubtful or unchanged:
                    return result
                settled, longest, chain = values, max(longest, chain), 0
                space.restart(order, fresh=True)
                journal.turn(state)
                continue
            if ratio < tol / 2 and start.dtype != torch.float64:
                return result
        if space.crowded:
            space.restart(_both_ends(len(mixes), largest, smallest), fresh=False)
            journal.turn(state)


def quadrature(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the nodes and weights of the spectral measure that a vector sees: sum_i w_i f(t_i) = v^T f(A) v / |v|^2.

    Lanczos' method with full orthogonalisation (Golub and Meurant 2010); exact for polynomials f of degree below
    2 steps. The Krylov space may end early, and then there are fewer nodes.

    Args:
        product: as for `extremal_pairs`.
        start: v, shape (P,).
        steps: products taken at most.

    Returns:
        Nodes and weights, float64, on the CPU, shape (n,) with n <= steps; the weights sum to one.
    """
    space = _Space(product, start, min(steps, len(start)))
    for _ in range(space.size):
        space.grow()
        if space.ended:
            break
    return space.measure()


class _Space:
    """A growing orthonormal basis V (rows), the products A V, and the projection V A V^T."""

    def __init__(self, product: Product, start: Tensor, size: int) -> None:
        self._product, self._dtype = product, start.dtype
        self.size, self.used, self.products, self.beta = min(size, len(start)), 0, 0, 0.0
        self.ended = False  # once no vector was left in the Krylov space
        exact = start.dtype if _bytes(start, self.size, torch.float64) > BASIS_BYTES else torch.float64
        exact = torch.float32 if start.device.type == "mps" else exact  # MPS has no float64
        self._basis = torch.empty(self.size, len(start), dtype=exact, device=start.device)
        self._products = torch.empty(self.size, len(start), dtype=start.dtype, device=start.device)
        self._projected = torch.zeros(self.size, self.size, dtype=torch.float64)
        self._next = start.to(exact) / start.to(exact).norm()
        self._random = torch.Generator().manual_seed(len(start))
        self._measure: tuple[Tensor, Tensor] | None = None  # as it was before the first restart

    @property
    def projected(self) -> Tensor:
        return self._projected[: self.used, : self.used]

    @property
    def crowded(self) -> bool:
        return self.used == self.size

    @property
    def full(self) -> bool:
        """Check whether the basis spans everything."""
        return self.used == self._basis.shape[1]

    def grow(self) -> None:
        """Take one product, and prepare the next vector of the basis."""
        row = self.used
        self._basis[row] = self._next
        self._products[row] = self._product(self._next.to(self._dtype))
        self.used, self.products = row + 1, self.products + 1
        column = (self._basis[: self.used] @ self._products[row].to(self._basis.dtype)).double().cpu()
        self._projected[row, : self.used] = self._projected[: self.used, row] = column
        self._next, self.beta = self._beside(self._products[row].to(self._basis.dtype))
        if self.beta <= torch.finfo(self._dtype).eps * float(self.projected.abs().max()):
            self.ended, self.beta = True, 0.0
            self._next = self._anything()

    def measure(self) -> tuple[Tensor, Tensor]:
        """Return the nodes and weights of the spectral measure that the first vector sees."""
        if self._measure is not None:
            return self._measure
        nodes, mixes = torch.linalg.eigh(self.projected)
        return nodes, mixes[0].square()

    def restart(self, order: list[int], *, fresh: bool) -> None:
        """Keep only some Ritz vectors; go on where the Krylov space was, or at a fresh random vector."""
        self._measure = self.measure()
        values, mixes = torch.linalg.eigh(self.projected)
        kept = mixes[:, order].T
        for rows in (self._basis, self._products):
            mix = kept.to(rows)
            for part in range(0, rows.shape[1], CHUNK):
                columns = slice(part, part + CHUNK)
                rows[: len(order), columns] = mix @ rows[: self.used, columns]
        self.used = len(order)
        self._projected.zero_()
        self._projected[range(self.used), range(self.used)] = values[order]
        if fresh:
            self._next = self._anything()

    def state(self) -> dict[str, Tensor]:
        """Return what a restart left, from which `resume` goes on."""
        nodes, weights = self.measure()
        rows = {"basis": self._basis[: self.used], "products": self._products[: self.used], "next": self._next}
        numbers = {"values": self.projected.diagonal(), "counts": torch.tensor([self.products, self.ended])}
        return {**rows, **numbers, "random": self._random.get_state(), "nodes": nodes, "weights": weights}

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on from where another run restarted."""
        self.used, (self.products, ended) = len(state["basis"]), state["counts"].tolist()
        self._basis[: self.used], self._products[: self.used] = state["basis"], state["products"]
        self._projected[range(self.used), range(self.used)] = state["values"]
        self._next, self.ended = state["next"].to(self._basis), bool(ended)
        self._random.set_state(state["random"])
        self._measure = state["nodes"], state["weights"]

    def pairs(self, values: Tensor, picked: Tensor) -> Extremal:
        """Combine the basis into Ritz vectors, and the products into their residuals."""
        mix = picked.T.to(self._basis)
        vectors = mix @ self._basis[: self.used]
        images = mix @ self._products[: self.used].to(mix)
        residuals = (images - values.to(mix)[:, None] * vectors).norm(dim=1).double().cpu()
        return Extremal(values, vectors, residuals, residuals / _scale(values), self.products, *self.measure())

    def _beside(self, vector: Tensor) -> tuple[Tensor, float]:
        basis = self._basis[: self.used]
        for _ in range(2):  # the second time takes away what the first one's rounding left
            vector = vector - basis.T @ (basis @ vector)
        norm = float(vector.norm())
        return vector / (norm or 1.0), norm

    def _anything(self) -> Tensor:
        drawn = torch.randn(self._basis.shape[1], generator=self._random, dtype=torch.float64)
        once, _ = self._beside(drawn.to(self._basis))
        return self._beside(once)[0]  # again: in a nearly full basis little is left after the first time


def _scale(values: Tensor) -> Tensor:
    """Return the size by which each eigenvalue's residual is judged."""
    magnitudes = values.abs()
    return magnitudes.clamp_min(FLOOR * float(magnitudes.max())).clamp_min(torch.finfo(torch.float64).tiny)


def _reaches_zero(values: Tensor, largest: int, tolerance: float) -> bool:
    """Check whether an end of the spectrum holds zeros, or went past them."""
    return bool((values[:largest] < tolerance).any() or (values[largest:] > -tolerance).any())


def _both_ends(size: int, largest: int, smallest: int) -> list[int]:
    """Choose which of ascending Ritz values a restart keeps: the wanted ones and a quarter of the rest at each end."""
    spare = (size - largest - smallest) // 4
    return [*range(smallest + spare), *range(size - largest - spare, size)]


def _bytes(start: Tensor, size: int, dtype: torch.dtype) -> int:
    return size * len(start) * (torch.finfo(dtype).bits // 8 + start.element_size())


def _basis_size(start: Tensor, wanted: int) -> int:
    fitting = BASIS_BYTES // _bytes(start, 1, start.dtype)
    return min(len(start), max(min(BASIS, fitting), 2 * wanted + ROOM))
