"""The gradients of a row: of what was sampled, the outcome, the offsets and the parameters, when they come."""

from torch import Tensor, nn

from warptheory.operators import SelfWarp
from warptheory.stability._layer_statistics import LayerRow
from warptheory.stability._sampling._call import SamplingCall
from warptheory.stability._sampling._gradients import Expectation, GradientListeners
from warptheory.stability._sampling._statistics import moments, variance


class RowGradients:
    """Writes the gradients of sampling operations into their rows.

    Args:
        images: images of a batch of which statistics are taken, the first ones; None for all.
    """

    def __init__(self, images: int | None) -> None:
        self._images = images
        self._listeners = GradientListeners()

    def expect(self, row: LayerRow, module: nn.Module, call: SamplingCall, *, is_differentiated: bool) -> None:
        """Wait for the gradients of a call.

        Args:
            row: what is completed.
            module: the module in which the operation ran.
            call: the operation.
            is_differentiated: whether the model was called with gradients.
        """
        expectation = row.expect()
        self._expect_tensors(row, module, call, expectation)
        outcome = call.raw if call.y is None else call.y
        if is_differentiated or outcome.requires_grad:
            # A graph that was thrown away sends nothing, and what comes later is not its gradient.
            row.is_reached = not outcome.requires_grad
            self._expect_parameters(row, module, expectation)

    def forget_leaves(self) -> None:
        """Wait no longer for gradients of tensors that outlive their graph, such as parameters."""
        self._listeners.forget_leaves()

    def _expect_tensors(self, row: LayerRow, module: nn.Module, call: SamplingCall, expectation: Expectation) -> None:
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
                self._listeners.listen(tensor, receive, expectation)

    def _expect_parameters(self, row: LayerRow, module: nn.Module, expectation: Expectation) -> None:
        """Wait for the gradients of a module's parameters that follow one of the outcome, if that can be seen."""

        def receive(gradient: Tensor) -> None:
            mean, spread = (float(value) for value in moments(gradient))
            row.parameters.append((gradient.numel(), mean, spread))

        for parameter in module.parameters():
            if parameter.requires_grad:
                self._listeners.listen(parameter, receive, expectation, lambda: row.is_reached)


def _viewed(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor that one is a view of, if it is a view of all of it as it is; else the tensor itself."""
    base = None if tensor is None else tensor._base
    if tensor is None or base is None:
        return tensor
    is_whole = base.shape == tensor.shape and base.stride() == tensor.stride()
    return base if is_whole and base.requires_grad else tensor
