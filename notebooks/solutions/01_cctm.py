"""A solution of 01_cctm's third exercise."""

import numpy as np


def my_cctm(targets, predicted, classes):
    """Return rates of shape (classes, classes), rows summing to 1, for whole numbers of shape (N,)."""
    counts = np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return counts / counts.sum(1, keepdims=True)
