"""Names and types of what the package offers; each is imported when it is first used."""

from .data.datasets import Dataset, Labelled, load_dataset
from .data.labels import permute_labels
from .engine.class_gradients import class_gradients
from .engine.evaluate import curve, refine, surface
from .engine.features import activations, class_manifolds
from .engine.inference import outcomes
from .engine.space import flatten, gaussian_direction, normalise, plane_through, trajectory_plane
from .interference.cctm import (
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
from .interference.dancing import dance, dance_events, dancing_notes, recalls_by_epoch
from .interference.ego import ego_surface
from .interference.flatness import flat_area, flat_radii
from .kit.devices import default_device
from .landscape.curves import name_curve, stationary_points
from .landscape.directions import Directions
from .landscape.hessian import hessian_density, hessian_eigenpairs
from .landscape.mining import mine_peak, mine_vvv
from .landscape.second_order import slope_and_curvature
from .landscape.traces import hessian_trace
from .memorization.capacity import ball_capacity, empirical_capacity
from .memorization.double_descent import train_width
from .memorization.gradients import gradient_split
from .memorization.manifolds import mftma
from .memorization.rewinding import rewind, rewound_accuracies
from .plateau.plateau import interpolate, plateau_length
from .run.own_model import panel
from .suite.session import settle
from .training.models import build_model
from .training.recipes import RECIPES, RunSpec
from .training.runs import Run
from .training.several import train_each
from .training.training import train

__version__: str

__all__ = [
    "RECIPES",
    "Dataset",
    "Directions",
    "Labelled",
    "Run",
    "RunSpec",
    "activations",
    "agreement",
    "ball_capacity",
    "bootstrap_interval",
    "build_model",
    "by_model",
    "cctm",
    "cctm_of",
    "class_gradients",
    "class_manifolds",
    "curve",
    "dance",
    "dance_events",
    "dancing_notes",
    "default_device",
    "ego_surface",
    "empirical_capacity",
    "error_shares",
    "flat_area",
    "flat_radii",
    "flatten",
    "gaussian_direction",
    "gradient_split",
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
    "panel",
    "permute_labels",
    "plane_through",
    "plateau_length",
    "recalls",
    "recalls_by_epoch",
    "refine",
    "rewind",
    "rewound_accuracies",
    "settle",
    "slope_and_curvature",
    "stationary_points",
    "surface",
    "symmetry",
    "top_cells",
    "train",
    "train_each",
    "train_width",
    "trajectory_plane",
]
