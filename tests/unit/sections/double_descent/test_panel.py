import pytest
import xarray as xr

from landscape_utils.data.datasets import Dataset
from landscape_utils.sections.double_descent import panel as panels
from landscape_utils.sections.double_descent import study
from tests.unit.sections.double_descent.test_study import family

WIDTHS = [2, 3, 4, 5, 6]
HOW = {"points": 5, "n_t": 2}


def test_time_and_width_change_the_picture_and_only_look_up(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = panels.double_descent_panel(family(small, "mlp", epochs=40), [2, 4, 6], noises=[0.0], **HOW)
    assert {name: control.value for name, control in panel.controls.items()} == {"noise": 0.4, "time": 40, "width": 4}
    assert panel.controls["noise"].options == (("0%", 0.0), ("40%", 0.4))
    assert panel.controls["time"].options == (10, 20, 30, 40)
    assert all(panel.controls[name].continuous_update for name in ("time", "width"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(panels.Family, "train", never)
    monkeypatch.setattr(panels, "by_moment", never)
    pictures = {bytes(panel.image.value)}
    for control, value in ((panel.controls["time"], 10), (panel.controls["width"], 2), (panel.others["play"], 2)):
        control.value = value
        panel.wait()
        assert panel.error is None
        pictures.add(bytes(panel.image.value))
    assert panel.controls["time"].value == 30
    assert len(pictures) == 4
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_the_code_that_is_shown_gives_the_numbers_that_are_shown(small: Dataset) -> None:
    kind = family(small, "resnet8", epochs=2)
    panel = panels.double_descent_panel(kind, [0.125, 0.25], noises=[0.4], **HOW)
    panel.controls["noise"].value = 0.4
    *lines, last = panel.shown.code.splitlines()
    given: dict[str, object] = {"family": kind, "study": study}
    exec("\n".join(lines), given)
    xr.testing.assert_allclose(eval(last, given), panel.shown.numbers)


def test_other_noise_trains_a_few_widths_first(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, bars = [], []

    def noted(course, table, *_):
        assert table["width"].equals(course["width"])
        seen.append((course.attrs["epsilon"], course["width"].values.tolist(), course["seed"].values.tolist()))
        return b""

    monkeypatch.setattr(panels, "_picture", noted)
    panel = panels.double_descent_panel(family(small, "mlp", epochs=20), WIDTHS, noises=[0.0], **HOW)
    panel.bar.observe(lambda change: bars.append(change["new"]), names="value")
    rounds = [[2, 6], [2, 4, 6], WIDTHS]
    assert seen == [(0.4, widths, [3, 4]) for widths in rounds]
    panel.controls["noise"].value = 0.0
    panel.wait()
    assert panel.error is None
    assert seen[3:] == [(0.0, widths, [3, 4]) for widths in rounds]
    assert bars == sorted(bars)
    assert {50, 150, 250, 350, 450, 500} <= set(bars)
    assert (panel.bar.max, panel.bar.layout.display) == (500, "none")
