"""Softmax splatting: pixels are pushed along a flow, and where several meet, their weights decide."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_shape, check_tensors, told
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Chain, Lattice, Pattern, SamplingPattern, Transposed, Weighting
from warptheory.warping.arguments import check_values

__all__ = ["SoftmaxSplatting", "softmax_splat"]

_EPSILON = 1e-7
# Where e^z nears the largest number that a dtype holds, with room for sums and for what is weighed: 80 in float32.
_ROOM = 8.7
_MODES = (
    "sum",
    *(f"{mode}{rule}" for mode in ("avg", "linear", "soft") for rule in ("", "-addeps", "-zeroeps", "-clipeps")),
)


def softmax_splat(
    input: Float[Tensor, "B C *S"],  # noqa: A002
    flow: Float[Tensor, "B d *S"],
    metric: Float[Tensor, "B 1 *S"] | None = None,
    mode: str = "soft",
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B C *S"]:
    """Push pixels along a flow: y[m] = Σₙ k(n + f[n] − m) w[n] x[n] / Σₙ k(n + f[n] − m) w[n].

    Args:
        input: x, images of d = 1, 2 or 3 axes, shape (B, C, *S).
        flow: f in pixels, shape (B, d, *S), the last axis of the image first: x, then y. A pixel whose flow is not
            finite goes nowhere.
        metric: z, shape (B, 1, *S); none for "sum" and "avg".
        mode: "sum": w = 1 and no quotient; "avg": w = 1; "linear": w = z; "soft": w = e^z. An ending says how pixels
            that little or nothing reaches are divided: "-addeps", the default, adds 10⁻⁷ to the denominator,
            "-clipeps" raises it to 10⁻⁷, and "-zeroeps" replaces it by 1 only where it is 0.
        kernel: k, how a pixel is spread, a name or a `Kernel`.
        boundary: what becomes of what leaves the image, the name of a boundary rule.

    Returns:
        y, shape (B, C, *S), dtype of the images, and single precision at least.

    Raises:
        ArgumentError: shapes that do not fit, or a metric that the mode does not take, by name of the argument.
        UnknownNameError: no such mode, kernel or boundary.

    Source: S. Niklaus and F. Liu, arXiv 2003.05534; sniklaus/softmax-splatting.
    """
    return SoftmaxSplatting(mode, kernel=kernel, boundary=boundary).forward(input, flow, metric)


class SoftmaxSplatting(SamplingOperator):
    """Splatting along a flow, with weights; see `softmax_splat`.

    Args:
        mode: as in `softmax_splat`.
        kernel: how a pixel is spread, a name or a `Kernel`.
        boundary: what becomes of what leaves the image, the name of a boundary rule.

    Raises:
        UnknownNameError: no such mode, kernel or boundary.
    """

    def __init__(self, mode: str = "soft", *, kernel: Any = "linear", boundary: str = "zeros") -> None:
        super().__init__()
        check_known("mode", mode, _MODES)
        self.mode = mode
        self.kernel, self.boundary = checked_reading(kernel, boundary)

    def forward(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        flow: Float[Tensor, "B d *S"],
        metric: Float[Tensor, "B 1 *S"] | None = None,
    ) -> Float[Tensor, "B C *S"]:
        """Return the splatted images (B, C, *S) of images (B, C, *S), a flow (B, d, *S) and a metric (B, 1, *S)."""
        found: Tensor = super().forward(input, flow, metric)
        return found

    def pattern(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        flow: Float[Tensor, "B d *S"],
        metric: Float[Tensor, "B 1 *S"] | None = None,
    ) -> Pattern:
        """Return the pattern at a flow (B, d, *S) and a metric (B, 1, *S): weigh, splat, divide."""
        dim = check_values("input", input)
        check_tensors(flow=flow, metric=metric)
        check_shape("flow", flow, (len(input), dim, *input.shape[2:]))
        kind, _, rule = self.mode.partition("-")
        if (metric is None) != (kind in ("sum", "avg")):
            expected, received = ("a tensor", "none") if metric is None else ("none", "a tensor")
            raise ArgumentError("metric", expected=f"{expected} for mode {self.mode!r}", received=received)
        splat = self._splat(input.shape[1], flow)
        if kind == "sum":
            return splat
        shape = (len(input), 1, *input.shape[2:])
        weights = self.image(input).new_ones(shape) if metric is None else _wide(metric)
        check_shape("metric", weights, shape)
        epsilon = weights.new_full((1,) * weights.ndim, _EPSILON)
        if kind == "soft" and weights.numel():
            # All is divided by e to what the largest metric is too large by; what divides stays above 0.
            excess = _excess(weights.detach()).reshape(-1, *[1] * (dim + 1))
            weights = (weights - excess).exp()
            epsilon = (epsilon * (-excess).exp()).clamp_min(torch.finfo(weights.dtype).tiny)
        total = _divisor(self._splat(1, flow).apply(weights), rule, epsilon)
        weighed = () if metric is None else (Weighting(weights.expand(input.shape)),)
        return Chain((*weighed, splat, Weighting(total.reciprocal().expand(input.shape))))

    def image(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        flow: Float[Tensor, "B d *S"] | None = None,
        metric: Float[Tensor, "B 1 *S"] | None = None,
    ) -> Float[Tensor, "B C *S"]:
        """Return the images (B, C, *S), in single precision at least; what else comes is not looked at."""
        return _wide(input)

    def _splat(self, channels: int, flow: Tensor) -> Transposed:
        size = tuple(flow.shape[2:])
        offsets, lattice = flow.flip(1).unsqueeze(1), Lattice.unit(len(size))
        return Transposed(SamplingPattern(size, channels, offsets, lattice, kernel=self.kernel, boundary=self.boundary))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return told(self, "mode", "kernel", "boundary")


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _excess(metric: Float[Tensor, "B 1 *S"]) -> Float[Tensor, "B"]:
    """Return by how much the largest finite metric of each image (B, 1, *S) exceeds the largest one that is taken."""
    finite = torch.where(metric.isfinite(), metric, 0.0)
    return (finite.flatten(1).amax(1) - (math.log(torch.finfo(metric.dtype).max) - _ROOM)).clamp_min(0)


def _divisor(total: Tensor, rule: str, epsilon: Tensor) -> Tensor:
    """Return what is divided by, of sums of weights (B, 1, *S)."""
    if rule == "zeroeps":
        return total.masked_fill(total.abs() < torch.finfo(total.dtype).tiny, 1)
    return torch.maximum(total, epsilon) if rule == "clipeps" else total + epsilon


def _inputs(x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
    flow = torch.randn(len(x), x.ndim - 2, *x.shape[2:], generator=generator, dtype=x.dtype)
    return x, flow, torch.rand(len(x), 1, *x.shape[2:], generator=generator, dtype=x.dtype)


operator = OperatorEntry(
    formula=r"y[m] = \frac{\sum_n k(n + f[n] - m)\, e^{z[n]}\, x[n]}{\sum_n k(n + f[n] - m)\, e^{z[n]} + \epsilon}",
    where={
        r"f": "the flow, in pixels",
        r"z": "the metric: the largest wins where pixels meet",
        r"k": "the interpolation kernel",
        r"\epsilon": "10⁻⁷, or a rule for pixels that nothing reaches",
    },
    source="S. Niklaus and F. Liu, arXiv 2003.05534; sniklaus/softmax-splatting",
    conventions=(
        "The flow's channels are x, then y, as the original has them: the last axis of the image first.",
        "What leaves the image is lost; a pixel whose flow is not finite goes nowhere.",
        "The ϵ is not relative to the weights: what only metrics of −20 reach, the end of the range in the original's "
        "instructions, keeps 2 % of its value with 'soft', and all of it with 'soft-zeroeps'.",
        "Weights are e^z as they are up to a metric of 80 in single precision, and 700 in double. Where one is larger, "
        "all weights of its image are divided by e to the difference. In single precision a metric that is less by 160 "
        "than the largest then counts for nothing, wherever it is in the image.",
    ),
    initialisation="There are no parameters.",
    examples={"soft": OperatorExample(SoftmaxSplatting, _inputs, (2, 2, 4, 3))},
    defects=(
        Defect(
            "The original takes e^z as it is: in single precision a metric of 89 makes NaN of what it reaches.",
            "Weights of an image with a metric above 80 are divided by a common number: the quotient is the same, and "
            "finite.",
            "test_large_metrics_do_not_overflow",
        ),
        Defect(
            "Its modes 'avg-addeps', 'avg-zeroeps' and 'avg-clipeps' divide by the last channel of the image, which "
            "they return no more.",
            "They are averages.",
            "test_averages_with_an_ending_are_averages",
        ),
    ),
)
