"""The panels in JupyterLab in a real Chromium: the real slider is moved, the picture is seen to change."""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import product
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, Position

from landscape_utils.run import apps
from tests import ROOT
from tests.browser.conftest import Lab, needs_chromium

FAST = {"architectures": '["mlp"]', "epochs": "1", "train_size": "500", "test_size": "200"}
COARSE = {"seeds": "[0]", "images": "100", "angles": "4", "points": "5", "class_points": "3"}
EARLY = {"epochs": "2", "checkpoints": "[1]", "images": "50", "seeds": "[0, 1]", "eigenvectors": "2"}
BRIEF = {"epochs": "2", "seeds": "[0]", "simple_seeds": "1", "images": "30", "depths": "[2, 4]", "test_size": "200"}
MEMORY = {**FAST, "architectures": '["fcn"]', "epochs": "3", "seeds": "[0]", "shares": "[0.5]", "n_t": "10"}
BY_WIDTH = {"widths": "[2, 4, 8, 16]", "epochs": "60", "seeds": "[0, 1]", "n_t": "10"}
# The notebook, parameters that take seconds, the handle that is moved (of all on the page), and how far in pixels.
PANELS = [
    ("00_tour", {**FAST, "images": "50"}, -1, 90),
    ("01_cctm", FAST, -1, 90),
    ("02_ego_flatness", {**FAST, **COARSE}, 0, 120),
    ("03_label_dancing", {**FAST, "epochs": "10"}, -1, -90),
    ("04_gmi_mli_wpeak", {**FAST, **EARLY, "draws": "1"}, -1, -60),
    ("05_bias_plateau", {**BRIEF, "train_size": "300"}, -1, 60),
    ("06_mftma", {**MEMORY, "examples": "5", "plane_images": "30", "sphere_seeds": "1", "sphere_size": "1000"}, -1, 60),
    ("08_double_descent", BY_WIDTH, -1, -60),
    ("07_rewinding", {**FAST, "architectures": '["vgg11"]', "epochs": "3", "seeds": "[0]", "images": "50"}, -1, -60),
    ("09_hessian_surfaces", {**FAST, **EARLY, "points": "7", "fine_points": "5"}, -1, -60),
    ("10_gradient_split", {**FAST, "epochs": "2", "seeds": "[0]", "images": "200", "scaling_size": "600"}, -1, 120),
]

IDLE = "#jp-main-statusbar >> text=/Python 3.*Idle/"
pytestmark = [pytest.mark.browser, needs_chromium]


WHOLE = {"01_cctm", "03_label_dancing", "10_gradient_split"}  # of the others only what the app serves: it takes less


def fast_copy(name: str, folder: Path, parameters: dict[str, str]) -> Path:
    """Copy a notebook, or its panel's page, with parameters that take seconds, and without its outputs."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    given = {k: ast.literal_eval(v) for k, v in parameters.items()}
    notebook = apps.page(path, given) if name not in WHOLE else nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "\n" + "\n".join(f"{k} = {v!r}" for k, v in given.items())
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(("name", "parameters", "handle", "way"), PANELS, ids=[panel[0] for panel in PANELS])
def test_moving_the_slider_changes_the_picture(
    name: str, parameters: dict[str, str], handle: int, way: int, lab: Lab, page: Page
) -> None:
    fast_copy(name, lab.folder, parameters)
    errors = run_all(page, lab.tree(name))
    picture = page.locator("img.widget-image").last
    picture.wait_for(state="attached", timeout=240_000)
    page.wait_for_selector(IDLE, timeout=60_000)  # cells may follow
    before = pixels(page)
    drag(page, handle, way)
    wait_for_another_picture(page, before)
    picture.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # finer grids may follow
    AND_THEN.get(name, lambda page: None)(page)
    shots = ROOT / "tests" / "browser" / "screenshots"
    shots.mkdir(exist_ok=True)
    page.screenshot(path=str(shots / f"{name}.png"))
    assert problems(page, errors) == []


def click_a_cell(page: Page) -> None:
    """Point at a cell of the CCTM, which says what it is, and click it, which opens its images."""
    clickable, before = page.locator("img.landscape-map").last, pixels(page)
    for x in (0.75, 0.45):  # one of two cells is not the one that is shown
        clickable.hover(position=_place(clickable, x, 0.4))
        page.get_by_text("taken for", exact=False).last.wait_for(timeout=10_000)
        clickable.click(position=_place(clickable, x, 0.4))
        page.wait_for_timeout(500)
    wait_for_another_picture(page, before)


def _place(picture: Locator, x: float, y: float) -> Position:
    box = picture.bounding_box()
    assert box is not None
    return {"x": x * box["width"], "y": y * box["height"]}


def play(page: Page) -> None:
    """Press Play, and see the epochs go on by themselves."""
    before = pixels(page)
    page.locator(".widget-play button").first.click()
    wait_for_another_picture(page, before)
    wait_for_another_picture(page, pixels(page))


def click_an_example(page: Page) -> None:
    """Click into a plane of examples until one is hit, whose image then stands in it."""
    plane = page.locator("img.landscape-map").last
    before = plane.get_attribute("src")
    for x, y in product((0.2, 0.35, 0.5, 0.65, 0.8), (0.3, 0.45, 0.6, 0.75)):
        plane.click(position=_place(plane, x, y))
        page.wait_for_timeout(300)
        if plane.get_attribute("src") != before:
            return
    raise AssertionError("no example was shown")


AND_THEN: dict[str, Callable[[Page], None]] = {
    "01_cctm": click_a_cell,
    "03_label_dancing": play,
    "06_mftma": click_an_example,
}


def test_the_surface_of_02_turns_in_the_browser(lab: Lab, page: Page) -> None:
    fast_copy("02_ego_flatness", lab.folder, {**FAST, **COARSE})
    errors = run_all(page, lab.tree("02_ego_flatness"))
    page.locator("img.widget-image").last.wait_for(state="attached", timeout=240_000)
    page.get_by_role("button", name="3D").click()
    page.locator(".js-plotly-plot .gl-container canvas, .js-plotly-plot canvas").first.wait_for(timeout=20_000)
    assert problems(page, errors) == []


BROKEN = """
import ipywidgets
from landscape_utils.suite.widgets import Panel

def draw(x):
    if x > 0:
        raise RuntimeError("broken on purpose")
    return b""

Panel(draw, {"x": ipywidgets.IntSlider(0, 0, 10, continuous_update=False)}, width=300)
"""


def test_a_broken_panel_says_so_and_would_fail_the_test(lab: Lab, page: Page) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BROKEN)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.folder / "broken.ipynb")
    errors = run_all(page, lab.tree("broken"))
    page.locator(".noUi-handle").first.wait_for(timeout=60_000)
    assert problems(page, errors) == []
    drag(page, 0, 90)
    page.get_by_text("RuntimeError: broken on purpose").wait_for(timeout=20_000)
    assert problems(page, errors) == ["RuntimeError: broken on purpose"]


def run_all(page: Page, address: str) -> list[str]:
    """Open a notebook and run all its cells; what goes wrong in the page is put into the list."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.wait_for_function("window.jupyterapp !== undefined")
    # Asked to run before its kernel is there, the notebook would wait for ever.
    page.wait_for_selector(IDLE, timeout=60_000)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    return errors


def drag(page: Page, handle: int, way: int) -> None:
    """Take one of the page's slider handles by the mouse, and let it go some pixels further right."""
    grip = page.locator(".noUi-handle").nth(handle)
    box, before = grip.bounding_box(), None
    while box is None or box != before:  # the notebook above it is still being laid out
        grip.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        box, before = grip.bounding_box(), box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + way, y, steps=6)
    page.mouse.up()


def problems(page: Page, errors: list[str]) -> list[str]:
    """List all that went wrong: in the page, in a cell, or in a panel's own computation."""
    cells = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
    stderr = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] :text('Error')")
    panels = page.locator(".widget-html pre, .jupyter-widgets.widget-html-content pre").all_inner_texts()
    return [*errors, *cells, *stderr.all_inner_texts(), *dict.fromkeys(panels)]


def wait_for_another_picture(page: Page, before: str) -> None:
    page.wait_for_function(
        "before => { const all = document.querySelectorAll('img.widget-image');"
        " return all[all.length - 1].src !== before; }",
        arg=before,
        timeout=20_000,
    )


def pixels(page: Page) -> str:
    """Give the address of the last widget picture's bytes: it changes exactly when they do."""
    page.wait_for_function("document.querySelectorAll('img.widget-image').length > 0")
    source: str = page.evaluate(
        "() => { const all = document.querySelectorAll('img.widget-image'); return all[all.length - 1].src; }"
    )
    return source
