"""Functions that sample by hand, declared by their writer so that the monitor, the points and the diagnosis see them.

>>> import torch
>>> from warptheory import stability
>>> @stability.sampling(positions="coords", image="image")
... def read(image, coords):                    # image (B, C, H, W), coords (B, *T, 2) as (x, y), in pixels
...     row, column = coords.round().long().clamp(min=0).flip(-1).unbind(-1)
...     row, column = row.clamp(max=image.shape[2] - 1), column.clamp(max=image.shape[3] - 1)
...     return torch.stack([each[:, r, c] for each, r, c in zip(image, row, column)])
>>> class Model(torch.nn.Module):
...     def forward(self, x):
...         return read(x, torch.full((len(x), 4, 4, 2), 2.0))
>>> with stability.monitor(Model(), interval=1) as m:
...     _ = m.model(torch.zeros(1, 3, 4, 4))
>>> m.table()[["operator", "offset_deviation", "slope_deviation"]]
  operator  offset_deviation  slope_deviation
0     read          1.118034         0.707107

Calls go through torch's function modes, as those of `torch.nn.functional` do: what watches a model sees the call with
the very tensors that the caller passed, and what the function calls in turn it does not see. Where nothing watches, the
function runs as if it were not declared.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from warptheory import kernels
from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.core.torch_internals import tree_leaves
from warptheory.patterns.layouts import AbsolutePositions, SamplingLayout
from warptheory.stability._sampling._call import SamplingCall
from warptheory.warping import boundaries

Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


def sampling(
    positions: str,
    *,
    layout: SamplingLayout | None = None,
    image: str | None = None,
    kernel: str | None = None,
    boundary: str | None = None,
    name: str | None = None,
) -> Callable[[Callable[Arguments, Outcome]], Callable[Arguments, Outcome]]:
    """Return a decorator that declares a function, or a method, as one that samples.

    What is not said is not known: without `image` or `kernel` the columns that need them are NaN. The outcome is the
    first tensor that the function returns. A function that is declared is no TorchScript.

    Args:
        positions: name of the argument that says where to sample, a tensor such as (B, *T, d).
        layout: how it says so, `AbsolutePositions` or `OffsetOutput`; None for positions (x, y) in pixels.
        image: name of the argument that is sampled, a tensor (B, C, *S); None if that is not known.
        kernel: name of the interpolation kernel.
        boundary: name of the rule outside the image; None for zeros.
        name: name of the operation in tables; None for that of the function.

    Raises:
        ArgumentError: other than a layout, or a decorated function that has no such arguments.
        UnknownNameError: no such kernel or boundary rule.
    """
    layout = AbsolutePositions() if layout is None else layout
    if not isinstance(layout, SamplingLayout):
        raise ArgumentError("layout", expected="an AbsolutePositions or OffsetOutput", received=shown(layout))
    if kernel is not None:
        kernels.get(kernel)
    if boundary is not None:
        check_known("boundary", boundary, boundaries.names())

    def declare(function: Callable[Arguments, Outcome]) -> Callable[Arguments, Outcome]:
        signature = inspect.signature(function)
        for argument, value in (("positions", positions), ("image", image)):
            if value is not None:
                check_known(argument, value, signature.parameters)
        called = str(name or getattr(function, "__name__", "sampling"))
        declaration = Declaration(function, signature, called, positions, layout, image, kernel, boundary)

        @functools.wraps(function)
        def declared(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Outcome:
            return run_declared(declaration, *arguments, **keywords)  # type: ignore[no-any-return]

        return declared

    return declare


@dataclass(frozen=True, eq=False)
class Declaration:
    """What is known of a function that samples.

    Attributes:
        function: the function itself.
        signature: its arguments.
        name: name of the operation.
        positions: name of the argument that says where to sample.
        layout: how it says so.
        image: name of the argument that is sampled; None if that is not known.
        kernel: name of the interpolation kernel; None if that is not known.
        boundary: name of the boundary rule; None for zeros.
    """

    function: Callable[..., Any]
    signature: inspect.Signature
    name: str
    positions: str
    layout: SamplingLayout
    image: str | None
    kernel: str | None
    boundary: str | None

    def read(self, output: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> SamplingCall:
        """Return what a call did, of what it returned and what it was given.

        Raises:
            ArgumentError: positions that are no tensor, or of another shape than the layout says.
        """
        bound = self.signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        raw, x = bound.arguments[self.positions], None if self.image is None else bound.arguments[self.image]
        if not isinstance(raw, Tensor):
            raise ArgumentError("positions", expected=f"a tensor as {self.positions!r}", received=shown(raw))
        x = x if isinstance(x, Tensor) and x.ndim == self.layout.dim + 2 else None
        y = next((each for each in tree_leaves(output) if isinstance(each, Tensor)), None)
        layout = self.layout if x is None else self.layout.of_image(tuple(x.shape[2:]))
        boundary = self.boundary or "zeros"
        return SamplingCall(self.name, x, y, raw, layout, layout.lattice(raw), self.kernel, boundary)


def run_declared(declaration: Declaration, *arguments: Any, **keywords: Any) -> Any:
    """Call a declared function; function modes see this call, tensors of any shape (*S) as they came."""
    tensors = [each for each in (*arguments, *keywords.values()) if isinstance(each, Tensor)]
    if has_torch_function(tensors):
        return handle_torch_function(run_declared, tensors, declaration, *arguments, **keywords)
    return declaration.function(*arguments, **keywords)


def read_declared(output: Any, declaration: Declaration, *arguments: Any, **keywords: Any) -> SamplingCall:
    """Return what a call of `run_declared` did, of what it returned and its arguments, tensors of any shape (*S)."""
    return declaration.read(output, arguments, keywords)
