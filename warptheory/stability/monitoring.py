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
the user names. What runs inside a program (`torch.compile`, TorchScript, CUDA graphs) makes no calls and is not seen;
if that leaves nothing of a model that has operators of this library, a warning says so. Calls under `torch.func.vmap`,
of tensors without numbers, and those that a tracer records, are left alone.

A step is a call of the model, with the first backward pass that goes through it. Calls in training and in evaluation
(`model.training`) are counted apart. Those whose number is a multiple of the interval are watched; the others cost a
counter. Statistics are of the first images of the batch; gradients of parameters, which are sums over the batch, of
all. No tensor is changed or kept, and copies of the model are not watched. One result may change, by rounding: in
evaluation without gradients torch's fused transformer layers take their ordinary way in a recorded step, as they do
whenever a function mode is active.
What a recorded step costs, `warptheory bench monitor_overhead` measures.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators import SamplingOperator
from warptheory.stability._layer_statistics import LayerRow, LayerStatistics, LayerTable
from warptheory.stability._row_gradients import RowGradients
from warptheory.stability._sampling._call import Place, SamplingCall
from warptheory.stability._sampling._hooks import ModuleHook
from warptheory.stability._sampling._layouts import OffsetOutput
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
        self._gradients = RowGradients(images)
        self._steps = {True: first_step, False: 0}
        self._step = (0, True)
        self._is_differentiated = True
        self._watch = Watch(model, self._record, modules)
        self._is_watching = False
        self._has_run = False  # a step that should have been recorded, without a failure
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "Monitor":
        """Begin to record.

        Raises:
            ArgumentError: the monitor is entered already.
        """
        if self._hooks:
            raise ArgumentError("monitor", expected="one that is not entered", received="one that is")
        # Hooks that run last in, first out, so that monitors nest.
        self._hooks = [
            self._model.register_forward_pre_hook(ModuleHook(self._begin)),
            self._model.register_forward_hook(ModuleHook(self._end), prepend=True, always_call=True),
        ]
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._stop()
        self._gradients.forget_leaves()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if error is None and self._has_run and self._has_missed_all():
            warnings.warn(
                "the monitor saw no sampling operation, though the model has some: "
                "what runs inside a program (torch.compile) is not seen",
                stacklevel=2,
            )

    def rows(self) -> list[LayerStatistics]:
        """Return what was recorded, in the order of the forward passes."""
        return [LayerStatistics(*values) for values in self.table().itertuples(index=False, name=None)]

    def table(self) -> pd.DataFrame:
        """Return what was recorded as a table: a row for each step and operation, a column for each attribute."""
        return self._rows.frame()

    def _begin(self, *_: Any) -> None:
        """Count a step, and watch it if its turn has come; a call of the model inside itself is part of the step."""
        if torch.compiler.is_compiling():
            # What a compiled call does in place of counting and watching.
            if not torch.compiler.is_exporting():
                self._has_run = True
            return
        if self._is_watching:
            return
        training = self._model.training
        step = self._steps[training]
        self._steps[training] += 1
        if step % self._interval == 0:
            self._gradients.forget_leaves()
            self._step, self._is_differentiated = (step, training), torch.is_grad_enabled()
            self._watch.start()
            self._is_watching = True

    def _end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._is_watching and not torch.compiler.is_compiling():
            self._stop()
            # A call that fails ends here too, without an output.
            self._has_run = self._has_run or output is not None

    def _stop(self) -> None:
        if self._is_watching:
            self._watch.stop()
            self._is_watching = False

    def _has_missed_all(self) -> bool:
        has_operators = any(isinstance(module, SamplingOperator) for module in self._model.modules())
        return has_operators and not self._watch.has_seen_calls

    def _record(self, place: Place, module: nn.Module, call: SamplingCall) -> None:
        row = LayerRow(*self._step, place, call.operator, forward_statistics(call, self._images))
        self._rows.add(row)
        self._gradients.expect(row, module, call, is_differentiated=self._is_differentiated)


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
