"""How every bar of tqdm behaves: what is done in two seconds needs none, and what is finished leaves none behind."""

from collections.abc import Callable
from typing import Any

BAR: dict[str, Any] = {"leave": False, "delay": 2.0}
Tick = Callable[[int, int], None]  # called with (done, total) as a computation goes on; it may raise to stop it
