"""Where the suite keeps what it remembers, and the one way it writes a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import platformdirs

TEMPORARY = ".tmp-"
UNFINISHED = ".unfinished"  # beside a notebook's results: why it has no claims; one that finishes has none


def home() -> Path:
    """Return `$LANDSCAPE_HOME`, else the user's cache folder; runs, results and fetched data live there."""
    named = os.environ.get("LANDSCAPE_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("landscape"))


def write_atomically(path: Path, payload: bytes | memoryview) -> None:
    """Write a file so that a reader sees all of it or none, whatever kills the writer.

    The bytes go to a temporary file beside the target, reach the disk, and take the name in one step.

    Raises:
        OSError: the disk is full or not writable; the message names the path, and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written: {error.strerror}; free some space or write elsewhere",
        ) from error
