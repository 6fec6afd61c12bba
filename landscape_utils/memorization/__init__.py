"""The geometry of generalization and memorization: manifolds, rewinding, double descent, gradients."""
