from pathlib import Path

import numpy as np
import pytest

from landscape_utils.run import sweep_plots, sweep_results
from landscape_utils.suite import claims
from tests.unit.run.test_sweep_results import finished


def test_seeds_alone_and_two_parameters_can_be_drawn_and_nothing_cannot(tmp_path: Path) -> None:
    one = sweep_results.collect([finished(tmp_path / "a", 1, s) for s in (0, 1, 2)]).to_dataset().isel(width=0)
    assert sweep_plots.summary(one).axes[0].get_xlabel() == "seed"
    both = sweep_results.collect([finished(tmp_path / "b", w, s) for w in (1, 2) for s in (0, 1)]).to_dataset()
    drawn = sweep_plots.summary(both.rename(seed="depth"))
    assert [t.get_text() for t in drawn.axes[0].get_legend().get_texts()] == ["depth 0", "depth 1"]
    with pytest.raises(ValueError, match="no claim here"):
        sweep_plots.summary(both.isel(part=[1]))


def test_runs_that_are_undecided_do_not_count(tmp_path: Path) -> None:
    found = sweep_results.collect([finished(tmp_path, w, s) for w in (1, 2) for s in (0, 1, 2)]).to_dataset()
    for left, verdict in ((5, "undecided"), (4, "not tested")):
        found["verdict"].loc[{"width": 1, "seed": left - 4, "part": "CI-1"}] = verdict
        (ax,) = sweep_plots.summary(found).axes
        assert ax.get_title() == f"CI-1: seen in 3 of {left} runs"


def test_the_picture_has_every_claims_interval_over_seeds(tmp_path: Path) -> None:
    cells = [finished(tmp_path, w, s) for w in (1, 2) for s in (0, 1, 2)]
    figure = sweep_plots.summary(sweep_results.collect(cells).to_dataset())
    (ax,) = figure.axes  # CI-2 has no effect size
    assert ax.get_title() == "CI-1: seen in 3 of 6 runs"
    (bars,) = ax.containers
    _, of_two = bars[2][0].get_segments()
    assert of_two[:, 1] == pytest.approx(claims.student(np.array([20.0, 21.0, 22.0])))
