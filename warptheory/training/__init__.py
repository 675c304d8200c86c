"""Data and the training loop."""

from warptheory.training.loop import DivergedError, TrainingStep, accuracy, fit
from warptheory.training.patches import Patches, photograph_patches

__all__ = ["DivergedError", "Patches", "TrainingStep", "accuracy", "fit", "photograph_patches"]
