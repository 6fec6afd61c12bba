"""Networks with one hidden layer, of one width and from many seeds, trained at once until they memorize.

All seeds are one batch of matrix products. Activations are (seeds, units, examples), so that no product turns its
operands: that saves a third of a wide network's time on a CPU. All parameters of all seeds are one tensor, for Adam to
move at once. A seed's network is the registry's `mlp`, initialised as `train` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.datasets import Labelled
from landscape_utils.data.labels import redraw
from landscape_utils.engine.space import flatten
from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR, Tick
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.store import Shelf
from landscape_utils.training.models import build_model
from landscape_utils.training.state import epoch_seed

TIMED = 60  # steps from which the time of all is told
EVERY = 10  # steps between two looks: a wide network is at its best for a few dozen steps only
BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam
MEASURED = ("train_accuracy", "test_accuracy", "test_loss")

Moment = Literal["best", "final"]
MOMENTS: tuple[Moment, ...] = ("best", "final")
Split = Labelled | tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks of one width, one a seed.

    Attributes:
        width: of the hidden layer.
        course: Dataset over (seed, step): `train_accuracy` on the labels as trained, `test_accuracy` and `test_loss`
            (nats), at every tenth step and at the last.
        weights: flat parameters by moment, shape (seeds, P): at each seed's `best` test accuracy (the first of equals
            after the start), and at the `final` step.
        shape: (inputs, classes).
    """

    width: int
    course: xr.Dataset
    weights: Mapping[Moment, Tensor]
    shape: tuple[int, int]

    def model(self, seed: int, moment: Moment = "final") -> nn.Module:
        """Build one seed's network; it flattens its inputs."""
        model = fresh(seed, self.width, self.shape)
        at = self.course["seed"].values.tolist().index(seed)
        weights = self.weights[moment][at].clone()
        nn.utils.vector_to_parameters(weights, model.to(weights.dtype).parameters())
        return model.eval()


def train_width(
    train: Split,
    test: Split,
    width: int,
    *,
    seeds: Sequence[int],
    epsilon: float = 0.0,
    steps: int = 2000,
    lr: float = 3e-3,
    progress: bool | Tick = True,
) -> Trained:
    """Train networks of one hidden layer on partly redrawn labels, one a seed, or read them back.

    Full-batch Adam on the mean cross entropy. A seed decides its network's initialisation and its labels: up to
    rounding it gives the same network whichever others train beside it.

    Args:
        train, test: inputs (N, ...) and targets (N,).
        width: units of the hidden layer.
        seeds: one a network.
        epsilon: share of the training labels that are redrawn.
        steps: of training.
        lr: Adam's learning rate.
        progress: a bar; or a function called at each look with (done, total), which may raise to stop.

    Raises:
        ValueError: a width or a number of steps below 1, no seed, or epsilon outside [0, 1].
        FloatingPointError: a network's test loss is no longer finite.
    """
    if min(width, steps, len(seeds)) < 1:
        raise ValueError(f"{len(seeds)} seeds of width {width} for {steps} steps; there must be one of each at least")
    task = _task(train, test)
    shelf = _shelf(task, width, epsilon, steps, lr)
    with store.locked(shelf):
        kept, missing = _kept(shelf, seeds)
        if missing:
            kept |= _fit(task, width, missing, epsilon, steps, lr, progress)
            for seed in missing:
                shelf.put_tensors(f"seed-{seed}", kept[seed])
    weights = {moment: torch.stack([kept[seed][moment] for seed in seeds]) for moment in MOMENTS}
    course = xr.Dataset(
        {name: (("seed", "step"), np.stack([kept[seed][name].numpy() for seed in seeds])) for name in MEASURED},
        coords={"seed": list(seeds), "step": looks(steps)},
        attrs={"width": width, "epsilon": epsilon, "lr": lr, "loss_units": "nats"},
    )
    return Trained(width, course, weights, task.shape)


def seconds_left(
    train: Split, test: Split, width: int, *, seeds: Sequence[int], epsilon: float, steps: int, lr: float
) -> float:
    """Predict how long `train_width` would take, of whose arguments these are: 0 s where all is kept.

    A few of its steps and looks are timed.
    """
    task = _task(train, test)
    _, missing = _kept(_shelf(task, width, epsilon, steps, lr), seeds)
    few = min(steps, TIMED)
    if missing:
        _fit(task, width, missing, epsilon, EVERY, lr, False)  # the first steps map their memory
        begun = time.perf_counter()
        _fit(task, width, missing, epsilon, few, lr, False)
    return (time.perf_counter() - begun) * steps / few if missing else 0.0


def fresh(seed: int, width: int, shape: tuple[int, int]) -> nn.Module:
    """Build the network that a seed starts from, for (inputs, classes)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(epoch_seed(seed, 0))
        return build_model("mlp", input_shape=(1, 1, shape[0]), classes=shape[1], width=width)


def looks(steps: int) -> list[int]:
    """List the steps after which networks are looked at."""
    return sorted({*range(0, steps, EVERY), steps})


# --- one training ------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """Flat inputs (N, d) and targets (N,) of C classes."""

    train: Tensor
    targets: Tensor
    test: Tensor
    test_targets: Tensor
    classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (d, C)."""
        return self.train.shape[1], self.classes


def _task(train: Split, test: Split) -> Task:
    (x, y), (test_x, test_y) = train, test
    names = train.classes if isinstance(train, Labelled) else None
    classes = len(names) if names else 1 + int(max(y.max(), test_y.max()))
    return Task(x.flatten(1), y.long(), test_x.flatten(1), test_y.long(), classes)


def _shelf(task: Task, width: int, epsilon: float, steps: int, lr: float) -> Shelf:
    """Name where the networks of a width lie, or will lie."""
    settings = {"format": store.FORMAT, "epsilon": epsilon, "steps": steps, "lr": lr}
    # A fresh network stands for the width, and for how torch initialises.
    tensors = [task.train, task.targets, task.test, task.test_targets]
    named = store.fingerprint(fresh(0, width, task.shape), tensors, {k: f"{v}" for k, v in settings.items()})
    return store.shelf("widths", named)


def _kept(shelf: Shelf, seeds: Sequence[int]) -> tuple[dict[int, dict[str, Tensor]], list[int]]:
    """Read back the networks that are kept, by seed, and list the seeds that are missing."""
    kept = {seed: known for seed in seeds if (known := shelf.get_tensors(f"seed-{seed}")) is not None}
    return kept, [seed for seed in seeds if seed not in kept]


def _fit(
    task: Task, width: int, seeds: Sequence[int], epsilon: float, steps: int, lr: float, progress: bool | Tick
) -> dict[int, dict[str, Tensor]]:
    """Train the seeds' networks together; give by seed what `Trained` holds of it."""
    device = default_device()
    labels = torch.stack([redraw(task.targets.cpu(), task.classes, epsilon, seed=seed)[0] for seed in seeds])
    start = torch.stack([flatten(fresh(seed, width, task.shape)) for seed in seeds])
    flat, course = start.to(device, task.train.dtype), []
    best, highest = flat.clone(), torch.full((len(seeds),), -1.0, device=device)
    train, test, targets = (t.to(device) for t in (task.train, task.test, task.test_targets.expand(len(seeds), -1)))
    with (
        torch.no_grad(),
        tqdm(total=steps, desc=f"width {width}", unit="step", disable=progress is not True, **BAR) as bar,
    ):
        for step, train_accuracy in descend(flat, width, train, labels.to(device), task.classes, lr=lr, steps=steps):
            logits = forward(views(flat, width, task.shape), test.T)
            accuracy, loss = hits(logits, targets), F.cross_entropy(logits, targets, reduction="none").mean(1)
            if step:
                best[accuracy > highest] = flat[accuracy > highest]
                highest = torch.maximum(highest, accuracy)
            course.append(torch.stack([train_accuracy, accuracy, loss]))
            bar.update(step - bar.n)
            if callable(progress):
                progress(step, steps)
    measured = torch.stack(course, 2).cpu()  # (what, seed, look)
    if not measured.isfinite().all():
        raise FloatingPointError(f"training diverged at width {width} and learning rate {lr:g}; try a smaller lr")
    parts = [*measured, best.cpu(), flat.cpu()]
    return {
        seed: dict(zip((*MEASURED, *MOMENTS), (part[i] for part in parts), strict=True)) for i, seed in enumerate(seeds)
    }


def descend(
    flat: Tensor, width: int, inputs: Tensor, targets: Tensor, classes: int, *, lr: float, steps: int
) -> Iterator[tuple[int, Tensor]]:
    """Move networks by full-batch Adam, in place; stop at each look to give (step, training accuracy of each).

    Args:
        flat: their parameters, shape (seeds, P).
        width: of the hidden layer.
        inputs: shared by all, shape (N, d).
        targets: of each network its own, shape (seeds, N).
        classes: C.
        lr, steps: as for `train_width`.
    """
    gradient, adam = torch.zeros_like(flat), Adam(flat, lr)
    shape, columns, rows = (inputs.shape[1], classes), inputs.T.contiguous(), inputs.expand(len(flat), -1, -1)
    parameters, gradients = views(flat, width, shape), views(gradient, width, shape)
    wanted = F.one_hot(targets, classes).mT.to(flat)  # (seeds, C, N)
    # Two buffers for all steps: large tensors that come and go make the allocator map pages at every step.
    hidden, inner = (flat.new_empty(len(flat), width, len(inputs)) for _ in range(2))
    stops = set(looks(steps))
    for step in range(steps + 1):
        logits = forward(parameters, columns, out=hidden)
        if step in stops:
            yield step, hits(logits, targets)
        if step < steps:
            errors = logits.softmax(1).sub_(wanted).div_(len(inputs))
            backward(parameters, gradients, rows, hidden, errors, out=inner)
            adam.step(gradient)


class Adam:
    """Kingma and Ba's Adam on one tensor, as torch's: importing torch's own takes as long as five narrow widths."""

    def __init__(self, weights: Tensor, lr: float) -> None:
        """Begin at `weights`, which each step moves in place."""
        self.weights, self.lr, self.steps = weights, lr, 0
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, gradient: Tensor) -> None:
        """Move by lr m / (sqrt(v) + eps), m and v the running means of gradient and square, less their bias."""
        self.steps += 1
        first, second = BETAS
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (self.square / (1 - second**self.steps)).sqrt_().add_(EPS)
        self.weights.addcdiv_(self.mean, scale, value=-self.lr / (1 - first**self.steps))


class Stacked(NamedTuple):
    """Parameters or gradients of several networks, as views of one tensor, in the order of a network's own.

    Attributes:
        hidden: weights of the hidden layer, shape (seeds, width, d).
        shift: its biases, shape (seeds, width, 1).
        last: weights of the classifier, shape (seeds, C, width).
        bias: its biases, shape (seeds, C, 1).
    """

    hidden: Tensor
    shift: Tensor
    last: Tensor
    bias: Tensor


def views(flat: Tensor, width: int, shape: tuple[int, int]) -> Stacked:
    """Cut flat parameters, shape (seeds, P), for (d, C)."""
    (d, classes), count = shape, len(flat)
    parts = flat.split([width * d, width, classes * width, classes], 1)
    sizes = ((width, d), (width, 1), (classes, width), (classes, 1))
    return Stacked(*(part.view(count, *size) for part, size in zip(parts, sizes, strict=True)))


def forward(p: Stacked, columns: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return logits, shape (seeds, C, N), of inputs (d, N); hidden activations (seeds, width, N) are left in `out`."""
    hidden = torch.baddbmm(p.shift, p.hidden, columns.expand(len(p.hidden), -1, -1), out=out).relu_()
    return torch.baddbmm(p.bias, p.last, hidden)


def backward(p: Stacked, gradients: Stacked, rows: Tensor, hidden: Tensor, errors: Tensor, *, out: Tensor) -> None:
    """Write the gradients.

    Args:
        p, gradients: see `views`.
        rows: inputs, shape (seeds, N, d).
        hidden: activations, shape (seeds, width, N).
        errors: the loss's derivatives by the logits, shape (seeds, C, N).
        out: room for the derivatives by the activations.
    """
    gradients.last.copy_(errors @ hidden.mT)
    gradients.bias.copy_(errors.sum(2, keepdim=True))
    torch.bmm(p.last.mT, errors, out=out)
    torch.ops.aten.threshold_backward.grad_input(out, hidden, 0, grad_input=out)
    gradients.hidden.copy_(out @ rows)
    gradients.shift.copy_(out.sum(2, keepdim=True))


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each network's accuracy, shape (seeds,)."""
    return (logits.argmax(1) == targets).to(logits.dtype).mean(1)
