"""Networks, recipes, and trainings that are remembered."""
