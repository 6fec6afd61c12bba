from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape_utils.data.datasets import Dataset, Labelled, class_index, from_arrays, load_dataset, require_published
from landscape_utils.data.sources import PUBLISHED, Published
from tests.conftest import REAL, needs_cifar10, small_arrays
from tests.unit.data.conftest import write_npz


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
    with pytest.raises(ValueError, match="needs a published dataset"):
        require_published(small)
    part = replace(small, name="cifar10")
    with pytest.raises(ValueError, match=r"all of cifar10 \(50,000 training and 10,000 test images\), and 60 and 30"):
        require_published(part)
    require_published(part, accept_part=True)


def test_published_images_made_smaller_are_not_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(from_arrays("small", small_arrays(size=4)), name="cifar10")
    monkeypatch.setitem(PUBLISHED, "cifar10", Published((60, 30), (3, 8, 8), 3))
    with pytest.raises(ValueError, match="leave image_size out"):
        require_published(small)
    require_published(replace(from_arrays("small", small_arrays(size=8)), name="cifar10"))


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


@needs_cifar10
@pytest.mark.parametrize(("name", "sizes"), [("cifar10", (12_000, 4_000)), ("mnist", (10_000, 2_000))])
def test_real_data_load(name: str, sizes: tuple[int, int]) -> None:
    assert REAL is not None
    data = load_dataset(name)
    assert (data.train.size, data.test.size) == sizes
