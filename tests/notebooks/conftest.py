"""One cache for all notebook tests, so that they train each run once, also where two processes share the tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def notebook_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the environment for child processes: a cache of their own, and no network to fall back on."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "notebooks"
    environment = {k: v for k, v in os.environ.items() if k not in ("LANDSCAPE_OUT", "LANDSCAPE_FIGURES")}
    # A proxy that answers nothing: whoever tries the network fails at once.
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {**environment, **dead, "LANDSCAPE_HOME": str(folder / "home"), "NO_PROXY": "localhost,127.0.0.1"}
