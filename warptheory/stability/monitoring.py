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
the user names. What runs inside a program (`torch.compile`, TorchScript, CUDA graphs) makes no calls and is not seen.

A step is a call of the model, with the first backward pass that goes through it. Calls in training and in evaluation
(`model.training`) are counted apart. Those whose number is a multiple of the interval are watched; the others cost a
counter. Statistics are of the first images of the batch; gradients of parameters, which are sums over the batch, of
all. No tensor is changed or kept. One result may change, by rounding: in evaluation without gradients torch's fused
transformer layers take their ordinary way in a recorded step, as they do whenever a function mode is active.
What a recorded step costs, `warptheory bench monitor_overhead` measures.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from warptheory.core.errors import ArgumentError
from warptheory.operators import SelfWarp
from warptheory.stability._sampling._call import Place, SamplingCall
from warptheory.stability._sampling._layouts import OffsetOutput
from warptheory.stability._sampling._statistics import ForwardStatistics, forward_statistics, moments, variance
from warptheory.stability._sampling._watch import Watch, check_modules

INTERVAL = 10
IMAGES = 16


@dataclass(frozen=True)
class LayerStatistics:
    """What one sampling operation did in one step.

    Values that are not known are NaN: gradients where no backward pass came by, everything about input and output
    where a user named a module's output, slopes on a grid without neighbours. A gradient is that of what the backward
    pass began with, the loss, in the units of the caller (an AMP scaler's factor is in it).

    Attributes:
        step: number of the model's call, from 0, counted apart in training and in evaluation.
        training: whether the model was in training mode.
        layer: dotted name of the module in which the operation ran, empty for the model itself.
        call: number of the operation among those of that module in this step, from 0.
        depth: number of the operation among all of this step, from 0: the first is the nearest to the input.
        operator: "warp", "grid_sample", "deform_conv2d", "mmcv deform_conv2d", "mmcv modulated_deform_conv2d" or
            "module output".
        offset_mean: mean of the offsets over images, fields, axes and pixels, in pixels of the sampled image.
        offset_deviation: standard deviation of the same, in pixels.
        slope_deviation: τ, the root mean square of the offsets' slopes, per pixel of the sampled image.
        fold_fraction: share of pixels with det(I + ∇ε) ≤ 0; of all fields, so of all taps.
        dead_fraction: share of inputs (pixels, for each offset group) that no sample reads.
        variance_in: variance of what is sampled.
        variance_out: variance of the outcome.
        output_gradient_variance: variance of ∂L/∂y.
        input_gradient_variance: variance of ∂L/∂x, through all that reads x, the offsets' head included.
        offset_gradient_variance: variance of ∂L/∂ε, per pixel of offset.
        parameter_gradient_variance: variance of ∂L/∂w over all parameters w of the module in which the operation ran,
            its submodules included.
    """

    step: int
    training: bool
    layer: str
    call: int
    depth: int
    operator: str
    offset_mean: float
    offset_deviation: float
    slope_deviation: float
    fold_fraction: float
    dead_fraction: float
    variance_in: float
    variance_out: float
    output_gradient_variance: float
    input_gradient_variance: float
    offset_gradient_variance: float
    parameter_gradient_variance: float


@dataclass
class _Row:
    """A row that the backward pass completes; `is_reached` says that it has come."""

    step: int
    training: bool
    place: Place
    operator: str
    forward: ForwardStatistics
    gradients: dict[str, float] = field(default_factory=dict)
    parameters: list[tuple[int, float, float]] = field(default_factory=list)
    is_reached: bool = False

    def finished(self) -> LayerStatistics:
        names = ("output", "input", "offset")
        return LayerStatistics(
            self.step,
            self.training,
            self.place.layer,
            self.place.call,
            self.place.depth,
            self.operator,
            **asdict(self.forward),
            **{f"{name}_gradient_variance": self.gradients.get(name, math.nan) for name in names},
            parameter_gradient_variance=_pooled_variance(self.parameters),
        )


def _pooled_variance(parts: list[tuple[int, float, float]]) -> float:
    """Return the variance about the common mean, of parts given by count, mean and variance."""
    count = sum(n for n, _, _ in parts)
    if not count:
        return math.nan
    mean = sum(n * part for n, part, _ in parts) / count
    return sum(n * (spread + (part - mean) ** 2) for n, part, spread in parts) / count


class Monitor:
    """Records `LayerStatistics` of a model while it is entered; see `monitor`, which makes one."""

    def __init__(
        self, model: nn.Module, interval: int, modules: Mapping[str, OffsetOutput], images: int | None, first_step: int
    ) -> None:
        self._model = model
        self._interval = interval
        self._images = images
        self._rows: list[_Row] = []
        self._steps = {True: first_step, False: 0}
        self._step = (0, True)
        self._watch = Watch(model, self._record, modules)
        self._is_watching = False
        self._hooks: list[RemovableHandle] = []
        self._leaves: list[RemovableHandle] = []

    def __enter__(self) -> "Monitor":
        # Hooks that run last in, first out, so that monitors nest.
        self._hooks = [
            self._model.register_forward_pre_hook(self._begin),
            self._model.register_forward_hook(self._end, prepend=True, always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._forget_leaves()
        for hook in self._hooks:
            hook.remove()

    def rows(self) -> list[LayerStatistics]:
        """Return what was recorded, in the order of the forward passes."""
        return [row.finished() for row in self._rows]

    def table(self) -> pd.DataFrame:
        """Return what was recorded as a table: a row for each step and operation, a column for each attribute."""
        return pd.DataFrame(
            [asdict(row) for row in self.rows()], columns=[each.name for each in fields(LayerStatistics)]
        )

    def _begin(self, *_: Any) -> None:
        """Count a step, and watch it if its turn has come; a call of the model inside itself is part of the step."""
        if self._is_watching:
            return
        training = self._model.training
        step = self._steps[training]
        self._steps[training] += 1
        if step % self._interval == 0:
            self._forget_leaves()
            self._step = (step, training)
            self._watch.start()
            self._is_watching = True

    def _end(self, *_: Any) -> None:
        if self._is_watching:
            self._watch.stop()
            self._is_watching = False

    def _record(self, place: Place, module: nn.Module, call: SamplingCall) -> None:
        row = _Row(*self._step, place, call.operator, forward_statistics(call, self._images))
        self._rows.append(row)
        self._expect_gradients(row, module, call)
        self._expect_parameters(row, module, call.raw if call.y is None else call.y)

    def _expect_parameters(self, row: _Row, module: nn.Module, outcome: Tensor) -> None:
        """Wait for the gradients of a module's parameters that follow one of the outcome, if that can be seen.

        A graph that was thrown away sends nothing, and what comes later is not its gradient.
        """
        row.is_reached = not outcome.requires_grad

        def parameter_gradient(gradient: Tensor) -> None:
            mean, spread = (float(value) for value in moments(gradient))
            row.parameters.append((gradient.numel(), mean, spread))

        for parameter in module.parameters():
            if parameter.requires_grad:
                self._leaves.append(_listen_once(parameter, parameter_gradient, lambda: row.is_reached))

    def _expect_gradients(self, row: _Row, module: nn.Module, call: SamplingCall) -> None:
        images, layout = self._images, call.layout
        # A self-warp reads a view of its input, and others may read the input beside it.
        x = _viewed(call.x) if isinstance(module, SelfWarp) else call.x

        def output(gradient: Tensor) -> None:
            row.is_reached = True
            row.gradients["output"] = float(variance(gradient[:images]))

        def sampled(gradient: Tensor) -> None:
            row.gradients["input"] = float(variance(gradient[:images]))

        def offsets(gradient: Tensor) -> None:
            row.is_reached = True
            row.gradients["offset"] = float(variance(layout.gradient(gradient[:images])))

        for tensor, receive in ((call.y, output), (x, sampled), (call.raw, offsets)):
            if tensor is not None and tensor.requires_grad:
                handle = _listen_once(tensor, receive)
                if tensor.is_leaf:
                    self._leaves.append(handle)

    def _forget_leaves(self) -> None:
        """Let go of tensors that outlive their graph; the others go with it."""
        for handle in self._leaves:
            handle.remove()
        self._leaves = []


def _viewed(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor that one is a view of, if it is a view of all of it as it is; else the tensor itself."""
    base = None if tensor is None else tensor._base
    if tensor is None or base is None:
        return tensor
    is_whole = base.shape == tensor.shape and base.stride() == tensor.stride()
    return base if is_whole and base.requires_grad else tensor


def _listen_once(
    tensor: Tensor, receive: Callable[[Tensor], None], is_expected: Callable[[], bool] = lambda: True
) -> RemovableHandle:
    """Hand the first expected gradient of a tensor on, and no other."""

    def hook(gradient: Tensor) -> None:
        if is_expected():
            handle.remove()
            with torch.no_grad():
                receive(gradient)

    handle: RemovableHandle = tensor.register_hook(hook)
    return handle


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
    for name, value, least in (("interval", interval, 1), ("images", images, 1), ("first_step", first_step, 0)):
        if value is not None and (not isinstance(value, int) or value < least):
            raise ArgumentError(name, expected=f"an integer of at least {least}", received=value)
    return Monitor(model, interval, check_modules(model, modules), images, first_step)
