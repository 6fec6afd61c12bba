"""A content-addressed cache on disk: atomic, locked, and suspicious of what it reads.

A shelf is one folder, named by the digest of everything that decides its content. Each file carries the digest
of its own bytes in its name (`weights-0003.5f2a….safetensors`), so one rename makes it both present and
verifiable: a truncated file or a flipped byte is noticed on reading, set aside with a warning, and made again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import xarray as xr
from filelock import FileLock, Timeout
from torch import Tensor, nn

from landscape_utils.kit.files import TEMPORARY, home, write_atomically

FORMAT = 1  # raise it when the same is computed differently: what is kept is then not reused


SAVING = 0.05  # of the time, at most, goes into keeping what a long computation has reached
PART = "-part-"  # in the name of what is kept of a result until it is whole
NO_SHELVES = ("app", "data", "locks", "out")  # what else lies in the cache folder


_only_looking = ContextVar("only_looking", default=False)


class DamagedFileWarning(UserWarning):
    """A file of the cache did not hold what was written; it was set aside."""


class NotKeptError(LookupError):
    """A result is not on its shelf, where results are only looked up."""


def digest(content: Mapping[str, Any]) -> str:
    """Hash a JSON-like mapping into a shelf's name; the order of the keys does not matter."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:24]


def fingerprint(model: nn.Module, tensors: Sequence[Tensor], settings: Mapping[str, str]) -> str:
    """Name what decides a landscape: the model's tensors and modules, data, origin, directions and settings."""
    hashed = hashlib.sha256()
    for tensor in (*model.parameters(), *model.buffers(), *tensors):
        hashed.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    what = {"format": FORMAT, "tensors": hashed.hexdigest(), "model": repr(model), "device": tensors[0].device.type}
    return digest({**what, **settings})


@dataclass(frozen=True)
class Shelf:
    """One folder of the cache."""

    folder: Path

    def put(self, name: str, suffix: str, payload: bytes | memoryview) -> Path:
        """Store bytes under a name, in place of what had that name.

        Raises:
            OSError: the disk is full; the message names the path and what was stored before is still there.
        """
        path = self.folder / f"{name}.{hashlib.sha256(payload).hexdigest()[:16]}.{suffix}"
        write_atomically(path, payload)
        for old in self._files(name):
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def get(self, name: str) -> bytes | None:
        """Read what has a name; None when nothing sound is there (a damaged file is set aside with a warning)."""
        for path in self._files(name):
            try:
                payload = path.read_bytes()
            except FileNotFoundError:  # replaced or cleared since it was listed
                continue
            if hashlib.sha256(payload).hexdigest()[:16] == path.suffixes[-2][1:]:
                return payload
            path.rename(path.with_name(path.name + ".damaged"))
            warnings.warn(
                f"{path} is damaged; it was set aside and will be made again",
                DamagedFileWarning,
                stacklevel=2,
            )
        return None

    def has(self, name: str) -> bool:
        """Check whether a sound file has that name."""
        return self.get(name) is not None

    def drop(self, name: str) -> None:
        """Forget what has a name."""
        for path in self._files(name):
            path.unlink(missing_ok=True)

    def drop_parts(self, name: str) -> None:
        """Forget a result's parts."""
        for path in self.folder.glob(f"{name}{PART}*"):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> list[Path]:
        # Names hold no dot, so `weights-1` never matches `weights-10`.
        return [p for p in sorted(self.folder.glob(f"{name}.*.*")) if p.suffix != ".damaged"]

    def put_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> Path:
        """Store tensors as safetensors, with a little text beside them."""
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        return self.put(name, "safetensors", safetensors.torch.save(plain))

    def get_tensors(self, name: str) -> dict[str, Tensor] | None:
        """Read tensors back; None when nothing sound has that name."""
        payload = self.get(name)
        return None if payload is None else safetensors.torch.load(payload)

    def put_dataset(self, name: str, dataset: xr.Dataset) -> Path:
        """Store an xarray Dataset as NetCDF."""
        return self.put(name, "nc", to_netcdf(dataset))

    def get_dataset(self, name: str) -> xr.Dataset | None:
        """Read a Dataset back; None when nothing sound has that name."""
        payload = self.get(name)
        if payload is None:
            return None
        with xr.open_dataset(payload, engine="netcdf4") as dataset:
            return dataset.load().drop_encoding()  # such as a text's length, to which longer ones would be cut

    def put_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Store a JSON object."""
        return self.put(name, "json", json.dumps(content, indent=1, sort_keys=True).encode())

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Read a JSON object back; None when nothing sound has that name."""
        payload = self.get(name)
        return None if payload is None else dict(json.loads(payload))


def to_netcdf(dataset: xr.Dataset) -> bytes | memoryview:
    """Serialise a Dataset to compressed NetCDF 4 bytes."""
    encoding = {name: {"zlib": True, "complevel": 1} for name, v in dataset.data_vars.items() if v.size > 1000}
    payload = dataset.to_netcdf(engine="netcdf4", encoding=encoding)
    assert isinstance(payload, bytes | memoryview)
    return payload


def shelf(kind: str, key: str) -> Shelf:
    """Name the shelf of a key, without making it: `home()/kind/key`."""
    return Shelf(home() / kind / key)


@contextmanager
def locked(place: Shelf, timeout: float = -1) -> Iterator[None]:
    """Hold a shelf alone; other processes wait, and a killed one lets go at once.

    Raises:
        filelock.Timeout: another process holds it for longer than `timeout` seconds (-1 waits for ever).
    """
    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{place.folder.parent.name}-{place.folder.name}.lock", timeout=timeout):
        # Whoever left these was killed while writing, for we hold the lock.
        for leftover in place.folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        yield


@contextmanager
def only_looking() -> Iterator[None]:
    """Look results up and compute none: inside, `before_computing` raises `NotKeptError`."""
    token = _only_looking.set(True)
    try:
        yield
    finally:
        _only_looking.reset(token)


def before_computing() -> None:
    """Say that a result is missing and about to be computed.

    Raises:
        NotKeptError: results are only looked up here.
    """
    if _only_looking.get():
        raise NotKeptError("this result is not kept yet, and nothing is computed where results are only looked up")


def remembered(
    kind: str, key: str, name: str, compute: Callable[[], xr.Dataset], *, logits: Tensor | None = None
) -> xr.Dataset:
    """Look a result up on its shelf; compute it and put it there where it is missing.

    Args:
        kind, key: of the shelf.
        name: of the result on it.
        compute: gives the result.
        logits: the model's answers to a few examples now; a result whose model answered otherwise is computed again.
    """
    place = shelf(kind, key)
    with locked(place):
        dataset = place.get_dataset(name)
        same = logits is None or _answers(place, logits)
        if dataset is None or not same:
            before_computing()
            if logits is not None and not same:  # and of what is kept nothing is this model's
                place.drop(name)
                place.drop_parts(name)
                place.put_tensors("probe", {"logits": logits})
            dataset = compute()
            place.put_dataset(name, dataset)
            place.drop_parts(name)
    return dataset


def _answers(place: Shelf, logits: Tensor) -> bool:
    probe = place.get_tensors("probe")
    return probe is not None and same_logits(probe["logits"], logits)


def same_logits(before: Tensor, now: Tensor) -> bool:
    """Check whether a model still answers as it did, up to rounding; compared by the logits' own scale."""
    if before.shape != now.shape:
        return False
    tolerance = 1e-9 if now.dtype == torch.float64 else 1e-4
    scale = float(now[now.isfinite()].abs().max()) if now.isfinite().any() else 0.0
    return torch.allclose(before.double(), now.double(), rtol=tolerance, atol=tolerance * scale, equal_nan=True)


class Thrift:
    """Saves now and then what a long computation has reached, for a twentieth of its time at most."""

    def __init__(self, save: Callable[[], object], *, pause: float = 0.0) -> None:
        """Save by a function, and let `pause` seconds at least go by between two times; without one, save at once."""
        self._save, self._pause, self._cost = save, pause, 0.0
        self._saved_at = time.monotonic() if pause else -math.inf

    def offer(self) -> None:
        """Save, unless it is too soon."""
        begun = time.monotonic()
        if begun - self._saved_at > max(self._pause, self._cost / SAVING):
            self._save()
            self._saved_at = time.monotonic()
            self._cost = self._saved_at - begun


def kinds() -> list[str]:
    """List the kinds of shelves that there are."""
    return sorted(p.name for p in home().glob("*") if p.is_dir() and p.name not in NO_SHELVES)


def shelves(kind: str) -> list[Shelf]:
    """List the shelves of a kind, oldest first."""
    folders = [(stat.st_mtime, p) for p in (home() / kind).glob("*") if p.is_dir() and (stat := _stat(p))]
    return [Shelf(p) for _, p in sorted(folders)]


def size(place: Shelf) -> int:
    """Add up the bytes on a shelf."""
    return sum(stat.st_size for p in place.folder.glob("*") if p.is_file() and (stat := _stat(p)))


def _stat(path: Path) -> os.stat_result | None:
    """Look at a file that another process may just have replaced."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def clear(kind: str) -> tuple[int, int]:
    """Remove all shelves of a kind that no process holds.

    Returns:
        (removed, in use).
    """
    removed = busy = 0
    for place in shelves(kind):
        try:
            with locked(place, timeout=0):
                shutil.rmtree(place.folder)
                removed += 1
        except Timeout:
            busy += 1
    return removed, busy
