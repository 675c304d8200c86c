"""Data sets and the training loop."""

from warptheory.training import data
from warptheory.training.checkpoint import Checkpoint, Checkpoints, fingerprint, open_checkpoints
from warptheory.training.diagnosis import DivergedError
from warptheory.training.loop import Monitor, accuracy, fit
from warptheory.training.metrics import TrainingStep, history_table, tensorboard_log
from warptheory.training.processes import Processes, joined_processes
from warptheory.training.runs import TrainedModel, TrainingRun, train
from warptheory.training.settings import TrainingSettings

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "DivergedError",
    "Monitor",
    "Processes",
    "TrainedModel",
    "TrainingRun",
    "TrainingSettings",
    "TrainingStep",
    "accuracy",
    "data",
    "fingerprint",
    "fit",
    "history_table",
    "joined_processes",
    "open_checkpoints",
    "tensorboard_log",
    "train",
]
