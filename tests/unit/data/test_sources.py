import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_utils.data import sources
from landscape_utils.data.archives import Arrays
from landscape_utils.data.datasets import from_arrays, load_dataset
from tests.conftest import small_arrays
from tests.unit.data.conftest import write_npz


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
    with pytest.raises(ValueError, match="image_size is an option of letters and of real images"):
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


def test_letters_are_averaged_over_whole_blocks() -> None:
    whole, half = (sources.read("glyphs10", train_size=20, test_size=10, difficulty=None, image_size=n, seed=3,
                                download=False) for n in (None, 16))  # fmt: skip
    assert half.x_train.shape == (20, 16, 16, 3)
    corner = whole.x_train[:, 6:8, 4:6].astype(float).mean((1, 2))
    assert np.abs(half.x_train[:, 3, 2] - corner).max() <= 0.5
    with pytest.raises(ValueError, match="it must be one of 4, 8, 16, 32"):
        load_dataset("glyphs10", train_size=20, test_size=10, image_size=12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_stored_images_are_averaged_over_whole_blocks(dtype: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12, 8, 8)).astype(dtype) / (1 if dtype is np.uint8 else 255)
    x, y = x.astype(dtype), np.arange(12) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y, classes=["a", "b"])
    got = load_dataset(str(tmp_path / "a.npz"), image_size=4, mean=(0.0,), std=(1.0,))
    want = x.astype(float).reshape(12, 4, 2, 4, 2).mean((2, 4)) / (255 if dtype is np.uint8 else 1)
    assert np.abs(got.train.inputs[:, 0].numpy() - want).max() <= (0.5 / 255 + 1e-6 if dtype is np.uint8 else 1e-6)
    np.savez(tmp_path / "b.npz", x_train=x[:, :6], y_train=y, x_test=x[:, :6], y_test=y, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"6 x 8 are averaged over square blocks, so it must be left out"):
        load_dataset(str(tmp_path / "b.npz"), image_size=4)
