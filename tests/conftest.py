"""Shared by all tests: a cache of their own, and small data that need no drawing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest

from landscape_utils.data.archives import Arrays
from landscape_utils.data.datasets import Dataset, from_arrays
from landscape_utils.kit import journal, store

# Jupyter's platform folders warn about their own future otherwise, and warnings are errors here.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=1, help="how often training is killed at a random moment")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty cache."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LANDSCAPE_HOME", str(folder))
    monkeypatch.delenv("LANDSCAPE_OUT", raising=False)
    monkeypatch.delenv("LANDSCAPE_FIGURES", raising=False)
    return folder


@pytest.fixture
def kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every step of a journal as soon as it is done, however long keeping takes beside it."""
    monkeypatch.setattr(journal, "PAUSE", 0.0)
    monkeypatch.setattr(store, "SAVING", float("inf"))


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give what a module's tests share a cache of its own, in which it is made once."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDSCAPE_HOME", str(folder))
        yield folder


def small_arrays(classes: int = 3, train: int = 60, test: int = 30, size: int = 8, seed: int = 0) -> Arrays:
    """Draw noisy patches whose brightness tells the class."""
    rng = np.random.default_rng(seed)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % classes
        images = rng.integers(0, 120, (n, size, size, 3)) + (labels * 120 // classes)[:, None, None, None]
        return images.astype(np.uint8), labels

    return Arrays(*draw(train), *draw(test), tuple(f"class{c}" for c in range(classes)))


@pytest.fixture
def small() -> Dataset:
    return from_arrays("small", small_arrays())


@pytest.fixture
def small_npz(tmp_path: Path) -> Path:
    path = tmp_path / "small.npz"
    arrays = small_arrays()
    np.savez(path, **{**arrays._asdict(), "classes": np.array(arrays.classes)})
    return path


@pytest.fixture(autouse=True)
def _untimed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first batch size: in an empty cache, timing all of them costs more than what is tested."""
    if request.path.stem != "test_engine":
        monkeypatch.setattr("landscape_utils.engine.engine.best_batch", lambda timed, sizes, passes: (sizes[0], False))


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


REAL = Path(os.environ["LANDSCAPE_DATA"]) if os.environ.get("LANDSCAPE_DATA") else None


def _needs(name: str, title: str) -> pytest.MarkDecorator:
    missing = REAL is None or not (REAL / f"{name}.npz").exists()
    reason = f"real {title} is not here: set LANDSCAPE_DATA to a folder that holds {name}.npz"
    return pytest.mark.skipif(missing, reason=reason)


needs_cifar10 = _needs("cifar10", "CIFAR-10")
needs_mnist = _needs("mnist", "MNIST")


def write_notebook(path: Path, parameters: str, *codes: str) -> Path:
    """Write a notebook of a parameters cell and some more, and return its path."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, codes)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path
