"""Section F: offsets that are computed from the input."""
