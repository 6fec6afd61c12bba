"""How a model is trained: the papers' optimiser settings by name, and the specification of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from landscape_utils.kit.errors import unknown
from landscape_utils.training.models import model_options

NEVER = 1.0  # for `stop_at`: no training accuracy is above it, and the epochs run out


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; a `RunSpec` can override each."""

    lr: float
    optimizer: Literal["sgd", "adam"] = "sgd"
    schedule: Literal["constant", "cosine"] = "constant"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 128
    augment: bool = True
    epochs: int = 200
    stop_at: float | None = None  # training accuracy above which training ends
    pretrained: bool = False


RECIPES = {
    "small-lr": Recipe(lr=1e-4),
    "big-lr": Recipe(lr=1e-2),
    "anneal-lr": Recipe(lr=0.1, schedule="cosine"),
    "memorize": Recipe(
        lr=1e-4,
        optimizer="adam",
        momentum=0.0,
        weight_decay=0.0,
        batch_size=1024,
        augment=False,
        epochs=1000,
        stop_at=0.99,
    ),
    "finetune": Recipe(lr=1e-2, pretrained=True),
}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that decides a training run; the same specification on the same data trains once.

    Attributes:
        dataset: a name or path that `load_dataset` takes.
        model: a name that `build_model` takes.
        recipe: `small-lr`, `big-lr`, `anneal-lr`, `memorize` or `finetune`.
        seed: of the initialisation, the order of the examples and the augmentation.
        epochs, lr, optimizer, schedule, momentum, weight_decay, batch_size, augment, stop_at: override the recipe.
        model_options: options of the architecture.
        train_size, test_size, difficulty, image_size, data_seed: as in `load_dataset`.
        epsilon: share of training labels drawn anew (by `data_seed`).
        checkpoints: epochs whose weights are kept beside the initial, best and final ones, or "all".
        precision: "float32", or "bf16" for bfloat16 autocast.

    Raises:
        ValueError: an unknown name or a number out of its range.
    """

    dataset: str
    model: str
    recipe: str = "anneal-lr"
    seed: int = 0
    epochs: int | None = None
    lr: float | None = None
    optimizer: Literal["sgd", "adam"] | None = None
    schedule: Literal["constant", "cosine"] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    augment: bool | None = None
    stop_at: float | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)
    train_size: int | None = None
    test_size: int | None = None
    difficulty: float | None = None
    image_size: int | None = None
    data_seed: int = 0
    epsilon: float = 0.0
    checkpoints: Sequence[int] | Literal["all"] = ()
    precision: Literal["float32", "bf16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse what could not be trained before anything is loaded or written."""
        if self.recipe not in RECIPES:
            raise unknown("recipe", self.recipe, RECIPES)
        known = model_options(self.model)
        for option in self.model_options:
            if option not in known and not self.model.startswith("timm/"):
                raise unknown(f"option of {self.model}", option, known)
        settled = self.settled()
        for name, value, valid in (
            ("optimizer", settled.optimizer, ("sgd", "adam")),
            ("schedule", settled.schedule, ("constant", "cosine")),
            ("precision", self.precision, ("float32", "bf16")),
        ):
            if value not in valid:
                raise unknown(name, value, valid)
        for name, number, least in (
            ("epochs", settled.epochs, 1),
            ("batch_size", settled.batch_size, 1),
            ("lr", settled.lr, 0),
            ("momentum", settled.momentum, 0),
            ("weight_decay", settled.weight_decay, 0),
            ("seed", self.seed, 0),
            ("data_seed", self.data_seed, 0),
        ):
            if number < least:
                raise ValueError(f"{name} is {number}; it must be at least {least}")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}; the share of permuted labels must lie in [0, 1]")
        if settled.pretrained and "pretrained" not in known:
            raise ValueError(
                f"recipe {self.recipe} starts from pretrained weights, and {self.model} has none; choose mobilenet_v2, "
                "resnext101 or a timm/ model"
            )
        outside = [e for e in self.kept_epochs() if not 0 <= e <= settled.epochs]
        if outside:
            raise ValueError(f"checkpoint {outside[0]} lies outside the epochs 0 to {settled.epochs}")

    def settled(self) -> Recipe:
        """Return the recipe with this run's overrides in place."""
        mine = {f.name: getattr(self, f.name, None) for f in fields(Recipe)}
        return replace(RECIPES[self.recipe], **{k: v for k, v in mine.items() if v is not None})

    def kept_epochs(self) -> list[int]:
        """List the epochs whose weights are asked for."""
        return (
            list(range(self.settled().epochs + 1))
            if self.checkpoints == "all"
            else sorted(set(map(int, self.checkpoints)))
        )

    def identity(self) -> dict[str, Any]:
        """Return all that decides the run's outcome beside the data's bytes, with every default written out.

        Two specifications that spell the same training differently (a recipe's own number repeated as an
        override, say) are the same run.
        """
        options = {**model_options(self.model), **self.model_options}
        return {
            "model": self.model,
            "model_options": {k: v for k, v in options.items() if v is not None},  # None changes nothing
            "recipe": asdict(self.settled()),
            "seed": self.seed,
            "epsilon": self.epsilon,
            "label_seed": self.data_seed if self.epsilon else None,
            "checkpoints": self.kept_epochs(),
            "precision": self.precision,
        }
