import io
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from landscape_utils.data import archives
from landscape_utils.data.datasets import load_dataset


def write_folder(root: Path, sizes: dict[str, tuple[int, int]], splits: tuple[str, ...] = ("train", "test")) -> Path:
    rng = np.random.default_rng(0)
    for split in splits:
        for name, (height, width) in sizes.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return root


def test_an_image_folder_loads(tmp_path: Path) -> None:
    data = load_dataset(str(write_folder(tmp_path / "pets", {"cat": (9, 7), "dog": (9, 7)})))
    assert data.classes == ("cat", "dog")
    assert data.input_shape == (3, 9, 7)
    assert data.test.targets.tolist() == [0, 0, 1, 1]


def test_mixed_sizes_are_refused_and_image_size_resizes_them(tmp_path: Path) -> None:
    root = str(write_folder(tmp_path / "pets", {"cat": (9, 7), "dog": (20, 30)}))
    with pytest.raises(ValueError, match="to resize them"):
        load_dataset(root)
    assert load_dataset(root, image_size=8).input_shape == (3, 8, 8)


LEVELS = np.linspace(0.1, 0.9, 30).reshape(5, 6)


DEPTHS = {  # pictures of one brightness in several depths, and the rounding of each
    "8 bits.png": (np.rint(LEVELS * 255).astype(np.uint8), 255),
    "16 bits.png": (np.rint(LEVELS * 65535).astype(np.uint16), 65535),
    "16 bits.tiff": (np.rint(LEVELS * 65535).astype(np.uint16), 65535),
    "16 bits.pgm": (np.rint(LEVELS * 65535).astype(np.uint16), 65535),
    "floats.tiff": (LEVELS.astype(np.float32), 1e6),
}


@given(files=st.lists(st.sampled_from(sorted(DEPTHS)), min_size=4, max_size=4), resized=st.booleans())
@settings(deadline=None, max_examples=15)
def test_pictures_of_any_depth_keep_their_brightness(files: list[str], resized: bool) -> None:
    with TemporaryDirectory() as folder:
        for i, file in enumerate(files):
            place = Path(folder, ("train", "test")[i // 2], "ab"[i % 2])
            place.mkdir(parents=True)
            Image.fromarray(DEPTHS[file][0]).save(place / file)
        read = load_dataset(folder, mean=[0] * 3, std=[1] * 3, image_size=5 if resized else None)
    for file, picture in zip(files, [*read.train.inputs, *read.test.inputs], strict=True):
        if not resized:
            np.testing.assert_allclose(picture, np.stack([LEVELS] * 3), atol=0.51 / DEPTHS[file][1])
        assert float(picture.mean()) == pytest.approx(0.5, abs=0.02)  # the crop cuts an edge


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.full((5, 6), 70, np.int32), "0.tiff holds int32 from 70 to 70, on no known scale; save it in 8 or 16 bits"),
        (np.full((5, 6), 1.5, np.float32), r"0.tiff holds float32 from 1.5 to 1.5, .* or as floats in \[0, 1\]"),
        (np.full((5, 6), np.nan, np.float32), r"holds float32 from nan to nan"),
    ],
)
def test_pictures_on_no_known_scale_are_refused(tmp_path: Path, pixels: np.ndarray, sentence: str) -> None:
    root = write_folder(tmp_path, {"cat": (5, 6), "dog": (5, 6)})
    Image.fromarray(pixels).save(root / "train" / "dog" / "0.tiff")
    with pytest.raises(ValueError, match=sentence):
        load_dataset(str(root))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pictures_of_8_bits_are_read_as_pillow_converts_them(tmp_path: Path, mode: str) -> None:
    root = write_folder(tmp_path, {"cat": (5, 6), "dog": (5, 6)})
    picture = Image.open(root / "train" / "cat" / "0.png").convert(mode)
    picture.save(root / "train" / "cat" / "0.tiff")
    (root / "train" / "cat" / "0.png").unlink()
    read = archives.read_image_folder(root, None)
    assert read.x_train.dtype == np.uint8
    np.testing.assert_array_equal(read.x_train[0], picture.convert("RGB"))


def test_folders_that_are_not_whole(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a", {"cat": (8, 8), "dog": (8, 8)}, splits=("train",))
    with pytest.raises(FileNotFoundError, match="test does not exist"):
        load_dataset(str(root))
    write_folder(root, {"cat": (8, 8)}, splits=("test",))
    with pytest.raises(ValueError, match="disagree about the classes dog"):
        load_dataset(str(root))
    (root / "test" / "dog").mkdir()
    with pytest.raises(ValueError, match="dog holds no image"):
        load_dataset(str(root))
    (root / "test" / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="no image that can be read"):
        load_dataset(str(root))


def jpeg(size: tuple[int, int], value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_tiny_imagenet_is_read_from_its_archive_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    top = "tiny-imagenet-200"
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr(f"{top}/wnids.txt", "n02\nn01\n")
        archive.writestr(f"{top}/words.txt", "n01\tgoldfish, carp\nn02\ttiger\nn03\tunused\n")
        for wnid, value in (("n01", 50), ("n02", 200)):
            for i in range(3):
                archive.writestr(f"{top}/train/{wnid}/images/{wnid}_{i}.JPEG", jpeg((64, 64), value))
        archive.writestr(f"{top}/val/images/val_0.JPEG", jpeg((64, 64), 200))
        archive.writestr(f"{top}/val/images/val_1.JPEG", jpeg((64, 64), 50))
        archive.writestr(f"{top}/val/val_annotations.txt", "val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n")
    data = load_dataset("tiny_imagenet")
    assert data.classes == ("tiger", "goldfish")
    assert data.test.targets.tolist() == [0, 1]
    brightness = data.pictures(data.train.inputs).mean((1, 2, 3))
    assert ((brightness > 0.5) == (data.train.targets == 0).numpy()).all()
    (tmp_path / "tiny-imagenet-200.zip").unlink()
    assert load_dataset("tiny_imagenet").fingerprint == data.fingerprint


def test_cub200_is_read_from_its_archive(tmp_path: Path) -> None:
    files = {
        "classes.txt": b"1 001.Albatross\n2 002.Wren\n",
        "images.txt": b"1 001.Albatross/a.jpg\n2 002.Wren/b.jpg\n3 001.Albatross/c.jpg\n4 002.Wren/d.jpg\n",
        "image_class_labels.txt": b"1 1\n2 2\n3 1\n4 2\n",
        "train_test_split.txt": b"1 1\n2 1\n3 0\n4 0\n",
        "images/001.Albatross/a.jpg": jpeg((300, 200), 10),
        "images/002.Wren/b.jpg": jpeg((200, 300), 90),
        "images/001.Albatross/c.jpg": jpeg((250, 250), 10),
        "images/002.Wren/d.jpg": jpeg((100, 260), 90),
    }
    with tarfile.open(tmp_path / "cub.tgz", "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"CUB_200_2011/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    arrays = archives.read_cub200(tmp_path / "cub.tgz", size=32)
    assert arrays.classes == ("Albatross", "Wren")
    assert arrays.x_train.shape == arrays.x_test.shape == (2, 32, 32, 3)
    assert arrays.y_train.tolist() == arrays.y_test.tolist() == [0, 1]


def test_a_damaged_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    for name, file in (("tiny_imagenet", "tiny-imagenet-200.zip"), ("cub200", "CUB_200_2011.tgz")):
        (tmp_path / file).write_bytes(b"not an archive at all" * 40)
        with pytest.raises(ValueError, match=f"{file} is damaged"):
            load_dataset(name)
        assert not (tmp_path / f"{name}.npz").exists()
