"""Activations of a network's layers, and the manifolds that they form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs, batches, class_names
from landscape_utils.engine.layers import Layer, forward, hooked, layers, main_layers
from landscape_utils.engine.shadow import NoAnswer, shadow
from landscape_utils.kit.bars import BAR


def activations(
    model: nn.Module, inputs: Tensor, names: Sequence[str] | Sequence[Layer] | None = None, *, batch: int = 250
) -> dict[str, Tensor]:
    """Read the activations of layers, after their nonlinearity (geometry of memorization, A.10).

    Args:
        model: any module; a copy is evaluated where it is, in evaluation mode.
        inputs: shape (N, ...).
        names: modules, or layers as `layers` gives them; by default those `main_layers` that give one row an example.
            A convolution or linear layer is read after its normalisation and nonlinearity, any other module at its own
            output (of its first call).
        batch: examples a pass.

    Returns:
        Flattened activations on the CPU by name, shape (N, features).

    Raises:
        ValueError: no examples, or a module whose output is no tensor with one row an example.
        KeyError: no such module; the layers there are get listed.
    """
    if not len(inputs):
        raise ValueError("there are no examples to read activations of")
    inputs, tree = torch.as_tensor(inputs), shadow(model)
    default = (layer for layer in main_layers(model, inputs) if layer.by_example) if names is None else ()
    chosen = list(default) if names is None else [_layer(tree, inputs, n) for n in names]
    batches_by_layer: dict[str, list[Tensor]] = {layer.name: [] for layer in chosen}
    by_module: dict[str, list[Layer]] = {}
    for layer in chosen:
        by_module.setdefault(layer.output, []).append(layer)
    calls: dict[str, int] = {}
    size = 0

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = calls[name] = calls.get(name, -1) + 1
        for layer in by_module[name]:
            if layer.call == call:
                if not isinstance(output, Tensor) or len(output) != size:
                    raise NoAnswer(f"module {name} gives no tensor with one row an example; name another")
                # A copy: what follows may work in place.
                batches_by_layer[layer.name].append(output.detach().flatten(1).to("cpu", copy=True))

    with hooked(tree, list(by_module), note):
        for part in tqdm(inputs.split(batch), desc="activations", unit="batch", **BAR):
            size = len(part)
            calls.clear()
            forward(tree, part)
    missing = [name for name, parts in batches_by_layer.items() if not parts]
    if missing:
        raise ValueError(f"module {missing[0]} is not used in a forward pass; name one that is")
    return {name: torch.cat(parts) for name, parts in batches_by_layer.items()}


def _layer(model: nn.Module, inputs: Tensor, name: str | Layer) -> Layer:
    if isinstance(name, Layer):
        return name
    every = {layer.name: layer for layer in layers(model, inputs)}
    if name in every:
        return every[name]
    if name not in dict(model.named_modules()):
        raise KeyError(f"the model has no module {name!r}; its layers are {', '.join(every)}")
    return Layer(name, (name,), name, 0, False)


def class_manifolds(
    model: nn.Module,
    data: Pairs,
    *,
    classes: int | None = None,
    points: int | None = None,
    names: Sequence[str] | Sequence[Layer] | None = None,
    pixels: bool = True,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """Form one point cloud a class from the activations of each layer (geometry of memorization, section 3.2).

    Args:
        model: any module.
        data: examples with the labels by which they are gathered: one of the four subsets, or any.
        classes: P, how many; by default all that have an example.
        points: M, drawn at random of each class; by default as many as the smallest class has. A class with fewer
            gives what it has.
        names: as for `activations`.
        pixels: put the inputs themselves first, as the layer `pixels`.
        seed: of the draw.

    Returns:
        Clouds of shape (points, features), by layer and by class, as `mftma` takes them.

    Raises:
        ValueError: fewer than two classes have an example.
    """
    pixels_of, targets = (torch.cat(parts) for parts in zip(*batches(data), strict=True))
    members = _members(targets.cpu(), class_names(data), classes, points, seed)
    chosen = torch.cat(list(members.values()))
    inputs = pixels_of[chosen.to(pixels_of.device)]
    features = {"pixels": inputs.detach().flatten(1).cpu()} if pixels else {}
    features |= activations(model, inputs, names)
    counts = [len(member) for member in members.values()]
    return {layer: dict(zip(members, rows.split(counts), strict=True)) for layer, rows in features.items()}


def _members(
    targets: Tensor, names: Sequence[str] | None, classes: int | None, points: int | None, seed: int
) -> dict[str, Tensor]:
    """Draw the examples of each class, by its name."""
    present = targets.unique().tolist()[:classes]
    if len(present) < 2:
        raise ValueError(f"{len(present)} class has examples; manifolds of at least 2 classes are needed")
    own = {c: (targets == c).nonzero().ravel() for c in present}
    count = points or min(map(len, own.values()))
    random = torch.Generator().manual_seed(seed)
    drawn = {c: rows[torch.randperm(len(rows), generator=random)[:count]] for c, rows in own.items()}
    if names is not None and len(names) <= max(present):
        raise ValueError(f"there are {len(names)} class names and a target {max(present)}; give one name a class")
    return {names[c] if names else str(c): rows for c, rows in drawn.items()}
