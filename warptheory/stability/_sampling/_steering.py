"""Running a model with other sampling positions than its own: cut off from the graph, or moved.

A function mode sees the calls of every operation that the monitor knows, whoever makes them, and passes other
positions on; of autograd functions, which no mode sees, `apply` is replaced meanwhile. To know how a call holds its
positions it runs twice, the first time without a graph.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from warptheory.patterns import SamplingPattern
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._call import AutogradSource, FunctionSource, SamplingCall
from warptheory.stability._sampling._watch import chosen_output
from warptheory.stability._sampling.sources import all_sources

Move = Callable[[SamplingCall], Tensor]
TO_A_SIDE = 1e-3  # pixels, off a knot


def cut(call: SamplingCall) -> Tensor:
    """Return the positions of a call without their graph, in the caller's layout, shape (B, *R).

    What a tensor holds besides, such as masks, keeps its graph.
    """
    ones = torch.ones_like(call.offsets())
    held = shift_of(call, ones) != 0
    return call.raw.detach() if bool(held.all()) else torch.where(held, call.raw.detach(), call.raw)


def shift_of(call: SamplingCall, pixels: Float[Tensor, "B F d *T"]) -> Float[Tensor, "B *R"]:
    """Return what moves positions by pixels (B, F, d, *T), in the caller's layout, shape (B, *R)."""
    with torch.enable_grad():
        # The layout's map of gradients is linear, and the transpose of its inverse: its own gradient is a shift.
        raw = torch.zeros_like(call.raw, requires_grad=True)
        (shift,) = torch.autograd.grad((call.layout.gradient(raw) * pixels).sum(), raw)
    return shift


def moved_by(pixels: Sequence[float]) -> Move:
    """Return what moves all positions of a call by so many pixels along each axis; further axes stay."""

    def move(call: SamplingCall) -> Tensor:
        offsets = call.offsets()
        dim = offsets.shape[2]
        along = offsets.new_tensor((tuple(pixels) + (0.0,) * dim)[:dim]).reshape(-1, *[1] * dim)
        return call.raw + shift_of(call, along.expand_as(offsets))

    return move


class Steering(TorchFunctionMode):
    """A context in which a model samples at other positions than it computes.

    Args:
        model: the model.
        move: returns the positions to be used instead, in the layout of the call and in the dtype of its positions.
        modules: modules whose outputs are offsets, by name, as for `monitor`.
    """

    def __init__(self, model: nn.Module, move: Move, modules: Mapping[str, SamplingLayout]) -> None:
        super().__init__()
        self._model, self._move, self._modules = model, move, modules
        self._readers: dict[Any, Callable[..., SamplingCall]] = {}
        self._undo = ExitStack()

    def __enter__(self) -> "Steering":
        with ExitStack() as stack:
            for source in all_sources():
                if isinstance(source, FunctionSource):
                    self._readers[source.function] = source.read
                else:
                    self._replace_apply(stack, source)
            named = dict(self._model.named_modules())
            for name, layout in self._modules.items():
                stack.callback(named[name].register_forward_hook(self._hook(name, layout)).remove)
            super().__enter__()  # type: ignore[no-untyped-call]
            self._undo = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._undo.close()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, at other positions if it samples."""
        reader = self._readers.get(func)
        if reader is None:
            return func(*args, **(kwargs or {}))
        return self._steered(func, reader, args, kwargs or {})

    def _steered(self, function: Any, read: Callable[..., SamplingCall], args: Any, kwargs: Any) -> Any:
        with torch.no_grad():
            call = read(function(*args, **kwargs), *args, **kwargs)
        moved = self._move(call)
        args = [_with_positions(each, call.raw, moved) for each in args]
        kwargs = {name: _with_positions(each, call.raw, moved) for name, each in kwargs.items()}
        return function(*args, **kwargs)

    def _replace_apply(self, stack: ExitStack, source: AutogradSource) -> None:
        function, original = source.function, source.function.apply
        own = vars(function).get("apply")

        def apply(*args: Any) -> Any:
            return self._steered(original, source.read, args, {})

        def restore() -> None:
            if own is None:
                del function.apply
            else:
                function.apply = own  # type: ignore[method-assign]

        function.apply = staticmethod(apply)  # type: ignore[method-assign]  # put back by the stack
        stack.callback(restore)

    def _hook(self, name: str, layout: SamplingLayout) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            found = chosen_output(name, output, layout.item)
            moved = self._move(SamplingCall("module output", None, None, found, layout, layout.lattice(found)))
            return moved if layout.item is None else _with_item(output, layout.item, moved)

        return hook


def _with_item(output: Any, item: int | str, moved: Tensor) -> Any:
    """Return the outputs of a module with another tensor in one place; of the same kind."""
    if isinstance(output, Mapping):
        return type(output)({**output, item: moved})  # type: ignore[call-arg]  # as mappings are built
    values = list(output)
    values[int(item)] = moved
    return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)


def _with_positions(argument: Any, raw: Tensor, moved: Tensor) -> Any:
    """Return an argument of a call, with other positions if it is or holds them."""
    if argument is raw:
        return moved
    if isinstance(argument, SamplingPattern) and argument.offsets is raw:
        return replace(argument, offsets=moved)
    return argument
