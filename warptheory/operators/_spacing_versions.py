"""The versions of learnable spacings: one small class for each way to spread a weight over taps, and their names."""

import functools
import itertools
import math
import operator
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.operators._spacing_version import Place, ProductVersion, SpacingVersion, magnitude, sinc


class Linear(ProductVersion):
    """The two taps beside a position share its weight linearly."""

    sums_to_one = True

    def start(self, dim: int) -> tuple[float, ...]:
        """Return nothing: it has no widths."""
        return ()

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return 1 − f and f on two taps. At the last tap f = 1, so that the derivative points inwards."""
        if place.size == 1:
            return torch.ones_like(place.position).unsqueeze(-1)
        left = place.position.detach().floor().clamp(0, place.size - 2)
        fraction = place.position - left
        index = left.long().unsqueeze(-1)
        empty = torch.zeros((*left.shape, place.size), dtype=left.dtype, device=left.device)
        return empty.scatter(-1, torch.cat([index, index + 1], -1), torch.stack([1 - fraction, fraction], -1))


class Triangle(ProductVersion):
    """max(0, s − |i − p|), s ≥ 1."""

    least_width = 1.0

    def start(self, dim: int) -> tuple[float, ...]:
        """Return the widths at the start, at which it is linear."""
        return (0.0,) * dim

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile; at kinks the derivative in p is that from the right, at the last tap from the left."""
        dtype = place.position.dtype
        # A step that changes no number but zero: it decides on which side of a kink a tap lies. Times a weight it is
        # still a normal number, as slow ones would remain in the kernel.
        ahead = (1 - 2 * place.is_last.to(dtype)) * math.pow(torch.finfo(dtype).tiny, 0.8)
        steps = place.steps - ahead
        return (self.width(rows[row]) - steps.abs() + ahead * steps.sign()).relu()


class Gauss(ProductVersion):
    """exp(−(i − p)²/2s²)."""

    least_width = 0.27

    def start(self, dim: int) -> tuple[float, ...]:
        """Return the widths at the start, which make s = ½."""
        return (0.23,) * dim

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile."""
        exponent = place.steps.square() * (-0.5 / self.width(rows[row]).square())
        # Exponentials of numbers far below are zero, and take eight times as long.
        return exponent.clamp(min=-80).exp()


class HyperGauss(Gauss):
    """exp(−|(i − p)/s|^b/2), b ≥ 1: the last row of SIG is b − 1."""

    sums_to_one = True

    def start(self, dim: int) -> tuple[float, ...]:
        """Return the widths at the start, and the exponent less one: the Gaussian's."""
        return (*super().start(dim), 1.0)

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile: a softmax, so that a steep one between taps does not vanish."""
        ratio = magnitude(place.steps / self.width(rows[row]))
        exponent = 1 + magnitude(rows[-1]).unsqueeze(-1)
        # A power of zero has no derivative in its exponent.
        is_off = ratio > 0
        power = torch.where(is_off, torch.where(is_off, ratio, 1.0) ** exponent, 0.0)
        return (-0.5 * power).softmax(-1)


class Lorentz(Gauss):
    """1/(1 + (i − p)²/s²)."""

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile."""
        return 1 / (1 + (place.steps / self.width(rows[row])).square())


class BandLimited(Triangle):
    """sinc((i − p)/s) under Lanczos' window sinc((i − p)/3s), s ≥ 1: little is made of frequencies beyond 1/2s."""

    def along(self, place: Place, rows: Sequence[Tensor], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile."""
        ratio = place.steps / self.width(rows[row])
        return torch.where(ratio.abs() < 3, sinc(ratio) * sinc(ratio / 3), 0.0)


class _JointGauss(SpacingVersion):
    """exp(−|z|²/2), where z is linear in all components of i − p; a subclass says `whitened`."""

    least_width = 0.27
    dims = (2, 3)
    sums_to_one = True

    def start(self, dim: int) -> tuple[float, ...]:
        """Return the widths at the start, and a zero for each pair of axes."""
        return (*[0.23] * dim, *[0.0] * math.comb(dim, 2))

    def factors(self, places: Sequence[Place], rows: Sequence[Tensor]) -> list[Tensor]:
        """Return what all taps get, in C order, shape (S, K, N)."""
        dim = len(places)
        steps = [
            torch.unflatten(place.steps, 2, [-1 if axis == each else 1 for each in range(dim)])
            for axis, place in enumerate(places)
        ]
        of_rows = [torch.unflatten(self.width(row), 2, [1] * dim) for row in rows[:dim]]
        others = [row.reshape(*row.shape, *[1] * dim) for row in rows[dim:]]
        pairs = dict(zip(itertools.combinations(range(dim), 2), others, strict=True))
        squares = [each.square() for each in self.whitened(steps[::-1], of_rows, pairs)]
        return [(-0.5 * functools.reduce(operator.add, squares)).flatten(2).softmax(-1)]

    @abstractmethod
    def whitened(
        self, steps: Sequence[Tensor], widths: Sequence[Tensor], pairs: Mapping[tuple[int, int], Tensor]
    ) -> list[Tensor]:
        """Return the components of z, given those of i − p, widths, and a number for each pair: in the order of rows.

        All are of shape (S, K, *n), or broadcast to it.
        """


class CorrelatedGauss(_JointGauss):
    """z = L⁻¹(i − p): the covariance is LLᵀ, with widths on the diagonal of L, and SIG's other rows below it."""

    def whitened(
        self, steps: Sequence[Tensor], widths: Sequence[Tensor], pairs: Mapping[tuple[int, int], Tensor]
    ) -> list[Tensor]:
        """Return z by forward substitution."""
        found: list[Tensor] = []
        for row, (step, width) in enumerate(zip(steps, widths, strict=True)):
            known = [pairs[column, row] * each for column, each in enumerate(found)]
            found.append((step - sum(known, start=torch.zeros_like(step))) / width)
        return found


class RotatedGauss(_JointGauss):
    """z = Rᵀ(i − p)/s: widths along axes that are turned, in each plane by an angle in radians; SIG's other rows.

    With equal widths an angle changes nothing, and gets no gradient.
    """

    def whitened(
        self, steps: Sequence[Tensor], widths: Sequence[Tensor], pairs: Mapping[tuple[int, int], Tensor]
    ) -> list[Tensor]:
        """Return z, turned in one plane after the other."""
        turned = list(steps)
        for (first, second), angle in pairs.items():
            cosine, sine, a, b = angle.cos(), angle.sin(), turned[first], turned[second]
            turned[first], turned[second] = cosine * a + sine * b, cosine * b - sine * a
        return [step / width for step, width in zip(turned, widths, strict=True)]


VERSIONS: Mapping[str, SpacingVersion] = {
    "v0": Linear(),
    "v1": Linear(),
    "max": Triangle(),
    "gauss": Gauss(),
    "hyper-gauss": HyperGauss(),
    "lorentz": Lorentz(),
    "sinc": BandLimited(),
    "correlated-gauss": CorrelatedGauss(),
    "rotated-gauss": RotatedGauss(),
}
