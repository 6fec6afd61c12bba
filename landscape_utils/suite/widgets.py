"""Panels for Jupyter: widgets that wire plots to numbers, and show what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from html import escape
from inspect import isgeneratorfunction
from typing import Any

import ipywidgets

NORMALISATIONS = [("none", None), ("Norm", "global"), ("LayNorm", "layer"), ("FilNorm", "filter")]
HANDLINGS = [("UpBN", "update"), ("No UpBN", "keep")]


class Superseded(Exception):
    """Raised out of a computation whose panel has been asked for something else."""


class Panel(ipywidgets.VBox):
    """Controls above a picture; an error is shown as text in the picture's place, and kept in `error`.

    Attributes:
        controls: the widgets whose values the picture is drawn from, by argument name.
        others: widgets that set the controls, by name.
        image: the picture, as PNG bytes.
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
    ) -> None:
        """Draw the first picture at once, and every time a control moves.

        Args:
            draw: returns the picture for the controls' values: PNG bytes, or a plotly figure's JSON. A generator of
                several pictures, coarse ones first, runs beside the notebook, and takes a first argument to be called
                after each step with (done, total): that shows the progress, and raises `Superseded` once a control
                has moved on.
            controls: by argument name of `draw`.
            width: of the picture, in pixels.
            others: widgets that stand before the controls, and set them, by name.
        """
        self.controls, self.others = dict(controls), dict(others or {})
        self.image = ipywidgets.Image(format="png", width=width)
        self.turning = ipywidgets.Output()
        self.bar = ipywidgets.IntProgress(layout={"display": "none", "width": "98%"})
        self.message = ipywidgets.HTML()
        self.error: Exception | None = None
        self._draw, self._stepwise = draw, isgeneratorfunction(draw)
        self._turn, self._held = 0, False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._latest: Future[None] | None = None
        rows = ipywidgets.HBox([*self.others.values(), *self.controls.values()], layout={"flex_flow": "row wrap"})
        super().__init__([rows, self.message, self.bar, self.image, self.turning])
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

    def _show(self, turn: int, picture: bytes | dict[str, Any]) -> None:
        if turn != self._turn:
            raise Superseded
        self.error, self.message.value = None, ""
        if isinstance(picture, bytes):
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


def choice(description: str, options: Iterable[Any], value: Any = None) -> ipywidgets.Dropdown:
    """Return a control that picks one of several options: the first, if no other is named."""
    listed = list(options)
    return ipywidgets.Dropdown(options=listed, description=description, **({} if value is None else {"value": value}))


def stops(description: str, options: Sequence[Any], value: Any, **how: Any) -> ipywidgets.SelectionSlider:
    """Return a slider through options, which draws where it is let go."""
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=description, continuous_update=False, **how
    )


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
