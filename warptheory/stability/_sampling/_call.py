"""One sampling operation of a model, in one convention for all libraries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.patterns import Lattice, SamplingPattern
from warptheory.patterns.layouts import OffsetLayout


@dataclass(frozen=True)
class CallSite:
    """Where in a model a sampling operation ran.

    Attributes:
        layer: dotted name of the innermost module that was running, empty for the model itself.
        call: number of the operation among those that ran in that module, from 0.
        depth: number of the operation among all of the pass, from 0.
    """

    layer: str
    call: int
    depth: int


@dataclass(frozen=True, eq=False)
class SamplingCall:
    """What a sampling operation read, where, and how.

    F offset fields are G offset groups, each of as many taps: field f belongs to group f // taps.

    Attributes:
        operator: name of the operation.
        x: what is sampled, shape (B, C, *S); None where only offsets are known.
        y: the outcome, shape (B, D, *T); None where it is not known.
        raw: the tensor that holds the offsets, as the caller passed it.
        layout: how it holds them.
        lattice: where samples lie without offsets.
        kernel: interpolation kernel, by the catalogue's name or itself; None where it is not known.
        boundary: name of the boundary rule.
        taps: fields of an offset group.
        mask: factors on the samples, shape (B, F, *T); None for ones.
        filters: weights of a convolution, shape (D, C/groups, *K); None for none.
    """

    operator: str
    x: Tensor | None
    y: Tensor | None
    raw: Tensor
    layout: OffsetLayout
    lattice: Lattice
    kernel: Any = "linear"
    boundary: str = "zeros"
    taps: int = 1
    mask: Tensor | None = None
    filters: Tensor | None = None

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient of the outcome or the offsets may come."""
        return any(each is not None and each.requires_grad for each in (self.y, self.raw))

    def offsets(self, images: int | None = None) -> Float[Tensor, "B F d *T"]:
        """Return the offsets of the first images, detached, shape (B, F, d, *T), pixels, in float32 at least."""
        raw = self.raw.detach()[:images]
        wide = torch.promote_types(raw.dtype, torch.float32)
        return self.layout.offsets(raw.to(wide))

    def pattern(self, images: int | None = None) -> SamplingPattern:
        """Return the pattern of the first images, detached; where x is not known its size is 1 along each axis.

        A kernel that is not known is taken for the linear one.
        """
        offsets = self.offsets(images)
        dim = offsets.shape[2]
        return SamplingPattern(
            (1,) * dim if self.x is None else tuple(self.x.shape[2:]),
            offsets.shape[1] // self.taps if self.x is None else self.x.shape[1],
            offsets,
            self.lattice,
            self.taps,
            None if self.mask is None else self.mask.detach()[:images],
            None if self.filters is None or self.x is None else self.filters.detach().flatten(2),
            "linear" if self.kernel is None else self.kernel,
            self.boundary,
        )


@dataclass(frozen=True)
class FunctionSource:
    """A function that torch's function modes see.

    Attributes:
        function: the function itself.
        read: makes a `SamplingCall` of the output and the arguments of a call.
    """

    function: Callable[..., Any]
    read: Callable[..., SamplingCall]


@dataclass(frozen=True)
class AutogradSource:
    """A `torch.autograd.Function`, whose calls no mode sees: its `forward` is replaced while a model is watched.

    Attributes:
        function: the class.
        read: as of `FunctionSource`.
    """

    function: type[torch.autograd.Function]
    read: Callable[..., SamplingCall]


Source = FunctionSource | AutogradSource
