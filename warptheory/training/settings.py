"""What is chosen for a training run, checked once."""

import math
from dataclasses import dataclass

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.training import augmentation, optimizers, precision, schedules


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the weights, beside the model and the data.

    Attributes:
        steps: number of updates.
        batch: images per update, over all processes together.
        learning_rate: largest learning rate of the group "rest"; about 1e-3 suits adamw.
        warping_multiplier: factor m on the learning rate of the group "warping". With a head that starts at zero, α²m
            decides how fast offsets move (theory G5): with nine warps 0.1 already costs accuracy, 0.01 does not.
        optimizer: "sgd" (with momentum) or "adamw".
        momentum: momentum of sgd; decay rate of the first moment of adamw.
        weight_decay: weight decay; of filters and matrices alone, not of biases and BatchNorm's parameters.
        schedule: "cosine", "step" or "constant".
        warm_up: first steps over which the learning rate grows linearly.
        augment: names of augmentations, applied in this order: "flip", "crop".
        clip: largest norm of the gradient over all parameters; None leaves it alone.
        precision: "fp32", or "bf16" or "fp16" (on a GPU alone) for mixed precision.
        seed: seed of the order of the images, of augmentation, and of what the model draws itself.

    Raises:
        ArgumentError: a value that cannot be used.
    """

    steps: int
    batch: int = 64
    learning_rate: float = 0.05
    warping_multiplier: float = 0.01
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warm_up: int = 0
    augment: tuple[str, ...] = ()
    clip: float | None = None
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        _check_integer("steps", self.steps, 1)
        _check_integer("batch", self.batch, 1)
        _check_integer("warm_up", self.warm_up, 0, self.steps - 1)
        _check_number("learning_rate", self.learning_rate, positive=True)
        _check_number("warping_multiplier", self.warping_multiplier)
        _check_number("weight_decay", self.weight_decay)
        _check_number("momentum", self.momentum, below=1.0)
        if self.clip is not None:
            _check_number("clip", self.clip, positive=True)
        _check_name("optimizer", self.optimizer, optimizers.names())
        _check_name("schedule", self.schedule, schedules.names())
        _check_name("precision", self.precision, precision.names())
        if not isinstance(self.augment, tuple | list):
            raise ArgumentError("augment", expected="a tuple of names", received=repr(self.augment))
        for name in self.augment:
            _check_name("augment", name, augmentation.names())
        # The same numbers would be drawn again: two flips would undo each other.
        if len(set(self.augment)) < len(self.augment):
            raise ArgumentError("augment", expected="each name once", received=self.augment)
        if not isinstance(self.seed, int):
            raise ArgumentError("seed", expected="an integer", received=repr(self.seed))


def _check_integer(argument: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, int) and value >= least and (most is None or value <= most):
        return
    smallest = "a positive integer" if least == 1 else f"an integer ≥ {least}"
    expected = smallest if most is None else f"an integer in {least} … {most}"
    raise ArgumentError(argument, expected=expected, received=value)


def _check_number(argument: str, value: object, *, positive: bool = False, below: float = math.inf) -> None:
    if isinstance(value, (int, float)) and 0 <= value < below and not (positive and value == 0):
        return
    bound = "" if below == math.inf else f" below {below:g}"
    kind = "positive" if positive else "non-negative"
    raise ArgumentError(argument, expected=f"a finite {kind} number{bound}", received=value)


def _check_name(argument: str, value: object, names: tuple[str, ...]) -> None:
    if value not in names:
        raise UnknownNameError(argument, value, names)
