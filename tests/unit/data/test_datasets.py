import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from landscape_utils.data import archives, sources
from landscape_utils.data.archives import Arrays
from landscape_utils.data.datasets import Dataset, Labelled, class_index, from_arrays, load_dataset, require_published
from tests.conftest import REAL, needs_cifar10, small_arrays


def write_npz(path: Path, **changes: object) -> Path:
    arrays = small_arrays()
    content = {**arrays._asdict(), "classes": np.array(arrays.classes), **changes}
    np.savez(path, **{k: v for k, v in content.items() if v is not None})
    return path


def write_folder(root: Path, sizes: dict[str, tuple[int, int]], splits: tuple[str, ...] = ("train", "test")) -> Path:
    rng = np.random.default_rng(0)
    for split in splits:
        for name, (height, width) in sizes.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return root


# --- what a dataset is ---


@pytest.mark.parametrize(
    ("name", "sizes", "shape", "classes"),
    [
        ("glyphs10", (200, 100), (3, 32, 32), 10),
        ("glyphs100", (200, 100), (3, 32, 32), 100),
        ("digits", (800, 300), (1, 8, 8), 10),
        ("spheres", (300, 200), (1024, 1, 1), 100),
    ],
)
def test_generated_sets_have_their_shape_and_balanced_classes(
    name: str, sizes: tuple[int, int], shape: tuple[int, int, int], classes: int
) -> None:
    data = load_dataset(name, train_size=sizes[0], test_size=sizes[1])
    for part, size in zip((data.train, data.test), sizes, strict=True):
        inputs, targets = part
        assert inputs.shape == (size, *shape)
        assert inputs.dtype == torch.float32
        counts = torch.bincount(targets, minlength=classes)
        assert int(counts.max() - counts.min()) <= 1
        assert part.classes == data.classes
    assert data.input_shape == shape
    assert len(data.classes) == classes
    assert data.sizes == f"{name}: {sizes[0]:,} training and {sizes[1]:,} test images"


def test_inputs_are_normalised_by_the_training_set() -> None:
    data = load_dataset("glyphs10", train_size=500, test_size=100)
    mean, std = data.train.inputs.double().mean((0, 2, 3)), data.train.inputs.double().std((0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(std, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-5)


def test_pictures_undo_the_normalisation() -> None:
    arrays = small_arrays()
    data = from_arrays("small", arrays)
    np.testing.assert_allclose(data.pictures(data.test.inputs), arrays.x_test / 255, atol=1e-6)


def test_a_constant_channel_stays_finite() -> None:
    arrays = small_arrays()
    arrays.x_train[..., 1] = 7
    assert bool(from_arrays("flat", arrays).train.inputs.isfinite().all())


def test_the_same_seed_gives_the_same_bytes_and_a_larger_training_set_keeps_the_test_set() -> None:
    a, b = (load_dataset("glyphs10", train_size=50, test_size=20, seed=3) for _ in range(2))
    c = load_dataset("glyphs10", train_size=80, test_size=20, seed=3)
    assert a.fingerprint == b.fingerprint != c.fingerprint
    np.testing.assert_allclose(a.pictures(a.test.inputs), c.pictures(c.test.inputs), atol=1e-6)


@pytest.mark.parametrize("change", ["pixel", "label", "class name"])
def test_every_byte_counts_for_the_fingerprint(change: str) -> None:
    arrays = small_arrays()
    before = from_arrays("small", arrays).fingerprint
    if change == "pixel":
        arrays.x_test[0, 0, 0, 0] ^= 1
    elif change == "label":
        arrays.y_train[0] = (arrays.y_train[0] + 1) % 3
    else:
        arrays = arrays._replace(classes=("a", "b", "c"))
    assert from_arrays("small", arrays).fingerprint != before


def test_spheres_are_the_appendix_ones() -> None:
    data = load_dataset("spheres", train_size=4000, test_size=200)
    points, labels = data.train.inputs.flatten(1).double(), data.train.targets
    first = points[labels == 0]
    centre = first.mean(0)
    # 40 points at radius 5 around a centre of norm 1: the mean is off by about 5/sqrt(40).
    opposite = points[labels == 1].mean(0)
    both = torch.cat([points[labels == 0], points[labels == 1]])
    rank = int((torch.linalg.svdvals(both) > 1e-3).sum())
    assert rank == 30  # one shared subspace that holds the centres
    axis = both.mean(0)
    assert axis.norm() < 1.5  # the pair is opposed: its centres cancel
    assert (centre - opposite).norm() > 0.5
    # |x - c| = 5 exactly, for a c of norm 1 in the subspace: solve |x|^2 - 2 c.x + 1 = 25 by least squares.
    basis = torch.linalg.svd(both, full_matrices=False)[2][:30]
    x = first @ basis.T
    c = torch.linalg.lstsq(2 * x, (x.square().sum(1) - 24)[:, None]).solution[:, 0]
    torch.testing.assert_close((x - c).norm(dim=1), torch.full((len(x),), 5.0, dtype=torch.float64), rtol=0, atol=1e-3)
    assert abs(float(c.norm()) - 1) < 1e-3


def test_class_names_short_names_and_indices() -> None:
    classes = ("airplane", "automobile", "cat")
    assert [class_index(classes, c) for c in ("plane", "car", "automobile", "cat", 2)] == [0, 1, 1, 2, 2]
    assert class_index(("plane", "car"), "airplane") == 0
    with pytest.raises(ValueError, match="nearest valid names are: cat"):
        class_index(classes, "cta")
    with pytest.raises(ValueError, match="0 to 2"):
        class_index(classes, 3)


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="the classes: two are called 'cat'"):
        Labelled(torch.zeros(2, 3), torch.arange(2), ("cat", "dog", "cat"))


def test_a_stratified_part_takes_from_every_class_alike(small_npz: Path) -> None:
    part = load_dataset(str(small_npz), train_size=31, test_size=3)
    counts = torch.bincount(part.train.targets, minlength=3)
    assert sorted(counts.tolist()) == [10, 10, 11]
    assert torch.bincount(part.test.targets).tolist() == [1, 1, 1]
    other = load_dataset(str(small_npz), train_size=31, test_size=3, seed=1)
    assert other.fingerprint != part.fingerprint
    with pytest.raises(ValueError, match="choose from 3"):
        load_dataset(str(small_npz), train_size=61)


def test_the_paper_profile_refuses_a_part(small: Dataset) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="needs a published dataset"):
        require_published(small)
    part = replace(small, name="cifar10")
    with pytest.raises(ValueError, match=r"all of cifar10 \(50,000 training and 10,000 test images\), and 60 and 30"):
        require_published(part)
    require_published(part, accept_part=True)


# --- npz files ---


def test_an_npz_loads_with_grey_images_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = {name: rng.integers(0, 255, (n, 6, 5), dtype=np.uint8) for name, n in (("x_train", 60), ("x_test", 30))}
    assert load_dataset(str(write_npz(tmp_path / "grey.npz", **grey))).input_shape == (1, 6, 5)


def test_whole_numbers_of_any_type_are_scaled_alike(tmp_path: Path) -> None:
    arrays = small_arrays()
    wide = {"x_train": arrays.x_train.astype(np.int64), "x_test": arrays.x_test.astype(np.uint16)}
    data = [load_dataset(str(write_npz(tmp_path / f"{i}.npz", **c))) for i, c in enumerate(({}, wide))]
    assert torch.equal(data[0].train.inputs, data[1].train.inputs)
    assert data[0].fingerprint == data[1].fingerprint


INTEGERS = [np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i4")]


@given(kind=st.sampled_from(INTEGERS), data=st.data())
@settings(deadline=None)
def test_one_raw_number_is_one_input_in_both_sets(kind: np.dtype, data: st.DataObject) -> None:
    limits = np.iinfo(kind)
    ends = st.tuples(*[st.integers(max(limits.min, -(2**40)), min(limits.max, 2**40)) | st.integers(0, 127)] * 2)
    shared, *spread = data.draw(st.integers(0, 127)), data.draw(ends), data.draw(ends)
    images = [np.array([[[shared]], [[low]], [[high]]], kind) for low, high in spread]
    labels = np.arange(3, dtype=kind)[:, None]
    arrays = Arrays(images[0], labels, images[1], labels, ("a", "b", "c"))
    inside = all(0 <= value <= 255 for pair in spread for value in pair)
    if kind.itemsize > 2 and not inside:
        with pytest.raises(ValueError, match="on no known scale"):
            from_arrays("raw", arrays)
        return
    read = from_arrays("raw", arrays)
    unit = 255 if inside else limits.max
    for split, raw in zip((read.train, read.test), images, strict=True):
        restored = split.inputs[:, 0, 0, 0] * read.std[0] + read.mean[0]
        np.testing.assert_allclose(restored, raw[:, 0, 0] / unit, atol=1e-5)
        assert split.targets.tolist() == [0, 1, 2]


def test_float_images_are_taken_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, 2, (60, 4, 4, 3)).astype(np.float32)
    data = load_dataset(str(write_npz(tmp_path / "f.npz", x_train=x, x_test=x[:30])))
    restored = data.train.inputs * torch.tensor(data.std)[:, None, None] + torch.tensor(data.mean)[:, None, None]
    np.testing.assert_allclose(restored.permute(0, 2, 3, 1), x, atol=1e-5)


def test_a_pickled_payload_is_refused_and_never_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))  # type: ignore[return-value]

    for key in sources.KEYS:
        path = write_npz(tmp_path / f"{key}.npz", **{key: np.array([Bomb()], dtype=object)})
        with pytest.raises(ValueError, match="pickled objects, which are never loaded"):
            load_dataset(str(path))
    raw = tmp_path / "raw.npz"
    raw.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"damaged or is no \.npz|pickled"):
        load_dataset(str(raw))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_archive_is_refused(small_npz: Path, share: float) -> None:
    whole = small_npz.read_bytes()
    small_npz.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="damaged"):
        load_dataset(str(small_npz))


def test_a_flipped_byte_in_the_images_is_refused(small_npz: Path) -> None:
    whole = bytearray(small_npz.read_bytes())
    whole[2000] ^= 0xFF
    small_npz.write_bytes(bytes(whole))
    with pytest.raises(ValueError, match="damaged"):
        load_dataset(str(small_npz))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "lacks classes"),
        ({"y_train": np.arange(60) % 4}, "training label 3 lies outside the 3 classes; labels must be 0 to 2"),
        ({"y_test": np.arange(30) % 3 - 1}, "test label -1 lies outside"),
        ({"y_train": np.zeros(60, int)}, "class 'class1' has no training image"),
        ({"y_test": np.zeros(30, int)}, "class 'class1' has no test image"),
        ({"y_train": np.zeros(59, int)}, "60 training images but 59 training labels"),
        ({"y_train": np.zeros(60)}, "must be integers"),
        ({"x_train": np.zeros((60, 8))}, r"must be numbers \(N, H, W\)"),
        ({"x_test": np.zeros((30, 9, 9, 3), np.uint8)}, "they must agree"),
        ({"x_train": np.zeros((60, 3, 8, 8), np.uint8)}, "channels first; .* so transpose them"),
        ({"classes": np.array(["a", "b", "a"])}, "two are called 'a'; each needs a name of its own"),
        ({"classes": np.array(["a"])}, "must be two or more"),
        ({"y_train": np.zeros((60, 3), int)}, "must be integers"),
        ({"y_train": np.zeros(60, complex)}, "must be integers"),
        ({"x_train": np.zeros((60, 8, 8, 3), complex)}, "must be numbers"),
        ({"x_train": np.full((60, 8, 8, 3), 256)}, "training images are int64, test images uint8"),
        ({"x_train": np.ones((60, 8, 8, 3), np.float32)}, "training images are float32, test images uint8"),
        ({name: np.full((n, 8, 8, 3), 256) for name, n in (("x_train", 60), ("x_test", 30))}, "int64, beyond 0 to 255"),
        ({"x_train": np.full((60, 8, 8, 3), np.nan), "x_test": np.zeros((30, 8, 8, 3))}, "NaN or an infinity"),
    ],
)
def test_bad_content_gets_one_clear_sentence(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(str(write_npz(tmp_path / "bad.npz", **changes)))
    assert "\n" not in str(caught.value)


# --- names and places ---


def test_an_npz_under_landscape_data_comes_before_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    write_npz(tmp_path / "mnist.npz")
    assert load_dataset("mnist").train.size == 60


def test_unknown_names_and_missing_paths() -> None:
    with pytest.raises(ValueError, match="nearest valid names are: cifar10"):
        load_dataset("cifar01")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_dataset("no/such.npz")
    with pytest.raises(ValueError, match="difficulty is an option of glyphs10"):
        load_dataset("digits", difficulty=1.0)
    with pytest.raises(ValueError, match="image_size is an option of image folders"):
        load_dataset("digits", image_size=8)


@pytest.mark.parametrize("name", ["cifar10", "mnist", "tiny_imagenet", "cub200"])
def test_absent_data_says_where_it_was_looked_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match=f"landscape data {name}") as caught:
        load_dataset(name, download=False)
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "empty").exists()


def test_torchvision_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny FashionMNIST in torchvision's own file format."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 20), ("t10k", 10)):
        images, labels = np.full((n, 28, 28), 9, np.uint8), (np.arange(n) % 10).astype(np.uint8)
        header = (0x0803).to_bytes(4, "big") + b"".join(d.to_bytes(4, "big") for d in images.shape)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = (0x0801).to_bytes(4, "big") + n.to_bytes(4, "big")
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    data = load_dataset("fashion_mnist", download=False)
    assert (data.train.size, data.test.size, data.input_shape) == (20, 10, (1, 28, 28))
    assert data.classes[0] == "T-shirt/top"


@needs_cifar10
@pytest.mark.parametrize(("name", "sizes"), [("cifar10", (12_000, 4_000)), ("mnist", (10_000, 2_000))])
def test_real_data_load(name: str, sizes: tuple[int, int]) -> None:
    assert REAL is not None
    data = load_dataset(name)
    assert (data.train.size, data.test.size) == sizes


# --- folders and archives ---


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
