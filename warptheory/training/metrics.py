"""What training measures at every step, as records."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented

_NORM = "gradient_norm_"


@dataclass(frozen=True)
class TrainingStep(Presented):
    """What one step of training measured; all but `test_accuracy` before its update.

    Attributes:
        step: number of the step, from 0.
        loss: mean cross-entropy of the batch, in nats.
        accuracy: share of the batch that is classified correctly.
        learning_rate: learning rate of the group "rest".
        gradient_norms: norm of the gradient of each parameter group, before it is clipped.
        test_accuracy: share of the test images that are classified correctly after the update; None where that was
            not asked for.
        images_per_second: images of the batch over the time of the step. Steps that differ in it alone are equal.
    """

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    gradient_norms: Mapping[str, float] = field(default_factory=dict)
    test_accuracy: float | None = None
    images_per_second: float = field(default=math.nan, compare=False)


def history_table(history: Sequence[TrainingStep]) -> pd.DataFrame:
    """Return a row for each step, with a column `gradient_norm_GROUP` for each parameter group."""
    if not history:
        return pd.DataFrame()
    names = [entry.name for entry in dataclasses.fields(TrainingStep) if entry.name != "gradient_norms"]
    columns: dict[str, list[Any]] = {name: [getattr(measured, name) for measured in history] for name in names}
    for group in dict.fromkeys(group for measured in history for group in measured.gradient_norms):
        columns[f"{_NORM}{group}"] = [measured.gradient_norms.get(group, math.nan) for measured in history]
    return pd.DataFrame(columns).astype({"test_accuracy": float})


def history_of_table(table: pd.DataFrame) -> list[TrainingStep]:
    """Return the steps of a table that `history_table` made.

    Raises:
        ArgumentError: any other table.
    """
    try:
        return _steps(table)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        received = f"one with columns {', '.join(map(str, table.columns))}"
        raise ArgumentError("metrics", expected="a table of a run's steps", received=received) from error


def _steps(table: pd.DataFrame) -> list[TrainingStep]:
    history = []
    for row in table.to_dict(orient="records"):
        if other := [name for name, value in row.items() if not isinstance(value, Real)]:
            raise TypeError(f"no numbers: {other}")
        norms = {str(name).removeprefix(_NORM): row.pop(name) for name in list(row) if str(name).startswith(_NORM)}
        tested = row.pop("test_accuracy")
        named = {str(name): value for name, value in row.items()}
        accuracy = None if math.isnan(tested) else tested
        history.append(TrainingStep(**named, gradient_norms=norms, test_accuracy=accuracy))
    return history


def summary_writer() -> type:
    """Return the class that writes for TensorBoard.

    Raises:
        ArgumentError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ArgumentError(
            "tensorboard", expected="the package tensorboard (pip install tensorboard)", received=str(error)
        ) from error
    return SummaryWriter


@contextmanager
def tensorboard_log(folder: Path, first_step: int = 0) -> Iterator[Callable[[TrainingStep], None]]:
    """Yield a function that logs a step for TensorBoard, into a folder.

    Args:
        folder: where to log.
        first_step: number of the first step; TensorBoard forgets what the folder holds of it and of later ones.

    Raises:
        ArgumentError: the package tensorboard is not installed.
    """
    with summary_writer()(str(folder), purge_step=first_step) as writer:

        def log(measured: TrainingStep) -> None:
            for name, value in history_table([measured]).drop(columns="step").iloc[0].dropna().items():
                writer.add_scalar(str(name), value, measured.step)

        yield log
