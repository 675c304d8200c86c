"""The error kernel: how much a wave loses in interpolation, for every kernel of the catalogue.

Sampled on the pixels and interpolated at a position of fraction f, the wave exp(iθp), θ in radians per pixel, comes
back multiplied by

    Q(f) = Σₘ k(f − m) exp(iθ(m − f)),        D(f) = Σₘ k′(f − m) exp(iθ(m − f)) for its derivative,

and a d-dimensional one by products of them, since fractions along different axes are independent. All means over f
follow from those of two functions of one axis, the bias E r and the error E|r|² of the residual r = 1 − Q, resp.
iθ − D. Summation over aliases gives the same means (Poisson), but 1 − 2k̂(θ) + Σₙ|k̂(θ + 2πn)|² cancels to the order
θ²ᴸ, L the approximation order, and keeps no digit where images have their energy. Residuals do: below a radian or so
each is a power series in θ, whose first L coefficients are zero because the kernel reproduces polynomials.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp
from jaxtyping import Complex, Float
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.kernels._kernel import FREQUENCY, Kernel

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# 16 nodes integrate a wave of z = 4 radians to either side of a panel's middle to (ez/64)³² < 1e−24.
_PHASE = 8.0
_SETTLED = 1e-14  # of the integrals of the weights over a pixel, for those over a panel
_LEVELS = 24  # 2⁻²⁴ is a tenth of the narrowest step of a Gaussian's weights, σ² = 10⁻⁶
_NARROWEST = 2.0**-40  # pixels; panels are not halved further
_NEAR = 2.0  # largest |θ|·reach of the power series: its terms cancel by a factor e² at most
_TERMS = 32  # of the power series: 2³²/32! < 2e−26
_ELEMENTS = 2**20  # of a matrix of frequencies and fractions, made at a time


@dataclass(frozen=True)
class _Axis:
    """Means over the positions along one axis, or along several, of the residual r = T − Q.

    Attributes:
        bias: E r.
        error: E|r|².
    """

    bias: Complex[ndarray, "N"]
    error: Float[ndarray, "N"]

    @property
    def power(self) -> Float[ndarray, "N"]:
        """E|Q|² for T = 1."""
        power: ndarray = 1 - 2 * self.bias.real + self.error
        return power

    def __mul__(self, other: "_Axis") -> "_Axis":
        """Return the means of 1 − QQ′ = r + Qr′, for T = 1 and independent positions."""
        bias = self.bias + (1 - self.bias) * other.bias
        mixed = 2 * ((self.bias - self.error) * other.bias.conj()).real
        return _Axis(bias, self.error + self.power * other.error + mixed)

    def shifted(self, change: Complex[ndarray, "N"]) -> "_Axis":
        """Return the means of r + change, another truth T + change."""
        error = self.error + 2 * (self.bias * change.conj()).real + np.abs(change) ** 2
        return _Axis(self.bias + change, error)


def error_kernel(
    kernel: Kernel,
    frequency: Float[ndarray, "*N d"],
    order: int = 0,
    axis: int = 0,
    phases: int | None = None,
    truth: Complex[ndarray, "*N"] | None = None,
) -> Float[ndarray, "*N"]:
    """Return the mean squared error of interpolating the wave exp(iθp), or of its derivative along an axis.

    For positions uniform over a pixel, K = ∏ k̂(θᵢ) and A = ∏ Σₙ|k̂(θᵢ + 2πn)|²,

        value:       E(θ) = |1 − K|² + Σ_{n≠0}|K(θ + 2πn)|² = 1 − 2 Re K + A,
        derivative:  E₁(θ) = θ₁² − 2 Re(θ₁²K) + A₁(θ₁) ∏_{j>1} A(θⱼ),    A₁(t) = Σₙ (t + 2πn)²|k̂(t + 2πn)|².

    The second line holds for continuous kernels. The operator's derivative ignores jumps, and so does this: with
    kernels that jump, iθk̂(θ) is replaced by the transform of the classical derivative k′, and the error of the nearest
    neighbour is θ₁², all of the derivative. A field of spectral density S on a grid of spacing h has the error
    (2π)⁻ᵈ ∫ S(ω) E(hω) dω, and with E₁(hω)/h² that of its derivative per unit of length.

    Args:
        kernel: the kernel.
        frequency: θ = hω in radians per pixel, any real numbers, the axes last, shape (*N, d).
        order: 0 for the value, 1 for the derivative.
        axis: the axis of the derivative.
        phases: q, for positions at the fractions 0, 1/q, …, (q − 1)/q of a pixel along each axis, alike and
            independent, with the right-hand derivative at knots; None for positions uniform over a pixel.
        truth: the transfer function T(θ) that the operator is compared with, shape (*N); by default 1 for the value
            and iθ₁ for the derivative.

    Returns:
        E, shape (*N), or E₁ per pixel², to 1e−12 (θ₁² + 1) absolutely; with the default truth also to a relative 1e−9
        or better at low frequencies, where E ~ θ²ᴸ.

    Raises:
        ArgumentError: a frequency without axes or that is not finite, another order or axis, or phases below one.

    Source: T. Blu, M. Unser, IEEE Trans. Signal Process. 47(10), 1999 (the value); theory labels D4 and D5.
    """
    frequency = np.asarray(frequency, dtype=float)
    _check(frequency, order, axis, phases)
    theta = frequency.reshape(-1, frequency.shape[-1]).T
    wanted = (1j * theta[axis]) ** order
    along = _means(kernel, theta[axis], order, phases)
    if truth is not None:
        along, wanted = along.shifted(truth.ravel() - wanted), truth.ravel()
    across = _Axis(np.zeros_like(wanted), np.zeros_like(theta[axis]))
    for other in np.delete(theta, axis, axis=0):
        across = across * _means(kernel, other, 0, phases)
    # T − DQ = (T − D)Q + T(1 − Q), D along the axis and Q across it.
    mixed = 2 * (along.bias * wanted.conj() * (across.bias.conj() - across.error)).real
    error = along.error * across.power + np.abs(wanted) ** 2 * across.error + mixed
    return np.asarray(error.reshape(frequency.shape[:-1]))


def _check(frequency: ndarray, order: int, axis: int, phases: int | None) -> None:
    """Check the arguments of `error_kernel`.

    Raises:
        ArgumentError: one that cannot be used.
    """
    if frequency.ndim == 0 or frequency.shape[-1] == 0 or not np.isfinite(frequency).all():
        raise ArgumentError("frequency", expected="finite numbers, shape (*N, d)", received=frequency.shape)
    if order not in (0, 1):
        raise ArgumentError("order", expected="0, the value, or 1, the derivative", received=order)
    if not 0 <= axis < frequency.shape[-1]:
        raise ArgumentError("axis", expected=f"one of {frequency.shape[-1]}, from 0 on", received=axis)
    if phases is not None and phases < 1:
        raise ArgumentError("phases", expected="a number of phases ≥ 1, or None", received=phases)


def _means(kernel: Kernel, theta: Float[ndarray, "N"], order: int, phases: int | None) -> _Axis:
    """Return the means of one axis; grids of frequencies repeat themselves, so each value is computed once."""
    different, places = np.unique(theta, return_inverse=True)
    bias, error = np.empty(different.size, dtype=complex), np.empty(different.size)
    for part in _parts(different, phases):
        found = _of_taps if kernel.is_compact else _of_aliases
        bias[part], error[part] = found(kernel, different[part], order, phases)
    return _Axis(bias[places], error[places])


def _parts(theta: Float[ndarray, "N"], phases: int | None) -> list[ndarray]:
    """Cut frequencies, by their size, into parts whose matrices fit."""
    fractions = len(_NODES) * (1 + int(np.abs(theta).max(initial=0.0) / _PHASE)) if phases is None else phases
    return np.array_split(np.argsort(np.abs(theta)), 1 + theta.size * fractions // _ELEMENTS)


def _of_taps(kernel: Kernel, theta: Float[ndarray, "N"], order: int, phases: int | None) -> tuple[ndarray, ndarray]:
    """Return E r and E|r|² of a kernel with finitely many taps, by quadrature over the fraction."""
    fractions, shares = _rule(kernel, float(np.abs(theta).max(initial=0.0)), phases)
    weights = _tap_weights(kernel, fractions, order)
    reach = 1 + max(map(abs, kernel.taps))
    near = np.abs(theta) * reach <= _NEAR
    residual = np.empty((theta.size, fractions.size), dtype=complex)
    residual[near] = _by_series(kernel, theta[near], order, fractions, weights)
    residual[~near] = _by_waves(kernel, theta[~near], order, fractions, weights)
    filtered = [sample * np.cos(n * theta) for n, sample in _samples(kernel).items()]
    residual /= np.sum(filtered, 0)[:, None]
    return residual @ shares, (residual.real**2 + residual.imag**2) @ shares


def _by_waves(
    kernel: Kernel,
    theta: Float[ndarray, "N"],
    order: int,
    fractions: Float[ndarray, "F"],
    weights: Float[ndarray, "F J"],
) -> Complex[ndarray, "N F"]:
    """Return (iθ)ᵒʳᵈᵉʳ Σₙ s[n] exp(iθn) − Σⱼ k⁽ᵒʳᵈᵉʳ⁾(f − j) exp(iθ(j − f)), s the prefilter's samples."""
    rate = 1j * theta[:, None]
    wanted = rate**order * sum(sample * np.exp(n * rate) for n, sample in _samples(kernel).items())
    gathered = np.exp(rate * np.array(list(kernel.taps))) @ weights.T.astype(complex)
    residual: ndarray = wanted - gathered * np.exp(-rate * fractions)
    return residual


def _by_series(
    kernel: Kernel,
    theta: Float[ndarray, "N"],
    order: int,
    fractions: Float[ndarray, "F"],
    weights: Float[ndarray, "F J"],
) -> Complex[ndarray, "N F"]:
    """Return the same as a power series in iθ, without the terms that vanish identically.

    Its coefficients are Σₙ s[n] n^(l−order)/(l−order)! − Σⱼ k⁽ᵒʳᵈᵉʳ⁾(f − j) (j − f)ˡ/l!, which is zero up to the degree
    of the polynomials that the kernel reproduces.
    """
    distances = np.array(list(kernel.taps), dtype=float) - fractions[:, None]
    total = np.zeros((theta.size, fractions.size), dtype=complex)
    for power in range(kernel.reproduces + 1, _TERMS):
        moment = (weights * distances**power).sum(1) / math.factorial(power)
        total += np.multiply.outer((1j * theta) ** power, _sample_moment(kernel, power - order) - moment)
    return total


def _sample_moment(kernel: Kernel, power: int) -> float:
    """Return Σₙ s[n] nᵖ/p!, zero for a negative power."""
    if power < 0:
        return 0.0
    return sum(sample * float(n) ** power for n, sample in _samples(kernel).items()) / math.factorial(power)


def _samples(kernel: Kernel) -> dict[int, float]:
    """Return the samples s[n] that the prefilter inverts, by n; without one the operator reads the pixels."""
    samples = kernel.prefilter or (sp.Integer(1),)
    return {n - len(samples) // 2: float(sample) for n, sample in enumerate(samples)}


def _tap_weights(kernel: Kernel, fractions: Float[ndarray, "F"], order: int) -> Float[ndarray, "F J"]:
    """Return k⁽ᵒʳᵈᵉʳ⁾(f − j) as the operator computes it."""
    import torch  # two seconds that most users of a kernel never need

    from warptheory.kernels._weights import tap_weights

    return np.stack([weight.numpy() for _, weight in tap_weights(kernel, torch.from_numpy(fractions), order)], -1)


def _rule(kernel: Kernel, highest: float, phases: int | None) -> tuple[Float[ndarray, "F"], Float[ndarray, "F"]]:
    """Return fractions and their shares: the phases, or Gauss–Legendre nodes for waves up to a frequency."""
    if phases is not None:
        return np.arange(phases) / phases, np.full(phases, 1 / phases)
    parts = [np.linspace(low, high, 2 + int((high - low) * highest / _PHASE)) for low, high in _panels(kernel)]
    return _gauss([panel for edges in parts for panel in itertools.pairwise(edges)])


def _gauss(panels: list[tuple[float, float]]) -> tuple[Float[ndarray, "F"], Float[ndarray, "F"]]:
    """Return the nodes and weights of Gauss–Legendre quadrature on panels."""
    low, high = np.array(panels).T
    half = (high - low)[:, None] / 2
    return ((low + high)[:, None] / 2 + half * _NODES).ravel(), (half * _WEIGHTS).ravel()


@cache
def _panels(kernel: Kernel) -> list[tuple[float, float]]:
    """Return panels of [0, 1) on which the weights are smooth: cells between knots, halved where they are steep."""
    cells = {cell for weight in kernel.taps.values() for cell in weight.cells}
    knots = sorted({float(edge) for cell in cells for edge in (cell.lower, cell.upper)})
    waiting, settled = list(itertools.pairwise(knots)), []
    size = np.abs(sum(_integrals(kernel, _graded(*panel)) for panel in waiting)).max(-1, keepdims=True)
    while waiting:
        low, high = waiting.pop()
        change = _integrals(kernel, [(low, high)]) - _integrals(kernel, _graded(low, high))
        if high - low < _NARROWEST or (np.abs(change) <= _SETTLED * size).all():
            settled.append((low, high))
        else:
            waiting += [(low, (low + high) / 2), ((low + high) / 2, high)]
    return settled


def _integrals(kernel: Kernel, panels: list[tuple[float, float]]) -> Float[ndarray, "4 J"]:
    """Return the integrals of the taps' weights, of their derivatives and of both squares."""
    fractions, shares = _gauss(panels)
    values = [_tap_weights(kernel, fractions, order) for order in (0, 1)]
    return np.stack([shares @ weight**power for power in (1, 2) for weight in values])


def _graded(low: float, high: float) -> list[tuple[float, float]]:
    """Return panels that shrink towards both ends, and see how steep a kernel is beside a knot."""
    shares = [0.0, *(2.0**-n for n in range(_LEVELS, 0, -1))]
    edges = [low + share * (high - low) for share in shares] + [high - share * (high - low) for share in shares[-2::-1]]
    return list(itertools.pairwise(edges))


def _of_aliases(kernel: Kernel, theta: Float[ndarray, "N"], order: int, phases: int | None) -> tuple[ndarray, ndarray]:
    """Return E r and E|r|² of a band-limited kernel, k̂ = 0 beyond 2π: Q(f) = Σₙ k̂(θ + 2πn) exp(2πinf).

    At q phases the aliases n that are alike modulo q are one wave.
    """
    spectrum = sp.lambdify([FREQUENCY], kernel.spectrum, "numpy")
    turns = 1 + int(np.abs(theta).max(initial=0.0) / (2 * math.pi))
    waves: dict[int, ndarray] = {0: (1j * theta) ** order}
    for n in range(-turns - 1, turns + 2):
        alias = theta + 2 * math.pi * n
        wave = n if phases is None else n % phases
        waves[wave] = waves.get(wave, 0) - (1j * alias) ** order * spectrum(alias)
    return waves[0], sum(np.abs(residual) ** 2 for residual in waves.values())
