"""The panel follows its controls, and measures nothing twice."""

from pathlib import Path

import pytest

from landscape_utils import RunSpec, train
from landscape_utils.sections.mftma import panel as manifold_panel
from landscape_utils.sections.mftma.study import Sampling
from landscape_utils.suite.widgets import Panel
from landscape_utils.training.runs import Run


@pytest.fixture(scope="module")
def run(module_home: Path) -> Run:
    kind = {"dataset": "glyphs10", "model": "fcn", "train_size": 120, "test_size": 60, "epochs": 3, "epsilon": 0.5}
    options = {"depth": 3, "width": 8}
    return train(RunSpec(**kind, model_options=options, checkpoints="all"), progress=False)  # type: ignore[arg-type]


@pytest.fixture
def panel(run: Run) -> Panel:
    made = manifold_panel.manifold_panel(run, Sampling(classes=4, points=4, n_t=5))
    made.wait()
    return made


@pytest.mark.parametrize(
    ("control", "value"), [("layer", "pixels"), ("epoch", 0), ("subset", "test"), ("quantity", "dimension")]
)
def test_every_control_changes_the_picture(panel: Panel, control: str, value: object) -> None:
    before = bytes(panel.image.value)
    assert before.startswith(b"\x89PNG")
    panel.controls[control].value = value
    panel.wait()
    assert panel.error is None
    assert bytes(panel.image.value) != before


def test_what_was_measured_is_looked_up(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold_panel, "geometries", None)
    for control, value in (("subset", "restored"), ("quantity", "radius"), ("subset", "permuted")):
        panel.controls[control].value = value
        panel.wait()
        assert panel.error is None


def test_playing_walks_through_the_epochs(panel: Panel) -> None:
    panel.others["play"].value = 0
    panel.wait()
    assert panel.controls["epoch"].value == 0
    assert "lu.mftma(lu.class_manifolds(model, labels.subset('permuted')" in panel.shown.code
