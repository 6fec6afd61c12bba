import numpy as np
import pytest

from landscape_utils.plateau import hardness


@pytest.mark.parametrize("condition", [10.0, 1e3, 1e5])
def test_the_valleys_curve_is_the_same_parabola_whatever_its_condition(condition):
    line = hardness.line(hardness.valley(condition))
    np.testing.assert_allclose(line, (1 - line["alpha"]) ** 2, atol=1e-12)


@pytest.mark.parametrize("condition", [10.0, 100.0, 1000.0])
def test_descent_into_the_valley_takes_about_the_condition_number_of_steps(condition):
    steps = hardness.descent(hardness.valley(condition)).sizes["step"] - 1
    # The steep direction is gone after one step; of the flat one (1 - 1/k)^(2t) / 2 is left.
    assert steps == np.ceil(np.log(2e-3) / (2 * np.log(1 - 1 / condition)))


def test_the_chain_is_flat_half_of_the_way_and_solved_in_hundreds_of_steps():
    problem = hardness.chain(10)
    line = hardness.line(problem)
    assert float(line.sel(alpha=0.4)) > 0.9
    assert float(line[-1]) == 0
    assert 100 < hardness.descent(problem).sizes["step"] < 1000


@pytest.mark.parametrize("problem", [hardness.valley(50.0), hardness.chain(6)], ids=lambda p: p.name)
def test_gradients_and_steps_are_those_of_the_loss(problem):
    w = 0.7 * problem.start + 0.3 * problem.end
    for i in range(len(w)):
        nudge = 1e-6 * np.eye(len(w))[i]
        slope = (problem.loss(w + nudge) - problem.loss(w - nudge)) / 2e-6
        assert problem.gradient(w)[i] == pytest.approx(slope, rel=1e-6)
    ways = np.linspace(0, 1, 200)[:, None] * (problem.end - problem.start) + problem.start
    curvatures = [
        (problem.gradient(p + 1e-6 * e)[i] - problem.gradient(p - 1e-6 * e)[i]) / 2e-6
        for p in ways
        for i, e in enumerate(np.eye(len(w)))
    ]
    assert 1 / problem.step == pytest.approx(max(curvatures), rel=1e-4)


def test_descent_never_rises_and_the_table_holds_both():
    problems = [hardness.valley(100.0), hardness.chain(4)]
    curves = {p.name: (hardness.line(p), hardness.descent(p)) for p in problems}
    assert all((np.diff(descent) <= 0).all() for _, descent in curves.values())
    table = hardness.table(curves)
    assert table["descent"].sizes["problem"] == 2
    assert list(table["problem"].values) == list(curves)
    for name, (_, descent) in curves.items():
        kept = table["descent"].sel(problem=name).dropna("step")
        np.testing.assert_array_equal(kept, descent.values[kept["step"].values])


def test_a_problem_that_is_not_solved_in_time_says_so(monkeypatch):
    monkeypatch.setattr(hardness, "PATIENCE", 10)
    with pytest.raises(RuntimeError, match="not solved after 10 steps"):
        hardness.descent(hardness.valley(1000.0))
