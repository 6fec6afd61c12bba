"""A model at many points of weight space, and what is read off it there."""
