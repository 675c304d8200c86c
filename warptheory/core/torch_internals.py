"""What torch does not tell in public: the one module in which private names of torch are used.

Each is looked up here, once. A torch that lacks one is answered for by a stand-in: a public function where there is
one, else the careful answer, by which calls take torch's own way, slower and right in every case.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

_PLAIN = frozenset({Tensor, nn.Parameter})


def _found(path: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return what torch has at a path, or what stands in for it."""
    try:
        return cast("Callable[..., Any]", operator.attrgetter(path)(torch))
    except AttributeError:
        return otherwise


def _yes(*_: object) -> bool:
    return True


_tracing_state = _found(
    "_C._get_tracing_state",
    lambda: _found("jit.is_tracing", _yes)() or None,  # public, but without types
)
_dispatch_modes = _found("_C._len_torch_dispatch_stack", _yes)
_function_modes = _found("_C._len_torch_function_stack", _yes)
_is_zero = _found("Tensor._is_zerotensor", _yes)
_is_legacy_batch = _found("_C._functorch.is_legacy_batchedtensor", _yes)
_saved_tensor_hooks = _found("_C._autograd._top_saved_tensors_default_hooks", _yes)
_has_global_hook = _found("nn.modules.module._has_any_global_hook", _yes)
_is_wrapped = _found("_C._functorch.is_functorch_wrapped_tensor", _yes)
_unwrapped = _found("_C._functorch.get_unwrapped", _yes)
# Without these two, whatever is wrapped counts as a batch.
_is_batch = _yes if _yes in (_is_wrapped, _unwrapped) else _found("_C._functorch.is_batchedtensor", _yes)
_queue = _found("autograd.variable.Variable._execution_engine.queue_callback", lambda callback: None)
_graph_task = _found("_C._current_graph_task_id", lambda: -1)

has_function_transforms: Callable[[], bool] = _found("_C._are_functorch_transforms_active", _yes)


def is_traced() -> bool:
    """Return whether torch is recording operators into a program, by its compiler or by `torch.jit.trace`."""
    return torch.compiler.is_compiling() or _tracing_state() is not None


def is_plain(*tensors: Tensor) -> bool:
    """Return whether these tensors (*S) are numbers in memory, and no mode records operators.

    Others, such as a conjugate's imaginary part, which torch negates when it is read, have to pass its dispatcher.
    """
    return _dispatch_modes() == 0 and not any(map(_is_special, tensors))


def _is_special(tensor: Tensor) -> bool:
    return type(tensor) not in _PLAIN or tensor.is_neg() or _is_zero(tensor) or _is_legacy_batch(tensor)


def is_watched(*tensors: Tensor) -> bool:
    """Return whether a derivative of these tensors (*S) is wanted, backward or forward."""
    backward = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    return backward or is_forward_mode()


def is_forward_mode() -> bool:
    """Return whether forward-mode derivatives may be under way."""
    return getattr(torch.autograd.forward_ad, "_current_level", 0) >= 0


def has_tangents() -> bool:
    """Return whether tensors may carry tangents, in forward mode or under a function transform."""
    return is_forward_mode() or has_function_transforms()


def has_autocast(tensor: Tensor) -> bool:
    """Return whether operations on the device of a tensor (*S) are cast to other dtypes; a device may know of none."""
    try:
        return torch.is_autocast_enabled(tensor.device.type)
    except RuntimeError:
        return False


def is_eager(*tensors: Tensor) -> bool:
    """Return whether nobody records or transforms a call on tensors (*S), or takes its derivative forward."""
    return not (is_traced() or has_tangents() or torch.is_autocast_enabled("cpu")) and is_plain(*tensors)


def has_listeners(*modules: nn.Module) -> bool:
    """Return whether function modes, hooks on saved tensors or hooks on these modules would hear of their calls."""
    return _function_modes() > 0 or _keeps_saved_tensors() or any(map(_is_hooked, modules))


def _keeps_saved_tensors() -> bool:
    try:
        return _saved_tensor_hooks(True) is not None
    except TypeError:  # as torch had it before it knew of tracing
        return _saved_tensor_hooks() is not None


def _is_hooked(module: nn.Module) -> bool:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, True) for name in names) or bool(_has_global_hook())


def has_numbers(tensor: Tensor) -> bool:
    """Return whether the numbers of a tensor (*S) can be read: it is no batch's stand-in and no mere shape."""
    while _is_wrapped(tensor):
        if _is_batch(tensor):
            return False
        tensor = _unwrapped(tensor)
    return not (_is_legacy_batch(tensor) or tensor.is_meta or _is_fake(tensor))


def _is_fake(tensor: Tensor) -> bool:
    try:
        from torch._subclasses.fake_tensor import FakeTensor
    except ImportError:
        return type(tensor) not in _PLAIN
    return isinstance(tensor, FakeTensor)


def backward_pass_number() -> int:
    """Return the number of the backward pass that this thread is inside of; −1 outside, or where torch counts none."""
    return int(_graph_task())


def when_backward_ends(callback: Callable[[], None]) -> None:
    """Let the backward pass that runs now call a function when it ends; a torch without such calls makes none."""
    _queue(callback)


def tree_leaves(tree: object) -> Iterator[object]:
    """Yield what lists, tuples and dictionaries hold, and what torch's users have registered as such."""
    try:
        from torch.utils import _pytree
    except ImportError:
        yield from _leaves(tree)
    else:
        yield from _pytree.tree_leaves(tree)


def _leaves(tree: object) -> Iterator[object]:
    if isinstance(tree, list | tuple):
        for branch in tree:
            yield from _leaves(branch)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree


def constant_when_traced(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Mark a function whose value a trace records as a constant, as `torch.compiler.assume_constant_result` does.

    That one imports all of torch's compiler, a second and a half, for everybody who imports this library. A compiler
    that does not know the mark follows the function instead.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """Have `torch.utils.checkpoint` run what it is given as if it stood there, within: nothing is computed twice."""

    def plainly(*_: Any, **__: Any) -> Iterator[None]:
        yield

    def apply(run: Callable[..., Any], _: bool, *arguments: Any) -> Any:
        return run(*arguments)

    generator = "_checkpoint_without_reentrant_generator"
    kept = getattr(checkpoint, generator, None)
    try:
        if kept is not None:
            setattr(checkpoint, generator, plainly)
        checkpoint.CheckpointFunction.apply = staticmethod(apply)  # type: ignore[method-assign]  # put back
        yield
    finally:
        if kept is not None:
            setattr(checkpoint, generator, kept)
        del checkpoint.CheckpointFunction.apply
