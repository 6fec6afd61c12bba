"""Walk through the plan of 90 minutes with a clock: `python -m tests.browser.workshop`, from a cache that is filled.

In JupyterLab in a real Chromium, one notebook after the other as a seat has them: the seconds from opening it to the
last cell of "Run all", the seconds in which the panel answers to its slider, and the memory of server and kernel. For a
room without a network: `unshare -n sh -c "ip link set lo up; python -m tests.browser.workshop"`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Page

from landscape_utils.kit.files import home
from tests import ROOT
from tests.browser.conftest import Lab, browsing, end_kernels, serving
from tests.browser.test_panels import IDLE, PANELS, drag, pixels, problems, run_all, wait_for_another_picture

PLAN = ("00_tour", "01_cctm", "02_ego_flatness", "06_mftma", "07_rewinding")
MINUTES = 10 * 60_000  # ms; a notebook that computes is none of a workshop


def main() -> None:
    """Print a row a notebook."""
    print("| notebook | ready after | the panel answers in | memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for notebook in PLAN:
            shutil.copy(ROOT / "notebooks" / f"{notebook}.ipynb", folder)
        with serving(folder, home()) as (lab, server), browsing() as chromium:
            for notebook in PLAN:
                page = chromium.new_context(viewport={"width": 1300, "height": 1000}).new_page()
                ready, answers = walk(page, lab, notebook)
                memory = pss(server.pid) / 2**30
                print(f"| `{notebook}` | {ready:.0f} s | {answers:.1f} s | {memory:.1f} GiB |", flush=True)
                page.context.close()
                end_kernels(lab)


def walk(page: Page, lab: Lab, notebook: str) -> tuple[float, float]:
    """Open a notebook, run all, and move the slider of its panel; give the seconds of both."""
    begun = time.perf_counter()
    errors = run_all(page, lab.tree(notebook))
    page.locator("img.widget-image").last.wait_for(state="attached", timeout=MINUTES)
    page.wait_for_selector(IDLE, timeout=MINUTES)
    ready = time.perf_counter() - begun
    (handle, way) = next((handle, way) for name, _, handle, way in PANELS if name == notebook)
    before, begun = pixels(page), time.perf_counter()
    drag(page, handle, way)
    wait_for_another_picture(page, before)
    answers = time.perf_counter() - begun
    assert problems(page, errors) == []
    return ready, answers


def pss(pid: int) -> int:
    """Add up the memory of a process and its children, what they share counted once, in bytes."""
    process = psutil.Process(pid)
    return sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True)))


if __name__ == "__main__":
    main()
