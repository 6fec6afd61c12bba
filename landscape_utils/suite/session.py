"""A notebook's session: its parameters settled, its figures shown, its claims judged, its results written."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_utils.data import sources
from landscape_utils.data.datasets import Dataset, load_dataset, require_published
from landscape_utils.kit.clock import SECONDS
from landscape_utils.kit.devices import default_device
from landscape_utils.kit.errors import unknown
from landscape_utils.kit.files import home
from landscape_utils.kit.threads import processor
from landscape_utils.suite import claims, plots, profiles
from landscape_utils.suite.claims import Judgement
from landscape_utils.suite.notebooks import notebook_path, parameters
from landscape_utils.training.recipes import RECIPES, RunSpec
from landscape_utils.training.runs import Run
from landscape_utils.training.several import train_each


@dataclass(frozen=True)
class Session:
    """A notebook's parameters with everything derived, and what it has judged so far.

    Attributes:
        notebook, profile: which settings these are.
        dataset, train_size, test_size, image_size: the data; None for whole.
        difficulty: of drawn letters; None for the default.
        architectures, recipes, epochs, lr, seeds, checkpoints, precision, augment: the runs; lr and augment None are
            the profile's or the recipe's own.
        threshold: rate above which a class interferes.
        formats: of the pictures, among png, svg and pdf.
        overrides: what the profile changes for single architectures, as fields of `RunSpec`; under a recipe's name,
            for that recipe alone.
        own: the notebook's own numbers, by parameter.
        epsilon: share of training labels that are permuted; above 0, each seed draws its data and labels anew.
        accept_part: let the paper profile run on a part of the published data.
        judged: the verdicts, in the notebook's order.
    """

    notebook: str
    profile: str
    dataset: str
    architectures: Sequence[str]
    recipes: Sequence[str]
    epochs: int
    seeds: Sequence[int]
    checkpoints: Sequence[int] = ()
    lr: float | None = None
    train_size: int | None = None
    test_size: int | None = None
    image_size: int | None = None
    difficulty: float | None = None
    augment: bool | None = None
    precision: str = "float32"
    threshold: float = 0.005
    formats: Sequence[str] = ("png",)
    accept_part: bool = False
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    epsilon: float = 0.0
    judged: list[Judgement] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        plots.check_formats(self.formats)
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}; the share of permuted labels must lie in [0, 1]")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; rates lie in [0, 1]")
        if self.profile.startswith("paper") and not self.accept_part and self.dataset not in sources.PUBLISHED:
            known = ", ".join(sources.PUBLISHED)
            raise ValueError(f"the paper profile needs a published dataset ({known}), or accept_part=True")
        for name, (fine, rule) in profiles.rules(self.notebook).items():
            value = self.own.get(name)
            if value is not None and not fine(value):
                raise ValueError(f"{name} is {value}; {rule}")
        self.specs()

    def load_data(self, *, download: bool = True) -> Dataset:
        """Load the dataset; the paper profile refuses a part of it unless told to accept one."""
        data = load_dataset(
            self.dataset,
            train_size=self.train_size,
            test_size=self.test_size,
            image_size=self.image_size,
            difficulty=self.difficulty,
            download=download,
        )
        if self.profile.startswith("paper"):
            require_published(data, accept_part=self.accept_part)
        return data

    def specs(self) -> dict[str, list[RunSpec]]:
        """List the runs by architecture: one a recipe and seed."""
        common: dict[str, Any] = {
            "dataset": self.dataset,
            "epochs": self.epochs,
            "train_size": self.train_size,
            "test_size": self.test_size,
            "image_size": self.image_size,
            "difficulty": self.difficulty,
            "augment": self.augment,
            "precision": self.precision,
            "checkpoints": self.checkpoints,
        }
        runs: dict[str, list[RunSpec]] = {}
        for name, recipe in product(self.architectures, self.recipes):
            changed = dict(self.overrides.get(name, {}))
            of_recipes = {r: changed.pop(r) for r in RECIPES if r in changed}
            options = {**common, **changed, **of_recipes.get(recipe, {})}
            if self.lr is not None:
                options["lr"] = self.lr
            # The paper's seeds govern the label permutation as well.
            drawn: dict[int, dict[str, Any]] = {
                s: {"epsilon": self.epsilon, "data_seed": s} if self.epsilon else {} for s in self.seeds
            }
            runs.setdefault(name, []).extend(
                RunSpec(model=name, recipe=recipe, seed=s, **options, **drawn[s]) for s in self.seeds
            )
        return runs

    def train(self, data: Dataset | None = None) -> dict[str, list[Run]]:
        """Train every architecture, recipe and seed, or read them back; see `train_each`.

        Args:
            data: what all are trained on; else each draws its own.
        """
        specs = self.specs()
        runs = iter(train_each([spec for of_one in specs.values() for spec in of_one], data=data))
        return {name: [next(runs) for _ in of_one] for name, of_one in specs.items()}

    def show(self, drawn: Figure | Axes, name: str, numbers: xr.Dataset, *, note: str = "") -> None:
        """Write below a figure what it rests on, its picture to a file, and its numbers beside the executed notebook.

        What the notebook shows is the file's own picture, so that a figure is drawn once.

        Args:
            drawn: the figure, or axes of it; it is closed.
            name: of the picture, without the notebook's.
            numbers: what the figure shows.
            note: the footnote.
        """
        figure = drawn.figure
        assert isinstance(figure, Figure)
        plots.footnote(figure, note)
        name = f"{self.notebook}-{name}"
        where = {"figures": figures_folder(), "out": out_folder()}
        pictures = plots.save(figure, name, numbers, **where, formats=self.formats)
        plots.display_png(pictures.get("png") or plots.to_png(figure, dpi=plots.DPI), f"{name}. {note}")
        plt.close(figure)

    def judge(self, judgement: Judgement) -> None:
        """Show a claim's card, and keep it for the end."""
        self.judged.append(claims.on(self.dataset, judgement))
        plots.display_markdown(claims.card(self.judged[-1]))

    def conclude(self, data: Dataset) -> None:
        """Write the verdicts and what they rest on beside the executed notebook, and show them as a table."""
        claims.save(self.judged, out_folder() / f"{self.notebook}.claims.json", self.provenance(data))
        plots.display_markdown(claims.markdown_table(self.judged))

    def provenance(self, data: Dataset) -> dict[str, Any]:
        """Return what a result rests on: profile, data, seeds, machine and versions."""
        return {
            "notebook": self.notebook,
            "profile": self.profile,
            "data": data.sizes,
            "image_size": data.input_shape[-1],
            "architectures": list(self.architectures),
            "recipes": list(self.recipes),
            "epochs": self.epochs,
            "overrides": {name: dict(o) for name, o in self.overrides.items() if name in self.architectures},
            "lr": {name: {s.recipe: s.settled().lr for s in specs} for name, specs in self.specs().items()},
            "seeds": list(self.seeds),
            **({"epsilon": self.epsilon} if self.epsilon else {}),
            **self.own,
            "seconds": {work: round(seconds, 1) for work, seconds in SECONDS.items()},
            "machine": f"{processor()}, {os.cpu_count()} cores, {default_device()}",
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}},
        }


def settle(notebook: str, names: Mapping[str, Any]) -> Session:
    """Read a notebook's parameters, and put its session together: `lu.settle("02_ego_flatness", globals())`.

    Args:
        notebook: its name.
        names: the notebook's own, among them what its parameters cell sets; None there means what the profile says.

    Raises:
        ValueError: as `session` does, or a parameter of another type than its cell says.
    """
    known = parameters(notebook_path(notebook))
    return session(notebook, **{name: known[name].checked(names[name]) for name in known if name in names})


def session(notebook: str, *, profile: str = "quick", **given: Any) -> Session:
    """Combine what was given and, where that is None, what the profile says.

    Args:
        notebook: its name.
        profile: one of the notebook's.
        given: fields of `Session`, the notebook's own numbers, or `recipe` for a single one; None means what the
            profile says.

    Raises:
        ValueError: an unknown notebook, profile, dataset, model or recipe, or an empty list; nearest names are given.
        FileNotFoundError: the dataset is a path that does not exist.
    """
    every = profiles.profiles(notebook)
    if profile not in every:
        raise unknown("profile", profile, every)
    table = every[profile]
    given = {name: value for name, value in given.items() if value is not None}
    if "recipe" in given:
        given["recipes"] = [given.pop("recipe")]
    of_own = {name: given.pop(name) for name in table.get("own", {}) if name in given}
    own = {**table.get("own", {}), **of_own}
    known = [f.name for f in fields(Session)]
    for name in given:
        if name not in known:
            raise unknown(f"parameter of {notebook}", name, [*known, *own])
    chosen = {**table, **given, "own": own}
    belonging = chosen.pop("belonging", ("difficulty", "image_size", "pairs"))
    if chosen["dataset"] != table["dataset"]:  # some numbers belong to the profile's own data
        chosen = {name: value for name, value in chosen.items() if name in given or name not in belonging}
        chosen["own"] = {k: None if k in belonging and k not in of_own else value for k, value in own.items()}
    for name in ("architectures", "recipes", "seeds"):
        if not chosen[name] or len(set(chosen[name])) < len(chosen[name]):
            raise ValueError(f"{name} is {chosen[name]}; give one at least, and each once")
    if given.get("recipes", table["recipes"]) != table["recipes"]:  # its learning rates belong to its own recipe
        chosen["overrides"] = _without("lr", chosen)
    if "epochs" in given:
        chosen["overrides"] = _without("epochs", chosen, of_recipes=True)
        if "checkpoints" not in given and not isinstance(chosen.get("checkpoints", "all"), str):
            chosen["checkpoints"] = [epoch for epoch in chosen["checkpoints"] if epoch <= given["epochs"]]
    sources.check_name(chosen["dataset"])
    return Session(notebook=notebook, profile=profile, **chosen)


def _without(what: str, chosen: Mapping[str, Any], *, of_recipes: bool = False) -> dict[str, dict[str, Any]]:
    """Leave a field out of what the profile changes for architectures, and for single recipes of them."""

    def less(changes: Mapping[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in changes.items() if k != what}
        return {k: less(v) if of_recipes and k in RECIPES else v for k, v in kept.items()}

    return {name: less(changes) for name, changes in chosen.get("overrides", {}).items()}


_VERSIONS = ("landscape-utils", "torch", "numpy", "xarray")  # of what the numbers rest on


def out_folder() -> Path:
    """Return the folder of executed notebooks, numbers and claims: `$LANDSCAPE_OUT`, else `out` in the cache folder."""
    return Path(os.environ.get("LANDSCAPE_OUT") or home() / "out")


def figures_folder() -> Path:
    """Return the folder of pictures: `$LANDSCAPE_FIGURES`, else `figures` in the out folder."""
    return Path(os.environ.get("LANDSCAPE_FIGURES") or out_folder() / "figures")
