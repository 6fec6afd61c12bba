"""A solution of 05_bias_plateau's second exercise."""


def my_bias(start, end, layer, alpha):
    """Return a layer's bias at alpha, of shape (width,), as both ends have; the first layer is number 1."""
    return start + alpha**layer * (end - start)
