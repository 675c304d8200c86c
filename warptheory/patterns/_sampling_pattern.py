"""The pattern of one image: taps with offsets, weights and filters, and what it makes of an image."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import has_autocast
from warptheory.patterns import _definition, _matrix, _points, _tap_by_tap
from warptheory.patterns._pattern import Pattern
from warptheory.patterns._taps import Taps


@dataclass(frozen=True, eq=False)
class SamplingPattern(Taps, Pattern):
    """The pattern of one image: y_o[n] = Σ_c Σ_k F[o, c, k] m_k[n] (W_k x_c)[n].

    The offsets are F = G·K fields, K taps for each of G offset groups; field f belongs to group f // K. Group g holds
    the offsets of C/G successive channels. Without filters the outcome of a channel is the sum of its taps.

    Attributes:
        size: spatial size S of what is sampled.
        channels: number C of its channels.
        offsets: ε in pixels, shape (B, G·K, d, *T), array-axis order, from the places of the lattice.
        lattice: where samples lie without offsets.
        taps: number K of taps of an offset group.
        weights: m, factors on the samples, such as masks or a softmax, shape (B, G·K, *T); None for ones.
        filters: F, the mixing filters, shape (D, C/groups, K), where groups is C over the second number; None: each
            channel stays by itself, and its taps are added.
        kernel: interpolation kernel, a name or a `Kernel`.
        boundary: name of the boundary rule.
        knot: the derivative in the offset at kinks of the kernel, "right" or "central".

    Raises:
        ArgumentError: shapes that do not fit together, by name of the attribute.
    """

    @property
    def batch(self) -> int:
        """Number B of images."""
        return len(self.offsets)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, *S)."""
        return (self.channels, *self.size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape (D, *T)."""
        return (self.channels_out, *self.grid)

    def samplings(self) -> Iterator["SamplingPattern"]:
        """Yield itself."""
        yield self

    def points(self, places: Float[Tensor, "N d"]) -> tuple[Float[Tensor, "N F d"], Float[Tensor, "N F"]]:
        """Return where places (N, d) on the output read the first image, (N, F, d), and how much each counts, (N, F).

        Places between output pixels have offsets that are interpolated linearly. A field counts by |weight| times the
        norm of its tap's filters; the sum is not normalised.
        """
        return _points.points(self, places)

    def still(self) -> "SamplingPattern":
        """Return the pattern with all offsets at zero: the plain layer."""
        return replace(self, offsets=torch.zeros_like(self.offsets))

    def apply(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:
        """Return A x for images (B, C, *S), shape (B, D, *T); see `Pattern.apply`."""
        return sample(x, self)

    def adjoint(self, g: Float[Tensor, "B D *T"]) -> Float[Tensor, "B C *S"]:
        """Return Aᵀ g for images (B, D, *T), shape (B, C, *S); see `Pattern.adjoint`."""
        self.check_output("g", g)
        return _definition.adjoint(g, self)

    def matrix(self) -> Float[Tensor, "B DN CM"]:
        """Return A as a sparse tensor (B, D·N, C·M); see `Pattern.matrix`."""
        return _matrix.assembled(self)


def sample(x: Float[Tensor, "B C *S"], pattern: SamplingPattern) -> Float[Tensor, "B D *T"]:
    """Sample images (B, C, *S) as a pattern says, and mix the samples: (B, D, *T), dtype of x.

    Numbers are computed tap by tap, or by compiled loops that take all taps of a few pixels together, so that no more
    samples are held than those of one tap, also in training: the backward pass samples again. Traced and transformed
    calls, and derivatives of derivatives, follow the definition.

    Args:
        x: what is sampled.
        pattern: where, with which weights and filters.

    Raises:
        ArgumentError: images that the pattern is not made for, or filters of another dtype.
    """
    # Function modes see the call, as they see `warp`; what it calls in turn they do not.
    if has_torch_function_variadic(x, pattern.offsets):
        return handle_torch_function(sample, (x, pattern.offsets), x, pattern)
    pattern.check_input("x", x)
    filters = pattern.filters
    if filters is not None and filters.dtype != x.dtype and not has_autocast(x):
        raise ArgumentError("filters", expected=f"dtype {x.dtype}, as in x", received=filters.dtype)
    if math.prod((*pattern.output_shape, pattern.batch)) == 0:
        return _nothing(x, pattern)
    if _tap_by_tap.applies(x, pattern):
        return _tap_by_tap.sampled(x, pattern)
    return _definition.sampled(x, pattern)


def _nothing(x: Tensor, pattern: SamplingPattern) -> Tensor:
    """Return an outcome without pixels or images, which depends on all that it would depend on."""
    parts = [each for each in (x, pattern.offsets, pattern.weights, pattern.filters) if each is not None]
    total = torch.stack([each.sum().to(x.dtype) for each in parts]).sum()
    return total.expand(pattern.batch, *pattern.output_shape).clone()
