"""06: manifold geometry, layer by layer."""
