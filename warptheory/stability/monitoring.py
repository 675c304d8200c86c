"""The monitor: layer statistics of every sampling operation of a model, taken while it trains, changing no result.

>>> import torch
>>> from warptheory import networks, stability
>>> model = networks.selfwarp_resnet(8, width=4)
>>> with stability.monitor(model, interval=1) as m:
...     model(torch.zeros(2, 3, 8, 8)).sum().backward()
>>> m.table()[["layer", "offset_deviation", "fold_fraction"]].head(2)
           layer  offset_deviation  fold_fraction
0  blocks.0.warp               0.0            0.0
1  blocks.1.warp               0.0            0.0

Found are `warptheory.warping.warp` and every operator that calls it; `torch.nn.functional.grid_sample`, whoever calls
it; the deformable convolutions of torchvision and mmcv, if these packages are loaded; and the outputs of modules that
the user names. What runs inside a program (`torch.compile`, TorchScript, CUDA graphs) makes no calls and is not seen,
nor is a sampling that a model computes by other means, such as a gather by hand, nor what other threads do, such as
replicas of `DataParallel`. A warning names the parts that are TorchScript, the operators of this library in compiled
parts, and says if nothing was seen at all. Calls under `torch.func.vmap`, of tensors without numbers, and those that a
tracer records, are left alone.

A step is a call of the model, with the first backward pass that goes through it. Calls in training and in evaluation
(`model.training`) are counted apart. Those whose number is a multiple of the interval are watched; the others cost a
counter. Statistics are of the first images of the batch; gradients of parameters, which are sums over the batch, of
all. Copies of the model are not watched. What `torch.utils.checkpoint` computes anew in the backward pass is the same
step, and has its gradients; within a re-entrant checkpoint of another library there are none, which a warning says.

No tensor is changed, and none is kept; but for re-entrant checkpoints, which bring gradients of parameters in parts:
these are kept until the backward pass ends. What goes wrong while something is read becomes a warning. One result may
change, by rounding: in evaluation without gradients torch's fused transformer layers take their ordinary way in a
recorded step, as they do whenever a function mode is active.

Statistics that are no longer finite, or have grown by orders of magnitude, are told at once by a warning: see `Alarms`.
What a recorded step costs, `warptheory bench monitor_overhead` measures.
"""

import warnings
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

import pandas as pd
import torch
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.utils.hooks import RemovableHandle

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.stability._alarms import Alarms
from warptheory.stability._layer_statistics import LayerRow, LayerStatistics, LayerTable
from warptheory.stability._row_gradients import RowGradients
from warptheory.stability._sampling import _watch
from warptheory.stability._sampling._call import CallSite, SamplingCall
from warptheory.stability._sampling._frames import autograd_function, is_called_within
from warptheory.stability._sampling._gradients import is_in_backward
from warptheory.stability._sampling._hooks import ModuleHook
from warptheory.stability._sampling._layouts import OffsetOutput
from warptheory.stability._sampling._opaque import compiled_operators, is_script, scripts, unseen
from warptheory.stability._sampling._statistics import forward_statistics
from warptheory.stability._sampling._watch import Watch, check_modules

INTERVAL = 10
IMAGES = 16


class Monitor:
    """Records `LayerStatistics` of a model while it is entered; see `monitor`, which makes one."""

    def __init__(
        self, model: nn.Module, interval: int, modules: Mapping[str, OffsetOutput], images: int | None, first_step: int
    ) -> None:
        self._model = model
        self._interval = interval
        self._images = images
        self._rows = LayerTable()
        self._layers: set[str] = set()  # in which something was recorded
        self._alarms = Alarms()
        self._gradients = RowGradients(images, self._alarms)
        self._steps = {True: first_step, False: 0}
        self._step = (0, True)
        self._is_differentiated = True
        self._watch = Watch(
            model,
            self._record,
            modules,
            on_rerun=self._record_again,
            before_rerun=self._gradients.enter_inner_pass,
        )
        self._function: ref[FunctionCtx] | None = None  # the autograd function that the whole step runs in
        self._reruns: WeakKeyDictionary[FunctionCtx, list[Any]] = WeakKeyDictionary()
        self._has_run = False  # a step that should have been recorded, without a failure
        self._told: set[str] = set()
        self._is_entered = False
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "Monitor":
        """Begin to record.

        Raises:
            ArgumentError: the monitor is entered already.
        """
        if self._is_entered:
            raise ArgumentError("monitor", expected="one that is not entered", received="one that is")
        self._is_entered = True
        programs = scripts(self._model)
        if programs:
            self._tell(unseen(programs))
        if not is_script(self._model):
            # Hooks that run last in, first out, so that monitors nest.
            self._hooks = [
                self._model.register_forward_pre_hook(ModuleHook(self._begin)),
                self._model.register_forward_hook(ModuleHook(self._end), prepend=True, always_call=True),
            ]
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._stop()
        self._gradients.forget()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._is_entered = False
        if error is None:
            self._tell_missed()

    def rows(self) -> list[LayerStatistics]:
        """Return what was recorded, in the order of the forward passes."""
        return [LayerStatistics(*values) for values in self.table().itertuples(index=False, name=None)]

    def table(self) -> pd.DataFrame:
        """Return what was recorded as a table: a row for each step and operation, a column for each attribute."""
        found = self._rows.frame()
        if not len(found):
            self._tell_missed()
        return found

    def _begin(self, called: nn.Module, *_: Any) -> None:
        """Count a step, and watch it if its turn has come; a call of the model inside itself is part of the step."""
        if torch.compiler.is_compiling():
            # What a compiled call does in place of counting and watching.
            if not torch.compiler.is_exporting():
                self._has_run = True
            return
        if called is not self._model:  # a replica, which shares the hooks
            self._has_run = True
        elif is_in_backward():
            self._begin_again()
        elif not self._is_part_of_a_step():
            self._begin_step()

    def _begin_step(self) -> None:
        training = self._model.training
        step = self._steps[training]
        self._steps[training] += 1
        if step % self._interval == 0 and not self._watch.is_watching:
            self._gradients.begin()
            self._step, self._is_differentiated, self._function = (step, training), torch.is_grad_enabled(), None
            function = None if self._is_differentiated else autograd_function()
            if function is not None:
                self._is_differentiated, self._function = True, ref(function)
            self._watch.start()

    def _begin_again(self) -> None:
        """Watch a step that a checkpoint of the whole model runs anew; what else runs in a backward pass is no step."""
        function = autograd_function()
        known = None if function is None else self._reruns.get(function)
        if known and not self._watch.is_watching:
            self._gradients.enter_inner_pass()
            self._watch.start(known)

    def _is_part_of_a_step(self) -> bool:
        """Return whether this call runs in one that is watched; one that was interrupted is ended."""
        if not self._watch.is_mine:
            return False
        if is_called_within(self._model):
            return True
        self._stop()
        return False

    def _end(self, called: nn.Module, inputs: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or called is not self._model or not self._watch.is_mine:
            return
        if is_called_within(self._model):
            return
        recorded = self._watch.collected
        self._stop()
        if is_in_backward():
            return
        self._gradients.end(output)
        function = None if self._function is None else self._function()
        if function is not None:
            self._reruns[function] = recorded
        # A call that fails ends here too, without an output.
        self._has_run = self._has_run or output is not None

    def _stop(self) -> None:
        if self._watch.is_watching:
            self._watch.stop()

    def _record(self, site: CallSite, module: nn.Module, call: SamplingCall) -> tuple[LayerRow, nn.Module]:
        row = LayerRow(*self._step, site, call.operator, forward_statistics(call, self._images))
        self._rows.add(row)
        self._layers.add(site.layer)
        rerun = self._watch.rerun or (None if self._function is None else self._function())
        if rerun is not None:
            self._gradients.expect_inner_passes()
        elif self._is_differentiated and not any(
            each is not None and each.requires_grad for each in (call.y, call.raw)
        ):
            function = autograd_function(ignored=_watch.__file__)
            if function is not None:
                self._tell(
                    f"no gradients are seen of layer {site.layer!r}, which ran without them inside the autograd "
                    f"function {type(function).__name__}: a re-entrant checkpoint of another library, if it is one"
                )
        self._gradients.expect(row, module, call, is_differentiated=self._is_differentiated, rerun=rerun)
        self._alarms.forward(row, call, self._images)
        return row, module

    def _record_again(self, known: tuple[LayerRow, nn.Module], call: SamplingCall) -> None:
        self._gradients.expect_again(*known, call)

    def _tell_missed(self) -> None:
        if self._has_run and not self._watch.has_seen_calls:
            self._tell(
                "the monitor saw no sampling operation: not seen is what runs inside a program (torch.compile, "
                "TorchScript) or in other threads, and what a model computes by other means than the operations that "
                "are known; modules whose outputs are offsets can be named by modules="
            )
            return
        missed = [name for name in compiled_operators(self._model) if self._layers and name not in self._layers]
        if missed:
            self._tell(f"the monitor has not seen {', '.join(map(repr, missed))}, which torch.compile runs")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=3)


def monitor(
    model: nn.Module,
    interval: int = INTERVAL,
    modules: Mapping[str, OffsetOutput] | None = None,
    *,
    images: int | None = IMAGES,
    first_step: int = 0,
) -> Monitor:
    """Return a context manager that records the statistics of every sampling operation of a model.

    Args:
        model: any torch model; itself, not what `torch.compile` made of it.
        interval: every so many steps are recorded, from 0 on.
        modules: modules whose outputs are offsets, by dotted name, with the layout of the output:
            `{"backbone.offset_conv": stability.OffsetOutput()}` for [dy₀, dx₀, dy₁, dx₁, …] (B, 2K, H, W).
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
