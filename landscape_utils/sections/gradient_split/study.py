"""What notebook 10 measures on trainings: both parts of the gradient by epoch, their sum, and their size by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import Labelled
from landscape_utils.data.labels import PermutedLabels, permute_labels
from landscape_utils.kit import Floats, store
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.workers import remembered_each
from landscape_utils.memorization.gradient_identity import deviations
from landscape_utils.memorization.gradients import WeightGradients, gradient_split, label_term, mean_term
from landscape_utils.training.runs import Epoch, Run, load_data

END = "end"
ENDS: dict[str, Epoch] = {"0": "initial", END: "final"}
CHECKED = 60  # examples on which the parts are added up
COMPARED = ("unpermuted", "permuted")


@dataclass(frozen=True, eq=False)
class Training:
    """A run with the training examples on which its gradients are taken.

    Attributes:
        run: trained with partly permuted labels.
        images: so many training examples, drawn at random; None for all.
        scaling_size: training examples over which the initialisation is looked at, which has seen none of them; None
            for the run's own.
    """

    run: Run
    images: int | None = None
    scaling_size: int | None = None

    @cached_property
    def examples(self) -> tuple[Labelled, dict[str, Tensor]]:
        """Load the examples with the labels they were trained with, and the masks of their subsets."""
        return _drawn(self.run.labels(), self.images)

    def key(self, epoch: Epoch, kind: str, **settings: int) -> str:
        """Name what decides a checkpoint's result; the run names its data."""
        sizes = {"images": self.images, "scaling_size": self.scaling_size}
        what = {"run": self.run.shelf.folder.name, **sizes, "kind": kind, "study": store.FORMAT, **settings}
        named = {name: str(value) for name, value in what.items()}
        return store.fingerprint(self.run.model(epoch), [torch.zeros(0)], named)


Compute = Callable[[Training, nn.Module], xr.Dataset]


def _each(
    kind: str, places: Sequence[tuple[Training, Epoch]], compute: Compute, *, progress: bool = True, **settings: int
) -> list[xr.Dataset]:
    """Look checkpoints' results up on their shelves, or compute them from the models side by side."""

    def work(training: Training, epoch: Epoch) -> xr.Dataset:
        return compute(training, training.run.model(epoch).to(default_device()))

    jobs = [(one.key(epoch, kind, **settings), partial(tuple, (one, epoch))) for one, epoch in places]
    return remembered_each("gradients", kind, jobs, work, progress=progress)


def _split(training: Training, model: nn.Module) -> xr.Dataset:
    """Return a checkpoint's norms by layer and subset, as `gradient_split` does."""
    return gradient_split(model, *training.examples)


def _identity(training: Training, model: nn.Module) -> xr.Dataset:
    """Return the relative differences of `gradient_identity.deviations`, in float64 on some of the examples."""
    (inputs, targets), subsets = training.examples
    some = slice(None, None, max(1, len(targets) // CHECKED))
    network = WeightGradients(model.cpu().double(), (inputs[some], targets[some]))
    return xr.Dataset(deviations(network, {name: mask[some] for name, mask in subsets.items()}))


def _drawn(labels: PermutedLabels, images: int | None = None) -> tuple[Labelled, dict[str, Tensor]]:
    """Draw training examples with the labels as taught, and the masks of their subsets."""
    train = labels.dataset.train
    # Not torch's generator: from the same seed it would choose the very examples whose labels were permuted.
    chosen = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(train.size)[:images]))
    permuted = labels.permuted[chosen]
    subsets = {"all": torch.ones_like(permuted), "unpermuted": ~permuted, "permuted": permuted}
    return Labelled(train.inputs[chosen], train.targets[chosen], train.classes), subsets


def _of_size(run: Run, size: int) -> PermutedLabels:
    """Take the labels of a training set like the run's, of another size."""
    spec = replace(run.spec, train_size=size)
    return permute_labels(load_data(spec), spec.epsilon, seed=spec.data_seed)


def looked_at(trainings: Sequence[Training], wanted: Sequence[int] | None) -> list[int]:
    """List the epochs at which runs are compared: 0, and those wanted that every run has kept and gone beyond.

    Args:
        trainings: their runs may end at different epochs.
        wanted: None for all there are.
    """
    common = set.intersection(*(set(t.run.epochs) for t in trainings))
    first_end = min(int(t.run.about["last"]) for t in trainings)
    return sorted(e for e in common if e < first_end and (wanted is None or e in {0, *wanted}))


def part_norms(trainings: Sequence[Training], epochs: Sequence[int], *, progress: bool = True) -> xr.Dataset:
    """Split the gradient over training, on all, unpermuted and permuted examples.

    Args:
        trainings: of one architecture.
        epochs: kept by every run; each run's end is added.
        progress: a bar over the checkpoints.

    Returns:
        Dataset over (seed, epoch, layer, subset): the norms that `gradient_split` gives. Epochs are texts; the last
        one, `end`, is each run's own last epoch, which is the coordinate `last` over seed, beside its `best`.
    """
    at: dict[str, Epoch] = {**{str(epoch): epoch for epoch in epochs}, END: "final"}
    places = [(training, epoch) for training in trainings for epoch in at.values()]
    found = iter(_each("split", places, _split, progress=progress))
    norms = [xr.concat([next(found) for _ in at], dim=xr.Variable("epoch", list(at))) for _ in trainings]
    ends = {name: ("seed", [t.run.about[name] for t in trainings]) for name in ("best", "last")}
    return _over_seeds(norms, trainings).assign_coords(ends)


def _over_seeds(by_seed: Sequence[xr.Dataset], trainings: Sequence[Training]) -> xr.Dataset:
    return xr.concat(by_seed, dim=xr.Variable("seed", [t.run.spec.seed for t in trainings]), join="outer")


def identity(trainings: Sequence[Training]) -> xr.Dataset:
    """Check in float64 that the parts add up, at the initialisation and at the end of each run.

    Args:
        trainings: any.

    Returns:
        Dataset over (seed, epoch) of the relative differences that `gradient_identity.deviations` gives.
    """
    along = xr.Variable("epoch", list(ENDS))
    found = iter(_each("identity", [(t, epoch) for t in trainings for epoch in ENDS.values()], _identity))
    by_seed = [xr.concat([next(found) for _ in ENDS], dim=along) for _ in trainings]
    return _over_seeds(by_seed, trainings)


# --- scaling with the number of examples --------------------------------------------------------------------------


def scaling(trainings: Sequence[Training], *, chunk: int, progress: bool = True) -> xr.Dataset:
    """Measure the label-dependent gradient at the initialisation, averaged over ever more examples.

    The examples of a subset are put in random order and taken in groups of n = chunk, 2 chunk, 4 chunk, ..., that share
    no example, and at last all together. The term over the whole training set is the same for every group.

    Args:
        trainings: of one architecture.
        chunk: examples in the smallest groups.
        progress: a bar over the runs.

    Returns:
        Dataset over (seed, subset, number, layer): `dependent`, the root mean square over the groups of the l2 norm;
        and over (seed, subset, number) how many `groups`. NaN for a number that a subset does not have.

    Raises:
        ValueError: a chunk larger than a subset.
    """

    def compute(training: Training, model: nn.Module) -> xr.Dataset:
        size = training.scaling_size
        data, subsets = training.examples if size is None else _drawn(_of_size(training.run, size))
        network = WeightGradients(model, data)
        mean = network.sums([mean_term], torch.arange(network.size))[0] / network.size
        norms = [_by_number(network, subsets[name], mean, chunk) for name in COMPARED]
        return xr.concat(norms, dim=xr.Variable("subset", list(COMPARED)), join="outer")

    places: list[tuple[Training, Epoch]] = [(training, "initial") for training in trainings]
    return _over_seeds(_each("scaling", places, compute, progress=progress, chunk=chunk), trainings)


def _by_number(network: WeightGradients, subset: Tensor, mean: Tensor, chunk: int) -> xr.Dataset:
    """Take the norms of all groups, merging two of a size as soon as there are two: few sums are held at once."""
    order = torch.randperm(network.size, generator=torch.Generator().manual_seed(0))
    groups = [g for g in order[subset[order]].split(chunk) if len(g) == chunk]
    if not groups:
        count = int(subset.sum())
        remedy = "take smaller chunks" if count else "let epsilon be above 0 and below 1"
        raise ValueError(f"chunk is {chunk}, and a subset has {count} examples; {remedy}")
    squares: dict[int, list[Floats]] = {}

    def note(total: Tensor, number: int) -> None:
        parts = (mean - total / number).split(list(network.weights.values()))
        squares.setdefault(number, []).append(np.array([float(part.square().sum()) for part in parts]))

    waiting: dict[int, Tensor] = {}
    for group in groups:
        total, number = network.sums([label_term], group)[0], chunk
        note(total, number)
        while number in waiting:
            total, number = total + waiting.pop(number), 2 * number
            note(total, number)
        waiting[number] = total
    if len(waiting) > 1:
        note(torch.stack(list(waiting.values())).sum(0), sum(waiting))
    numbers = sorted(squares)
    return xr.Dataset(
        {
            "dependent": (("number", "layer"), [np.sqrt(np.mean(squares[n], axis=0)) for n in numbers]),
            "groups": ("number", [len(squares[n]) for n in numbers]),
        },
        coords={"number": numbers, "layer": list(network.weights)},
    )


def slopes(scaling: xr.Dataset) -> xr.DataArray:
    """Fit the exponent p of |g_dep| ~ n^p by least squares of logarithms, over (seed, subset, layer)."""
    logs = xr.apply_ufunc(np.log, scaling["dependent"])
    logs = logs.assign_coords(number=np.log(scaling["number"].values))
    fitted: xr.DataArray = logs.polyfit("number", 1)["polyfit_coefficients"]
    return fitted.sel(degree=1, drop=True)


def permuted_share(norms: xr.DataArray) -> xr.DataArray:
    """Divide the norms over permuted examples by those over unpermuted ones."""
    ratio: xr.DataArray = norms.sel(subset="permuted", drop=True) / norms.sel(subset="unpermuted", drop=True)
    return ratio


def typical(norms: xr.DataArray, over: str | Sequence[str] = "layer") -> xr.DataArray:
    """Average norms, or ratios of norms: their geometric mean."""
    mean: xr.DataArray = np.exp(xr.apply_ufunc(np.log, norms).mean(over))
    return mean


def examples_for(scaling: xr.Dataset, share: float) -> float:
    """Extrapolate how many examples of each kind make the permuted ones' dependent part a share of the others'.

    Permuted examples have noise alone, c^2 / n; unpermuted ones have a signal beside it, s^2 + c^2 / n: the share is
    reached at n = (1 / share^2 - 1) c^2 / s^2. Norms are averaged geometrically over seeds and layers.

    Args:
        scaling: `dependent` over (seed, subset, number, layer).
        share: between 0 and 1.

    Returns:
        The number; infinite where no signal is seen.
    """
    norms = typical(scaling["dependent"], ["seed", "layer"]).dropna("number")
    permuted, unpermuted = (norms.sel(subset=name).values for name in ("permuted", "unpermuted"))
    numbers = norms["number"].values
    noise = float(np.exp(np.mean(np.log(numbers * permuted**2))))
    signal = float(unpermuted[-1] ** 2 - noise / numbers[-1])
    return (1 / share**2 - 1) * noise / signal if signal > 0 else np.inf
