"""What all notebooks share."""
