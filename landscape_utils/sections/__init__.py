"""One folder a notebook: all that is true of it alone."""
