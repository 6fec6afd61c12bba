"""A solution of 02_ego_flatness's third exercise."""


def my_interference_model(weights, g1, g2, theta1, theta2):
    """Return the moved weights, of shape (parameters,), as the weights and both gradients have."""
    return weights - (theta1 * g1 + theta2 * g2)
