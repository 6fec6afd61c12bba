"""04: curves along named directions."""
