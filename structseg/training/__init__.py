"""Training: the loop, its state, and one regime a file."""
