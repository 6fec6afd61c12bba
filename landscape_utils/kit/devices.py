"""Where computations run."""

from __future__ import annotations

import torch


def default_device() -> str:
    """Name the fastest kind of device there is: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
