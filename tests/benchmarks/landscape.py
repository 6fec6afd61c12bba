"""Seconds a point of a loss surface, in one run: this engine, `loss-landscapes`, a plain loop, a hand-tuned one.

Same model, same 2,000 images, same grid along filter-normalised directions; rounds alternate, so that what else
the machine does falls on all alike, and medians are printed. This engine's share includes its preparation, per-class
losses, recalls and mistake rate; the others give the mean loss alone. "set up anew" looks for its batch size as well,
which is otherwise remembered. After the rounds come the engine's points without preparation, also in bf16, and
"convolutions alone": those of one pass over the images, one by one in warm caches, each in its best layout and batch
size. Beside the points of that minute they tell how much there is left to gain.
`landscaper` (1.3) is not among them: it needs NumPy 1, and this package NumPy 2.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product

import loss_landscapes
import torch
import torch.nn.functional as F
from loss_landscapes.metrics import Loss
from torch import nn

from landscape_utils.data.datasets import Labelled, load_dataset
from landscape_utils.data.pairs import resident
from landscape_utils.engine import evaluate, space
from landscape_utils.engine.engine import Engine
from landscape_utils.kit import store
from landscape_utils.training.models import build_model
from tests.benchmarks.bars import draw

SPAN = 0.5
POINTS = {"resnet8": 7, "mlp": 9}  # along each direction
ROUNDS = {"resnet8": 3, "mlp": 9}  # a surface of the MLP takes a tenth of a second
BATCHES = (50, 100, 200, 500, 2000)
HOT = 20  # times that a convolution is run


class Contest:
    """One model on one set of images."""

    def __init__(self, name: str, data: Labelled) -> None:
        torch.manual_seed(0)
        self.model = build_model(name, input_shape=(3, 32, 32), classes=10).eval()
        self.data = data
        self.d1, self.d2 = (
            space.normalise(space.gaussian_direction(self.model, seed=s), self.model, "filter") for s in (1, 2)
        )
        self.points = POINTS[name]
        self.grid = list(product(evaluate.grid_axis(-SPAN, SPAN, self.points), repeat=2))

    def engine(self) -> None:
        how = {"span": SPAN, "points": self.points, "cache": False, "progress": False}
        evaluate.surface(self.model, self.data, self.d1, self.d2, **how)

    def set_up_anew(self) -> None:
        store.clear("batch-sizes")
        self.engine()

    def loss_landscapes(self) -> None:
        metric = Loss(nn.CrossEntropyLoss(), *self.data)
        with torch.no_grad():
            # "filter" divides by the zero norm of fresh BatchNorm biases.
            loss_landscapes.random_plane(self.model, metric, SPAN, self.points, "model", deepcopy_model=True)

    def plain(self) -> None:
        """Load each point into a copy, and go through the images in batches of 500."""
        origin = space.flatten(self.model)
        for lam1, lam2 in self.grid:
            moved = copy.deepcopy(self.model)
            nn.utils.vector_to_parameters(origin + lam1 * self.d1 + lam2 * self.d2, moved.parameters())
            with torch.no_grad():
                losses = [
                    F.cross_entropy(moved(x), y, reduction="sum").item()
                    for x, y in zip(self.data.inputs.split(500), self.data.targets.split(500), strict=True)
                ]
            sum(losses) / self.data.size

    def tuned(self, batch: int) -> None:
        """Do what an expert does by hand: one copy, inference mode, channels-last, a good batch size."""
        moved = copy.deepcopy(self.model).to(memory_format=torch.channels_last)
        inputs = self.data.inputs.contiguous(memory_format=torch.channels_last)
        parts = [space.split(v, self.model) for v in (space.flatten(self.model), self.d1, self.d2)]
        with torch.inference_mode():
            for lam1, lam2 in self.grid:
                for p, w, a, b in zip(moved.parameters(), *parts, strict=True):
                    p.copy_(w + lam1 * a + lam2 * b)
                logits = torch.cat([moved(x) for x in inputs.split(batch)])
                F.cross_entropy(logits, self.data.targets).item()

    def tuned_best(self) -> int:
        """Find the hand-tuned loop's best batch size."""
        whole, self.grid = self.grid, self.grid[:6]
        best = min(BATCHES, key=lambda batch: min(seconds(lambda: self.tuned(batch)) for _ in range(2)))
        self.grid = whole
        return best

    def point(self, precision: str) -> float:
        """Time the engine's points alone."""
        inputs, targets = resident(self.model, self.data)
        origin, directions = space.flatten(self.model), [self.d1, self.d2]
        tool = Engine(self.model, inputs, targets, origin=origin, directions=directions, precision=precision)
        return statistics.median(seconds(lambda point=p: tool.at(point)) for p in self.grid[:8])

    def convolutions(self) -> float:
        """Time every convolution alone, at its best."""
        return sum(self._alone(module, shape) for module, shape in self._convolved())

    def _convolved(self) -> list[tuple[nn.Conv2d, torch.Size]]:
        """List the convolutions, and the shape of what each is given of one example."""
        found: list[tuple[nn.Conv2d, torch.Size]] = []
        tree = copy.deepcopy(self.model)
        for module in tree.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(lambda m, given: found.append((m, given[0].shape[1:])))
        tree(self.data.inputs[:1])
        return found

    @torch.inference_mode()
    def _alone(self, module: nn.Conv2d, shape: torch.Size) -> float:
        taken = []
        for layout, batch in product((torch.contiguous_format, torch.channels_last), BATCHES[:3]):
            x = torch.randn(batch, *shape).contiguous(memory_format=layout)
            weight = module.weight.contiguous(memory_format=layout)
            convolve = partial(F.conv2d, x, weight, None, module.stride, module.padding)
            times = [seconds(convolve) for _ in range(HOT)]
            taken.append(statistics.median(times) * self.data.size / batch)
        return min(taken)


def seconds(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def compare(name: str, data: Labelled) -> dict[str, float]:
    """Print and give the seconds a point of all, and of the engine's points alone, also in bf16."""
    contest = Contest(name, data)
    batch = contest.tuned_best()
    ways = {
        "this": contest.engine,
        "set up anew, this": contest.set_up_anew,
        "loss-landscapes": contest.loss_landscapes,
        "plain loop": contest.plain,
        f"hand-tuned ({batch})": lambda: contest.tuned(batch),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    contest.engine()  # measures its batch size
    for _ in range(ROUNDS[name]):
        for way, run in ways.items():
            taken[way].append(seconds(run) / len(contest.grid))
    found = {way: statistics.median(values) for way, values in taken.items()}
    found["points alone, this"] = min(contest.point("float32") for _ in range(3))
    found["in bf16, this"] = min(contest.point("bf16") for _ in range(3))
    if alone := contest.convolutions():
        found["convolutions alone"] = alone
    for way, value in found.items():
        print(f"{name:8s} {way:19s} {value:9.3g} s/point, {value / found['this']:6.2f} x", flush=True)
    return found


def main() -> None:
    """Compare for the two models that the bar names."""
    data = load_dataset("glyphs10", train_size=2000, test_size=100).train
    draw("landscape", {name: compare(name, data) for name in ("resnet8", "mlp")}, "seconds a point")


if __name__ == "__main__":
    main()
