"""A panel that watches two classes dance: their recalls, the errors of the first, and the notes of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets
import xarray as xr
from matplotlib.figure import Figure

from landscape_utils.data.datasets import class_index
from landscape_utils.interference.dancing import dancing_notes
from landscape_utils.sections.label_dancing.plots import error_row, notes_together, recall_dance
from landscape_utils.suite.plots import to_png
from landscape_utils.suite.widgets import Panel, Shown, choice


def dancing_panel(
    histories: Mapping[str, xr.Dataset], *, first: str | int = 0, second: str | int = 1, floor: float = 0.001
) -> Panel:
    """Explore the dance of any two classes in any range of epochs.

    Args:
        histories: a run's history by the run's name; all of the same classes.
        first: the class whose errors are watched at the beginning, by name or index.
        second: its partner at the beginning.
        floor: of the notes, as in `dancing_notes`.

    Returns:
        The panel; its controls are `model`, `first`, `second` and `epochs`; `others` holds `play`, which walks through
        the epochs. The same class twice is refused in words.

    Raises:
        ValueError: no history, or no such class.
    """
    if not histories:
        raise ValueError("there is no history to show; give one at least, by the run's name")
    rates = {name: history["train_cctm"] for name, history in histories.items()}
    notes = {name: dancing_notes(of_run, floor) for name, of_run in rates.items()}
    classes = [str(n) for n in next(iter(rates.values()))["true"].values]
    last = max(int(of_run["epoch"][-1]) for of_run in rates.values())
    controls: dict[str, Any] = {
        "model": choice("model", rates),
        "first": choice("class", classes, classes[class_index(classes, first)]),
        "second": choice("partner", classes, classes[class_index(classes, second)]),
        "epochs": ipywidgets.IntRangeSlider(value=(1, last), min=1, max=last, description="epochs"),
    }
    play = ipywidgets.Play(value=last, min=1, max=last, interval=400)

    def draw(model: str, first: str, second: str, epochs: tuple[int, int]) -> Shown:
        picture = _dance_and_notes(rates[model], notes[model], first, second, epochs)
        code = f"lu.dance_events(run.history.train_cctm, {first!r}, {second!r})"
        return Shown(picture, rates[model].sel(epoch=slice(*epochs)).to_dataset(name="train_cctm"), code)

    def follow(change: object) -> None:
        """Show the epochs from the first one on, up to the one that is played."""
        controls["epochs"].value = (min(controls["epochs"].value[0], play.value), play.value)

    play.observe(follow, names="value")
    return Panel(draw, controls, width=900, others={"play": play}, name="03_label_dancing-panel")


def _dance_and_notes(rates: xr.DataArray, notes: xr.DataArray, a: str, b: str, epochs: tuple[int, int]) -> bytes:
    figure = Figure(figsize=(10, 8.6))
    # Places by hand: a layout engine would take longer than the drawing.
    above = recall_dance(rates, a, b, epochs=epochs, ax=figure.add_axes((0.11, 0.69, 0.67, 0.29)))
    middle = error_row(rates, a, b, epochs=epochs, ax=figure.add_axes((0.11, 0.41, 0.67, 0.26)))
    notes_together(notes, a, b, epochs=epochs, ax=figure.add_axes((0.11, 0.06, 0.67, 0.33)))
    for ax in (above, middle):
        ax.set(xlabel="", xticklabels=[])
    return to_png(figure)
