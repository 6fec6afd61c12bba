"""A solution of 08_double_descent's first exercise."""


def my_curve(accuracy, epsilon, classes):
    """Return the expected accuracy on training labels of networks that memorize none of them, of accuracy's shape."""
    untouched = 1 - epsilon  # these labels are true: a network is right about them as about new images
    by_chance = 1 / classes  # a redrawn label is whatever the network says
    return untouched * accuracy + epsilon * by_chance
