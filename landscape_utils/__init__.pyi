"""Names and types of what the package offers; each is imported when it is first used."""

from .capacity import ball_capacity, empirical_capacity
from .class_gradient import class_gradients
from .curves import name_curve, stationary_points
from .dancing import dance, dance_events, dancing_notes, recalls_by_epoch
from .data import Dataset, Labelled, load_dataset
from .directions import Directions
from .double_descent import train_width
from .ego import ego_surface
from .evaluate import curve, refine, surface
from .features import activations, class_manifolds
from .flatness import flat_area
from .gradients import gradient_split
from .hessian import hessian_density, hessian_eigenpairs
from .inference import outcomes
from .interference import (
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
from .labels import permute_labels
from .manifolds import mftma
from .mining import mine_peak, mine_vvv
from .models import build_model
from .plateau import interpolate, plateau_length
from .profiles import settle
from .recipes import RECIPES, RunSpec
from .rewinding import rewind, rewound_accuracies
from .runs import Run
from .second_order import slope_and_curvature
from .space import flatten, gaussian_direction, normalise, plane_through, trajectory_plane
from .traces import hessian_trace
from .training import default_device, train

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
    "train_width",
    "trajectory_plane",
]
