"""Single examples in the plane of a layer's two largest principal components, with class and image on asking."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from landscape_utils.engine.features import activations
from landscape_utils.kit import Floats
from landscape_utils.sections.mftma.plots import PLANE_COLOURS
from landscape_utils.sections.mftma.study import PIXELS, labels_of
from landscape_utils.suite.maps import Map
from landscape_utils.training.runs import Run

CLASSES = 6  # that are shown, each in its own colour
PER_CLASS = 30
NEAR = 0.06  # of the picture's width: what is farther from the pointer is not meant


class Seen(NamedTuple):
    """What is shown of one subset at one layer and epoch.

    Attributes:
        position: (N, 2), in units of the larger component's spread.
        share: of the variance that the plane holds.
    """

    position: Floats
    share: float


def example_map(run: Run) -> tuple[Map, Callable[[str, int, str], None]]:
    """Return a map of examples, and the function that turns it to a layer, an epoch and a subset.

    The pointer is told an example's class; a click shows its image.

    Args:
        run: a training on permuted labels.
    """
    labels, at, chosen = labels_of(run), ("", 0, ""), -1
    classes = labels.dataset.classes

    @lru_cache(maxsize=8)
    def examples(subset: str) -> tuple[Tensor, Tensor, Tensor]:
        """Choose inputs, labels as trained on or as they are looked at, and true labels."""
        part = labels.subset(subset)
        true = labels.subset("restored" if subset == "permuted" else subset).targets
        rows = torch.cat([(part.targets == c).nonzero().ravel()[:PER_CLASS] for c in range(CLASSES)])
        return part.inputs[rows], part.targets[rows], true[rows]

    @lru_cache(maxsize=64)
    def seen(layer: str, epoch: int, subset: str) -> Seen:
        inputs, _, _ = examples(subset)
        if not len(inputs):
            return Seen(np.zeros((0, 2)), 0.0)
        features = inputs.flatten(1) if layer == PIXELS else activations(run.model(epoch), inputs, [layer])[layer]
        return principal_plane(features)

    def turn(layer: str, epoch: int, subset: str) -> None:
        nonlocal at, chosen
        chosen = chosen if subset == at[2] else -1  # the same example, wherever it goes
        at = layer, epoch, subset
        _draw()

    def _draw() -> None:
        inputs, label, _ = examples(at[2])
        position, share = seen(*at)
        ax = Figure(figsize=(4.0, 3.9), layout="constrained").subplots()
        for c, colour in zip(range(min(CLASSES, len(classes))), PLANE_COLOURS, strict=False):
            of_class = position[label == c]
            marker = rf"$\mathrm{{{classes[c][0]}}}$"
            ax.scatter(of_class[:, 0], of_class[:, 1], s=26, color=colour, marker=marker, lw=0.3)
        if chosen >= 0:
            ax.plot(*position[chosen], "o", ms=15, mfc="none", mec="black", mew=1.5)
            inset = ax.inset_axes((0.74, 0.74, 0.25, 0.25))
            inset.imshow(labels.dataset.pictures(inputs[[chosen]])[0].squeeze(), cmap="gray", vmin=0, vmax=1)
            inset.set(xticks=[], yticks=[])
        ax.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second")
        seen_of = f"{share:.0%} of the variance" if len(position) else "there are none"
        ax.set_title(f"{at[2]} examples, {at[0]}, epoch {at[1]}\n{seen_of}", fontsize=10)
        plane.show(ax)

    def nearest(x: float, y: float) -> int:
        position = seen(*at).position
        apart = np.linalg.norm(position - (x, y), axis=1)
        close = len(apart) > 0 and apart.min() <= NEAR * float(np.ptp(position[:, 0]))
        return int(apart.argmin()) if close else -1

    def tip(x: float, y: float) -> str:
        if (i := nearest(x, y)) < 0:
            return ""
        _, label, true = examples(at[2])
        name, real = classes[label[i]], classes[true[i]]
        return str(name) if name == real else f"an image of {real}, labelled {name}"

    def turn_to(x: float, y: float) -> None:
        nonlocal chosen
        chosen = nearest(x, y)
        _draw()

    plane = Map(turn_to, tip, width=310, alt="examples by their principal components; a click shows an example's image")
    return plane, turn


def principal_plane(features: Tensor) -> Seen:
    """Project features, shape (N, D), on their two largest principal components, in units of the first one's spread."""
    centred = (features - features.mean(0)).double().numpy()
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.pad((left * sizes)[:, :2], ((0, 0), (0, max(0, 2 - len(sizes)))))
    total = float(np.square(sizes).sum())
    return Seen(plane / (sizes[0] or 1.0), float(np.square(sizes[:2]).sum()) / total if total else 0.0)
