"""01: which class is taken for which."""
