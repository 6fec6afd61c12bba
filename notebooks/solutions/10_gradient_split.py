"""A solution of 10_gradient_split's third exercise."""


def my_dependent_term(outputs, labels, subset):
    """Return a scalar tensor; `subset` is a mask of shape (n,)."""
    return outputs.mean() - outputs.gather(1, labels[:, None])[subset].mean()
