from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import landscape_utils as lu
from landscape_utils.data import pairs
from landscape_utils.data.datasets import Labelled

MODEL = nn.Linear(4, 3)
WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64]


class Dicts(Dataset):
    def __init__(self, x: Tensor, y: Tensor, named: str = "labels") -> None:
        self.x, self.y, self.named, self.classes = x, y, named, ["a", "b", "c"]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"pixel_values": self.x[i], self.named: self.y[i], "row": i}


class Once(IterableDataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.rows = iter(zip(x, y, strict=True))

    def __iter__(self) -> Any:
        return self.rows


HOLDERS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "pair": lambda x, y: (x, y),
    "list of two": lambda x, y: [x, y],
    "arrays": lambda x, y: (x.numpy(), y.numpy()),
    "Labelled": lambda x, y: Labelled(x, y),
    "dict": lambda x, y: {"images": x, "label": y},
    "TensorDataset": TensorDataset,
    "list of examples": lambda x, y: [(a, int(b)) for a, b in zip(x, y, strict=True)],
    "Dataset of dicts": Dicts,
    "loader of pairs": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=3),
    "loader of dicts": lambda x, y: DataLoader(Dicts(x, y), batch_size=4),
    "loader of triples": lambda x, y: DataLoader(TensorDataset(x, y, torch.arange(len(y))), batch_size=4),
    "stream": lambda x, y: DataLoader(Once(x, y), batch_size=4),
}


@pytest.mark.parametrize("holder", HOLDERS)
@given(size=st.integers(1, 11), dtype=st.sampled_from(WHOLE), column=st.booleans(), seed=st.integers(0, 99))
def test_whatever_holds_the_examples_they_come_out_alike(
    holder: str, size: int, dtype: torch.dtype, column: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(size, 4, generator=random, dtype=torch.float64), torch.randint(0, 3, (size,), generator=random)
    given_targets = y.to(dtype)[:, None] if column and holder != "list of examples" else y.to(dtype)
    data = pairs.resident(MODEL, HOLDERS[holder](x, given_targets))
    assert torch.equal(data.inputs, x.float())  # the model's type
    assert torch.equal(data.targets, y)
    assert data.targets.dtype == torch.int64


@given(size=st.integers(1, 9), classes=st.integers(2, 5), dtype=st.sampled_from([torch.bool, *WHOLE]))
def test_one_hot_targets_are_their_classes(size: int, classes: int, dtype: torch.dtype) -> None:
    y = torch.arange(size) % classes
    assert torch.equal(pairs.whole_targets(nn.functional.one_hot(y, classes).to(dtype)), y)


x, y = torch.randn(6, 4), torch.arange(6) % 3


class Pairless:
    """No data at all."""


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((x, y[:5]), "6 inputs and 5 targets"),
        ((x[:0], y[:0]), "at least one"),
        ((x, y + 0.5), "no whole numbers"),
        ((x, torch.full((6,), torch.nan)), "no whole numbers"),
        ((x, y + 0j), "no whole numbers"),
        ((x + 0j, y), "real numbers"),
        ((x, torch.rand(6, 3)), r"shape \(6, 3\)"),
        ((x, torch.ones(6, 3)), r"shape \(6, 3\)"),
        ((x, ["cat"] * 6), "no inputs and targets|they must be class indices"),
        (x, "they must|which are no"),
        ((x, y, x), "no inputs and targets"),
        (DataLoader(TensorDataset(x)), "no inputs and targets"),
        (DataLoader([((a, a), 1) for a in x]), "inputs are a list"),
        (DataLoader(TensorDataset(x, y), batch_size=64, drop_last=True), "no batch"),
        (DataLoader(Dicts(x, y, "meaning")), "which are inputs, and which targets, is unclear"),
        ({"input_ids": x, "attention_mask": x, "labels": y}, "is unclear"),
        ([(x, y), (x, y)], "shape"),
        (Pairless(), "a Pairless; give"),
        (lu.load_dataset("digits"), "give one of them"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        pairs.resident(MODEL, data)
    assert "\n" not in str(error.value)


def test_names_come_from_the_dataset_that_a_loader_or_subset_goes_through() -> None:
    data = DataLoader(Subset(Dicts(x, y), range(5)), batch_size=2)
    assert pairs.class_names(data) == ("a", "b", "c")
    assert lu.cctm(MODEL, data)["true"].values.tolist() == ["a", "b", "c"]
    assert pairs.class_names((x, y)) is None
    data.dataset.dataset.classes = ["a", "b", "a"]
    with pytest.raises(ValueError, match="two are called 'a'"):
        lu.class_manifolds(MODEL, data)


def test_tokens_keep_their_type_and_inference_tensors_become_ordinary() -> None:
    tokens = torch.randint(0, 9, (6, 2), dtype=torch.int32)
    assert pairs.resident(MODEL, (tokens, y)).inputs.dtype == torch.int32
    with torch.inference_mode():
        made = torch.randn(6, 4)
    assert not pairs.resident(MODEL, (made, y)).inputs.is_inference()


def test_large_images_come_in_smaller_batches_and_streams_do_not_know_how_many() -> None:
    large = np.zeros((3, pairs.BATCH_VALUES // 2), np.float32)
    assert [len(a) for a, _ in pairs.batches((large, y[:3]), 100)] == [2, 1]
    assert pairs.batch_count((large, y[:3]), 100) == 2
    assert pairs.batch_count({"x": x, "y": y}, 4) == 2
    assert pairs.batch_count(TensorDataset(x, y), 4) == 2
    assert pairs.batch_count(DataLoader(Once(x, y)), 4) is None
