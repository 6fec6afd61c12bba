"""02: how flat the minimum is along class gradients."""
