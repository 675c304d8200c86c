"""Batch normalisation by the statistics of the whole batch, when each process has a share of it.

torch.nn.SyncBatchNorm does this on GPUs alone. Here the mean and the variance are sums over processes that can be
differentiated, by any backend of torch.distributed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes, in each of them; so is the gradient, as every process's loss depends on each summand."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


def _sum(values: Tensor) -> Tensor:
    apply: Callable[[Tensor], Tensor] = _SumOverProcesses.apply
    return apply(values)


class SynchronisedBatchNorm(nn.Module):
    """A batch normalisation whose batch is spread over processes, in equal shares.

    It has the very parameters and buffers of the layer that it stands in for.

    Args:
        layer: that layer.

    Source: S. Ioffe, C. Szegedy, ICML 2015.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.momentum, self.eps = layer.momentum, layer.eps
        self.training = layer.training
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)
        for name, buffer in layer.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Float[Tensor, "b C *S"]) -> Float[Tensor, "b C *S"]:
        """Return a share (b, C, *S) of a batch, normalised by the batch's mean and variance."""
        weight, bias = getattr(self, "weight", None), getattr(self, "bias", None)
        mean, variance = getattr(self, "running_mean", None), getattr(self, "running_var", None)
        if mean is not None and variance is not None and not self.training:
            return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=self.eps)
        centred, spread = self._statistics(x)
        normalised = centred * torch.rsqrt(spread + self.eps)
        if weight is not None and bias is not None:
            shape = (1, -1, *[1] * (x.ndim - 2))
            normalised = normalised * weight.reshape(shape) + bias.reshape(shape)
        return normalised.to(x.dtype)

    def _statistics(self, x: Float[Tensor, "b C *S"]) -> tuple[Tensor, Tensor]:
        """Return the input less the batch's mean, and the batch's variance, both at least in float32."""
        count = distributed.get_world_size()
        exact = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        axes = [0, *range(2, x.ndim)]
        mean = _sum(exact.mean(axes, keepdim=True)) / count
        centred = exact - mean
        variance = _sum(centred.square().mean(axes, keepdim=True)) / count
        if self.training:
            self._update(mean.detach().flatten(), variance.detach().flatten(), count * x.numel() // x.shape[1])
        return centred, variance

    @torch.no_grad()
    def _update(self, mean: Float[Tensor, " C"], variance: Float[Tensor, " C"], count: int) -> None:
        """Move the running statistics towards the batch's, the variance with its unbiased estimate."""
        batches = getattr(self, "num_batches_tracked", None)
        if batches is None:
            return
        batches += 1
        share = 1 / batches.item() if self.momentum is None else self.momentum
        self.get_buffer("running_mean").lerp_(mean, share)
        self.get_buffer("running_var").lerp_(variance * count / (count - 1), share)


@contextmanager
def synchronised_batch_norm(model: nn.Module) -> Iterator[None]:
    """Let every batch normalisation in a model see the whole batch, until the context ends."""
    replaced = []
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                replaced.append((parent, name, child))
    try:
        for parent, name, child in replaced:
            setattr(parent, name, SynchronisedBatchNorm(child))
        yield
    finally:
        for parent, name, child in replaced:
            child.train(getattr(parent, name).training)
            setattr(parent, name, child)
