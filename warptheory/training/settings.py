"""What is chosen for a training run, checked once."""

from dataclasses import dataclass

from warptheory.core.checks import check_integer, check_known, check_number
from warptheory.core.errors import ArgumentError
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
        steps = check_integer("steps", self.steps)
        checked = {
            "steps": steps,
            "batch": check_integer("batch", self.batch),
            "warm_up": check_integer("warm_up", self.warm_up, 0, steps - 1),
            "seed": check_integer("seed", self.seed, None),
            "learning_rate": check_number("learning_rate", self.learning_rate, above=0),
            "warping_multiplier": check_number("warping_multiplier", self.warping_multiplier, least=0),
            "weight_decay": check_number("weight_decay", self.weight_decay, least=0),
            "momentum": check_number("momentum", self.momentum, least=0, below=1),
            "clip": None if self.clip is None else check_number("clip", self.clip, above=0),
            "augment": _checked_augmentations(self.augment),
        }
        check_known("optimizer", self.optimizer, optimizers.names())
        check_known("schedule", self.schedule, schedules.names())
        check_known("precision", self.precision, precision.names())
        # NumPy's numbers and lists become Python's numbers and tuples, so that equal settings are equal as JSON too.
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def _checked_augmentations(chosen: object) -> tuple[str, ...]:
    if not isinstance(chosen, tuple | list):
        raise ArgumentError("augment", expected="a tuple of names", received=repr(chosen))
    for name in chosen:
        check_known("augment", name, augmentation.names())
    # The same numbers would be drawn again: two flips would undo each other.
    if len(set(chosen)) < len(chosen):
        raise ArgumentError("augment", expected="each name once", received=chosen)
    return tuple(chosen)
