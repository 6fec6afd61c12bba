"""07: what layers memorized, undone."""
