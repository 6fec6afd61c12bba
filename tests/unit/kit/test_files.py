import pytest

from landscape_utils.kit import files
from landscape_utils.kit.store import Shelf


def test_an_interrupted_write_leaves_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("x", "bin", b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shelf.put("x", "bin", b"new")
    assert shelf.get("x") == b"old"
    assert len(list(shelf.folder.iterdir())) == 1
