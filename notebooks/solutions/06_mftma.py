"""A solution of 06_mftma's third exercise."""

from math import comb


def my_share(points, dimensions):
    """Return the share of divisions that a plane through the origin makes, in [0, 1]."""
    return 2 * sum(comb(points - 1, k) for k in range(dimensions)) / 2**points
