"""What each notebook computes at each profile, and what that would cost."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import xarray as xr
from matplotlib.figure import Figure

from landscape_utils import claims, plots, sources
from landscape_utils.data import Dataset, load_dataset, require_published
from landscape_utils.errors import unknown
from landscape_utils.files import home
from landscape_utils.models import build_model
from landscape_utils.recipes import RunSpec
from landscape_utils.state import memory_format
from landscape_utils.training import default_device, is_trained

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "01_cctm": {
        "quick": {
            "dataset": "glyphs10",
            "architectures": ["mlp", "resnet8", "vgg11"],
            # In ten epochs, 0.1 leaves a VGG at chance now and then.
            "overrides": {"vgg11": {"model_options": {"width": 0.25}, "lr": 0.05}},
            "recipe": "anneal-lr",
            "epochs": 10,
            "seeds": [0],
        },
        "standard": {
            "dataset": "cifar10",
            "architectures": ["vgg16", "resnet18", "googlenet", "dla"],
            "recipe": "anneal-lr",
            "epochs": 30,
            "seeds": [0],
            "precision": "bf16",
        },
        "paper": {
            "dataset": "cifar10",
            "architectures": ["vgg19", "resnet18", "googlenet", "dla"],
            "recipe": "anneal-lr",
            "epochs": 200,
            "seeds": [0],
        },
    },
    # 03_label_dancing: begin
    # 03_label_dancing: end
}


@dataclass(frozen=True)
class Setup:
    """A notebook's parameters with everything derived.

    Attributes:
        notebook, profile: which settings these are.
        dataset, train_size, test_size, image_size: the data; None for whole.
        architectures, recipe, epochs, lr, seeds, precision: the runs; lr None is the profile's or the recipe's own.
        threshold: rate above which a class interferes.
        formats: of the pictures, among png, svg and pdf.
        overrides: what the profile changes for single architectures, as fields of `RunSpec`.
        accept_part: let the paper profile run on a part of the published data.
    """

    notebook: str
    profile: str
    dataset: str
    architectures: Sequence[str]
    recipe: str
    epochs: int
    seeds: Sequence[int]
    lr: float | None = None
    train_size: int | None = None
    test_size: int | None = None
    image_size: int | None = None
    precision: str = "float32"
    threshold: float = 0.005
    formats: Sequence[str] = ("png",)
    accept_part: bool = False
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        plots.check_formats(self.formats)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; rates lie in [0, 1]")
        if self.profile == "paper" and not self.accept_part and self.dataset not in sources.PUBLISHED:
            known = ", ".join(sources.PUBLISHED)
            raise ValueError(f"the paper profile needs a published dataset ({known}), or accept_part=True")
        self.specs()

    def load_data(self, *, download: bool = True) -> Dataset:
        """Load the dataset; the paper profile refuses a part of it unless told to accept one."""
        data = load_dataset(
            self.dataset,
            train_size=self.train_size,
            test_size=self.test_size,
            image_size=self.image_size,
            download=download,
        )
        if self.profile == "paper":
            require_published(data, accept_part=self.accept_part)
        return data

    def specs(self) -> dict[str, list[RunSpec]]:
        """List the runs by architecture, one a seed."""
        common: dict[str, Any] = {
            "dataset": self.dataset,
            "recipe": self.recipe,
            "epochs": self.epochs,
            "train_size": self.train_size,
            "test_size": self.test_size,
            "image_size": self.image_size,
            "precision": self.precision,
        }
        runs = {}
        for name in self.architectures:
            options = {**common, **self.overrides.get(name, {})}
            if self.lr is not None:
                options["lr"] = self.lr
            runs[name] = [RunSpec(model=name, seed=seed, **options) for seed in self.seeds]
        return runs

    def save(self, figure: Figure, name: str, numbers: xr.Dataset) -> None:
        """Write a figure's picture, and its numbers beside the executed notebook."""
        plots.save(
            figure, f"{self.notebook}-{name}", numbers, figures=figures_folder(), out=out_folder(), formats=self.formats
        )

    def save_claims(self, judgements: Sequence[claims.Judgement], data: Dataset) -> None:
        """Write the verdicts, and what they rest on, beside the executed notebook."""
        claims.save(judgements, out_folder() / f"{self.notebook}.claims.json", self.about(data))

    def about(self, data: Dataset) -> dict[str, Any]:
        """Tell what a result rests on: profile, data, seeds, machine and versions."""
        return {
            "notebook": self.notebook,
            "profile": self.profile,
            "data": data.sizes,
            "architectures": list(self.architectures),
            "recipe": self.recipe,
            "epochs": self.epochs,
            "overrides": {name: dict(o) for name, o in self.overrides.items() if name in self.architectures},
            "lr": {name: specs[0].settled().lr for name, specs in self.specs().items()},
            "seeds": list(self.seeds),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {default_device()}",
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        }


def settle(notebook: str, *, profile: str = "quick", **given: Any) -> Setup:
    """Put together what was given and, where that is None, what the profile says.

    Args:
        notebook: a name in `PROFILES`.
        profile: quick, standard or paper.
        given: fields of `Setup`; None means what the profile says.

    Raises:
        ValueError: an unknown notebook, profile, dataset, model or recipe, or an empty list; nearest names are given.
        FileNotFoundError: the dataset is a path that does not exist.
    """
    if notebook not in PROFILES:
        raise unknown("notebook", notebook, PROFILES)
    if profile not in PROFILES[notebook]:
        raise unknown("profile", profile, PROFILES[notebook])
    chosen = {**PROFILES[notebook][profile], **{k: v for k, v in given.items() if v is not None}}
    for name in ("architectures", "seeds"):
        if not chosen[name] or len(set(chosen[name])) < len(chosen[name]):
            raise ValueError(f"{name} is {chosen[name]}; give one at least, and each once")
    if given.get("recipe") is not None:  # the profile's learning rates belong to its own recipe
        kept = {name: {k: v for k, v in o.items() if k != "lr"} for name, o in chosen.get("overrides", {}).items()}
        chosen["overrides"] = kept
    sources.check_name(chosen["dataset"])
    return Setup(notebook=notebook, profile=profile, **chosen)


def out_folder() -> Path:
    """Give the folder of executed notebooks, numbers and claims: `$LANDSCAPE_OUT`, else `out` in the cache folder."""
    return Path(os.environ.get("LANDSCAPE_OUT") or home() / "out")


def figures_folder() -> Path:
    """Give the folder of pictures: `$LANDSCAPE_FIGURES`, else `figures` in the out folder."""
    return Path(os.environ.get("LANDSCAPE_FIGURES") or out_folder() / "figures")


# --- what it would cost ------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What a run would take: `seconds`, peak memory and disk in bytes, and whether it is done already."""

    seconds: float
    memory: int
    disk: int
    done: bool


def estimate(spec: RunSpec, data: Dataset) -> Cost:
    """Predict a run's cost from a few training steps of its own model on this machine.

    Memory counts images, weights, optimiser state and one batch's activations; the Python process itself and its
    libraries (about 600 MB) come on top.
    """
    recipe, device = spec.settled(), torch.device(default_device())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = build_model(
            spec.model, input_shape=data.input_shape, classes=len(data.classes), **dict(spec.model_options)
        ).to(device)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    step, activations = _probe(model, data, recipe.batch_size, device, half=spec.precision == "bf16")
    steps = math.ceil(data.train.size / recipe.batch_size)
    # The history's forward passes over both sets: a third of a training step an example.
    evaluation = step / 3 * (data.train.size + data.test.size) / recipe.batch_size
    images = sum(part.inputs.numel() * 4 for part in (data.train, data.test))
    slots = 1 if recipe.optimizer == "sgd" else 2
    return Cost(
        seconds=recipe.epochs * (steps * step + evaluation),
        memory=images + (3 + slots) * weights + activations,
        disk=(3 + len(set(spec.kept_epochs()))) * weights,
        done=is_trained(spec, data),
    )


def _probe(model: torch.nn.Module, data: Dataset, batch: int, device: torch.device, *, half: bool) -> tuple[float, int]:
    """Time one training step (the best of three) and add up the activations that it keeps."""
    model = model.to(memory_format=memory_format(model))
    x, y = (t[:batch].to(device) for t in data.train)
    seconds, kept = math.inf, 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), autocast:
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    for _ in range(3):
        begun = time.perf_counter()
        with autocast:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        float(loss.detach())  # waits for a GPU
        seconds = min(seconds, time.perf_counter() - begun)
    return seconds, kept
