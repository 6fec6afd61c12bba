"""UMAP planes of features, and how well classes separate in them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from landscape_utils.data.labels import SUBSETS
from landscape_utils.engine.features import activations
from landscape_utils.kit import store
from landscape_utils.kit.journal import Journal
from landscape_utils.kit.store import PART, Shelf
from landscape_utils.kit.workers import remembered_each
from landscape_utils.training.runs import Epoch, Run

NEIGHBOURS = 15  # UMAP's default
VOTERS = 10
PLANES = "planes"  # the file


def plane(features: ArrayLike, *, seed: int = 0) -> NDArray[np.float32]:
    """Embed features in the plane by UMAP (McInnes et al. 2018), shape (N, 2); the same seed gives the same plane.

    Its nearest neighbours are scikit-learn's, exact as UMAP's own, whose compilation takes a process five seconds.

    Args:
        features: shape (N, features), N above 15.
        seed: of UMAP, which then runs in one thread.
    """
    threads, points = torch.get_num_threads(), np.asarray(features)
    distances, nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors(points)  # itself among them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of TensorFlow, which is not needed
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # no further points will be embedded
        import umap

        neighbours = {"n_neighbors": NEIGHBOURS, "precomputed_knn": (nearest, distances)}
        embedded: NDArray[np.float32] = umap.UMAP(**neighbours, random_state=seed, n_jobs=1).fit_transform(points)
    torch.set_num_threads(threads)  # the OpenMP that torch has, too, was given all processors
    return embedded


def planes(
    runs: Sequence[Run],
    epochs: Sequence[Epoch],
    layers: Sequence[str],
    *,
    count: int,
    classes: Sequence[int],
    seed: int = 0,
    progress: bool = True,
) -> list[xr.Dataset]:
    """Embed each run's examples' features at epochs and layers (geometry of memorization, figure 2B and A.4).

    Permuted and restored examples are the same ones, with the labels as trained and the true ones.

    Args:
        runs: trainings on permuted labels.
        epochs: whose weights are kept.
        layers: as `features.activations` names them.
        count: of unpermuted, of permuted and of test examples.
        classes: the numbers of those that are shown; examples of none of them are left out.
        seed: of the choice and of UMAP.
        progress: show a bar.

    Returns:
        A Dataset a run: `position` (epoch, layer, example, axis); `label` (subset, example), the class's number by
        which the examples of a subset are coloured, -1 for what is not in it; `classes` in the attributes.
    """
    drawing: dict[str, Any] = {"count": count, "classes": list(classes), "seed": seed}
    places = {"epochs": [str(e) for e in epochs], "layers": list(layers)}
    jobs = []
    for run in runs:
        key = store.digest({"format": store.FORMAT, "run": run.shelf.folder.name, **places, **drawing})
        shelf = store.shelf("geometry", key)
        jobs.append((key, partial(tuple, (shelf, run, epochs, layers, *drawing.values()))))
    return remembered_each("geometry", PLANES, jobs, _embedded, progress=progress)


def _embedded(
    shelf: Shelf,
    run: Run,
    epochs: Sequence[Epoch],
    layers: Sequence[str],
    count: int,
    classes: Sequence[int],
    seed: int,
) -> xr.Dataset:
    labels, shown = run.labels(), torch.tensor(classes)
    random = torch.Generator().manual_seed(seed)
    inputs, names = [], []
    for names_of in (("unpermuted",), ("permuted", "restored"), ("test",)):
        parts = [labels.subset(name) for name in names_of]
        targets = torch.stack([part.targets for part in parts])
        rows = torch.isin(targets, shown).any(0).nonzero().ravel()
        rows = rows[torch.randperm(len(rows), generator=random)[:count]]
        inputs.append(parts[0].inputs[rows])
        own = torch.full((len(SUBSETS), len(rows)), -1)
        for name, target in zip(names_of, targets[:, rows], strict=True):
            own[SUBSETS.index(name)] = torch.where(torch.isin(target, shown), target, -1)
        names.append(own)
    images = torch.cat(inputs)
    by_epoch = {e: activations(run.model(e), images, list(layers)) for e in epochs}
    journal = Journal(shelf, f"{PLANES}{PART}positions")

    def of(epoch: Epoch, layer: str) -> Tensor:
        return journal.step(lambda: torch.from_numpy(plane(by_epoch[epoch][layer], seed=seed)))

    position = torch.stack([torch.stack([of(epoch, layer) for layer in layers]) for epoch in epochs])
    return xr.Dataset(
        {
            "position": (("epoch", "layer", "example", "axis"), position.numpy()),
            "label": (("subset", "example"), torch.cat(names, 1).numpy()),
        },
        coords={"epoch": list(map(str, epochs)), "layer": list(layers), "subset": list(SUBSETS)},
        attrs={"classes": [str(labels.dataset.classes[c]) for c in classes], "numbers": list(classes)},
    )


def neighbour_share(position: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    """Return the share of examples whose class most of their ten nearest ones have, themselves left out.

    Args:
        position: shape (N, 2).
        label: classes, shape (N,); those below 0 are left out. Ties go to the lowest class.

    Returns:
        In [0, 1]; NaN for fewer than two examples.
    """
    position, label = position[label >= 0], label[label >= 0]
    voters = min(VOTERS, len(label) - 1)
    if voters < 1:
        return float("nan")
    near = NearestNeighbors(n_neighbors=voters).fit(position).kneighbors(return_distance=False)
    votes = np.apply_along_axis(np.bincount, 1, label[near], minlength=int(label.max()) + 1)
    return float((votes.argmax(1) == label).mean())
