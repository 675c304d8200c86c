"""Section K: the typical gradient of a stack against its mean."""
