"""The panels in JupyterLab in a real Chromium: the real slider is moved, the picture is seen to change."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "landscape-test"
FAST = {"architectures": '["mlp"]', "epochs": "1", "train_size": "500", "test_size": "200"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install the package chromium"),
]


def fast_copy(name: str, folder: Path) -> Path:
    """Copy a notebook with parameters that take seconds, and without its outputs."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "\n" + "\n".join(f"{k} = {v}" for k, v in FAST.items())
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Serve JupyterLab on localhost and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--notebook-dir={tmp_path}", "--expose-app-in-browser"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = {**os.environ, "LANDSCAPE_HOME": str(tmp_path / "home")}
    log = (tmp_path / "lab.log").open("w")
    with subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None, (tmp_path / "lab.log").read_text()
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(30)
            log.close()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser.new_page(viewport={"width": 1300, "height": 1000})
        browser.close()


def test_moving_the_slider_of_01_changes_the_picture(tmp_path: Path, lab: str, page: Page) -> None:
    fast_copy("01_cctm", tmp_path)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{lab}/lab/tree/01_cctm.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.wait_for_function("window.jupyterapp !== undefined")
    # Asked to run before its kernel is there, the notebook would wait for ever.
    page.wait_for_selector("#jp-main-statusbar >> text=/Python 3.*Idle/", timeout=60_000)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    picture = page.locator("img.widget-image").last
    picture.wait_for(state="attached", timeout=180_000)
    picture.scroll_into_view_if_needed()
    before = pixels(page)
    handle = page.locator(".noUi-handle").last
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    page.wait_for_function(
        "before => { const all = document.querySelectorAll('img.widget-image');"
        " return all[all.length - 1].src !== before; }",
        arg=before,
        timeout=20_000,
    )
    shots = ROOT / "tests" / "browser" / "screenshots"
    shots.mkdir(exist_ok=True)
    page.screenshot(path=str(shots / "01_cctm.png"))
    assert errors == []
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] :text('Error')").count() == 0


def pixels(page: Page) -> str:
    """Give the address of the last widget picture's bytes: it changes exactly when they do."""
    page.wait_for_function("document.querySelectorAll('img.widget-image').length > 0")
    source: str = page.evaluate(
        "() => { const all = document.querySelectorAll('img.widget-image'); return all[all.length - 1].src; }"
    )
    return source
