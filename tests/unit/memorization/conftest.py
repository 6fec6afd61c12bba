import numpy as np
import xarray as xr


def clouds(kind: str, count: int = 5, points: int = 9, features: int = 30, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 1, features))
    spread = rng.normal(size=(count, points, features))
    if kind == "correlated":
        centres = centres + 3 * rng.normal(size=(count, 1, 1)) * rng.normal(size=features)
        spread = spread * np.arange(1, features + 1) ** -0.7
    if kind == "duplicates":
        spread[:, -2:] = spread[:, :1]
    if kind == "subspace":
        spread = rng.normal(size=(count, points, 2)) @ rng.normal(size=(count, 2, features))
    drawn = list(centres + 0.8 * spread)
    if kind == "one point":
        drawn[1] = drawn[1][:1]
    if kind == "unequal":
        drawn = [cloud[: len(cloud) - i] for i, cloud in enumerate(drawn)]
    return drawn


def same(one: xr.Dataset, other: xr.Dataset, rtol: float = 1e-7) -> None:
    for name in one.data_vars:
        np.testing.assert_allclose(one[name], other[name], rtol=rtol, err_msg=str(name))
