"""With one seed, or two, no claim that rests on an interval over seeds is decided."""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landscape_utils.sections.bias_plateau import claims as plateau_claims
from landscape_utils.sections.double_descent import claims as double_descent_claims
from landscape_utils.sections.gradient_split import claims as gradient_claims
from landscape_utils.sections.mftma import claims as manifold_claims
from landscape_utils.sections.rewinding import claims as rewinding
from landscape_utils.suite import claims
from tests import ROOT
from tests.unit.sections.bias_plateau.test_claims import orders, predictions, ways
from tests.unit.sections.double_descent.test_claims import table
from tests.unit.sections.gradient_split.test_claims import course
from tests.unit.sections.gradient_split.test_study import sizes
from tests.unit.sections.mftma.test_claims import accuracies, geometry
from tests.unit.sections.rewinding.test_claims import courses, settled_at

CLAIMS = sorted((ROOT / "landscape_utils" / "sections").glob("*/*claims.py"))
GROWING = np.array([[[0.1, 0.2]] * 3, [[0.3, 0.4]] * 3, [[0.6, 0.8]] * 3])
# What judges well with three seeds, given how many there are.
JUDGED: dict[str, Callable[[int], claims.Judgement]] = {
    "MG-1": lambda n: manifold_claims.memorizing(accuracies().isel(seed=slice(n))),
    "MG-2": lambda n: manifold_claims.restored_first(accuracies().isel(seed=slice(n))),
    "MG-3": lambda n: manifold_claims.alike_at_best(geometry().isel(seed=slice(n))),
    "MG-4": lambda n: manifold_claims.late_layers_memorize(geometry(permuted=2, restored=0.7).isel(seed=slice(n))),
    "MG-5": lambda n: manifold_claims.shrinking_with_depth(geometry().isel(seed=slice(n))),
    "MG-7": lambda n: rewinding.last_convolution_gives_it_back({"vgg11": courses(0.76, seeds=n)}),
    "MG-8": lambda n: rewinding.early_layers_settle_later(
        {"vgg11": settled_at([[8, 6, 4, 2], [7, 6, 5, 1], [8, 5, 4, 3]][:n])}
    ),
    "MG-9": lambda n: double_descent_claims.double_descent(table(noise=0.001, seeds=n)),
    "MG-10": lambda n: gradient_claims.permuted_examples_are_ignored(course(seeds=np.array([0.95, 1.0, 1.05])[:n])),
    "MG-12": lambda n: gradient_claims.falls_with_their_number(_of_seeds(n)),
    "BP-1": lambda n: plateau_claims.plateau_of_the_deeper_network(_ways(0.1, 3), _ways(0.5, n)),
    "BP-2": lambda n: plateau_claims.competition_predicts(predictions(0.8 * GROWING[:, :n], GROWING[:, :n])),
    "BP-4": lambda n: plateau_claims.biases_make_the_plateau({"net": (_ways(0.4, n), _ways(0.1, n))}),
    "BP-5": lambda n: plateau_claims.homogeneous_biases_shorten({"net": (_ways(0.4, n), _ways(0.1, n))}),
    "BP-6": lambda n: plateau_claims.small_and_deep_are_flat({"depth": (_ways(0.1, n), _ways(0.4, n))}),
    "BP-7": lambda n: plateau_claims.bias_follows_the_order(orders(1).isel(seed=slice(n if n < 3 else None))),
}


def _ways(length, seeds):
    return ways([length + 0.01, length, length - 0.01][:seeds])


def _of_seeds(n):
    found = sizes(2.0, 0.3)
    return found.isel(seed=np.arange(n) % found.sizes["seed"])


@pytest.mark.parametrize("claim", JUDGED)
@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(claim: str, seeds: int) -> None:
    got = JUDGED[claim](seeds)
    assert (got.id, got.verdict) == (claim, "undecided")
    assert got.part.reason.startswith(f"too few seeds: {seeds} of at least 3")


@pytest.mark.parametrize("claim", JUDGED)
def test_three_seeds_decide(claim: str) -> None:
    assert JUDGED[claim](3).verdict == "reproduced"


@pytest.mark.parametrize("path", CLAIMS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_interval_over_seeds_says_how_many_there_are(path: Path) -> None:
    for function in [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]:
        calls = [c for c in ast.walk(function) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)]
        if "student" in {ast.unparse(c.func) for c in calls}:
            judging = [{k.arg for k in c.keywords} for c in calls if ast.unparse(c.func) == "judge"]
            assert all("seeds" in given for given in judging if "interval" in given), function.name
