"""The monitor: layer statistics of every sampling operation of a model, taken while it trains.

>>> import torch
>>> from warptheory import networks, stability
>>> model = networks.selfwarp_resnet(8, width=4)
>>> with stability.monitor(model, interval=1) as m:
...     model(torch.zeros(2, 3, 8, 8)).sum().backward()
>>> m.table()[["layer", "offset_deviation", "fold_fraction"]].head(2)
           layer  offset_deviation  fold_fraction
0  blocks.0.warp               0.0            0.0
1  blocks.1.warp               0.0            0.0

A step is a call of the model, with the first backward pass that goes through it. `Monitor` decides by the number of the
step whether it is recorded: calls in training and in evaluation (`model.training`) are counted apart, and those whose
number is a multiple of the interval are recorded; the others cost a counter. In a recorded step
- `Watch` reports every sampling operation that runs, with the module in which it ran;
- each becomes a `LayerRow`, whose forward statistics are known at once, of the first images of the batch;
- `RowGradients` completes the row when the backward pass comes by, with gradients of parameters of the whole batch;
- `LayerTable` gives the rows out as `LayerStatistics`, those that are not complete as they are then;
- `Alarms` warns at once of statistics that are no longer finite, or have grown by orders of magnitude;
- `NotSeen` warns, once each, of what ran and cannot be recorded.

Seen are `warptheory.warping.warp` and `warptheory.patterns.sample`, and every operator that reads by one of them;
`torch.nn.functional.grid_sample`, whoever calls it; the deformable convolutions of torchvision and mmcv, if these
packages are loaded; functions that `stability.sampling` declares; and the outputs of modules that the user names. Not
seen is what runs inside a program (`torch.compile`, TorchScript, CUDA graphs), what a model samples by other means,
such as a gather by hand that is not declared, and what other threads do, such as replicas of `DataParallel`. Calls
under `torch.func.vmap`, of meta and fake tensors, and under torch.fx and jit tracing are left alone, and so are copies
of the model.

A re-entrant checkpoint of `torch.utils.checkpoint` runs its forward twice: first without gradients, when rows are made;
then inside the backward pass, the *recomputation*, when the same operations come in the same order and only their
gradients are heard. So a recomputation belongs to the step that it repeats: that of a part of the model within `Watch`,
that of the whole model here, where `_first_runs` keeps what its first run recorded.
Within a re-entrant checkpoint of another library no gradients are seen, which is warned of.

No tensor is changed, and none is kept; but for re-entrant checkpoints, which bring gradients of parameters in parts:
these are kept until the backward pass ends. What goes wrong while something is read is warned of. No result is changed,
but for one, by rounding: in evaluation without gradients torch's fused transformer layers take their ordinary way in a
recorded step, as they do whenever a function mode is active. What a recorded step costs,
`warptheory bench monitor_overhead` measures.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.hooks import RemovableHandle

from warptheory.core import html
from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._alarms import Alarms
from warptheory.stability._latest import latest_as_html, latest_as_text
from warptheory.stability._layer_statistics import (
    LayerRow,
    LayerStatistics,
    LayerTable,
    statistics_columns,
)
from warptheory.stability._log import ScalarWriter, check_writer, log_rows
from warptheory.stability._plot import plot_statistics
from warptheory.stability._row_gradients import RowGradients
from warptheory.stability._sampling._call import CallSite, SamplingCall
from warptheory.stability._sampling._frames import ModuleHook, autograd_function, is_called_within
from warptheory.stability._sampling._gradients import is_in_backward
from warptheory.stability._sampling._opaque import NotSeen, is_script
from warptheory.stability._sampling._statistics import forward_statistics
from warptheory.stability._sampling._watch import Watch, check_modules

if TYPE_CHECKING:  # Matplotlib is loaded when something is drawn
    from matplotlib.figure import Figure

INTERVAL = 10
IMAGES = 16


def monitor(
    model: nn.Module,
    interval: int = INTERVAL,
    modules: Mapping[str, SamplingLayout] | None = None,
    *,
    images: int | None = IMAGES,
    first_step: int = 0,
) -> "Monitor":
    """Return a context manager that records the statistics of every sampling operation of a model.

    Args:
        model: any torch model; itself, not what `torch.compile` made of it.
        interval: every so many steps are recorded, from 0 on.
        modules: modules whose outputs are offsets or positions, by dotted name, with the layout of the output:
            `{"backbone.offset_conv": stability.OffsetOutput()}` for [dy₀, dx₀, dy₁, dx₁, …] (B, 2K, H, W), or
            `{"head": stability.AbsolutePositions()}` for positions (x, y) in pixels (B, *T, 2).
        images: images of a batch of which statistics are taken, the first ones; None for all.
        first_step: number of the first step in training, for a training that resumes.

    Raises:
        ArgumentError: not a model, an interval or a number of images that is not positive, a negative first step.
        UnknownNameError: no module of that name.
    """
    if not isinstance(model, nn.Module) or hasattr(model, "_orig_mod"):
        raise ArgumentError("model", expected="a torch module that is not compiled", received=type(model).__name__)
    check_integer("interval", interval)
    check_integer("first_step", first_step, 0)
    if images is not None:
        check_integer("images", images)
    return Monitor(model, interval, check_modules(model, modules), images, first_step)


class Monitor(Presented):
    """Records `LayerStatistics` of a model while it is entered; see `monitor`, which makes one."""

    def __init__(
        self,
        model: nn.Module,
        interval: int,
        modules: Mapping[str, SamplingLayout],
        images: int | None,
        first_step: int,
    ) -> None:
        self._model, self._interval, self._images = model, interval, images
        self._next_number = {True: first_step, False: 0}  # by whether the model is in training
        self._step: _Step  # the one that is recorded, or was last; there is none before the watch first starts
        self._table = LayerTable()
        self._alarms = Alarms()
        self._gradients = RowGradients(images, self._alarms)
        self._not_seen = NotSeen(model)
        self._watch = Watch(
            model,
            self._record,
            modules,
            on_recomputation=self._record_recomputed,
            before_recomputation=self._gradients.begin_recomputation,
        )
        # What was recorded in the first run of a checkpoint of the whole model.
        self._first_runs: WeakKeyDictionary[FunctionCtx, list[Any]] = WeakKeyDictionary()
        self._logged = 0  # rows of the table that went to a writer
        self._is_entered = False
        self._hooks: list[RemovableHandle] = []

    # ---- what a user calls

    def __enter__(self) -> "Monitor":
        """Begin to record.

        Raises:
            ArgumentError: the monitor is entered already.
        """
        if self._is_entered:
            raise ArgumentError("monitor", expected="one that is not entered", received="one that is")
        self._is_entered = True
        self._not_seen.tell_scripts()
        if not is_script(self._model):
            # Hooks that run last in, first out, so that monitors nest.
            self._hooks = [
                self._model.register_forward_pre_hook(ModuleHook(self._begin)),
                self._model.register_forward_hook(ModuleHook(self._end), prepend=True, always_call=True),
            ]
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._stop_watching()
        self._gradients.forget()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._is_entered = False
        if error is None:
            self._not_seen.tell_missed(self._watch.has_seen_calls)

    def rows(self) -> list[LayerStatistics]:
        """Return what was recorded, in the order of the forward passes."""
        return [LayerStatistics(*values) for values in self.table().itertuples(index=False, name=None)]

    def table(self) -> pd.DataFrame:
        """Return what was recorded as a table: a row for each step and operation, a column for each attribute.

        An empty table warns, once, if steps ran in which operations should have been seen.
        """
        found = self._table.frame()
        if not len(found):
            self._not_seen.tell_missed(self._watch.has_seen_calls)
        return found

    @property
    def model(self) -> nn.Module:
        """The model that is watched."""
        return self._model

    @property
    def alarms(self) -> tuple[str, ...]:
        """What has been warned of, in order: a sentence for each kind of alarm and layer."""
        return self._alarms.told

    @staticmethod
    def legend() -> pd.DataFrame:
        """Return the columns of the table: a row for each, with its name, unit and meaning."""
        return pd.DataFrame(statistics_columns())

    def latest(self) -> pd.DataFrame:
        """Return the rows of the table that belong to the last recorded step, of training if there was any."""
        found = self._table.frame()
        in_mode = found["training"] == bool(found["training"].any())
        last = found["step"] == found["step"][in_mode].max()
        rows: pd.DataFrame = found[in_mode & last]
        return rows

    def plot(self, *, training: bool | None = None) -> "Figure":
        """Draw what was recorded over steps: a panel for each statistic with its unit, a line for each operation.

        A step at which a statistic is no longer finite is marked on the upper edge of its panel.

        Args:
            training: whether steps in training are drawn, or those in evaluation; None for training if there was any.
        """
        table = self._table.frame()
        chosen = bool(table["training"].any()) or not len(table) if training is None else training
        return plot_statistics(table, training=chosen, title=self._state)

    def log_to(self, writer: ScalarWriter, step: int | None = None) -> None:
        """Hand what is new since the last call to TensorBoard, or to another writer; call it after a backward pass.

        A tag is "layer/column (unit)", with "evaluation/" before it for steps in evaluation. What is not known, or no
        number, is left out.

        Args:
            writer: any object with `add_scalar(tag, value, step)`.
            step: number of the step that the writer is told; None for the monitor's own.

        Raises:
            ArgumentError: a writer without `add_scalar`.
        """
        check_writer(writer)
        table = self._table.frame()
        log_rows(table.iloc[self._logged :], writer, step)
        self._logged = len(table)

    def check(self, loss: Tensor | float, step: int | None = None, *, name: str = "loss") -> None:
        """Alarm if a loss is not finite, with what of the offsets came before it.

        Args:
            loss: the loss, a scalar tensor or a number.
            step: number of the step; None for that of the model's last call in training.
            name: what the alarm calls the number.

        Raises:
            ArgumentError: more than one number.
        """
        if isinstance(loss, Tensor) and loss.numel() != 1:
            raise ArgumentError("loss", expected="a scalar", received=f"shape {tuple(loss.shape)}")
        value = loss.item() if isinstance(loss, Tensor) else float(loss)
        self._alarms.loss(name, value, max(self._next_number[True] - 1, 0) if step is None else step)

    # ---- how it shows itself

    def __str__(self) -> str:
        return "\n".join([self._state, latest_as_text(self.latest()), *(f"! {told}" for told in self.alarms)])

    def _parts(self) -> Iterable[str]:
        counts = f"rows={len(self._table.frame())}, alarms={len(self.alarms)}"
        return [type(self._model).__name__, f"interval={self._interval}", counts]

    def _subtitle(self) -> str:
        return self._state

    def _card(self) -> Iterable[object]:
        if self.alarms:
            yield html.element("p", html.element("strong", f"Alarms: {len(self.alarms)}"))
            yield html.element("ul", html.joined(html.element("li", told) for told in self.alarms))
        yield latest_as_html(self.latest())
        meanings = [(column.name, column.unit, column.meaning) for column in statistics_columns()]
        columns = [html.Column(name, is_text=True) for name in ("column of table()", "unit", "meaning")]
        yield html.details("what the columns say", html.table(columns, meanings))

    @property
    def _state(self) -> str:
        """What is shown of it, in a line."""
        last = self.latest()
        if not len(last):
            return f"of {type(self._model).__name__}: nothing recorded yet"
        mode = "training" if last["training"].iloc[0] else "evaluation"
        steps = len(self._table.frame()[["training", "step"]].drop_duplicates())
        return f"of {type(self._model).__name__}: step {last['step'].iloc[0]} in {mode}, the last of {steps} recorded"

    # ---- a call of the model begins and ends

    def _begin(self, called: nn.Module, *_: Any) -> None:
        """Count a step, and watch it if its turn has come; a call of the model inside itself is part of the step."""
        if torch.compiler.is_compiling():
            # What a compiled call does in place of counting and watching.
            if not torch.compiler.is_exporting():
                self._not_seen.steps_ran = True
            return
        if called is not self._model:  # a replica, which shares the hooks
            self._not_seen.steps_ran = True
        elif is_in_backward():
            self._begin_recomputation()
        elif not self._is_nested_call():
            if self._watch.is_in_this_thread:  # a step that was interrupted
                self._stop_watching()
            self._begin_step()

    def _begin_step(self) -> None:
        training = self._model.training
        number = self._next_number[training]
        self._next_number[training] += 1
        if number % self._interval == 0 and not self._watch.is_watching:
            self._gradients.begin()
            has_gradients = torch.is_grad_enabled()
            # Without gradients inside an autograd function: a checkpoint, it is assumed, that will recompute the model.
            context = None if has_gradients else autograd_function()
            expects_backward = has_gradients or context is not None
            self._step = _Step(number, training, expects_backward, None if context is None else ref(context))
            self._watch.start()

    def _begin_recomputation(self) -> None:
        """Watch the recomputation of a checkpoint of the whole model; what else runs in a backward pass is no step."""
        context = autograd_function()
        recorded = None if context is None else self._first_runs.get(context)
        if recorded and not self._watch.is_watching:
            self._gradients.begin_recomputation()
            self._watch.start(recorded)

    def _is_nested_call(self) -> bool:
        """Return whether this call of the model runs inside one that is watched."""
        return self._watch.is_in_this_thread and is_called_within(self._model)

    def _end(self, called: nn.Module, inputs: Any, output: Any) -> None:
        """End the step, unless the call that ends is inside another one; a call that fails ends without an output."""
        if torch.compiler.is_compiling() or called is not self._model or not self._watch.is_in_this_thread:
            return
        if is_called_within(self._model):
            return
        recorded = self._watch.collected
        self._stop_watching()
        if is_in_backward():  # a recomputation ends, not a step
            return
        self._gradients.end(output)
        context = self._step.checkpoint_context
        if context is not None:
            self._first_runs[context] = recorded
        self._not_seen.steps_ran = self._not_seen.steps_ran or output is not None

    def _stop_watching(self) -> None:
        if self._watch.is_watching:
            self._watch.stop()

    # ---- an operation runs in a step that is watched

    def _record(self, site: CallSite, module: nn.Module, call: SamplingCall) -> tuple[LayerRow, nn.Module]:
        """Make the row of an operation, and wait for its gradients; return what a recomputation of it is given."""
        step = self._step
        row = LayerRow(step.number, step.training, site, call.operator, forward_statistics(call, self._images))
        self._table.add(row)
        self._not_seen.recorded.add(site.layer)
        # A checkpoint of all of the model, or else one of a part: the outermost has the graph.
        recomputation = step.checkpoint_context or self._watch.recomputation
        if recomputation is not None:
            self._gradients.expect_recomputations()
        elif step.expects_backward and not call.requires_grad:
            self._not_seen.tell_no_gradients(site.layer, autograd_function())
        self._gradients.expect(row, module, call, expects_backward=step.expects_backward, recomputation=recomputation)
        self._alarms.forward(row, call, self._images)
        return row, module

    def _record_recomputed(self, first_run: tuple[LayerRow, nn.Module], call: SamplingCall) -> None:
        """Wait for the gradients of an operation that is recomputed."""
        self._gradients.expect_recomputed(*first_run, call)


@dataclass(frozen=True)
class _Step:
    """The step that is recorded.

    Attributes:
        number: its number among those in training, or in evaluation.
        training: which of them.
        expects_backward: whether a backward pass may come to it.
        checkpoint: the context of the autograd function that all of it runs in: a re-entrant checkpoint of the whole
            model.
    """

    number: int
    training: bool
    expects_backward: bool
    checkpoint: ref[FunctionCtx] | None = None

    @property
    def checkpoint_context(self) -> FunctionCtx | None:
        """That context, as long as it lives."""
        return None if self.checkpoint is None else self.checkpoint()
