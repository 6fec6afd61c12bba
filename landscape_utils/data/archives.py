"""Datasets that are folders or archives of image files: Tiny ImageNet, CUB-200, and anyone's own folder."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from landscape_utils.kit.files import write_atomically

SIXTEEN_IN_32 = ("PNG", "PPM")  # formats whose 16 bits Pillow may give as mode I, of 32


class Arrays(NamedTuple):
    """Images (N, H, W, C), labels (N,) and class names of a training and a test set."""

    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    classes: tuple[str, ...]


class Archive(NamedTuple):
    """An archive's file name, where it is published, and the function that reads it."""

    file: str
    url: str
    read: Callable[[Path], Arrays]


def pack(name: str, root: Path, packed: Path, *, download: bool) -> None:
    """Read a published archive once and store it as an `.npz`, which loads in seconds from then on.

    Raises:
        FileNotFoundError: the archive is not there and could not be fetched.
        ValueError: the archive is damaged.
    """
    archive = READERS[name]
    path = root / archive.file
    if not path.exists():
        _fetch(name, archive.url, path, download)
    try:
        arrays = archive.read(path)
    except (zipfile.BadZipFile, zlib.error, tarfile.TarError, KeyError, EOFError, UnidentifiedImageError) as error:
        raise ValueError(
            f"{path} is damaged or is not the published archive ({error}); delete it and fetch it again"
        ) from error
    buffer = BytesIO()
    np.savez(buffer, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    write_atomically(packed, buffer.getbuffer())


def not_there(name: str, root: Path, reason: object) -> str:
    """Return where a dataset was looked for and how to get it there."""
    return (
        f"{name} is not in {root} and could not be fetched ({reason}); put {name}.npz or the published files "
        f"there, or run `landscape data {name}` where there is a network"
    )


def _fetch(name: str, url: str, path: Path, download: bool) -> None:
    from torch.hub import download_url_to_file

    if not download:
        raise FileNotFoundError(not_there(name, path.parent, "downloading was turned off"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        download_url_to_file(url, str(path))
    except OSError as error:
        raise FileNotFoundError(not_there(name, path.parent, error)) from error


# --- image folders -----------------------------------------------------------------------------------------


def read_image_folder(root: Path, image_size: int | None) -> Arrays:
    """Read `train/<class>/*` and `test/<class>/*` as torchvision's `ImageFolder` lists them.

    Raises:
        FileNotFoundError: `train/` or `test/` is missing.
        ValueError: the two disagree about the classes, an image cannot be read, or sizes differ and no
            `image_size` was given.
    """
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise FileNotFoundError(
                f"{root / split} does not exist; an image folder has train/<class>/ and test/<class>/"
            )
    x_train, y_train, classes = _read_split(root / "train", image_size)
    x_test, y_test, test_classes = _read_split(root / "test", image_size)
    if classes != test_classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(
            f"{root}: train/ and test/ disagree about the classes {', '.join(odd)}; both need a folder a class"
        )
    return Arrays(x_train, y_train, x_test, y_test, classes)


def _read_split(folder: Path, image_size: int | None) -> tuple[NDArray[Any], NDArray[np.int64], tuple[str, ...]]:
    from torchvision.datasets import ImageFolder

    try:
        listing = ImageFolder(str(folder), allow_empty=True)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} has no class folders; it needs one folder of images a class") from error
    counts = np.bincount(listing.targets, minlength=len(listing.classes))
    if (counts == 0).any():
        empty = listing.classes[int(np.argmin(counts))]
        raise ValueError(f"{folder / empty} holds no image; every class needs one, so add images or remove the folder")
    named = ((Path(path).name, _open(Path(path))) for path, _ in listing.samples)
    if image_size is not None:
        named = ((name, _centre_crop(image, image_size)) for name, image in named)
    return _stack(named), np.asarray(listing.targets, np.int64), tuple(listing.classes)


def _open(file: Path | IO[bytes]) -> Image.Image:
    """Read a picture as RGB of 8 bits, or as grey floats in [0, 1] (mode F) where it has more than 8 bits.

    Raises:
        ValueError: the file is no image, or its numbers have no known scale.
    """
    try:
        with Image.open(file) as image:
            if not image.mode.startswith(("I", "F")):
                return image.convert("RGB")  # which would clip the others at 255, without a word
            pixels = np.asarray(image)
            if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_IN_32):
                return Image.fromarray(pixels.astype(np.float32) / np.float32(65535))
            if image.mode == "I" or not 0 <= pixels.min() <= pixels.max() <= 1:
                raise ValueError(
                    f"{file} holds {pixels.dtype} from {pixels.min():g} to {pixels.max():g}, on no known scale; save "
                    "it in 8 or 16 bits, or as floats in [0, 1]"
                )
            return image.copy()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{file} is no image that can be read ({error}); replace or remove it") from error


def _stack(named: Iterable[tuple[str, Image.Image]]) -> NDArray[Any]:
    """Stack pictures of one size as uint8, or as floats in [0, 1] where one has more than 8 bits."""
    pictures: list[NDArray[Any]] = []
    for name, image in named:
        pixels = np.asarray(image)
        pictures.append(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
        if pictures[-1].shape != pictures[0].shape:
            (h0, w0), (h, w) = pictures[0].shape[:2], pictures[-1].shape[:2]
            raise ValueError(
                f"images have mixed sizes ({h0}x{w0}, and {name} {h}x{w}); pass image_size=... to resize them all"
            )
    if len({p.dtype for p in pictures}) > 1:
        pictures = [p / np.float32(255) if p.dtype == np.uint8 else p for p in pictures]
    return np.stack(pictures)


def _centre_crop(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to `size` and cut the middle square out."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


# --- Tiny ImageNet and CUB-200 -----------------------------------------------------------------------------


def read_tiny_imagenet(path: Path) -> Arrays:
    """Read `tiny-imagenet-200.zip`; the published validation images are the test set."""
    with zipfile.ZipFile(path) as archive:
        top = "tiny-imagenet-200"
        ids = archive.read(f"{top}/wnids.txt").decode().split()
        words = dict(line.split("\t", 1) for line in archive.read(f"{top}/words.txt").decode().splitlines())
        index = {wnid: i for i, wnid in enumerate(ids)}
        train = sorted(n for n in archive.namelist() if n.startswith(f"{top}/train/") and n.endswith(".JPEG"))
        annotations = archive.read(f"{top}/val/val_annotations.txt").decode().splitlines()
        test = [line.split("\t")[:2] for line in annotations]
        x_train = _stack((name, _open(BytesIO(archive.read(name)))) for name in train)
        x_test = _stack((name, _open(BytesIO(archive.read(f"{top}/val/images/{name}")))) for name, _ in test)
    y_train = np.array([index[name.split("/")[2]] for name in train])
    y_test = np.array([index[wnid] for _, wnid in test])
    return Arrays(x_train, y_train, x_test, y_test, tuple(words[wnid].split(",")[0] for wnid in ids))


def read_cub200(path: Path, size: int = 224) -> Arrays:
    """Read `CUB_200_2011.tgz`, each image scaled and cropped to a square of `size` pixels."""
    with tarfile.open(path) as archive:
        files = {m.name.removeprefix("./"): m for m in archive.getmembers() if m.isfile()}

        def read(name: str) -> bytes:
            handle = archive.extractfile(files[f"CUB_200_2011/{name}"])
            assert handle is not None
            return handle.read()

        def table(name: str) -> dict[str, str]:
            return dict(line.split(" ", 1) for line in read(name).decode().split("\n") if line.strip())

        names, labels, in_train = (
            table("images.txt"),
            table("image_class_labels.txt"),
            table("train_test_split.txt"),
        )
        classes = tuple(name.split(".", 1)[-1] for name in table("classes.txt").values())
        parts: list[NDArray[Any]] = []
        for wanted in ("1", "0"):
            chosen = [key for key, flag in in_train.items() if flag.strip() == wanted]
            pictures = (_centre_crop(_open(BytesIO(read(f"images/{names[key].strip()}"))), size) for key in chosen)
            parts += [
                np.stack([np.asarray(p) for p in pictures]),
                np.array([int(labels[key]) - 1 for key in chosen]),
            ]
    return Arrays(parts[0], parts[1], parts[2], parts[3], classes)


READERS = {
    "tiny_imagenet": Archive(
        "tiny-imagenet-200.zip", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", read_tiny_imagenet
    ),
    "cub200": Archive(
        "CUB_200_2011.tgz", "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz", read_cub200
    ),
}
