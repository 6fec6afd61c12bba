"""Notebooks' workhorse: why deep networks generalise, as plain functions over models and tensors."""

from landscape_utils.capacity import ball_capacity, empirical_capacity
from landscape_utils.curves import name_curve, stationary_points
from landscape_utils.dancing import dance, dance_events, dancing_notes, recalls_by_epoch
from landscape_utils.data import Dataset, Labelled, load_dataset
from landscape_utils.directions import Directions
from landscape_utils.ego import class_gradients, ego_surface
from landscape_utils.evaluate import curve, refine, surface
from landscape_utils.flatness import flat_area
from landscape_utils.hessian import hessian_density, hessian_eigenpairs
from landscape_utils.inference import outcomes
from landscape_utils.interference import (
    agreement,
    bootstrap_interval,
    by_model,
    cctm,
    cctm_of,
    error_shares,
    interference_only,
    interferers,
    mean_cctm,
    recalls,
    symmetry,
    top_cells,
)
from landscape_utils.labels import permute_labels
from landscape_utils.manifolds import mftma
from landscape_utils.mining import mine_peak, mine_vvv
from landscape_utils.models import build_model
from landscape_utils.plateau import interpolate, plateau_length
from landscape_utils.profiles import settle
from landscape_utils.recipes import RECIPES, RunSpec
from landscape_utils.runs import Run
from landscape_utils.second_order import slope_and_curvature
from landscape_utils.space import flatten, gaussian_direction, normalise, plane_through, trajectory_plane
from landscape_utils.traces import hessian_trace
from landscape_utils.training import default_device, train

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "Dataset",
    "Directions",
    "Labelled",
    "Run",
    "RunSpec",
    "agreement",
    "ball_capacity",
    "bootstrap_interval",
    "build_model",
    "by_model",
    "cctm",
    "cctm_of",
    "class_gradients",
    "curve",
    "dance",
    "dance_events",
    "dancing_notes",
    "default_device",
    "ego_surface",
    "empirical_capacity",
    "error_shares",
    "flat_area",
    "flatten",
    "gaussian_direction",
    "hessian_density",
    "hessian_eigenpairs",
    "hessian_trace",
    "interference_only",
    "interferers",
    "interpolate",
    "load_dataset",
    "mean_cctm",
    "mftma",
    "mine_peak",
    "mine_vvv",
    "name_curve",
    "normalise",
    "outcomes",
    "permute_labels",
    "plane_through",
    "plateau_length",
    "recalls",
    "recalls_by_epoch",
    "refine",
    "settle",
    "slope_and_curvature",
    "stationary_points",
    "surface",
    "symmetry",
    "top_cells",
    "train",
    "trajectory_plane",
]
