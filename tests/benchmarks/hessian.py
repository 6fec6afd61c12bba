"""Five Hessian eigenpairs at each end against PyHessian's top five, in one run: `make bench`.

Same trained small ResNet, same 500 images. A tolerance means different things: this package stops when the residual
|H v - lambda v| is below a hundredth of |lambda| (where |lambda| is small, a ten-thousandth of the largest one),
PyHessian when the estimate of an eigenvalue changes by less than tol. So PyHessian runs twice: with its default, and
with the tol at which its residuals, which are measured here afterwards, are about a hundredth too. Printed are seconds,
products, the worst residual ratio, and the eigenvalues.
"""

from __future__ import annotations

import importlib
import time
import warnings

import numpy as np
import torch
from pyhessian import hessian as pyhessian_hessian
from torch import Tensor, nn

from landscape_utils.data.datasets import load_dataset
from landscape_utils.landscape import hessian
from landscape_utils.landscape.hessian_operator import HessianOperator
from landscape_utils.training import training
from landscape_utils.training.recipes import RunSpec

IMAGES, PAIRS, TOL, EPOCHS = 500, 5, 1e-2, 8
PEER_TOLS = (1e-3, 1e-4)


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


def main() -> None:
    """Print both, PyHessian last."""
    spec = RunSpec(dataset="glyphs10", model="resnet8", epochs=EPOCHS, train_size=2000, test_size=500)
    data = load_dataset("glyphs10", train_size=2000, test_size=500)
    model = training.train(spec, data=data, device="cpu", progress=False).model()
    x, y = data.train.inputs[:IMAGES], data.train.targets[:IMAGES]

    begun = time.perf_counter()
    ours = hessian.hessian_eigenpairs(model, (x, y), PAIRS, tol=TOL, cache=False, progress=False)
    seconds = time.perf_counter() - begun
    products, worst = ours.attrs["products"], ours.attrs["largest_residual_ratio"]
    report("both ends, this", seconds, products, worst, ours.eigenvalue.values)

    warnings.simplefilter("ignore")  # torch's word on create_graph
    operator = HessianOperator(model, (x, y))
    for tol in PEER_TOLS:
        torch.manual_seed(0)
        begun = time.perf_counter()
        peer = Counting(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
        values, vectors = peer.eigenvalues(tol=tol, top_n=PAIRS)
        theirs = time.perf_counter() - begun
        flat = [torch.cat([part.reshape(-1) for part in v]) for v in vectors]
        report(f"top, PyHessian {tol:g}", theirs, peer.products, worst_ratio(operator, values, flat), values)
        print(f"  this is {theirs / seconds:.2f} times faster, with twice the pairs")


def report(what: str, seconds: float, products: int, ratio: float, values: object) -> None:
    shown = np.round(values, 2).tolist()
    print(f"{what:21s} {seconds:7.1f} s {products:4d} products, worst residual ratio {ratio:.1e}: {shown}")


if __name__ == "__main__":
    main()
