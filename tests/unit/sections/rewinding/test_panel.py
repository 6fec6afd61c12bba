import pytest

from landscape_utils.memorization import rewinding
from landscape_utils.sections.rewinding import panel as rewinding_panel
from landscape_utils.sections.rewinding import study
from landscape_utils.suite.widgets import Panel
from landscape_utils.training.runs import Run
from tests.unit.sections.rewinding.test_study import runs

__all__ = ["runs"]


@pytest.fixture
def panel(runs: list[Run]) -> Panel:
    made = rewinding_panel.rewinding_panel(study.subject(runs[1], images=30, test_images=20))
    made.wait()
    return made


@pytest.mark.parametrize("control", ["what", "layer", "other", "epoch"])
def test_every_control_changes_the_picture(panel: Panel, control: str) -> None:
    assert bytes(panel.image.value).startswith(b"\x89PNG")
    before, moved = bytes(panel.image.value), panel.controls[control]
    moved.index = 1 if moved.index == 0 else 0
    panel.wait()
    assert panel.error is None
    assert bytes(panel.image.value) != before


def test_single_layers_and_epochs_are_only_looked_up(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    panel.controls["what"].value = "rest"
    panel.wait()
    monkeypatch.setattr(rewinding._Rewinder, "predictions", never)
    monkeypatch.setattr(study, "rewound_predictions", never)
    panel.controls["epoch"].value = 3 if panel.controls["epoch"].value != 3 else 0
    panel.wait()
    assert panel.error is None
    panel.controls["what"].value = "alone"
    panel.controls["layer"].value = "features.18"
    panel.wait()
    assert panel.error is None


def test_the_layer_and_all_after_it_are_the_last_ones(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    accuracies = study.Subject.accuracies

    def noting(self: study.Subject, parts: dict[str, object], *rest: object) -> object:
        asked.append({name: [layer.name for layer in layers] for name, layers in parts.items()})  # type: ignore[attr-defined]
        return accuracies(self, parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(study.Subject, "accuracies", noting)
    panel.controls["layer"].value = panel.controls["other"].value = "features.22"
    panel.controls["what"].value = "rest"
    panel.wait()
    assert panel.error is None
    assert asked == [{"last 3": ["features.22", "features.25", "classifier"]}]


def test_playing_walks_through_the_epochs_and_both_layers_can_be_saved(panel: Panel) -> None:
    panel.others["play"].value = 0
    panel.wait()
    assert panel.controls["epoch"].value == 0
    assert panel.shown.numbers is not None
    assert panel.shown.numbers["accuracy"].sizes["part"] == 2
    assert panel.shown.code.count("lu.rewound_accuracies(") == 2
