"""A solution of 07_rewinding's third exercise."""


def my_rewinding(final, earlier, modules):
    """Return a state dict; `modules` are names such as "features.0", whose entries are called "features.0.weight"."""
    return {key: (earlier if key.rpartition(".")[0] in modules else final)[key] for key in final}
