"""Where inputs, targets and class names come from."""
