"""What an older version kept is found again: the names of its shelves, as they were."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.training.training import find

X, Y = (torch.arange(48) % 11 - 5).reshape(12, 4) / 4, torch.arange(12) % 3


def network() -> nn.Module:
    """Give a network whose weights are the same on every processor."""
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.arange(parameter.numel()) % 7 - 3).reshape(parameter.shape) / 4)
    return model


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        (lu.RunSpec(dataset="small", model="mlp", epochs=3), "0b21897d29bc0e8c722f04cf"),
        (lu.RunSpec(dataset="small", model="resnet8", epochs=2, seed=1, epsilon=0.5), "202f9f1854de168fe74b8e25"),
        (lu.RunSpec(dataset="small", model="vgg11", lr=0.1, batch_size=16), "2306856d498f9fad009e1e4f"),
    ],
)
def test_a_trained_run_is_found_again(spec: lu.RunSpec, digest: str, small: Dataset) -> None:
    data = replace(small, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert find(spec, data).folder.name == digest


def test_results_are_found_again(home: Path) -> None:
    model = network()
    line = torch.ones(sum(p.numel() for p in model.parameters())) / 8
    epochs = {0: model.state_dict(), 1: {name: value / 2 for name, value in model.state_dict().items()}}
    lu.curve(model, (X, Y), line, [0.0, 0.5, 1.0], cache=True, progress=False)
    lu.hessian_eigenpairs(model, (X, Y), 1, progress=False)
    lu.hessian_density(model, (X, Y), progress=False)
    lu.mine_peak(model, (X, Y), epochs=1, progress=False)
    lu.rewound_accuracies(model, epochs, (X, Y), (X, Y), progress=False)
    kept = {f"{path.parent.name}/{path.name}" for kind in KINDS for path in (home / kind).iterdir()}
    assert kept == KEPT


KINDS = ("points", "spectra", "mined", "rewound")
KEPT = {
    "mined/0aaf77724a83887aa7ad12bb",
    "points/f9bf3fd2e166c8392f3b2f99",
    "rewound/429f3f5acfe24517a836cbc0",
    "spectra/dbcb0a42e398b2383da1c1d8",
    "spectra/e59b21c5c90eb4f0d8c217f7",
}
