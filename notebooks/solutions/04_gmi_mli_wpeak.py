"""A solution of 04_gmi_mli_wpeak's third exercise."""


def my_peak_step(eps, gradient, lam, lr):
    """Return the updated direction, of shape (parameters,), as eps and the gradient have."""
    return eps - lr * lam * gradient
