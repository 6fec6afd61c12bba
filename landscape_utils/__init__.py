"""Notebooks' workhorse: why deep networks generalise, as plain functions over models and tensors."""

from landscape_utils.data import Dataset, Labelled, load_dataset
from landscape_utils.interference import (
    agreement,
    bootstrap_interval,
    cctm,
    error_shares,
    interferers,
    recalls,
    symmetry,
    top_cells,
)
from landscape_utils.labels import permute_labels
from landscape_utils.models import build_model
from landscape_utils.recipes import RECIPES, RunSpec
from landscape_utils.runs import Run
from landscape_utils.training import train

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "Dataset",
    "Labelled",
    "Run",
    "RunSpec",
    "agreement",
    "bootstrap_interval",
    "build_model",
    "cctm",
    "error_shares",
    "interferers",
    "load_dataset",
    "permute_labels",
    "recalls",
    "symmetry",
    "top_cells",
    "train",
]
