import runpy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from landscape_utils.engine.inference import Outcomes
from landscape_utils.engine.layers import main_layers
from landscape_utils.interference.cctm import cctm_of
from landscape_utils.interference.dancing import PARTNER, dance_events
from landscape_utils.interference.ego import interference_weights
from landscape_utils.landscape.mining import _peak_step
from landscape_utils.memorization.capacity import separable
from landscape_utils.memorization.gradients import gradient_split
from landscape_utils.memorization.rewinding import rewind
from landscape_utils.suite.exercises import check, check_function
from landscape_utils.training.models import build_model
from tests import ROOT
from tests.unit.interference.test_dancing import movie_of


def test_open_right_and_wrong_answers() -> None:
    assert check(None, 3, hint="h").startswith("Not answered yet")
    assert check(3.04, 3, tolerance=0.05, hint="h") == "Right."
    assert check(3.06, 3, tolerance=0.05, hint="count again") == "Not quite. count again"
    assert check(" cat ", "CAT", hint="h") == "Right."
    assert check("dog", "cat", hint="h") == "Not quite. h"
    assert check("3", 3, hint="h") == "Right."


def test_a_readers_function_is_judged_by_its_numbers_and_never_raises() -> None:
    def told(function: Callable[[int], Any]) -> str:
        return check_function(function, [[2.0, 4.0]], 2, hint="double it")

    assert told(lambda n: [[n, 2 * n]]) == "Right."
    assert told(lambda n: [[n, 3 * n]]) == "Not quite. double it"
    assert told(lambda n: [n, 2 * n]) == "Its result has the shape (2,); (1, 2) would be right. double it"
    assert told(lambda n: None).startswith("Not answered yet")
    assert told(lambda n: n / 0) == "It ended with ZeroDivisionError: division by zero"
    assert told(lambda n: "text").startswith("It ended with ValueError")


def test_named_numbers_and_those_of_a_graph_are_compared() -> None:
    weights = {"a": torch.ones(2, requires_grad=True), "b": torch.zeros(3, 1)}

    def told(function: Callable[[], object]) -> str:
        return check_function(function, weights, hint="look again")

    assert told(lambda: dict(weights)) == "Right."
    assert told(lambda: {**weights, "b": torch.ones(3, 1)}) == "Not quite. look again"
    assert told(lambda: {**weights, "b": torch.zeros(3)}).startswith("Its result has the shape (3,)")
    for other in ({"a": weights["a"]}, {**weights, "c": 1}, 3):
        assert told(lambda other=other: other).startswith("Its result has no entries of these names")
    assert check_function(lambda: [0.5, None], [0.5, 1], hint="").startswith("Not answered yet")
    assert check_function(lambda: weights["a"].sum(), 2, hint="") == "Right."


def solution(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "notebooks" / "solutions" / f"{name}.py"))


def test_the_solution_of_01_is_the_librarys_matrix() -> None:
    rng = np.random.default_rng(0)
    targets, predicted = (torch.from_numpy(rng.integers(0, 5, 300)) for _ in range(2))
    expected = cctm_of(Outcomes(targets, predicted, torch.zeros(300), 5)).values
    given = (targets.numpy(), predicted.numpy(), 5)
    assert check_function(solution("01_cctm")["my_cctm"], expected, *given, hint="") == "Right."


def test_the_solution_of_02_is_the_librarys_step() -> None:
    w, g1, g2 = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    expected = interference_weights(w, g1, g2, 0.5, -2.0)
    given = (w, g1, g2, 0.5, -2.0)
    assert check_function(solution("02_ego_flatness")["my_interference_model"], expected, *given, hint="") == "Right."


def test_the_solution_of_03_is_the_librarys_rule() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        rates = movie_of(rng.integers(0, 4, (30, 3, 3)) / 8, ("a", "b", "c"))  # coarse: with flat tops
        events = dance_events(rates, "a", "b")
        expected = events.epoch.values[events.kind.values == PARTNER]
        own, partner, cell = (rates.values[1:, i, j] for i, j in ((0, 0), (1, 1), (0, 1)))
        given = (own, partner, cell)
        assert check_function(solution("03_label_dancing")["my_arrows"], expected, *given, hint="") == "Right."


def test_the_solution_of_04_is_the_librarys_step() -> None:
    eps, gradient = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    slope = type("Slope", (), {"theta": torch.zeros(9), "weights": torch.zeros(9), "gradient": torch.zeros(9)})()
    slope.add = lambda x, y: slope.gradient.add_(gradient).sum()  # type: ignore[attr-defined]
    expected = eps.clone()
    _peak_step(0.1, slope, expected, -0.5, eps, eps)  # type: ignore[arg-type]
    given = (eps, gradient, -0.5, 0.1)
    assert check_function(solution("04_gmi_mli_wpeak")["my_peak_step"], expected, *given, hint="") == "Right."


def test_the_solution_of_09_is_the_dense_product() -> None:
    start, v = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, 0.0, 1.0])

    def loss(w: torch.Tensor) -> torch.Tensor:
        return (w**4).sum() + w.prod()

    expected = torch.autograd.functional.hessian(loss, start) @ v
    product = solution("09_hessian_surfaces")["my_hessian_product"]
    assert check_function(product, expected, loss, start, v, hint="") == "Right."


def test_the_solution_of_06_counts_by_enumeration() -> None:
    """Every labelling of points in general position that a linear programme can separate, counted."""
    rng = np.random.default_rng(0)
    for dimensions in (1, 2, 3):
        points = rng.normal(size=(6, dimensions))
        labels = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T
        counted = np.mean([separable(points * signs[:, None]) for signs in labels])
        assert solution("06_mftma")["my_share"](6, dimensions) == counted


def test_the_solution_of_07_is_the_librarys_rewinding() -> None:
    model = build_model("vgg8", input_shape=(1, 8, 8), classes=3, width=0.1)
    final = {key: value + 1 for key, value in model.state_dict().items()}
    layer = main_layers(model, torch.zeros(2, 1, 8, 8))[3]
    mine = solution("07_rewinding")["my_rewinding"](final, model.state_dict(), layer.modules)
    expected = rewind(final, model.state_dict(), [layer])
    assert all(torch.equal(mine[key], expected[key]) for key in expected)


def test_the_solution_of_10_has_the_librarys_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(12, 5, generator=generator), torch.arange(12) % 3
    subset, model = torch.arange(12) < 5, torch.nn.Sequential(torch.nn.Linear(5, 3))
    term = solution("10_gradient_split")["my_dependent_term"](model(inputs), targets, subset)
    norm = torch.autograd.grad(term, model[0].weight)[0].norm()
    expected = gradient_split(model, (inputs, targets), {"some": subset})["dependent"]
    np.testing.assert_allclose(float(norm), expected.item(), rtol=1e-5)
