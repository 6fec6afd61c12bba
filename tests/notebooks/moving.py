"""Play 05's panel into the README's moving picture: `python -m tests.notebooks.moving`.

From initialisation to solution, a frame a step.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

import landscape_utils as lu
from landscape_utils.kit.files import write_atomically
from landscape_utils.sections.bias_plateau import study
from landscape_utils.sections.bias_plateau.panel import plateau_panel
from landscape_utils.suite.widgets import Panel
from tests import ROOT

MOVING = ROOT / "docs" / "panel.gif"
WIDTH, COLOURS, STEP, LAST = 800, 64, 160, 2000  # of a frame; milliseconds of a frame and of the last one


def main() -> None:
    """Train what the panel shows, or read it back, and write the picture."""
    frames = play(plateau(), np.linspace(0, 1, 26))
    moving = io.BytesIO()
    times = [*[STEP] * (len(frames) - 1), LAST]
    frames[0].save(moving, "gif", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    write_atomically(MOVING, moving.getvalue())


def plateau() -> Panel:
    """Set 05's panel up as its notebook does at the quick profile."""
    setup = lu.settle("05_bias_plateau", {"profile": "quick"})
    own, first = setup.own, setup.architectures[0]
    specs = study.elsewhere(setup.specs()[first], own["simple"], size=own["simple_size"], seeds=own["simple_seeds"])
    network = study.network(specs, images=own["images"])
    return plateau_panel(network, depths=own["depths"], scales=own["scales"][first])


def play(panel: Panel, alphas: np.ndarray) -> list[Image.Image]:
    """Draw the panel at each alpha."""
    frames = []
    for alpha in alphas:
        panel.controls["alpha"].value = float(alpha)
        panel.wait()
        frame = Image.open(io.BytesIO(panel.image.value)).convert("RGB")
        frame.thumbnail((WIDTH, WIDTH))
        frames.append(frame.quantize(COLOURS))
    return frames


if __name__ == "__main__":
    main()
