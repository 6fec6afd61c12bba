"""Panels for Jupyter: widgets that wire plots to numbers, and show what goes wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from html import escape
from inspect import isgeneratorfunction
from itertools import count
from typing import Any, NamedTuple

import ipywidgets
import xarray as xr

from landscape_utils.kit.files import write_atomically
from landscape_utils.kit.store import to_netcdf
from landscape_utils.suite.names import PANEL, Names
from landscape_utils.suite.session import figures_folder, out_folder

NORMALISATIONS = [("none", None), ("Norm", "global"), ("LayNorm", "layer"), ("FilNorm", "filter")]
HANDLINGS = [("UpBN", "update"), ("No UpBN", "keep")]


class Superseded(Exception):
    """Raised out of a computation whose panel has been asked for something else."""


class Shown(NamedTuple):
    """What a panel shows.

    Attributes:
        picture: PNG bytes, or a plotly figure's JSON.
        numbers: what the picture shows, where they can be saved.
        code: lines that give the numbers without the panel.
    """

    picture: bytes | dict[str, Any]
    numbers: xr.Dataset | None = None
    code: str = ""


class Panel(ipywidgets.HBox):
    """Controls, and beside them a picture; an error is shown as text in the picture's place, and kept in `error`.

    Where no kernel runs, a notebook shows the picture that was there last.

    Attributes:
        controls: the widgets whose values the picture is drawn from, by argument name.
        others: widgets that set the controls, by name.
        shown: the picture, its numbers and the code for them.
        image: the picture, as PNG bytes.
        names: what is read out of it and of the sliders.
        turning: a plotly figure that turns in the browser, where the picture is one.
        bar: how far a computation is.
        message: an error's text, empty while there is none.
        error: the last exception, or None.
    """

    def __init__(
        self,
        draw: Callable[..., Any],
        controls: Mapping[str, Any],
        *,
        width: int,
        others: Mapping[str, Any] | None = None,
        name: str = "panel",
    ) -> None:
        """Draw the first picture at once, and every time a control moves.

        Args:
            draw: returns what to show for the controls' values, or its picture alone. A generator of several, coarse
                ones first, runs beside the notebook, and takes a first argument to be called after each step with
                (done, total): that shows the progress, and raises `Superseded` once a control has moved on.
            controls: by argument name of `draw`.
            width: of the picture, in pixels.
            others: widgets that stand before the controls, and set them, by name.
            name: under which pictures are saved.
        """
        self.controls, self.others = dict(controls), dict(others or {})
        self.image = ipywidgets.Image(format="png", width=width)
        self.names = Names()
        self.turning = ipywidgets.Output()
        self.bar = ipywidgets.IntProgress(layout={"display": "none", "width": "98%"})
        self.message = ipywidgets.HTML()
        self.error: Exception | None = None
        self._draw, self._stepwise = draw, isgeneratorfunction(draw)
        self._turn, self._held = 0, False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._latest: Future[None] | None = None
        self.shown, self._name = Shown(b""), name
        self.saving = ipywidgets.Button(description="save", tooltip="write the picture and its numbers to files")
        self.coding = ipywidgets.ToggleButton(description="code", tooltip="show the lines that give the numbers")
        self.code = ipywidgets.HTML(layout={"display": "none"})
        self.saved = ipywidgets.Label()
        self.saving.on_click(lambda _: self.save())
        self.coding.observe(self._show_code, names="value")
        buttons = ipywidgets.HBox([self.saving, self.coding])
        left = [*self.others.values(), *self.controls.values(), buttons, self.saved, self.code]
        columns = (
            ipywidgets.VBox(left, layout={"flex": "0 1 330px", "min_width": "300px"}),
            ipywidgets.VBox(
                [self.message, self.bar, self.image, self.turning, self.names],
                layout={"flex": "1 1 480px", "min_width": "0", "max_width": f"{width + 20}px"},
            ),
        )
        super().__init__(columns, layout={"flex_flow": "row wrap"})
        self.add_class(PANEL)
        for control in self.controls.values():
            control.observe(self.refresh, names="value")
        self._show_pictures(self._turn)

    def refresh(self, change: object = None) -> None:
        """Draw the picture again from the controls' values."""
        if self._held:
            return
        self._turn += 1
        if self._stepwise:
            self._latest = self._worker.submit(self._show_pictures, self._turn)
        else:
            self._show_pictures(self._turn)

    @contextmanager
    def one_refresh(self) -> Iterator[None]:
        """Move several controls, and draw once."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.refresh()

    def close(self) -> None:
        """Take the panel away, and stop what it computes."""
        self._turn += 1
        self._worker.shutdown(wait=False, cancel_futures=True)
        super().close()

    def save(self) -> None:
        """Write the picture among a notebook's figures and its numbers among its results, and say where."""
        picture, numbers, _ = self.shown
        ending, content = (
            ("png", picture) if isinstance(picture, bytes) else ("plotly.json", json.dumps(picture).encode())
        )
        names = (f"{self._name}-{i}" for i in count(1))
        stem = next(n for n in names if not (figures_folder() / f"{n}.{ending}").exists())
        write_atomically(figures_folder() / f"{stem}.{ending}", content)
        if numbers is not None:
            write_atomically(out_folder() / f"{stem}.nc", to_netcdf(numbers))
        self.saved.value = f"{stem}.{ending} is in {figures_folder()}"

    def _show_code(self, change: object = None) -> None:
        self.coding.layout.display = "" if self.shown.code else "none"
        self.code.value = f"<code style='white-space: pre-wrap'>{escape(self.shown.code)}</code>"
        self.code.layout.display = "" if self.coding.value and self.shown.code else "none"

    def _repr_mimebundle_(self, **how: Any) -> dict[str, Any] | None:
        """Give the picture beside the widget, for where no kernel runs."""
        bundle: dict[str, Any] | None = super()._repr_mimebundle_(**how)
        if bundle is not None and isinstance(self.shown.picture, bytes) and self.shown.picture:
            bundle["image/png"] = b64encode(self.shown.picture).decode()
        return bundle

    def wait(self) -> None:
        """Wait until the picture that was asked for last is complete."""
        if self._latest is not None:
            self._latest.result()

    def _show_pictures(self, turn: int) -> None:
        if turn != self._turn:
            return
        values = {name: control.value for name, control in self.controls.items()}
        try:
            for picture in (
                self._draw(partial(self._step, turn), **values) if self._stepwise else [self._draw(**values)]
            ):
                self._show(turn, picture)
        except Superseded:
            return
        except Exception as error:  # shown to the reader: a callback's exception would vanish
            self._complain(turn, error)
        self.bar.layout.display = "none"

    def _step(self, turn: int, done: int, total: int) -> None:
        if turn != self._turn:
            raise Superseded
        self.bar.max, self.bar.value, self.bar.layout.display = total, done, ""

    def _show(self, turn: int, drawn: Shown | bytes | dict[str, Any]) -> None:
        if turn != self._turn:
            raise Superseded
        self.shown = drawn if isinstance(drawn, Shown) else Shown(drawn)
        self.error, self.message.value, picture = None, "", self.shown.picture
        self._show_code()
        if isinstance(picture, bytes):
            self.names.alt = f"{self._name}: {', '.join(map(_says, self.controls.values()))}"
            self.image.value, self.image.layout.display = picture, ""
            self.turning.outputs = ()
        else:
            data = {"application/vnd.plotly.v1+json": picture, "text/plain": "a surface that turns in the browser"}
            self.turning.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)
            self.image.layout.display = "none"

    def _complain(self, turn: int, error: Exception) -> None:
        if turn == self._turn:
            error = error.with_traceback(None)  # it would keep the computation's tensors
            self.error, self.image.layout.display, self.turning.outputs = error, "none", ()
            text = escape(f"{type(error).__name__}: {error}", quote=False)
            self.message.value = f"<pre style='color:#b00'>{text}</pre>"


def _says(control: Any) -> str:
    """Say where a control stands."""
    label = getattr(control, "label", None)  # what is read of a choice, whatever stands behind it
    return f"{control.description} {control.value if label is None else label}".strip()


def choice(description: str, options: Iterable[Any], value: Any = None) -> ipywidgets.Dropdown:
    """Return a control that picks one of several options: the first, if no other is named."""
    listed = list(options)
    return ipywidgets.Dropdown(options=listed, description=description, **({} if value is None else {"value": value}))


def stops(description: str, options: Sequence[Any], value: Any, **how: Any) -> ipywidgets.SelectionSlider:
    """Return a slider through options, which draws where it is let go."""
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=description, continuous_update=False, **how
    )


def player(slider: ipywidgets.SelectionSlider, *, interval: int) -> ipywidgets.Play:
    """Return a control that plays through a slider's options, from the one it stands at.

    Args:
        slider: as `stops` gives.
        interval: between two options, in milliseconds.
    """
    play = ipywidgets.Play(value=slider.index, min=0, max=len(slider.options) - 1, interval=interval)

    def follow(change: object) -> None:
        slider.index = play.value

    play.observe(follow, names="value")
    return play


def decades(description: str, value: float, lowest: float, highest: float) -> ipywidgets.FloatLogSlider:
    """Return a slider in eighths of a decade, from 10^lowest to 10^highest."""
    return ipywidgets.FloatLogSlider(
        value=value,
        min=lowest,
        max=highest,
        step=0.125,
        description=description,
        readout_format=".2g",
        continuous_update=False,
    )


def walk_controls(around: Mapping[str, Iterable[str]], names: tuple[str, ...], *, scale: float = 1.0) -> dict[str, Any]:
    """Return the controls of a walk along directions: model, directions by what they are, norm, BatchNorm and scale.

    Raises:
        ValueError: no model.
    """
    if not around:
        raise ValueError("there is nothing to show; give the directions around one model at least")
    listed = list(dict.fromkeys(name for directions in around.values() for name in directions))
    return {
        "model": choice("model", around),
        **{name: choice(name, listed) for name in names},
        "normalisation": choice("norm", NORMALISATIONS, "global"),
        "bn": choice("BatchNorm", HANDLINGS),
        "scale": decades("scale s", scale, -3, 1),
    }
