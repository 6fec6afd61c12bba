"""Plateau in monotonic linear interpolation: paths, and what the biases do."""
