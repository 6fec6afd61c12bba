from pathlib import Path

import pytest

from landscape_utils.kit import store
from landscape_utils.kit.store import Shelf


@pytest.fixture
def shelf(home: Path) -> Shelf:
    return store.shelf("things", "abc")
