"""Alias-free activation: a polynomial between ideal upsampling and ideal downsampling, equivariant to every shift."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.operators._arguments import check_images, told
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._ideal_resampling import interpolation, without_nyquist
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import Chain, Lattice, SamplingPattern, Transposed, Weighting

__all__ = ["AliasFreeActivation1d", "AliasFreeActivation2d"]

# The original's fit of a parabola to GELU.
_PARABOLA = (0.0169394634313126, 0.5, 0.3078363963999393)


class AliasFreeActivation(SamplingOperator):
    """A polynomial of images that are band-limited and periodic: interpolated `up`-fold, mapped, low-passed, decimated.

    A signal of degree q times as many frequencies: with q ≤ 2·up − 1 none of those that fold meets one that is kept.
    Then a shift of the input by any part of a pixel shifts the outcome likewise, to rounding.

    On an axis of even size the Nyquist frequency is removed from input and outcome. It has to be: its half that lies
    between the pixels is unknown, a shift by half a pixel cancels it, and so nothing may depend on it.

    Args:
        channels: number C of channels, each with a polynomial of its own.
        up: how many times finer the grid is on which the polynomial acts.
        init_coef: its coefficients c₀, c₁, … at the start; None for the original's, a parabola close to GELU.
        in_scale: factor on the input of the polynomial, at the start.
        out_scale: factor on its outcome, at the start.
        train_scale: whether both factors are trained.

    Raises:
        ArgumentError: a number that makes no sense, or a polynomial that would alias: of a degree above 2·up − 1.

    Source: H. Michaeli, T. Michaeli, D. Soudry, Alias-free convnets, arXiv 2303.08085; their networks start with both
        scales at 7, and train them.
    """

    dim: ClassVar[int]
    input_factor: Tensor
    output_factor: Tensor

    def __init__(
        self,
        channels: int,
        up: int = 2,
        init_coef: Sequence[float] | None = None,
        in_scale: float = 1.0,
        out_scale: float = 1.0,
        train_scale: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.up = check_integer("channels", channels), check_integer("up", up)
        self.init_coef = _coefficients(_PARABOLA if init_coef is None else init_coef)
        if not 2 <= len(self.init_coef) <= 2 * up:
            expected = f"at least two coefficients and at most {2 * up}, which up = {up} keeps from aliasing"
            raise ArgumentError("init_coef", expected=expected, received=f"{len(self.init_coef)} coefficients")
        self.in_scale, self.out_scale = check_number("in_scale", in_scale), check_number("out_scale", out_scale)
        self.train_scale = check_flag("train_scale", train_scale)
        self.coef = nn.Parameter(torch.tensor([list(self.init_coef)] * channels))
        for name, scale in (("input_factor", self.in_scale), ("output_factor", self.out_scale)):
            if train_scale:
                self.register_parameter(name, nn.Parameter(torch.tensor(float(scale))))
            else:
                self.register_buffer(name, torch.tensor(float(scale)))

    def image(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:  # noqa: A002
        """Return images (B, C, *S) without their Nyquist frequencies."""
        return without_nyquist(self._checked(input))

    def finish(self, y: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """Remove the Nyquist frequencies of images (B, C, *S), and add the constant of the polynomial."""
        constant = self.output_factor * self.coef[:, 0]
        return without_nyquist(y) + constant.reshape(-1, *[1] * self.dim).to(y.dtype)

    def pattern(self, input: Float[Tensor, "B C *S"]) -> Chain:  # noqa: A002
        """Return the pattern at an input (B, C, *S): interpolation, a factor on each pixel, interpolation's adjoint.

        The adjoint is the low-pass filter and the decimation, times up^d. The factor at u is (p(u) − p(0))/u.
        """
        size, finer = tuple(self._checked(input).shape[2:]), [self.up * n for n in input.shape[2:]]
        lattice = Lattice((1 / self.up,) * self.dim, ((0.0,) * self.dim,))
        still = input.new_zeros(len(input), 1, self.dim, *finer)
        finely = SamplingPattern(size, self.channels, still, lattice, kernel="sinc", boundary="periodic")
        factor = self._factor(self._finer(input)) / self.up**self.dim
        return Chain((finely, Weighting(factor), Transposed(finely)))

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:  # noqa: A002
        """Return the images mapped: (B, C, *S) → (B, C, *S)."""
        u = self._finer(self._checked(input))
        mapped = self._factor(u) * u / self.up**self.dim
        return self.finish(self._along_axes(mapped, lambda n: interpolation(n // self.up, self.up, input).T))

    def _factor(self, u: Tensor) -> Tensor:
        """Return (p(u) − p(0))/u for images (B, C, *S), scales included, by Horner's rule."""
        inside, outside = self.input_factor, self.output_factor
        first, *others = (each.reshape(-1, *[1] * self.dim).to(u.dtype) for each in self.coef.flip(1).unbind(1)[:-1])
        found = first.expand_as(u)
        for each in others:
            found = found * (inside * u) + each
        return (inside * outside).to(u.dtype) * found

    def _finer(self, x: Tensor) -> Tensor:
        return self._along_axes(x, lambda n: interpolation(n, self.up, x))

    def _along_axes(self, x: Tensor, matrix: Callable[[int], Tensor]) -> Tensor:
        """Apply matrices along the axes of images (B, C, *S), each made for the axis's size."""
        for axis in range(2, x.ndim):
            x = (x.movedim(axis, -1) @ matrix(x.shape[axis]).T).movedim(-1, axis)
        return x

    def _checked(self, x: Tensor) -> Tensor:
        check_images("input", x, self.channels, self.dim, None)
        return x

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'up', 'init_coef', 'in_scale', 'out_scale', 'train_scale')}"


def _coefficients(init_coef: Any) -> tuple[float, ...]:
    if isinstance(init_coef, str) or not isinstance(init_coef, Iterable):
        raise ArgumentError("init_coef", expected="a list of numbers", received=shown(init_coef))
    values = init_coef.tolist() if isinstance(init_coef, Tensor) else init_coef
    return tuple(check_number("init_coef", each) for each in values)


class AliasFreeActivation1d(AliasFreeActivation):
    """Alias-free polynomial of signals (B, C, N); arguments as in `AliasFreeActivation`."""

    dim = 1


class AliasFreeActivation2d(AliasFreeActivation):
    """Alias-free polynomial of images (B, C, H, W); arguments as in `AliasFreeActivation`."""

    dim = 2


operator = OperatorEntry(
    formula=r"y = D\, p(U x), \qquad p(u) = \beta \sum_{i=0}^{q} c_i (\alpha u)^i, \qquad D = r^{-d} U^{\top}",
    where={
        r"U": "ideal interpolation of periodic images on a grid r times finer, without the Nyquist frequency",
        r"D": "the ideal low-pass filter and the decimation",
        r"r": "the factor up",
        r"d": "the number of axes",
        r"c_i": "the coefficients of a channel",
        r"\alpha, \beta": "the scales of input and outcome",
        r"q": "the degree, at most 2 r − 1",
    },
    source="H. Michaeli, T. Michaeli, D. Soudry, arXiv 2303.08085; hmichaeli/alias_free_convnets",
    conventions=(
        "Images are periodic.",
        "The Nyquist frequency of an even axis is removed before the polynomial and after it.",
        "Channels come first, (B, C, *S).",
    ),
    initialisation="The parabola 0.0169 + 0.5 u + 0.3078 u², a fit of GELU.",
    examples={
        "1d": OperatorExample(
            lambda: AliasFreeActivation1d(2, in_scale=0.7, train_scale=True), lambda x, _: (x,), (2, 2, 5)
        ),
        "2d": OperatorExample(
            lambda: AliasFreeActivation2d(2, init_coef=(0.1, 0.5, 0.3, -0.2)), lambda x, _: (x,), (2, 2, 4, 3)
        ),
    },
    defects=(
        Defect(
            "On even sizes the energy at the Nyquist frequency enters the polynomial: white images shifted by half a "
            "pixel come out with an error of 0.23 at 8 pixels, 0.17 at 16, 0.12 at 32, against 10⁻¹⁵ on odd sizes.",
            "Rounding on all sizes: the Nyquist frequency is removed.",
            "test_half_a_pixel_is_kept_on_even_sizes_too",
        ),
        Defect(
            "The scalar polynomial drops its top coefficient: with three coefficients it is linear.",
            "All coefficients count.",
            "test_no_coefficient_is_dropped",
        ),
        Defect(
            "The polynomial of each channel drops its top coefficient at every degree from 3 on.",
            "All coefficients count.",
            "test_no_coefficient_of_a_channel_is_dropped",
        ),
        Defect(
            "With channels first, its default, the scalar layer raises.",
            "Channels first.",
            "test_channels_come_first",
        ),
        Defect(
            "The filters are made for squares, and for the first size that comes: others raise.",
            "Any size, at every call.",
            "test_rectangles_and_second_sizes",
        ),
    ),
)
