"""The app in a real Chromium: four visitors at once, and one who has no token."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request

from tests import ROOT
from tests.browser.conftest import free_port, needs_chromium, wait_for
from tests.browser.test_panels import FAST, drag, pixels

TOKEN = "for-the-test"
WAYS = (15, 35, 55, 75)  # how far each visitor moves the slider, in pixels

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a panel as a user does, and give its address and process; nobody is let in before there are visitors."""
    folder = tmp_path_factory.mktemp("app")
    port, log = free_port(), folder / "app.log"
    given = [word for name, value in FAST.items() for word in ("-p", f"{name}={value}")]
    command = [sys.executable, "-m", "landscape_utils.run.cli", "app", "01_cctm", *given, f"--port={port}"]
    environment = {**os.environ, "LANDSCAPE_HOME": str(folder / "home"), "JUPYTER_TOKEN": TOKEN}
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, cwd=ROOT) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/voila/static/voila.js", server, log)
            yield f"http://127.0.0.1:{port}", psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(30)


def test_nobody_gets_in_without_the_token(app: tuple[str, psutil.Process]) -> None:
    address, server = app
    kernel = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
    for page in ("/", "/voila/tree", "/voila/render/01_cctm.ipynb", "/voila/render/01_cctm.ipynb?token=wrong"):
        with urllib.request.urlopen(address + page) as answer:
            assert "/login" in answer.url, page
    for page in (f"/api/kernels/{kernel}", "/voila/files/01_cctm.ipynb"):
        with pytest.raises(urllib.error.HTTPError, match=r"403|404"):
            urllib.request.urlopen(address + page)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a"}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(f"{address}/api/kernels/{kernel}/channels", headers=upgrade))
    assert not [p for p in server.children(recursive=True) if "ipykernel" in " ".join(p.cmdline())]


def test_the_first_page_leads_to_a_panel_and_back(app: tuple[str, psutil.Process], chromium: Browser) -> None:
    address, _ = app
    page = chromium.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.goto(f"{address}/?token={TOKEN}")
    page.get_by_role("img", name="The panel of 01").wait_for()
    assert "20 minutes in class" in page.locator("li").inner_text()
    assert not barriers(page)
    page.get_by_role("link", name="01").click()
    page.get_by_text("The panel is being prepared").wait_for(timeout=60_000)
    page.get_by_role("img", name="01_cctm-panel").wait_for(timeout=240_000)
    page.get_by_role("slider", name="threshold").wait_for()
    assert not barriers(page)
    page.get_by_role("link", name="All panels").click()
    page.get_by_role("link", name="01").wait_for()


def test_four_visitors_at_once_see_only_their_own_panel(app: tuple[str, psutil.Process], chromium: Browser) -> None:
    address, server = app
    elsewhere: list[Request] = []
    pages = [chromium.new_context(viewport={"width": 1300, "height": 1000}).new_page() for _ in WAYS]
    for page in pages:
        page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else elsewhere.append(r))
        page.goto(f"{address}/voila/render/01_cctm.ipynb?token={TOKEN}", wait_until="commit")
    for page in pages:
        page.locator("img.widget-image").last.wait_for(state="attached", timeout=240_000)
    first = {picture(page) for page in pages}
    assert len(first) == 1
    seen = []
    for page, way in zip(pages, WAYS, strict=True):
        before = pixels(page)
        drag(page, -1, way)
        page.wait_for_function(
            "before => { const all = document.querySelectorAll('img.widget-image');"
            " return all[all.length - 1].src !== before; }",
            arg=before,
            timeout=20_000,
        )
        seen.append((threshold(page), picture(page)))
    assert len(set(seen)) == len(WAYS)
    assert not first & {shown for _, shown in seen}
    assert [(threshold(page), picture(page)) for page in pages] == seen  # nobody's slider moved another's
    pages[0].screenshot(path=str(shots() / "app.png"))
    assert [(r.url, r.failure) for r in elsewhere if r.failure != "csp"] == []  # the policy keeps the page from asking
    listening = [c.laddr.ip for p in (server, *server.children(recursive=True)) for c in p.net_connections("inet")
                 if c.status == psutil.CONN_LISTEN]  # fmt: skip
    assert len(listening) > len(WAYS)  # the server's, and each kernel's
    assert set(listening) == {"127.0.0.1"}


def barriers(page: Page) -> list[str]:
    """List what axe-core calls serious or critical for those who do not see, or use no mouse."""
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {fault['help']}" for fault in found if fault["impact"] in ("serious", "critical")]


def threshold(page: Page) -> str:
    """Read what the slider says."""
    return page.locator(".widget-slider .widget-readout").last.inner_text()


def picture(page: Page) -> str:
    """Give the digest of the panel's picture."""
    digest: str = page.evaluate(
        "async source => { const bytes = await (await fetch(source)).arrayBuffer();"
        " const digest = await crypto.subtle.digest('SHA-256', bytes);"
        " return new Uint8Array(digest).join(); }",
        pixels(page),
    )
    return digest


def shots() -> Path:
    folder = ROOT / "tests" / "browser" / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder
