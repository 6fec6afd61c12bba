"""Class interference of deep neural networks: CCTM, ego space, flatness, label dancing."""
