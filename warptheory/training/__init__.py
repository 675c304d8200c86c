"""Data and the training loop."""

from warptheory.training import data
from warptheory.training.loop import DivergedError, TrainingStep, accuracy, fit

__all__ = ["DivergedError", "TrainingStep", "accuracy", "data", "fit"]
