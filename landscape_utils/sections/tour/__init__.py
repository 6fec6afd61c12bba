"""00: what there is."""
