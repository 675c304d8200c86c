"""What every dynamic sampling operator shares: its pattern at its inputs, and what follows from that."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory import kernels, warping
from warptheory.core import html
from warptheory.core.definition import arguments
from warptheory.core.presented import Presented, values_table
from warptheory.kernels import Kernel
from warptheory.patterns import Lattice, OperatorStatistics, Pattern, SamplingPattern
from warptheory.warping import boundaries
from warptheory.warping.arguments import check_kernel_fits


class PresentedModule(nn.Module, Presented):
    """A layer with a card for notebooks: what it does, its settings and its size. Its `repr` is torch's.

    Each argument of its constructor is an attribute of that name, of the layer or of a layer that it holds.
    """

    def _subtitle(self) -> str:
        return (inspect.getdoc(type(self)) or "").partition("\n")[0]

    def _card(self) -> Iterable[object]:
        yield values_table(self._settings(), arguments(type(self)))
        yield html.properties([("parameters", f"{sum(each.numel() for each in self.parameters()):,}")])

    def _settings(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values of the constructor's arguments."""
        for name in inspect.signature(type(self)).parameters:
            owner = next((each for each in (self, *self.children()) if hasattr(each, name)), None)
            if owner is not None:
                value = getattr(owner, name)
                # A parameter of the name of the option that asked for it, such as a bias.
                yield name, True if isinstance(value, Tensor) else value


class SamplingOperator(PresentedModule, ABC):
    """A layer that is linear in what it samples, once its positions and weights are known: y = A(x) x.

    A subclass supplies its `pattern`; the layer, its matrix and its statistics follow. What it computes before and
    after it samples is in `image` and `finish`: it returns finish(pattern(…).apply(image(…))). All take what `forward`
    takes. A subclass may compute the same in another way, by a `forward` of its own.
    """

    @abstractmethod
    def pattern(self, *inputs: Any, **named: Any) -> Pattern:
        """Return where the layer samples at its inputs, with which weights, and how it mixes."""

    def image(self, *inputs: Any, **named: Any) -> Tensor:
        """Return what is sampled, shape (B, C, *S): the first input, which may be named `input` or `x`."""
        image: Tensor = inputs[0] if inputs else named["input" if "input" in named else "x"]
        return image

    def finish(self, y: Float[Tensor, "B D *T"]) -> Tensor:
        """Return the outcome, given what was sampled, shape (B, D, *T): the same."""
        return y

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the outcome at the inputs, the first of which is usually an image (B, C, *S)."""
        return self.finish(self.pattern(*inputs, **named).apply(self.image(*inputs, **named)))

    def operator_matrix(self, *inputs: Any, **named: Any) -> Float[Tensor, "B DN CM"]:
        """Return the linear map at the inputs as a sparse tensor (B, D·N, C·M), positions and weights held fixed.

        It is that from `image` (B, C, *S) to what `finish` gets (B, D, *T), M = ∏S and N = ∏T pixels in C order.
        Buffers, such as those of a norm in training, stay as they are.
        """
        with _buffers_kept(self):
            pattern = self.pattern(*inputs, **named)
        return pattern.matrix()

    @torch.no_grad()
    def statistics(self, *inputs: Any, **named: Any) -> OperatorStatistics:
        """Return the statistics of that map at the inputs; buffers stay as they are."""
        with _buffers_kept(self):
            pattern = self.pattern(*inputs, **named)
        return pattern.statistics()


@contextmanager
def _buffers_kept(layer: nn.Module) -> Iterator[None]:
    """Let nothing that runs inside change a layer's buffers: who measures does not train."""
    before = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, kept in before:
                buffer.copy_(kept)


class WarpOperator(SamplingOperator):
    """A layer that reads its input at positions which may depend on the input, one for each output pixel.

    A subclass supplies `offsets`.

    Args:
        kernel: name of the interpolation kernel.
        boundary: name of the boundary rule.

    Raises:
        UnknownNameError: no such kernel or boundary rule.
        ArgumentError: a kernel and a boundary rule that do not go together.
    """

    def __init__(self, kernel: str | Kernel = "linear", boundary: str = "border") -> None:
        super().__init__()
        self.kernel, self.boundary = checked_reading(kernel, boundary)

    @abstractmethod
    def offsets(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B G d *T"]:
        """Return the offsets at an input (B, C, *S), in pixels, shape (B, G, d, *T)."""

    def pattern(self, x: Float[Tensor, "B C *S"]) -> SamplingPattern:
        """Return the pattern at an input (B, C, *S): one sample for each pixel and channel."""
        offsets, size = self.offsets(x), tuple(x.shape[2:])
        lattice = Lattice.unit(len(size))
        return SamplingPattern(size, x.shape[1], offsets, lattice, kernel=self.kernel, boundary=self.boundary)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:
        """Return the warped input: (B, C, *S) → (B, C, *T)."""
        return warping.warp(x, self.offsets(x), self.kernel, self.boundary)


def checked_reading(kernel: str | Kernel, boundary: str) -> tuple[Any, str]:
    """Return a kernel and the name of a boundary rule for a layer to keep, checked; aliases are resolved.

    Raises:
        UnknownNameError: no such kernel or boundary rule.
        ArgumentError: a kernel and a boundary rule that do not go together.
    """
    rule = boundaries.get(boundary).name
    check_kernel_fits(kernels.get(kernel), rule)
    return kernels.resolve(kernel) if isinstance(kernel, str) else kernel, rule
