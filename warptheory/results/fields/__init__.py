"""Section C: inputs that are homogeneous random fields."""
