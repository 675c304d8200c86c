"""Conditions for stable training: folds, explosion, roughening, backward energy, and the ratio of speeds."""
