"""Datasets as tensors: `load_dataset(name)` gives normalised inputs, targets, class names and a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape_utils.data import sources
from landscape_utils.data.archives import Arrays
from landscape_utils.kit.errors import distinct, unknown

ChannelMoments = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and standard deviation, one number a channel

SHORT_NAMES = {"car": "automobile", "plane": "airplane"}
SHORT_NAMES |= {long: short for short, long in SHORT_NAMES.items()}
# Mirror images of these lose their class: a flipped E is no E.
NOT_FLIPPABLE = {"glyphs10", "glyphs100", "digits", "mnist", "spheres"}
# These come shifted at random already, or have no margin to crop.
NOT_CROPPABLE = {"glyphs10", "glyphs100", "digits", "spheres"}


@dataclass(frozen=True, eq=False)
class Labelled:
    """Inputs (N, ...) and targets (N,) that unpack as a pair, and remember the names of their classes."""

    inputs: Tensor
    targets: Tensor
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse two classes of one name (ValueError), for results are looked up by name."""
        if self.classes is not None:
            distinct(self.classes, "the classes")

    def __iter__(self) -> Iterator[Tensor]:
        """Unpack as `inputs, targets`."""
        yield self.inputs
        yield self.targets

    @property
    def size(self) -> int:
        """Count the examples."""
        return len(self.targets)

    def to(self, device: torch.device | str) -> Labelled:
        """Copy the pair to a device, where it stays resident."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def stratified(self, size: int, *, seed: int = 0) -> Labelled:
        """Take at most `size` examples, as evenly from every class as there are, at random within a class."""
        if size >= self.size:
            return self
        chosen = torch.from_numpy(_spread(self.targets.cpu().numpy(), size, seed)).to(self.targets.device)
        return replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with their classes, channel statistics and content fingerprint.

    `fingerprint` is the SHA-256 of all image and label bytes and class names: runs are filed under it. Augmentation
    mirrors images only if `flippable` and shifts them only if `croppable`.
    """

    name: str
    train: Labelled
    test: Labelled
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    flippable: bool = True
    croppable: bool = True

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width) of one input."""
        channels, height, width = self.train.inputs.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def sizes(self) -> str:
        """Return in words how many images there are, as every picture does."""
        return f"{self.name}: {self.train.size:,} training and {self.test.size:,} test images"

    def to(self, device: torch.device | str) -> Dataset:
        """Copy both sets to a device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))

    def pictures(self, inputs: Tensor) -> NDArray[np.float32]:
        """Undo the normalisation for showing: (N, C, H, W) to (N, H, W, C) in [0, 1]."""
        mean, std = (torch.tensor(v, device=inputs.device)[:, None, None] for v in (self.mean, self.std))
        shown: NDArray[np.float32] = (inputs * std + mean).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        return shown


def class_index(classes: Sequence[str], wanted: str | int) -> int:
    """Find a class by its name, its usual short name (car, plane) or its index.

    Raises:
        ValueError: there is no such class; the nearest names are given.
    """
    if isinstance(wanted, str):
        for name in (wanted, SHORT_NAMES.get(wanted, wanted)):
            if name in classes:
                return list(classes).index(name)
        raise unknown("class", wanted, classes)
    if not 0 <= wanted < len(classes):
        raise ValueError(
            f"class index {wanted} is out of range; there are {len(classes)} classes, 0 to {len(classes) - 1}"
        )
    return int(wanted)


def load_dataset(
    name: str,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    difficulty: float | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
    download: bool = True,
) -> Dataset:
    """Load a dataset by name or path as normalised tensors.

    Names with no generator of their own resolve to `$LANDSCAPE_DATA/<name>.npz`, then to torchvision's (or the
    published archive's) files under `$LANDSCAPE_DATA`, fetched where the network allows. `spheres` stays as it is; all
    others are normalised per channel by the training set's mean and standard deviation, or by those that are given.

    Both sets are read on one scale: whole numbers 0 to 255 divided by 255, beyond these such of 8 or 16 bits by their
    type's largest (65,535 for uint16, even if 12 bits are used), wider ones refused; floats as they are, which in an
    image file must lie in [0, 1].

    Args:
        name: one of `dataset_names()`, or the path of an `.npz` (keys x_train, y_train, x_test, y_test, classes)
            or of a folder with `train/<class>/` and `test/<class>/`.
        train_size: number of training examples; generated sets draw as many, others take a stratified part.
        test_size: the same for the test set.
        difficulty: of `glyphs10` and `glyphs100`; 1 is the default.
        image_size: resize the images of a folder to this height and width, or average letters and other stored
            images over square blocks; `digits` and `spheres` refuse it.
        mean, std: what a model that was trained elsewhere expects, one number a channel.
        seed: of the generator, or of the stratified choice.
        download: fetch a published set that is not there yet.

    Returns:
        The dataset; inputs have shape (N, C, H, W), float32.

    Raises:
        ValueError: unknown name or class, damaged or unsafe file, labels outside the classes, an empty class,
            images of mixed size or on no known scale, a size that cannot be had, or a mean without std or of another
            length.
        FileNotFoundError: nothing is stored under that name or path and it could not be fetched.
    """
    arrays = sources.read(
        name,
        train_size=train_size,
        test_size=test_size,
        difficulty=difficulty,
        image_size=image_size,
        seed=seed,
        download=download,
    )
    _check(arrays, name)
    train = _stratified(arrays.x_train, arrays.y_train, train_size, seed, f"{name} training")
    test = _stratified(arrays.x_test, arrays.y_test, test_size, seed, f"{name} test")
    arrays = Arrays(*train, *test, arrays.classes)
    if mean is None and std is None:
        return _assemble(name, arrays, _none(arrays) if name == "spheres" else _channel_statistics(arrays.x_train))
    data = _assemble(name, arrays, _given_statistics(mean or (), std or (), arrays.x_train.shape[-1]))
    key = hashlib.sha256(f"{data.fingerprint} {data.mean} {data.std}".encode()).hexdigest()
    return replace(data, fingerprint=key)


def _none(arrays: Arrays) -> ChannelMoments:
    """Return the statistics that change nothing."""
    channels = arrays.x_train.shape[-1]
    return np.zeros(channels), np.ones(channels)


def _given_statistics(mean: Sequence[float], std: Sequence[float], channels: int) -> ChannelMoments:
    if not len(mean) == len(std) == channels or not min(std) > 0:
        raise ValueError(
            f"mean is {tuple(mean)} and std is {tuple(std)}; give {channels} numbers of each, one a channel, and every "
            "std above 0"
        )
    return np.array(mean), np.array(std)


def from_arrays(name: str, arrays: Arrays, *, flippable: bool = True, croppable: bool = True) -> Dataset:
    """Build a dataset from arrays in memory: images (N, H, W[, C]) on a scale as in `load_dataset`, and integer labels.

    Raises:
        ValueError: as `load_dataset` does.
    """
    arrays = sources.as_images(arrays, name)
    _check(arrays, name)
    data = _assemble(name, arrays, _channel_statistics(arrays.x_train))
    return replace(data, flippable=flippable, croppable=croppable)


def require_published(dataset: Dataset, *, accept_part: bool = False) -> None:
    """Refuse a dataset of another size than the published one, unless a part is accepted.

    Raises:
        ValueError: sizes differ, or nothing was published under that name, and `accept_part` is False.
    """
    published = sources.PUBLISHED.get(dataset.name)
    sizes = (dataset.train.size, dataset.test.size)
    if accept_part or (published and published.sizes == sizes and published.input_shape == dataset.input_shape):
        return
    if published is None:
        known = ", ".join(sorted(sources.PUBLISHED))
        raise ValueError(
            f"the paper profile needs a published dataset ({known}), not {dataset.name}, or accept_part=True"
        )
    if published.sizes == sizes:
        raise ValueError(
            f"the paper profile needs {dataset.name} as published, of shape {published.input_shape}, and images of "
            f"shape {dataset.input_shape} are here; leave image_size out, or pass accept_part=True"
        )
    raise ValueError(
        f"the paper profile needs all of {dataset.name} ({published.sizes[0]:,} training and {published.sizes[1]:,} "
        f"test images), and {sizes[0]:,} and {sizes[1]:,} are here; pass accept_part=True to run on a part"
    )


def _check(arrays: Arrays, origin: str) -> None:
    """Refuse labels outside the classes, classes without an example, and values that are no number."""
    names = arrays.classes
    if len(distinct(names, f"{origin}: the classes")) < 2:
        raise ValueError(f"{origin}: the classes are {', '.join(names)}; there must be two or more")
    for split, x, y in (("training", arrays.x_train, arrays.y_train), ("test", arrays.x_test, arrays.y_test)):
        if len(x) != len(y):
            raise ValueError(
                f"{origin}: {len(x)} {split} images but {len(y)} {split} labels; there must be one label an image"
            )
        if x.shape[1:] != arrays.x_train.shape[1:]:
            raise ValueError(
                f"{origin}: training images have shape {arrays.x_train.shape[1:]}, test images {x.shape[1:]}; "
                "they must agree"
            )
        if x.dtype != np.uint8 and not np.isfinite(x).all():
            raise ValueError(f"{origin}: a {split} image holds NaN or an infinity; clean the data first")
        outside = np.setdiff1d(y, np.arange(len(arrays.classes)))
        if len(outside):
            raise ValueError(
                f"{origin}: {split} label {outside[0]} lies outside the {len(arrays.classes)} classes; labels must be "
                f"0 to {len(arrays.classes) - 1}"
            )
        empty = np.flatnonzero(np.bincount(y, minlength=len(arrays.classes)) == 0)
        if len(empty):
            raise ValueError(
                f"{origin}: class {arrays.classes[empty[0]]!r} has no {split} image; every class needs one"
            )


def _stratified(
    x: NDArray[np.generic], y: NDArray[np.int64], size: int | None, seed: int, what: str
) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Take a stratified part of images and labels; all of them for None."""
    if size is None or size == len(y):
        return x, y
    classes = int(y.max()) + 1
    if not classes <= size <= len(y):
        raise ValueError(f"{what} size {size:,} cannot be had; choose from {classes:,} (one a class) to {len(y):,}")
    chosen = _spread(y, size, seed)
    return x[chosen], y[chosen]


def _spread(y: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Choose `size` positions, as evenly from every class as the labels allow, at random within a class."""
    order = np.random.default_rng(seed).permutation(len(y))
    # Rank of each example within its own class: taking the lowest ranks first takes from every class in turn.
    rank = np.empty(len(y), np.int64)
    for c in range(int(y.max()) + 1):
        mine = order[y[order] == c]
        rank[mine] = np.arange(len(mine))
    chosen: NDArray[np.int64] = np.sort(order[np.argsort(rank[order], kind="stable")][:size])
    return chosen


def _assemble(name: str, arrays: Arrays, statistics: ChannelMoments) -> Dataset:
    mean, std = statistics

    def labelled(x: NDArray[np.generic], y: NDArray[np.int64]) -> Labelled:
        inputs = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2).to(torch.float32)
        inputs = inputs.div_(255) if x.dtype == np.uint8 else inputs.clone()
        shift, scale = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
        return Labelled(inputs.sub_(shift).div_(scale), torch.from_numpy(y.astype(np.int64)), arrays.classes)

    return Dataset(
        name=name,
        train=labelled(arrays.x_train, arrays.y_train),
        test=labelled(arrays.x_test, arrays.y_test),
        classes=arrays.classes,
        mean=tuple(float(v) for v in mean),
        std=tuple(float(v) for v in std),
        fingerprint=_fingerprint(arrays),
        flippable=name not in NOT_FLIPPABLE,
        croppable=name not in NOT_CROPPABLE,
    )


def _channel_statistics(x: NDArray[np.generic]) -> ChannelMoments:
    """Mean and standard deviation per channel, of values scaled to [0, 1].

    uint8 images are counted by a histogram, which is exact: the same data give the same statistics anywhere.
    """
    flat = x.reshape(-1, x.shape[-1])
    if x.dtype != np.uint8:
        mean, std = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
    else:
        counts = np.stack([np.bincount(flat[:, c], minlength=256) for c in range(flat.shape[1])])
        values, total = np.arange(256), len(flat)
        mean = counts @ values / total
        std = np.sqrt(counts @ values**2 / total - mean**2) / 255
        mean = mean / 255
    return mean, np.where(std > 0, std, 1.0)


def _fingerprint(arrays: Arrays) -> str:
    digest = hashlib.sha256("\0".join(arrays.classes).encode())
    for array in arrays[:4]:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
