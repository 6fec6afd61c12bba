"""Five Hessian eigenpairs at each end against PyHessian's top five and curvlinops' ten, in one run: `make bench`.

Same trained small ResNet, same 200 images. A tolerance means different things: this package stops when the residual
|H v - lambda v| is below a hundredth of |lambda| (where |lambda| is small, a ten-thousandth of the largest one),
PyHessian when the estimate of an eigenvalue changes by less than tol. So PyHessian runs twice: with its default, and
with the tol at which its residuals, which are measured here afterwards, are about a hundredth too. curvlinops gives
products to ARPACK, once an end, whose tolerance is a hundredth of |lambda|. Printed are seconds, set-up included and
in brackets what of it is set-up, products, the worst residual ratio, and the eigenvalues. PyHessian's power iteration
goes from the largest eigenvalue downwards in size: "top, this" is the same half of the work. For both ends it has to
come down to the negative ones, which are small, and is asked for twenty. Where a positive and a negative one are of
about one size, a power iteration may not settle in its hundred steps, and gives a value between them: the worst
residual ratio tells.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from pyhessian import hessian as pyhessian_hessian
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from landscape_utils.data.datasets import load_dataset
from landscape_utils.landscape import hessian
from landscape_utils.landscape.hessian_operator import HessianOperator
from landscape_utils.landscape.lanczos import extremal_pairs
from landscape_utils.training import training
from landscape_utils.training.recipes import RunSpec
from tests.benchmarks.bars import draw

IMAGES, PAIRS, TOL, EPOCHS = 200, 5, 1e-2, 8
PEER_TOLS = (1e-3, 1e-4)
DOWN = 20  # eigenvalues, in order of size, of which some are negative


class Counting(pyhessian_hessian):
    """PyHessian, whose power iteration counts its products."""

    products = 0

    def eigenvalues(self, maxIter: int = 100, tol: float = 1e-3, top_n: int = 1):
        source = importlib.import_module("pyhessian.hessian")  # the class of that name hides the module
        plain = source.hessian_vector_product

        def counted(*args):
            self.products += 1
            return plain(*args)

        source.hessian_vector_product = counted
        try:
            return super().eigenvalues(maxIter=maxIter, tol=tol, top_n=top_n)
        finally:
            source.hessian_vector_product = plain


def worst_ratio(operator: HessianOperator, values: list[float], vectors: list[Tensor]) -> float:
    """Measure |H v - lambda v| in units of max(|lambda|, 0.01 max |lambda|)."""
    floor = 0.01 * max(map(abs, values))
    pairs = zip(values, vectors, strict=True)
    return max(float((operator(v) - value * v).norm()) / max(abs(value), floor) for value, v in pairs)


class Problem(NamedTuple):
    """A model, data, and the operator by which everybody's residuals are measured."""

    model: nn.Module
    x: Tensor
    y: Tensor
    operator: HessianOperator


class Found(NamedTuple):
    """What somebody found: seconds in all and of them for the set-up, products, the pairs."""

    seconds: float
    setup: float
    products: int
    values: list[float]
    vectors: list[Tensor]


def this(on: Problem) -> Found:
    """Find both ends with this package."""
    begun = time.perf_counter()
    HessianOperator(on.model, (on.x, on.y))
    setup, begun = time.perf_counter() - begun, time.perf_counter()
    pairs = hessian.hessian_eigenpairs(on.model, (on.x, on.y), PAIRS, tol=TOL, cache=False, progress=False)
    vectors = [torch.from_numpy(v) for v in pairs.eigenvector.values]
    return Found(time.perf_counter() - begun, setup, pairs.attrs["products"], pairs.eigenvalue.values.tolist(), vectors)


def top_of_this(on: Problem) -> Found:
    """Find the top alone with this package."""
    begun = time.perf_counter()
    operator = HessianOperator(on.model, (on.x, on.y))
    setup, start = time.perf_counter() - begun, torch.randn(operator.size, generator=torch.Generator().manual_seed(0))
    found = extremal_pairs(operator, start, PAIRS, 0, tol=TOL, max_products=1000, tick=lambda products, ratio: None)
    return Found(time.perf_counter() - begun, setup, found.products, found.values.tolist(), list(found.vectors.float()))


def pyhessian(on: Problem, tol: float, pairs: int = PAIRS) -> Found:
    """Find the largest in size with PyHessian."""
    torch.manual_seed(0)
    begun = time.perf_counter()
    peer = Counting(on.model, nn.CrossEntropyLoss(), data=(on.x, on.y), cuda=False)
    setup = time.perf_counter() - begun
    values, vectors = peer.eigenvalues(tol=tol, top_n=pairs)
    flat = [torch.cat([part.reshape(-1) for part in v]) for v in vectors]
    return Found(time.perf_counter() - begun, setup, peer.products, values, flat)


def curvlinops(on: Problem) -> Found:
    """Find both ends with curvlinops and ARPACK."""
    begun, taken = time.perf_counter(), 0
    linear = HessianLinearOperator(on.model, nn.CrossEntropyLoss(), list(on.model.parameters()), [(on.x, on.y)])
    peer, setup = linear.to_scipy(), time.perf_counter() - begun

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal taken
        taken += 1
        return peer @ v

    counting = LinearOperator(peer.shape, matvec=counted, dtype=peer.dtype)
    first = np.random.default_rng(0).normal(size=peer.shape[0])
    ends = [eigsh(counting, PAIRS, which=which, tol=TOL, v0=first) for which in ("LA", "SA")]
    values = np.concatenate([end[0] for end in ends]).tolist()
    vectors = torch.from_numpy(np.concatenate([end[1].T for end in ends])).float()
    return Found(time.perf_counter() - begun, setup, taken, values, list(vectors))


def main() -> None:
    """Print all, and draw their seconds."""
    spec = RunSpec(dataset="glyphs10", model="resnet8", epochs=EPOCHS, train_size=2000, test_size=500)
    data = load_dataset("glyphs10", train_size=2000, test_size=500)
    model = training.train(spec, data=data, device="cpu", progress=False).model()
    x, y = data.train.inputs[:IMAGES], data.train.targets[:IMAGES]
    on = Problem(model, x, y, HessianOperator(model, (x, y)))
    warnings.simplefilter("ignore")  # torch's word on create_graph
    ways: dict[str, Callable[[], Found]] = {
        "both ends, this": lambda: this(on),
        "top, this": lambda: top_of_this(on),
        **{f"top, PyHessian {tol:g}": partial(pyhessian, on, tol) for tol in PEER_TOLS},
        "both ends, curvlinops": lambda: curvlinops(on),
        "both ends, PyHessian": lambda: pyhessian(on, min(PEER_TOLS), DOWN),
    }
    taken = {}
    for way, find in ways.items():
        found = find()
        taken[way] = found.seconds
        report(
            way, found, worst_ratio(on.operator, found.values, found.vectors), found.seconds / taken["both ends, this"]
        )
    draw("hessian", {f"resnet8, {IMAGES} images": taken}, "seconds")


def report(way: str, found: Found, ratio: float, times: float) -> None:
    shown = np.round(found.values, 2).tolist()
    print(
        f"{way:21s} {found.seconds:7.1f} s ({found.setup:.1f}), {times:5.2f} x; {found.products:4d} products, "
        f"worst residual ratio {ratio:.1e}: {shown}",
        flush=True,
    )


if __name__ == "__main__":
    main()
