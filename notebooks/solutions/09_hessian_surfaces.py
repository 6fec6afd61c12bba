"""A solution of 09_hessian_surfaces's third exercise."""

import torch


def my_hessian_product(loss, weights, v):
    """Return H v, of shape (parameters,), of `loss(weights)` at the weights."""
    weights = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(weights), weights, create_graph=True)
    (product,) = torch.autograd.grad((gradient * v).sum(), weights)
    return product
