"""Section B: the backward pass."""
