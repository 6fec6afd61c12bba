"""MFTMA of 100 manifolds against one interior-point solve a vector, in one run: `make bench`.

100 manifolds of 50 points and 200 vectors each, from 1,024 dimensions: rectified clouds whose centres share ten
directions. The published implementation solves one quadratic programme a vector with cvxopt, to 1e-12, and that alone
is timed here, for some of the manifolds and scaled up, on vertices and vectors that are ready; this package is timed
from the points to the result, and on the same vertices and vectors alone. In 65,536 dimensions, what is more than
before is set against the exact reduction: every cloud's centre, projection, and QR decomposition.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from cvxopt import matrix, solvers
from torch import Tensor

from landscape_utils.memorization import anchors, centres, clouds, manifolds
from tests.benchmarks.bars import draw

MANIFOLDS, POINTS, VECTORS = 100, 50, 200
SOLVED = 5  # manifolds that the interior-point method is timed on

solvers.options.update(show_progress=False, maxiters=1_000_000, abstol=1e-12, reltol=1e-12, feastol=1e-12)


def rectified(features: int) -> list[Tensor]:
    """Draw clouds of twenty strong dimensions about centres that share ten, plus noise, and rectify them."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    shared = 0.5 * draw(MANIFOLDS, 10) @ draw(10, features)
    strengths = 0.9 * torch.arange(1, 21) ** -0.5
    return [
        (
            draw(features) + centre + (draw(POINTS, 20) * strengths) @ draw(20, features) + 0.3 * draw(POINTS, features)
        ).relu()
        for centre in shared
    ]


def reduction(points: list[Tensor]) -> tuple[float, list[clouds.Reduced]]:
    """Time the exact reduction alone: the centres' axes and, with the shared structure known, each cloud's."""
    basis = centres.centre_structure(torch.stack([cloud.double().mean(0) for cloud in points])).basis
    begun = time.perf_counter()
    middles = torch.stack([cloud.double().mean(0) for cloud in points])
    about = middles - middles.mean(0)
    torch.linalg.svd(about, full_matrices=False)
    norms = (about - about @ basis @ basis.T).norm(dim=1)
    every = zip(points, middles, norms, strict=True)
    reduced = [clouds.reduce_cloud(cloud.double() - m, basis, norm, invariant=True) for cloud, m, norm in every]
    return time.perf_counter() - begun, reduced


def interior_point(vertices: Tensor, vectors: np.ndarray) -> list[float]:
    """Solve one quadratic programme a vector, min |V - T|^2 / 2 with V . S <= 0, as published; give |V - T|^2."""
    rays = np.hstack([vertices.numpy(), np.ones((len(vertices), 1))])
    square, limits = matrix(np.identity(rays.shape[1])), matrix(np.zeros(len(rays)))
    gaps = []
    for t in vectors:
        found = solvers.qp(square, matrix(-t), matrix(rays), limits)
        gaps.append(float(np.square(np.array(found["x"])[:, 0] - t).sum()))
    return gaps


def _gaps(vertices: Tensor, vectors: np.ndarray) -> list[float]:
    """Give |V - T|^2 by this package."""
    rays = torch.cat([vertices, torch.ones_like(vertices[:, :1])], 1)
    targets = torch.from_numpy(vectors)
    weights = anchors.cone_weights(rays[None], torch.ones(1, len(rays), dtype=torch.bool), targets[None])[0]
    return (weights @ rays).square().sum(1).tolist()


def timed(points: list[Tensor], **how: object) -> tuple[float, object]:
    begun = time.perf_counter()
    result = manifolds.mftma(points, VECTORS, **how)  # type: ignore[arg-type]
    return time.perf_counter() - begun, result


def main() -> None:
    """Print both, and what 65,536 dimensions add."""
    points = rectified(1024)
    timed(points[:10])  # warm
    seconds, geo = timed(points)
    print(f"MFTMA, 100 x 50 x 200 from 1,024 dimensions: {seconds:.2f} s, rank {int(geo['rank'])}, ", end="")
    print(f"capacity {float(geo.capacity):.4f}, worst constraint {geo.attrs['violation']:.0e}")

    shown, reduced = reduction(points)
    random = np.random.default_rng(0)
    vectors = [random.normal(size=(VECTORS, POINTS + 1)) for _ in points]
    begun = time.perf_counter()
    gaps = [interior_point(cloud.vertices, t) for cloud, t in zip(reduced[:SOLVED], vectors, strict=False)]
    theirs = (time.perf_counter() - begun) * MANIFOLDS / SOLVED
    print(f"interior point, one solve a vector: {theirs:.1f} s; this is {theirs / seconds:.1f} times faster")
    begun = time.perf_counter()
    ours = [_gaps(cloud.vertices, t) for cloud, t in zip(reduced[:SOLVED], vectors, strict=False)]
    alone = (time.perf_counter() - begun) * MANIFOLDS / SOLVED
    print(f"the same alone, here: {alone:.2f} s, {theirs / alone:.1f} times faster")
    ways = {
        "this, from the points": seconds,
        "this, the solves alone": alone,
        "interior point, the solves alone": theirs,
    }
    draw("mftma", {f"{MANIFOLDS} manifolds of {POINTS} points": ways}, f"seconds, {VECTORS} vectors each")
    print(f"  on the same vectors |V - T|^2 differs by {np.abs(np.array(ours) - np.array(gaps)).max():.0e} at most")

    wide = rectified(65_536)
    reducing, _ = reduction(wide)
    longer, geo = timed(wide)
    print(f"from 65,536 dimensions: {longer:.2f} s, {longer - seconds:.2f} s more; the exact reduction takes ", end="")
    print(f"{reducing:.2f} s, and {shown:.2f} s before")


if __name__ == "__main__":
    main()
