"""Where images come from: generators, `.npz` files, image folders, torchvision, and published archives.

Every source gives the same thing: `Arrays`, channel-last images and integer labels. Nothing is unpickled here;
torchvision's CIFAR reader unpickles only files whose MD5 is the published one.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landscape_utils.data import archives
from landscape_utils.data import letters as glyphs
from landscape_utils.data.archives import Arrays
from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import home

KEYS = ("x_train", "y_train", "x_test", "y_test", "classes")


class Published(NamedTuple):
    """What a published dataset holds: (training, test) examples, input shape (C, H, W), classes."""

    sizes: tuple[int, int]
    input_shape: tuple[int, int, int]
    classes: int


PUBLISHED = {
    "cifar10": Published((50_000, 10_000), (3, 32, 32), 10),
    "cifar100": Published((50_000, 10_000), (3, 32, 32), 100),
    "mnist": Published((60_000, 10_000), (1, 28, 28), 10),
    "fashion_mnist": Published((60_000, 10_000), (1, 28, 28), 10),
    "tiny_imagenet": Published((100_000, 10_000), (3, 64, 64), 200),
    "cub200": Published((5_994, 5_794), (3, 224, 224), 200),
}


def data_folder() -> Path:
    """Return `$LANDSCAPE_DATA`, else `data` in the cache folder."""
    named = os.environ.get("LANDSCAPE_DATA")
    return Path(named).expanduser() if named else home() / "data"


def dataset_names() -> list[str]:
    """List the datasets that have a name of their own."""
    return [*GENERATED, *PUBLISHED]


def is_path(name: str) -> bool:
    """Distinguish a path from a name: it has a separator, ends in `.npz`, or is a folder here and no dataset."""
    if name.endswith(".npz") or "/" in name or os.sep in name:
        return True
    return name not in dataset_names() and Path(name).is_dir()


def check_name(name: str) -> None:
    """Refuse a name that no dataset has, and a path that does not exist.

    Raises:
        ValueError: unknown name; the nearest ones are given.
        FileNotFoundError: nothing lies at the path.
    """
    if is_path(name):
        if not Path(name).expanduser().exists():
            raise FileNotFoundError(f"{name} does not exist; give an .npz file or a folder with train/ and test/")
    elif name not in dataset_names():
        raise unknown("dataset", name, [*dataset_names(), "path/to/arrays.npz", "path/to/imagefolder"])


def read(
    name: str,
    *,
    train_size: int | None,
    test_size: int | None,
    difficulty: float | None,
    image_size: int | None,
    seed: int,
    download: bool,
) -> Arrays:
    """Read a dataset's arrays; arguments and errors are those of `load_dataset`."""
    if difficulty is not None and name not in LETTERS:
        raise ValueError(f"difficulty is an option of glyphs10 and glyphs100, not of {name}; leave it out")
    if image_size is not None and name in GENERATED and name not in LETTERS:
        raise ValueError(f"image_size is an option of letters and of real images, not of {name}; leave it out")
    check_name(name)
    if name in GENERATED:
        return _averaged(GENERATED[name](train_size, test_size, difficulty, seed), image_size)
    if is_path(name):
        path = Path(name).expanduser()
        return archives.read_image_folder(path, image_size) if path.is_dir() else _averaged(read_npz(path), image_size)
    return _averaged(_published(name, download), image_size)


def _published(name: str, download: bool) -> Arrays:
    packed = data_folder() / f"{name}.npz"
    if packed.exists():
        return read_npz(packed)
    if name in archives.READERS:
        archives.pack(name, data_folder(), packed, download=download)
        return read_npz(packed)
    return _read_torchvision(name, data_folder(), download)


def read_npz(path: Path) -> Arrays:
    """Read an `.npz` with the keys x_train, y_train, x_test, y_test and classes, unpickling nothing.

    Raises:
        ValueError: the archive is damaged, lacks a key, or holds pickled objects.
    """
    try:
        # Not np.load, which would take a bare array or a pickle for what it is.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                raise ValueError(f"{path} lacks {', '.join(missing)}; an .npz needs the keys {', '.join(KEYS)}")
            x_train, y_train, x_test, y_test, classes = (archive[key] for key in KEYS)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged or is no .npz archive ({error}); fetch or write it again") from error
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise ValueError(
                f"{path} holds pickled objects, which are never loaded; store plain numbers and strings"
            ) from error
        raise
    names = tuple(str(c) for c in np.atleast_1d(classes))
    return as_images(Arrays(x_train, y_train, x_test, y_test, names), str(path))


def as_images(arrays: Arrays, origin: str) -> Arrays:
    """Bring images to (N, H, W, C) of uint8 or float32, both sets on one scale, and labels to int64.

    Raises:
        ValueError: an array has another number of dimensions or no numbers in it, or there is no one scale.
    """
    x_train, x_test = (_channel_last(x, origin) for x in (arrays.x_train, arrays.x_test))
    x_train, x_test = _on_one_scale(x_train, x_test, origin)
    y_train, y_test = (_integers(y, origin) for y in (arrays.y_train, arrays.y_test))
    return Arrays(x_train, y_train, x_test, y_test, tuple(arrays.classes))


def _channel_last(x: NDArray[Any], origin: str) -> NDArray[Any]:
    if x.ndim not in (3, 4) or x.dtype.kind not in "uif":
        raise ValueError(
            f"{origin}: images have shape {x.shape} and type {x.dtype}; they must be numbers (N, H, W) or (N, H, W, C)"
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise ValueError(
            f"{origin}: images have shape {x.shape}, channels first; they must be (N, H, W, C), so transpose them"
        )
    return x[..., None] if x.ndim == 3 else x


def _on_one_scale(train: NDArray[Any], test: NDArray[Any], origin: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return uint8 where all whole numbers are 0 to 255, other whole numbers in units of their type's largest."""
    both = (train, test)
    if all(x.dtype.kind == "f" for x in both):
        return train.astype(np.float32), test.astype(np.float32)
    if all(x.dtype.kind != "f" and (not x.size or (x.min() >= 0 and x.max() <= 255)) for x in both):
        return train.astype(np.uint8), test.astype(np.uint8)
    if train.dtype != test.dtype or train.dtype.itemsize > 2:
        raise ValueError(
            f"{origin}: training images are {train.dtype}, test images {test.dtype}, beyond 0 to 255 and on no known "
            "scale; store both as uint8, uint16 or floats"
        )
    largest = np.float32(np.iinfo(train.dtype).max)
    return train.astype(np.float32) / largest, test.astype(np.float32) / largest


def _integers(y: NDArray[Any], origin: str) -> NDArray[np.int64]:
    if y.shape[1:] not in ((), (1,)) or y.dtype.kind not in "ui":
        raise ValueError(
            f"{origin}: labels have shape {y.shape} and type {y.dtype}; they must be integers of shape (N,)"
        )
    return y.reshape(len(y)).astype(np.int64)


def _read_torchvision(name: str, root: Path, download: bool) -> Arrays:
    from torchvision import datasets

    readers: dict[str, Any] = {
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
    }
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        train, test = (readers[name](root, train=split, download=download) for split in (True, False))
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(archives.not_there(name, root, error)) from error
    # The names of MNIST's digits come as "0 - zero".
    classes = tuple(str(c).split(" - ")[0] for c in train.classes)
    return as_images(
        Arrays(
            np.asarray(train.data),
            np.asarray(train.targets),
            np.asarray(test.data),
            np.asarray(test.targets),
            classes,
        ),
        name,
    )


# --- generated sets ----------------------------------------------------------------------------------------


def _balanced_labels(n: int, classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(np.arange(n) % classes)


def _glyphs(characters: tuple[str, ...], sizes: tuple[int, int]) -> Callable[..., Arrays]:
    def generate(train_size: int | None, test_size: int | None, difficulty: float | None, seed: int) -> Arrays:
        hardness = glyphs.DEFAULT_DIFFICULTY if difficulty is None else difficulty
        parts: list[NDArray[Any]] = []
        for split, (asked, default) in enumerate(zip((train_size, test_size), sizes, strict=True)):
            # One stream a split: a larger training set leaves the test set as it was.
            labels_seed, render_seed = np.random.SeedSequence([seed, split]).generate_state(2)
            labels = _balanced_labels(
                default if asked is None else asked, len(characters), np.random.default_rng(labels_seed)
            )
            parts += [glyphs.render(characters, labels, difficulty=hardness, seed=int(render_seed)), labels]
        return Arrays(parts[0], parts[1], parts[2], parts[3], characters)

    return generate


def _averaged(arrays: Arrays, size: int | None) -> Arrays:
    """Make images smaller by means over square blocks of pixels.

    Raises:
        ValueError: the images are not square, or the blocks would not be whole.
    """
    if size is None:
        return arrays
    whole, width = arrays.x_train.shape[1:3]
    if whole != width or not 1 <= size <= whole or whole % size:
        fitting = ", ".join(str(n) for n in range(4, whole + 1) if whole == width and whole % n == 0)
        raise ValueError(
            f"image_size is {size}; these images of {whole} x {width} are averaged over square blocks, so it must be "
            + (f"one of {fitting}" if fitting else "left out")
        )

    def mean(images: NDArray[Any]) -> NDArray[Any]:
        blocks = images.reshape(len(images), size, whole // size, size, whole // size, -1).mean((2, 4))
        if np.issubdtype(images.dtype, np.integer):
            blocks = np.rint(blocks)
        averaged: NDArray[Any] = blocks.astype(images.dtype)
        return averaged

    return arrays._replace(x_train=mean(arrays.x_train), x_test=mean(arrays.x_test))


def _digits(train_size: int | None, test_size: int | None, difficulty: float | None, seed: int) -> Arrays:
    """Scikit-learn's 1,797 scans of 8x8, split 1,200 to 597 in a fixed order."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    images, labels = (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32)[order], y.astype(np.int64)[order]
    return Arrays(images[:1200], labels[:1200], images[1200:], labels[1200:], tuple("0123456789"))


def _spheres(train_size: int | None, test_size: int | None, difficulty: float | None, seed: int) -> Arrays:
    """Draw spheres around opposed, pairwise orthogonal centres (geometry of memorization, appendix A.5).

    100 classes; pair k has centres +e and -e of unit norm and one subspace of d = 30 dimensions of D = 1,024
    that holds e; points lie at radius r = 5. The text leaves the subspaces open: sharing one within a pair is
    this project's reading, for which "separable exactly if r < 1" holds.
    """
    pairs, radius, dim, ambient = 50, 5.0, 30, 1024
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.standard_normal((ambient, pairs)))[0].T
    bases = np.empty((pairs, ambient, dim))
    for k, centre in enumerate(centres):
        bases[k] = np.linalg.qr(np.column_stack([centre, rng.standard_normal((ambient, dim - 1))]))[0]

    def draw(n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        labels = _balanced_labels(n, 2 * pairs, rng)
        direction = rng.standard_normal((n, dim))
        direction *= radius / np.linalg.norm(direction, axis=1, keepdims=True)
        sign = np.where(labels % 2, -1.0, 1.0)[:, None]
        points = np.empty((n, ambient))
        for k in range(pairs):
            mine = labels // 2 == k
            points[mine] = sign[mine] * centres[k] + direction[mine] @ bases[k].T
        return points.astype(np.float32)[:, None, None, :], labels

    x_train, y_train = draw(10_000 if train_size is None else train_size)
    x_test, y_test = draw(5_000 if test_size is None else test_size)
    classes = tuple(f"{k}{sign}" for k in range(pairs) for sign in "+-")
    return Arrays(x_train, y_train, x_test, y_test, classes)


LETTERS = ("glyphs10", "glyphs100")
GENERATED: dict[str, Callable[..., Arrays]] = {
    "glyphs10": _glyphs(glyphs.GLYPHS10, (6_000, 4_000)),
    "glyphs100": _glyphs(glyphs.GLYPHS100, (10_000, 5_000)),
    "digits": _digits,
    "spheres": _spheres,
}
