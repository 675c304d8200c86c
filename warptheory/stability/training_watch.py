"""A monitor in a training loop of any kind: a callback after each step, alarms that act, scalars for TensorBoard.

>>> import torch
>>> from warptheory import networks, stability
>>> model = networks.selfwarp_resnet(8, width=4)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> with stability.TrainingWatch(model, interval=1, on_alarm=print) as watch:
...     for step in range(3):
...         loss = watch.check(model(torch.zeros(2, 3, 8, 8)).square().mean())
...         optimizer.zero_grad()
...         loss.backward()
...         optimizer.step()
...         watch(step)
>>> watch.monitor
Monitor(SelfWarpResNet, interval=1, rows=9, alarms=0)
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._log import ScalarWriter, check_writer
from warptheory.stability.monitoring import IMAGES, INTERVAL, Monitor, monitor

Value = TypeVar("Value", float, Tensor)


class TrainingWatch:
    """Watches a model while it trains, as a callback; a context manager, for loops that are no `with` block by `open`.

    Args:
        model: any torch model, as of `monitor`: the module that the loop calls.
        interval: every so many steps are recorded.
        on_alarm: called with the sentence of each alarm, once, at the next `check` or callback; it may raise.
        writer: where the statistics of each recorded step go, such as TensorBoard's `SummaryWriter`.
        modules: as of `monitor`.
        images: as of `monitor`.
        first_step: number of the first step, for a training that resumes.

    Raises:
        ArgumentError: as of `monitor`, or a writer without `add_scalar`.
        UnknownNameError: as of `monitor`.
    """

    def __init__(
        self,
        model: nn.Module,
        interval: int = INTERVAL,
        *,
        on_alarm: Callable[[str], object] | None = None,
        writer: ScalarWriter | None = None,
        modules: Mapping[str, SamplingLayout] | None = None,
        images: int | None = IMAGES,
        first_step: int = 0,
    ) -> None:
        if on_alarm is not None and not callable(on_alarm):
            raise ArgumentError("on_alarm", expected="a function of a sentence", received=type(on_alarm).__name__)
        if writer is not None:
            check_writer(writer)
        self._monitor = monitor(model, interval, modules, images=images, first_step=first_step)
        self._on_alarm, self._writer, self._told = on_alarm, writer, 0
        self._is_open = False

    def __enter__(self) -> "TrainingWatch":
        return self.open()

    def __exit__(self, error: object, *_: object) -> None:
        self._close(error)

    @property
    def monitor(self) -> Monitor:
        """The monitor, with table, alarms and plot."""
        return self._monitor

    @property
    def alarms(self) -> tuple[str, ...]:
        """What has been warned of, in order."""
        return self._monitor.alarms

    def open(self) -> "TrainingWatch":
        """Begin to record, and return itself.

        Raises:
            ArgumentError: it is open already.
        """
        self._monitor.__enter__()
        self._is_open = True
        return self

    def close(self) -> None:
        """End recording; what was recorded stays."""
        self._close(None)

    def _close(self, error: object) -> None:
        if self._is_open:
            self._is_open = False
            self._monitor.__exit__(error)

    def __call__(self, step: int | None = None) -> None:
        """Hand on what is new: scalars to the writer, alarms to `on_alarm`; call it after each optimiser step.

        Args:
            step: number of the step for the writer; None for the monitor's own, which counts calls of the model.
        """
        if self._writer is not None:
            self._monitor.log_to(self._writer, step)
        self._hand_on()

    def check(self, loss: Value, step: int | None = None, *, name: str = "loss") -> Value:
        """Alarm if a loss is not finite, with what of the offsets came before it, and return the loss as it came.

        Reading a number from an accelerator waits for it.

        Args:
            loss: the loss, a scalar tensor or a number.
            step: number of the step; None for that of the model's last call in training.
            name: what the alarm calls the number.

        Raises:
            ArgumentError: more than one number.
        """
        self._monitor.check(loss, step, name=name)
        self._hand_on()
        return loss

    def _hand_on(self) -> None:
        """Call `on_alarm` with each alarm that is new."""
        told, self._told = self._told, len(self.alarms)
        if self._on_alarm is not None:
            for text in self.alarms[told:]:
                self._on_alarm(text)
