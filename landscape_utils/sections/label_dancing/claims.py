"""What CI-14 to CI-18 ask of the courses of training, one number a seed.

CI-14 to CI-17 look at the training CCTM of each epoch, CI-18 at the last epoch's test CCTM. Pairs are those named
beforehand for a dataset, or else the most interfering ones of the test CCTM, in which the training CCTM has no part;
CI-18 takes none but those named beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from torch import Tensor

from landscape_utils.data.datasets import class_index
from landscape_utils.interference.cctm import (
    ClassPair,
    ClassPairs,
    interference_only,
    mean_cctm,
    recalls,
)
from landscape_utils.interference.dancing import (
    NONE,
    changes,
    correlate,
    dances,
    dancing_notes,
    finite_mean,
    followings,
    note_shares,
    persistence,
    recalls_by_epoch,
    split_by_pairs,
)
from landscape_utils.kit import Floats
from landscape_utils.suite.claims import Judgement, judged

Histories = Mapping[str, Sequence[xr.Dataset]]  # by architecture, one a seed
Finals = Mapping[str, Sequence[xr.DataArray]]  # the last epoch's test CCTMs, likewise

# Fewer classes leave too few other pairs to compare with; fewer epochs give too few changes.
LEAST_CLASSES, LEAST_EPOCHS = 5, 8

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Table 1, recalls in percent: the text has two versions, with two tables.
TABLE_1 = {
    "VGG19, main text": (94.3, 96.1, 91.7, 86.7, 94.6, 90.0, 95.8, 96.0, 96.5, 96.4),
    "ResNet18, main text": (95.9, 98.6, 94.8, 89.9, 96.5, 91.5, 97.2, 96.7, 96.5, 95.8),
    "GoogLeNet, main text": (96.3, 97.4, 93.9, 89.3, 96.5, 92.4, 96.8, 95.7, 96.6, 96.7),
    "DLA, main text": (96.3, 97.7, 95.5, 90.1, 96.2, 93.2, 97.4, 97.8, 97.1, 97.1),
    "VGG19, with appendix": (96.0, 96.6, 91.9, 84.5, 94.7, 89.0, 96.0, 96.4, 95.2, 96.3),
    "ResNet18, with appendix": (96.9, 97.9, 94.2, 86.5, 97.0, 92.6, 96.9, 96.3, 96.5, 97.3),
    "GoogLeNet, with appendix": (96.4, 96.7, 93.8, 86.9, 97.3, 92.0, 97.2, 95.5, 96.5, 96.6),
    "DLA, with appendix": (95.4, 97.8, 92.6, 88.7, 96.6, 90.8, 96.1, 97.3, 97.0, 96.4),
}


def early(history: xr.Dataset) -> tuple[int, int]:
    """Name the epochs of the first half of a training, (first, last)."""
    return 1, max(1, int(history["epoch"][-1]) // 2)


def late(history: xr.Dataset) -> tuple[int, int]:
    """Name the epochs of the second half of a training, (first, last)."""
    return early(history)[1], int(history["epoch"][-1])


def mean_dances(histories: Histories, half: Callable[[xr.Dataset], tuple[int, int]]) -> xr.DataArray:
    """Average the dances of all runs over a half of the training, `early` or `late`; array (true, other)."""
    return mean_cctm(dances(h["train_cctm"], half(h)) for h in _all(histories))


def mean_followings(histories: Histories) -> xr.DataArray:
    """Average over all runs how cells follow the recalls they lead to; array (true, predicted)."""
    return mean_cctm(followings(h["train_cctm"]) for h in _all(histories))


def following_groups(histories: Histories, pairs: ClassPairs) -> dict[str, Floats]:
    """Group the correlations of changes of cells and recalls, means over runs: the pairs', and CI-15's two controls."""
    inside, outside = split_by_pairs(mean_followings(histories), pairs)
    same_cell = mean_cctm(xr.DataArray(_with_others(h, pairs)) for h in _all(histories)).values
    return {
        "cell to partner,\npartner's recall": inside,
        "cell to partner,\nanother's recall": same_cell[np.isfinite(same_cell)],
        "cell to another,\nits own recall": outside,
    }


def dances_early(histories: Histories, pairs: ClassPairs) -> Judgement:
    """CI-14: how the recalls of the pairs change against each other in the first half of the training.

    A number is a correlation of epoch-to-epoch changes, averaged over the pairs and the architectures.
    """
    if reason := _untestable(histories, pairs):
        return judged("CI-14", dance=reason, less_than_others=reason)
    split = [
        split_by_pairs(mean_cctm(dances(h["train_cctm"], early(h)) for h in of_seed), pairs)
        for of_seed in _seeds(histories)
    ]
    later = finite_mean(split_by_pairs(mean_dances(histories, late), pairs)[0])
    return judged(
        "CI-14",
        dance=[finite_mean(inside) for inside, _ in split],
        less_than_others=[finite_mean(inside) - finite_mean(outside) for inside, outside in split],
        note=f"In the second half of the training the pairs' mean correlation is {later:.2f}.",
    )


def peaks_with_partner(histories: Histories, pairs: ClassPairs) -> Judgement:
    """CI-15: how a class's cell towards its partner changes with the partner's recall.

    Two controls, of which either alone would be too easy: other classes' recalls with the same cell, and the same
    correlation between all other classes, whose cells are mostly small and so follow less.
    """
    names = ("with_partner", "beyond_other_recalls", "beyond_other_pairs")
    if reason := _untestable(histories, pairs):
        return judged("CI-15", **dict.fromkeys(names, reason))
    groups = [following_groups({"": of_seed}, pairs).values() for of_seed in _seeds(histories)]
    means = np.array([[finite_mean(group) for group in of_seed] for of_seed in groups])
    return judged("CI-15", **dict(zip(names, (means[:, 0], *(means[:, :1] - means[:, 1:]).T), strict=True)))


def notes_name_partner(histories: Histories, pairs: ClassPairs, dataset: str) -> Judgement:
    """CI-16: by how much the partner leads among the notes of the pairs' classes, and in CIFAR-10 how long it stays.

    The lead is over the runner-up, as a share of the epochs that have a note, -2 left out: a mean over classes, the
    architectures' epochs pooled.
    """
    ends = both_ways(pairs)
    if not ends:
        return judged("CI-16", partner_leads="no pair interferes", persists="no pair interferes")
    notes = [[dancing_notes(h["train_cctm"]) for h in of_seed] for of_seed in _seeds(histories)]
    shares = [note_shares(xr.concat(of_seed, dim="epoch")) for of_seed in notes]
    leads = np.array([[_lead(of_seed, a, b) for a, b in ends] for of_seed in shares])
    silent = np.mean([float(of_seed.sel(note=NONE, true=[a for a, _ in ends]).mean()) for of_seed in shares])
    every = [note for of_seed in notes for note in of_seed]
    (a, b), known = pairs[0], dataset == "cifar10"
    stays = [_stays(of_seed, "dog", "cat") - _stays(of_seed, "cat", "dog") for of_seed in notes] if known else ()
    return judged(
        "CI-16",
        partner_leads=[finite_mean(of_seed) for of_seed in leads],
        persists=stays if known else f"it is about cat and dog, and this run is on {dataset}",
        note=f"{b} is {a}'s note in {_stays(every, a, b):.0%} of the epochs, and {a} is {b}'s in "
        f"{_stays(every, b, a):.0%}; the pairs' classes have no note (-2) in {silent:.0%}.",
    )


def frog_not_horse(histories: Histories, dataset: str) -> Judgement:
    """CI-17: in which share of the epochs cat's note is frog, and in which it is horse; on CIFAR-10 alone."""
    if dataset != "cifar10":
        reason = f"it is about CIFAR-10's classes, and this run is on {dataset}"
        return judged("CI-17", frog=reason, horse=reason)
    notes = [[dancing_notes(h["train_cctm"]) for h in of_seed] for of_seed in _seeds(histories)]
    frog, horse, dog = ([_stays(of_seed, "cat", name) for of_seed in notes] for name in ("frog", "horse", "dog"))
    return judged("CI-17", frog=frog, horse=horse, note=f"It is dog in {np.mean(dog):.0%}.")


def final_cctm(history: xr.Dataset, targets: Tensor) -> xr.DataArray:
    """Take the last epoch's test CCTM, with each class's examples counted in the test targets, shape (N,)."""
    counts = targets.cpu().bincount(minlength=history.sizes["true"]).numpy()
    last = history["test_cctm"].isel(epoch=-1, drop=True).assign_coords(examples=("true", counts))
    # Back to whole images: the history's float32 rates do not sum to 1 exactly.
    rates: xr.DataArray = (last.astype(float) * last["examples"]).round() / last["examples"]
    return rates.rename("cctm")


def claimed_cells(known: ClassPairs, dataset: str) -> ClassPairs:
    """List whose errors CI-18 looks at, (class, partner): car's with truck in CIFAR-10, else the pairs', both ways."""
    return (("automobile", "truck"),) if dataset == "cifar10" else both_ways(known)


def cell_shares(rates: xr.DataArray, cells: ClassPairs) -> Floats:
    """Return the share of a's errors that go to b, CCTM(a, b) / (1 - CCTM(a, a)), cell by cell; NaN without errors."""
    rows, columns = _indices(rates, cells)
    errors = 1 - rates.values[rows, rows]
    shares: Floats = np.divide(rates.values[rows, columns], errors, out=np.full(len(rows), np.nan), where=errors > 1e-9)
    return shares


def strongest_partners(rates: xr.DataArray) -> xr.Dataset:
    """Name the class that takes most of each class's errors: Dataset (true) of `partner`, `recall`, `rate`, `share`."""
    names = [str(n) for n in rates["true"].values]
    strongest = np.nan_to_num(interference_only(rates).values, nan=-1).argmax(1)
    cells = [(name, names[i]) for name, i in zip(names, strongest, strict=True)]
    columns = {
        "partner": [b for _, b in cells],
        "recall": recalls(rates).values,
        "rate": rates.values[np.arange(len(names)), strongest],
        "share": cell_shares(rates, cells),
    }
    return xr.Dataset({k: ("true", v) for k, v in columns.items()}, coords={"true": names})


def one_partner_takes_all(rates: Finals, known: ClassPairs, dataset: str) -> Judgement:
    """CI-18: the share of a class's test errors that its partner takes at the end; a mean over classes and networks.

    Only pairs named beforehand count: those chosen by this very CCTM would take many errors by the choice alone.

    The paper's text gives car's recall and its cell to truck: 2.5 of 3.3 % errors for GoogLeNet, 1.8 of 2.2 % for DLA,
    which is 76 and 82 %. (By table 2 of its appendix the first cell is 2.1 %, and its share 64 %.)
    """
    cells = claimed_cells(known, dataset)
    if not cells:
        return judged("CI-18", share=f"no pair of {dataset} was named beforehand")
    means = [mean_cctm(of_seed) for of_seed in zip(*rates.values(), strict=True)]
    mean = mean_cctm(means)
    by_class = (
        f"{a} {float(mean.sel(true=a, predicted=a)):.1%} + {b} {float(mean.sel(true=a, predicted=b)):.1%}"
        for a, b in cells[:3]
    )
    note = f"Recall and partner's cell: {', '.join(by_class)}{', ...' if len(cells) > 3 else ''}."
    return judged("CI-18", share=[finite_mean(cell_shares(of_seed, cells)) for of_seed in means], note=note)


def beside_table_1(rates: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Return this run's recalls beside both versions of the paper's Table 1; array (model, true) in [0, 1].

    Raises:
        ValueError: the classes are not CIFAR-10's.
    """
    for name, of_model in rates.items():
        if tuple(of_model["true"].values) != CIFAR10:
            raise ValueError(f"table 1 has CIFAR-10's classes; {name}'s are {', '.join(of_model['true'].values)}")
    rows = {name: np.array(percent) / 100 for name, percent in TABLE_1.items()}
    rows |= {f"{name}, this run": recalls(of_model).values for name, of_model in rates.items()}
    return xr.DataArray(
        np.stack(list(rows.values())), coords={"model": list(rows), "true": list(CIFAR10)}, name="recall"
    )


def both_ways(pairs: ClassPairs) -> list[ClassPair]:
    """List the cells of some pairs, (a, b) and (b, a)."""
    return [cell for a, b in pairs for cell in ((a, b), (b, a))]


def _all(histories: Histories) -> list[xr.Dataset]:
    return [history for of_seeds in histories.values() for history in of_seeds]


def _seeds(histories: Histories) -> list[tuple[xr.Dataset, ...]]:
    """Group the runs by seed: one history an architecture."""
    return list(zip(*histories.values(), strict=True))


def _untestable(histories: Histories, pairs: ClassPairs) -> str:
    """Return why there is no test of some pairs against others; empty where there is one."""
    runs = _all(histories)
    if not pairs:
        return "no pair interferes"
    if runs[0].sizes["true"] < LEAST_CLASSES:
        return f"it takes {LEAST_CLASSES} classes or more"
    if min(int(h["epoch"][-1]) for h in runs) < LEAST_EPOCHS:
        return f"it takes {LEAST_EPOCHS} epochs or more"
    return ""


def _indices(rates: xr.DataArray, cells: ClassPairs) -> tuple[list[int], list[int]]:
    names = [str(n) for n in rates["true"].values]
    return [class_index(names, a) for a, _ in cells], [class_index(names, b) for _, b in cells]


def _recall_steps(history: xr.Dataset, epochs: tuple[int, int] | None = None) -> Floats:
    steps: Floats = changes(recalls_by_epoch(history["train_cctm"]), epochs).values
    return steps


def _with_partners(history: xr.Dataset, pairs: ClassPairs) -> tuple[Floats, Floats]:
    """Return the changes of the pairs' cells and those of the recalls they lead to, both (epoch, cell)."""
    rows, columns = _indices(history["train_cctm"], both_ways(pairs))
    return changes(history["train_cctm"]).values[:, rows, columns], _recall_steps(history)[:, columns]


def _with_others(history: xr.Dataset, pairs: ClassPairs) -> Floats:
    """Correlate the changes of the pairs' cells with those of all recalls but the two classes' own; (cell, class)."""
    rows, columns = _indices(history["train_cctm"], both_ways(pairs))
    cells = _with_partners(history, pairs)[0]
    matrix = correlate(cells[:, :, None], _recall_steps(history)[:, None, :])
    matrix[range(len(rows)), rows] = matrix[range(len(rows)), columns] = np.nan
    return matrix


def _lead(shares: xr.DataArray, a: str, b: str) -> float:
    """Return by how much b leads the runner-up among a's notes, of the epochs that have one; NaN without any note."""
    row = shares.sel(true=a).drop_sel(note=NONE).values
    partner = class_index([str(n) for n in shares["true"].values], b)
    return float(row[partner] - np.delete(row, partner).max()) / row.sum() if row.sum() > 0 else np.nan


def _stays(notes: Sequence[xr.DataArray], a: str, b: str) -> float:
    """Return in which share of the epochs b is a's note, on average over runs."""
    return float(np.mean([float(persistence(of_run, a, b)["share"]) for of_run in notes]))
