"""A point of the plane tells its class and its image, and stays chosen while epochs go by."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape_utils import RunSpec, train
from landscape_utils.engine.features import activations
from landscape_utils.sections.mftma import examples
from landscape_utils.sections.mftma.study import labels_of
from landscape_utils.training.runs import Run


@pytest.fixture(scope="module")
def run(module_home: Path) -> Run:
    kind = {"dataset": "glyphs10", "model": "fcn", "train_size": 120, "test_size": 60, "epochs": 2, "epsilon": 0.5}
    options = {"depth": 3, "width": 8}
    return train(RunSpec(**kind, model_options=options, checkpoints="all"), progress=False)  # type: ignore[arg-type]


def test_the_plane_is_that_of_the_covariance() -> None:
    features = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2, 1, 1, 1])
    found, centred = examples.principal_plane(features), (features - features.mean(0)).double().numpy()
    values, vectors = np.linalg.eigh(centred.T @ centred)
    plane = centred @ vectors[:, :-3:-1] / np.sqrt(values[-1])
    np.testing.assert_allclose(np.abs(found.position), np.abs(plane), atol=1e-6)
    assert found.share == pytest.approx(values[-2:].sum() / values.sum())


def test_one_feature_and_dead_features_have_a_plane() -> None:
    assert examples.principal_plane(torch.arange(4.0)[:, None]).position.shape == (4, 2)
    assert examples.principal_plane(torch.zeros(4, 3))[1] == 0


def test_the_pointer_is_told_a_class_and_a_click_shows_the_image(run: Run) -> None:
    def point(what: str, x: float, y: float) -> None:
        plane._inverse = lambda *place: place  # the pointer in the axes' own coordinates
        setattr(plane, what, [x, y, float(next(times))])

    labels, times = labels_of(run), count()
    plane, turn = examples.example_map(run)
    turn("3", 1, "permuted")
    part, true = labels.subset("permuted"), labels.subset("restored").targets
    rows = torch.cat([(part.targets == c).nonzero().ravel()[: examples.PER_CLASS] for c in range(examples.CLASSES)])
    position = examples.principal_plane(activations(run.model(1), part.inputs[rows], ["3"])["3"]).position
    names = labels.dataset.classes
    for i in range(0, len(rows), 7):
        point("pointer", *map(float, position[i]))
        near = np.linalg.norm(position - position[i], axis=1).argmin()
        name, real = names[part.targets[rows[near]]], names[true[rows[near]]]
        assert plane.tip == (name if name == real else f"an image of {real}, labelled {name}")
    point("pointer", 50.0, 50.0)
    assert plane.tip == ""
    pictures = [bytes(plane.value)]
    point("clicked", *map(float, position[0]))
    pictures.append(bytes(plane.value))
    turn("3", 2, "permuted")  # the example stays chosen
    pictures.append(bytes(plane.value))
    point("clicked", 50.0, 50.0)
    pictures.append(bytes(plane.value))
    assert len(set(pictures)) == 4


def test_a_subset_without_examples_is_an_empty_plane(module_home: Path) -> None:
    kind = {"dataset": "glyphs10", "model": "fcn", "train_size": 60, "test_size": 30, "epochs": 1, "epsilon": 0.0}
    plane, turn = examples.example_map(train(RunSpec(**kind), progress=False))  # type: ignore[arg-type]
    turn("pixels", 1, "permuted")
    plane._inverse = lambda *place: place
    plane.pointer = [0.0, 0.0, 0.0]
    assert bytes(plane.value).startswith(b"\x89PNG")
    assert plane.tip == ""
