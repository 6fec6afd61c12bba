"""08: accuracy and manifold dimension against width."""
