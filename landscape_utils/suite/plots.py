"""Arrays in, axes out: every plot takes its data first and `ax=None`, and returns the axes it drew on."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr
from IPython.display import Image, Markdown, display
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox

from landscape_utils.kit.files import write_atomically
from landscape_utils.kit.store import to_netcdf

# White to dark in one hue: readable in grey and to colour-blind eyes; what is left out stays grey.
RATES = plt.get_cmap("Blues").with_extremes(bad="0.85")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
DPI = 100  # of pictures in notebooks and files
# No date and no version inside: the same numbers give the same file.
_NO_DATE = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def new_axes(*size: float) -> Axes:
    """Return axes on a figure of their own: width and height in inches, or matplotlib's default."""
    axes: Axes = plt.subplots(figsize=size or None, layout="constrained")[1]
    return axes


def footnote(figure: Figure, text: str) -> None:
    """Write below a figure, and below its shared x label, what it rests on."""
    if text:
        figure.supxlabel("\n".join(filter(None, (figure.get_supxlabel(), text))), fontsize=9, color="0.25")


def display_markdown(text: str) -> None:
    """Show Markdown below a notebook's cell."""
    display(Markdown(text))


def to_png(figure: Figure, *, dpi: int = 90) -> bytes:
    """Render a figure to PNG bytes and close it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return buffer.getvalue()


def check_formats(formats: Sequence[str]) -> None:
    """Refuse picture formats other than png, svg and pdf.

    Raises:
        ValueError: another format.
    """
    wrong = [f for f in formats if f not in _NO_DATE]
    if wrong:
        raise ValueError(f"unknown picture format {wrong[0]!r}; choose from {', '.join(_NO_DATE)}")


def save(
    figure: Figure,
    name: str,
    numbers: xr.Dataset,
    *,
    figures: Path,
    out: Path,
    formats: Sequence[str] = ("png",),
) -> dict[str, bytes]:
    """Write a figure's picture, and the numbers behind it as NetCDF.

    Args:
        figure: what to save; it stays open.
        name: file name without its ending.
        numbers: what the figure shows.
        figures: folder of the pictures.
        out: folder of the numbers, beside the executed notebook.
        formats: among png, svg and pdf.

    Returns:
        What the files of the pictures hold, by format.

    Raises:
        ValueError: another format.
    """
    check_formats(formats)
    pictures, box = {}, _laid_out(figure)
    for ending in formats:
        buffer = BytesIO()
        figure.savefig(buffer, format=ending, dpi=DPI, bbox_inches=box, metadata=_NO_DATE[ending])
        pictures[ending] = buffer.getvalue()
        write_atomically(figures / f"{name}.{ending}", pictures[ending])
    write_atomically(out / f"{name}.nc", to_netcdf(numbers))
    return pictures


def _laid_out(figure: Figure) -> Bbox:
    """Lay a figure out for good, and give the box around what it shows, in inches.

    `savefig` with a tight box would draw the whole figure twice: the first time to lay it out.
    """
    figure.set_dpi(DPI)
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    return figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])


def display_png(picture: bytes, title: str) -> None:
    """Show a picture below a notebook's cell; the title is read out to those who do not see it."""
    display(Image(picture, format="png", alt=title))


def percent(*axes: object) -> None:
    """Write an axis's numbers as percentages."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, decimals=None))  # type: ignore[attr-defined]
