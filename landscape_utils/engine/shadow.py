"""A module tree of one's own: what is done to it reaches nothing that the caller holds.

Not the model's mode, gradients, weights, buffers or attributes, whatever its forward does; not the data either. Modules
and what they hold are copied, but for what cannot be (locks, files, generators) or need not be (tensors with a graph).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DataParallel, DistributedDataParallel

from landscape_utils.engine import space
from landscape_utils.engine.space import StateDict

ALIGNMENT = 16  # numbers; parameters start at multiples of a cache line
NORM_BATCH = 200  # examples whose mean and variance one BatchNorm update sees
TOGETHER = 1000  # examples that share a batch's statistics, at most
VALUES = TOGETHER * 3 * 32 * 32  # that they have, where nothing but a loss is kept of them
TRIED = 2  # examples on which a speed-up is tried
PROBED = 16  # examples by whose logits a model is known again
TOLERANCE = 1e-3  # relative; a wrong speed-up is off by more than this, rounding by less


# --- the copy ----------------------------------------------------------------------------------------------------


@torch.inference_mode(False)  # inference tensors cannot be differentiated
def shadow(model: nn.Module) -> nn.Module:
    """Copy a model, in evaluation mode, out of what wraps it (`DataParallel`, `torch.compile`).

    Raises:
        ValueError: it is no module, or a parameter has no values yet.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is a {type(model).__name__}; it must be a torch.nn.Module")
    space.check_values(model)
    tree: nn.Module = _copied(model, {}).eval()
    for module in tree.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False  # the gradient is the same, and can be added to others
    return tree


def unwrapped(model: nn.Module) -> nn.Module:
    """Find the module inside wrappers that only run it."""
    if isinstance(model, DataParallel | DistributedDataParallel):
        return unwrapped(model.module)
    # Asked for, torch._dynamo is imported, which takes a second; what it compiled has imported it.
    if "torch._dynamo" in sys.modules and isinstance(model, torch._dynamo.OptimizedModule):
        return unwrapped(model._orig_mod)
    return model


def renamed(state: StateDict, model: nn.Module) -> StateDict:
    """Return a model's state the names that its entries have in a copy, which is out of its wrappers."""
    names = {old: new for old, new in zip(model.state_dict(), shadow(model).state_dict(), strict=True)}
    return {names.get(name, name): value for name, value in state.items()}


def _copied(value: Any, seen: dict[int, Any]) -> Any:
    """Copy a value with all that it holds; what is there twice stays one."""
    if id(value) not in seen:
        try:
            seen[id(value)] = _copy(value, seen)
        except Exception:  # a lock, a file, a generator, and what else its author never meant to be copied
            if isinstance(value, nn.Module):
                raise
            seen[id(value)] = value
    return seen[id(value)]


def _copy(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, nn.Module):
        inner = unwrapped(value)
        return _module(value, seen) if inner is value else _copied(inner, seen)
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, partial):
        return partial(_copied(value.func, seen), *_copied(value.args, seen), **_copied(value.keywords, seen))
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _copied(value.__self__, seen))
    if isinstance(value, tuple | frozenset):
        parts = [_copied(part, seen) for part in value]
        return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
    if isinstance(value, Iterator) or hasattr(value, "__del__"):
        return value  # to go through it, or to let two go of one thing, would reach the caller
    if hasattr(value, "__deepcopy__"):
        return copy.deepcopy(value, seen)
    twin = copy.copy(value)
    if twin is value:  # a number, a text, a function, a class
        return value
    seen[id(value)] = twin
    if isinstance(value, MutableMapping):
        twin.clear()
        twin.update({_copied(key, seen): _copied(part, seen) for key, part in value.items()})
    elif isinstance(value, MutableSequence):
        twin[:] = [_copied(part, seen) for part in value]
    elif isinstance(value, MutableSet):
        twin.clear()
        twin.update(_copied(part, seen) for part in value)
    if hasattr(twin, "__dict__"):
        vars(twin).update({name: _copied(part, seen) for name, part in vars(value).items()})
    return twin


def _module(module: nn.Module, seen: dict[int, Any]) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module)
    twin: nn.Module = module.__new__(type(module))
    seen[id(module)] = twin
    vars(twin).update({name: _copied(part, seen) for name, part in vars(module).items()})
    return twin


def _tensor(tensor: Tensor) -> Tensor:
    if tensor.requires_grad and not tensor.is_leaf:
        return tensor  # an activation that was kept, or a weight that a hook computes: its graph is nobody's to copy
    twin = tensor.detach().clone()
    return nn.Parameter(twin, requires_grad=False) if isinstance(tensor, nn.Parameter) else twin


# --- what it answers ---------------------------------------------------------------------------------------------


class NoAnswer(ValueError):
    """A model does not take its inputs, or gives no logits."""


def classifier(model: nn.Module) -> nn.Module:
    """Copy a model as `shadow` does, so that its outputs are logits (N, C) and its inputs stay as they are.

    Raises:
        ValueError: as `shadow` does; and when it is called, if the model does not take its inputs, or if what it gives
            holds no logits.
    """
    tree = shadow(model)
    tree = nn.Sequential(tree) if isinstance(tree, torch.jit.ScriptModule) else tree  # which takes no hooks
    writes: bool | None = None
    first: Tensor

    def guard(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal first
        if writes is False:
            return args
        with torch.inference_mode(False):
            first = args[0].clone()
        return (first,)

    def answer(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Tensor:
        nonlocal writes
        if writes is None:
            writes = first._version > 0
        return logits_of(output, len(args[0]))

    tree.register_forward_pre_hook(guard)
    tree.register_forward_hook(answer)
    return tree


def logits_of(output: Any, examples: int) -> Tensor:
    """Take the logits out of what a model gives: itself, its `logits`, or the only tensor (N, C) in a tuple.

    Raises:
        ValueError: there are none, or not one row an example.
    """
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if isinstance(logits, tuple | list):
        tables = [part for part in logits if isinstance(part, Tensor) and part.ndim == 2 and len(part) == examples]
        logits = tables[0] if len(tables) == 1 else None
    if not isinstance(logits, Tensor):
        raise NoAnswer(f"the model gives a {type(output).__name__}; wrap it so that it gives the logits (N, classes)")
    if logits.ndim != 2 or len(logits) != examples:
        shape = tuple(logits.shape)
        raise NoAnswer(f"the model's output for {examples} examples has shape {shape}; a classifier's is (N, classes)")
    return logits


def answers(tree: nn.Module, inputs: Tensor) -> Tensor:
    """Run a classifier on inputs that nobody has tried yet.

    Raises:
        NoAnswer: it does not take them, or gives no logits.
    """
    try:
        logits: Tensor = tree(inputs)
    except (NoAnswer, torch.OutOfMemoryError):
        raise
    except Exception as error:
        what = f"shape {tuple(inputs.shape)} and type {str(inputs.dtype).removeprefix('torch.')}"
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise NoAnswer(f"the model does not take inputs of {what} ({problem}); give what its forward takes") from error
    return logits


@torch.inference_mode()
def probe(model: nn.Module, inputs: Tensor, *places: Tensor) -> list[Tensor]:
    """Compute a model's logits for a few inputs at other weights, in evaluation mode, without touching it.

    Args:
        model: classifier.
        inputs: (n, ...).
        places: weights, each of shape (P,).

    Returns:
        Logits (n, C), a place.

    Raises:
        NoAnswer: as `answers` does.
    """
    tree, found = classifier(model), []
    for weights in places:
        for p, part in zip(tree.parameters(), space.split(weights, tree), strict=True):
            p.copy_(part)
        found.append(answers(tree, inputs).clone())  # of a forward that writes into a tensor of its own
    return found


def agree(actual: Tensor, expected: Tensor) -> bool:
    """Check whether a speed-up gives the same logits; a NaN agrees with nothing."""
    return bool((actual - expected).norm() <= TOLERANCE * expected.norm())


# --- weights in one vector ---------------------------------------------------------------------------------------


@torch.inference_mode(False)
@torch.no_grad()
def fastest_layout(tree: nn.Module, inputs: Tensor) -> torch.memory_format:
    """Lay a tree's weights channels-last where it convolves and answers as before, and return the layout for inputs."""
    if inputs.ndim == 4 and any(isinstance(m, nn.Conv2d) for m in tree.modules()):
        expected = tree(inputs[:TRIED])
        try:
            tree.to(memory_format=torch.channels_last)
            if agree(tree(inputs[:TRIED].contiguous(memory_format=torch.channels_last)), expected):
                return torch.channels_last
        except Exception:  # such as `.view` on what is no longer contiguous
            pass
        tree.to(memory_format=torch.contiguous_format)
    return torch.contiguous_format


def _offsets(model: nn.Module) -> list[int]:
    offsets = [0]
    for p in model.parameters():
        offsets.append(-(-(offsets[-1] + p.numel()) // ALIGNMENT) * ALIGNMENT)
    return offsets


def views(vector: Tensor, tree: nn.Module) -> list[Tensor]:
    """View a packed vector as the parameters, channels-last where the tree's are."""
    viewed = []
    for p, offset in zip(tree.parameters(), _offsets(tree), strict=False):
        part = vector[offset : offset + p.numel()]
        o, i, h, w = p.shape if p.ndim == 4 else (0, 0, 0, 0)
        if p.ndim == 4 and p.stride()[1:] == (1, w * i, i):  # told by strides: one channel lies either way in memory
            viewed.append(part.view(o, h, w, i).permute(0, 3, 1, 2))
        else:
            viewed.append(part.view(p.shape))
    return viewed


def pack(vector: Tensor, tree: nn.Module) -> Tensor:
    """Copy a direction (P,) into the order in which the tree's weights are kept."""
    return gather(space.split(vector, tree), tree)


def gather(parts: Sequence[Tensor], tree: nn.Module) -> Tensor:
    """Copy parts, one a parameter of the tree, into one packed vector."""
    parameter = next(tree.parameters())
    packed = torch.zeros(_offsets(tree)[-1], dtype=parameter.dtype, device=parameter.device)
    for view, part in zip(views(packed, tree), parts, strict=True):
        view.copy_(part)
    return packed


def unpack(packed: Tensor, tree: nn.Module) -> Tensor:
    """Copy a packed vector back into the order of `model.parameters()`, shape (P,)."""
    return torch.cat([part.reshape(-1) for part in views(packed, tree)])


def install(tree: nn.Module, weights: Tensor) -> None:
    """Make the tree's parameters views of one packed vector; tied ones stay tied."""
    moved = [nn.Parameter(view, requires_grad=False) for view in views(weights, tree)]
    place(tree, dict(zip(dict(tree.named_parameters()), moved, strict=True)))


def place(tree: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    """Install parameters in the place of those of the same name, wherever these are used."""
    own = {id(p): parameters[name] for name, p in tree.named_parameters() if name in parameters}
    for module in tree.modules():
        for name, p in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(p) in own:
                setattr(module, name, own[id(p)])


# --- BatchNorm's statistics --------------------------------------------------------------------------------------


def averaging_statistics(tree: nn.Module) -> list[_BatchNorm]:
    """Make the BatchNorm layers of a tree average their statistics with equal weights, and list them."""
    norms = [m for m in tree.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in norms:
        module.momentum = None
    return norms


def few_enough(inputs: Tensor) -> bool:
    """Check whether all examples can go through a network together, to be normalised by their own statistics.

    These are then as few as the derivatives with a batch's statistics take together: of one and the same function.
    """
    return len(inputs) <= TOGETHER and inputs.numel() <= VALUES


def update_statistics(norms: Sequence[_BatchNorm], examples: int, forward: Callable[[slice], object]) -> None:
    """Average the batches' means and variances over one pass, as `torch.optim.swa_utils.update_bn` does.

    Args:
        norms: as `averaging_statistics` gives them.
        examples: how many there are.
        forward: runs the tree on some of them.
    """
    for module in norms:
        module.reset_running_stats()
        module.train()
    for part in torch.arange(examples).tensor_split(-(-examples // NORM_BATCH)):
        forward(slice(int(part[0]), int(part[-1]) + 1))  # batches of one size: none of a single example
    for module in norms:
        module.eval()
