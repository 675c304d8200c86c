"""Which calls may take a short way past torch's dispatcher: those on numbers in memory, that nobody records."""

import torch
from torch import Tensor

_PLAIN = frozenset({Tensor, torch.nn.Parameter})


def is_traced() -> bool:
    """Return whether torch is recording operators into a program, by its compiler or by `torch.jit.trace`."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def is_plain(*tensors: Tensor) -> bool:
    """Return whether these tensors are numbers in memory, and no mode records operators.

    Others, such as a conjugate's imaginary part, which torch negates when it is read, have to pass its dispatcher.
    """
    return torch._C._len_torch_dispatch_stack() == 0 and not any(map(_is_special, tensors))


def _is_special(tensor: Tensor) -> bool:
    return (
        type(tensor) not in _PLAIN
        or tensor.is_neg()
        or tensor._is_zerotensor()
        or torch._C._functorch.is_legacy_batchedtensor(tensor)
    )


def is_watched(*tensors: Tensor) -> bool:
    """Return whether a derivative of these tensors is wanted, backward or forward."""
    backward = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    return backward or torch.autograd.forward_ad._current_level >= 0
