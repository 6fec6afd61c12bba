"""One Chromium and one JupyterLab for all tests of a process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "landscape-test"
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine; install the package chromium"
)


class Lab(NamedTuple):
    """A JupyterLab server: its address and the folder that it shows."""

    address: str
    folder: Path

    def tree(self, notebook: str) -> str:
        """Give the address of a notebook in a workspace of its own."""
        return f"{self.address}/lab/workspaces/{notebook}/tree/{notebook}.ipynb?token={TOKEN}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(f"no answer: {log.read_text()}")


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[tuple[Lab, subprocess.Popen[bytes]]]:
    """Serve a folder by JupyterLab on localhost, with its cache at home."""
    port, log = free_port(), folder / "lab.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--notebook-dir={folder}", "--expose-app-in-browser"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += [f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
    environment = {**os.environ, "LANDSCAPE_HOME": str(home)}
    with log.open("wb") as sink, subprocess.Popen(command, env=environment, stdout=sink, stderr=sink) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api?token={TOKEN}", server, log)
            yield Lab(address, folder), server
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


def end_kernels(lab: Lab) -> None:
    """Shut down all that a JupyterLab has started."""
    for kernel in json.loads(_ask(f"{lab.address}/api/kernels")):
        _ask(f"{lab.address}/api/kernels/{kernel['id']}", "DELETE")


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, folder / "home") as (served, _):
        yield served


@pytest.fixture
def lab(_server: Lab) -> Iterator[Lab]:
    """Serve JupyterLab on localhost; a test's kernels end with it."""
    yield _server
    end_kernels(_server)


def _ask(address: str, method: str = "GET") -> bytes:
    request = urllib.request.Request(address, method=method, headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        said: bytes = answer.read()
    return said


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1300, "height": 1000})
    yield context.new_page()
    context.close()
