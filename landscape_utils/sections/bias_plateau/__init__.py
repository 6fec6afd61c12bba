"""05: the plateau on the way to the solution, and what the biases do."""
