"""Finding the sampling operations that run inside a model, and reading their offsets in one convention."""
