"""An operator told to torch once: what it computes, its derivatives, and the shape of its results.

torch calls an operator in four ways, each with interfaces of its own, and all are made of the same rules:

    recorded      `torch.compile`, `torch.export`, `torch.jit.trace`: one registered node; `torch.onnx.export`: the
                  reference, in torch's own operators
    transformed   `torch.func` and forward mode: a Function with rules for tangents and batches
    watched       an eager call whose gradient is wanted: a Function without what only the others need
    plain         numbers alone: the computation itself

torch inspects the signature of every Function with a separate `setup_context`, at every call, and dispatches every
registered operator through Python several times; on a tiny image that would cost more than the work. So the last two
do without both.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from warptheory.core.torch_internals import has_function_transforms, has_tangents, is_plain, is_traced, is_watched
from warptheory.warping._dispatch import REFERENCE

NAMESPACE = "warptheory"

Options = tuple[Any, ...]
Computed = Tensor | tuple[Tensor, ...]
MaybeTensors = Sequence[Tensor | None]

_LIBRARY: Any = torch.library.Library(NAMESPACE, "DEF")  # type: ignore[no-untyped-call]  # torch leaves it untyped
_TAGS = (torch.Tag.needs_fixed_stride_order, torch.Tag.pt2_compliant_tag)


class Operator(ABC):
    """A differentiable operator; calling it takes whichever of the four ways the call needs.

    Its tensors come first, an image (B, C, *S) at the front and offsets (B, G, d, *T) at the end; those of a single
    group may come as (B, d, *T). Its options follow, as one tuple with what `schema` names; the last
    one is the backend that is asked for.

    Attributes:
        name: the name that torch registers.
        tensors: how many tensors there are.
        schema: the signature, in torch's words.
    """

    name: ClassVar[str]
    tensors: ClassVar[int]
    schema: ClassVar[str]

    def __init__(self) -> None:
        self._recorded = _register(self)
        self._transformed, self._watched = _transformed(self, self._recorded), _watched(self, self._recorded)

    @abstractmethod
    def compute(self, *arguments: Any) -> Computed:
        """Compute, given the tensors and the options one by one."""

    @abstractmethod
    def shaped(self, *arguments: Any) -> Computed:
        """Return results of the right shapes and layouts, and of any value."""

    @abstractmethod
    def backward(
        self, cotangents: MaybeTensors, tensors: Sequence[Tensor], options: Options, needs: Sequence[bool]
    ) -> MaybeTensors:
        """Return the gradients of the tensors that need one; a cotangent that is None is zero."""

    @abstractmethod
    def forward(self, tangents: MaybeTensors, tensors: Sequence[Tensor], options: Options) -> Computed:
        """Return the derivative along tangents; one that is None is zero."""

    def __call__(self, *tensors: Tensor, options: Options) -> Any:
        """Compute differentiably."""
        # torch.compile traces no Function with a forward-mode rule, and needs none.
        if is_traced():
            if torch.onnx.is_in_onnx_export():  # which knows torch's own operators alone
                return self.compute(*grouped(tensors), *options[:-1], REFERENCE)
            return self._recorded(*grouped(tensors), *options)
        if has_function_transforms():
            return self._transformed.apply(*grouped(tensors), options)
        if is_plain(*tensors) and not is_watched(*tensors):
            return self.compute(*grouped(tensors), *options)
        return self._watched.apply(*tensors, options)


def grouped(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Give the last of some tensors, the offsets (B, d, *T), the axis of their single group if they lack it."""
    offsets = tensors[-1]
    return tensors if offsets.ndim > tensors[0].ndim else (*tensors[:-1], offsets.unsqueeze(1))


def _register(operator: Operator) -> Any:
    """Register an operator: torch records it as one node, with derivatives and a rule for batches."""
    name, count = f"{NAMESPACE}::{operator.name}", operator.tensors
    _LIBRARY.define(operator.name + operator.schema, tags=_TAGS)
    for device in ("CPU", "CUDA"):
        _LIBRARY.impl(operator.name, operator.compute, device)
    torch.library.register_fake(name, operator.shaped, lib=_LIBRARY)
    recorded = getattr(torch.ops.warptheory, operator.name)

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.options = inputs[count:]
        ctx.save_for_backward(*inputs[:count])

    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
        found = operator.backward(cotangents, ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:count])
        return *found, *(None for _ in ctx.options)

    def over_batches(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _over_batches(info, in_dims, arguments[:count], lambda *tensors: recorded(*tensors, *arguments[count:]))

    torch.library.register_autograd(name, backward, setup_context=save, lib=_LIBRARY)
    torch.library.register_vmap(name, over_batches, lib=_LIBRARY)
    return recorded


def _transformed(operator: Operator, recorded: Callable[..., Computed]) -> Any:
    """Return the Function that transformations of functions take."""

    def over_batches(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        *tensors, options = arguments
        return _over_batches(info, in_dims, tensors, lambda *folded: operator(*folded, options=options))

    members: dict[str, Callable[..., Any]] = {
        "forward": lambda *arguments: recorded(*arguments[:-1], *arguments[-1]),
        "setup_context": lambda ctx, inputs, output: _save(ctx, *inputs),
        "backward": lambda ctx, *cotangents: _backward(operator, ctx, cotangents),
        "jvp": lambda ctx, *tangents: operator.forward(tangents[:-1], ctx.saved_tensors, ctx.options),
        "vmap": over_batches,
    }
    return _function(f"{operator.name}_transformed", members)


def _watched(operator: Operator, recorded: Callable[..., Computed]) -> Any:
    """Return the Function of eager calls; it adds the axis of a single group itself: one node less for autograd."""

    def forward(ctx: Any, *arguments: Any) -> Computed:
        *tensors, options = arguments
        call = operator.compute if is_plain(*tensors) else recorded
        found: Computed = call(*grouped(tensors), *options)
        _save(ctx, *arguments)
        return found

    def jvp(ctx: Any, *arguments: Any) -> Computed:
        *tangents, _ = arguments
        tensors = grouped(ctx.saved_tensors)
        if tangents[-1] is not None:
            tangents[-1] = tangents[-1].view(tensors[-1].shape)
        return operator.forward(tangents, tensors, ctx.options)

    members: dict[str, Callable[..., Any]] = {
        "forward": forward,
        "backward": lambda ctx, *cotangents: _backward(operator, ctx, cotangents),
        "jvp": jvp,
    }
    return _function(f"{operator.name}_watched", members)


def _function(name: str, members: dict[str, Callable[..., Any]]) -> type[torch.autograd.Function]:
    return type(name, (torch.autograd.Function,), {key: staticmethod(member) for key, member in members.items()})


def _save(ctx: Any, *arguments: Any) -> None:
    *tensors, ctx.options = arguments
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)
    if has_tangents():
        ctx.save_for_forward(*tensors)


def _backward(operator: Operator, ctx: Any, cotangents: MaybeTensors) -> tuple[Tensor | None, ...]:
    if all(each is None for each in cotangents):
        return (None,) * (operator.tensors + 1)
    saved = ctx.saved_tensors
    *found, last = operator.backward(cotangents, grouped(saved), ctx.options, ctx.needs_input_grad[: operator.tensors])
    return *found, last if last is None else last.view(saved[-1].shape), None


def _over_batches(
    info: Any, in_dims: Sequence[Any], tensors: Sequence[Tensor], call: Callable[..., Any]
) -> tuple[Any, Any]:
    """Fold the mapped axis into the batch, call, and unfold: every operator treats its batch independently."""
    folded = []
    for tensor, axis in zip(tensors, in_dims, strict=False):
        mapped = tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        folded.append(mapped.flatten(0, 1))
    found = call(*folded)
    parts = found if isinstance(found, tuple) else (found,)
    # A gradient that is not needed is an empty vector, the same for all.
    unfolded = [
        part.unflatten(0, (info.batch_size, part.shape[0] // info.batch_size)) if part.ndim > 1 else part
        for part in parts
    ]
    out_dims = [0 if part.ndim > 1 else None for part in parts]
    return (tuple(unfolded), tuple(out_dims)) if isinstance(found, tuple) else (unfolded[0], out_dims[0])
