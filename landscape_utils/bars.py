"""How every bar of tqdm behaves: what is done in two seconds needs none, and what is finished leaves none behind."""

from typing import Any

BAR: dict[str, Any] = {"leave": False, "delay": 2.0}
