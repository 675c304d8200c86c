"""Section A: inputs of independent pixels."""
