"""Data sets and the training loop."""

from warptheory.core.listing import public_names
from warptheory.training import data, pairs
from warptheory.training.checkpoint import Checkpoint, CheckpointError, Checkpoints, open_checkpoints
from warptheory.training.diagnosis import DivergedError
from warptheory.training.loop import TrainingMonitor, accuracy, fit
from warptheory.training.metrics import TrainingStep, history_table, tensorboard_log
from warptheory.training.model_state import fingerprint
from warptheory.training.processes import FirstProcessError, Processes, joined_processes
from warptheory.training.runs import TrainedModel, TrainingRun, train
from warptheory.training.settings import TrainingSettings

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Checkpoints",
    "DivergedError",
    "FirstProcessError",
    "Processes",
    "TrainedModel",
    "TrainingMonitor",
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
    "pairs",
    "tensorboard_log",
    "train",
]
__dir__ = public_names(__name__)
