"""10: what depends on the labels in a gradient, and what does not."""
