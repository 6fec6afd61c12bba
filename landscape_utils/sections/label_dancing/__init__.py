"""03: how classes compete while a network trains."""
