"""Weights of band-limited interpolation on a periodic axis: the Dirichlet kernel.

    D_N(u) = sin(πu)/(N sin(πu/N)) for odd N,   sin(πu)/(N tan(πu/N)) for even N,
           = (1/N) (1 + 2 Σ_{0<k<N/2} cos(2πku/N) [+ cos(πu) for even N])

Even N split the Nyquist frequency between ±N/2, so that real signals stay real. The quotients are
0/0 at u = 0, so the two pixels around a position take the sum of cosines, and the others, at a
distance of one or more, the quotient. Both hold for every derivative and under autograd.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def dirichlet_weights(fraction: Float[Tensor, "*T"], order: int, size: int) -> list[tuple[int, Float[Tensor, "*T"]]]:
    """Evaluate D_N⁽ᵒʳᵈᵉʳ⁾(f − j) for a complete residue system of pixels j modulo N.

    Args:
        fraction: f in [0, 1], shape (*T).
        order: number of derivatives.
        size: the number N of pixels of the axis.

    Returns:
        Pairs of a tap j, from 1 − ⌈N/2⌉ to ⌊N/2⌋, and its weights, shape (*T).

    Source: J. P. Boyd, Chebyshev and Fourier Spectral Methods, 2nd ed. 2001.
    """
    # Centred on the position, |πu/N| stays below π/2 or so, and the sine in the denominator is accurate.
    taps = range(1 - math.ceil(size / 2), size // 2 + 1)
    far = _far_numerators(fraction, order)
    return [
        (tap, _near(fraction - tap, order, size) if tap in (0, 1) else _far(fraction, far, tap, order, size))
        for tap in taps
    ]


def _near(distance: Tensor, order: int, size: int) -> Tensor:
    """Sum the cosines of the derivative, at |u| ≤ 1."""
    phase = order * math.pi / 2
    total = torch.full_like(distance, 1.0 if order == 0 else 0.0)
    for k in range(1, size // 2 + 1):
        rate = 2 * math.pi * k / size
        share = 1 if 2 * k == size else 2
        total = total + share * rate**order * torch.cos(rate * distance + phase)
    return total / size


def _far_numerators(fraction: Tensor, order: int) -> list[Tensor]:
    """Return the derivatives of sin(πf), to `order`; those of sin(π(f − j)) differ by the sign (−1)ʲ."""
    # sin(πf) = sin(π(1 − f)), and 1 − f is exact near one, where πf would be rounded.
    sine = torch.sin(math.pi * torch.where(fraction < 0.5, fraction, 1 - fraction))
    cosine = torch.sin(math.pi * (0.5 - fraction))
    return [math.pi**n * (sine, cosine, -sine, -cosine)[n % 4] for n in range(order + 1)]


def _far(fraction: Tensor, numerators: list[Tensor], tap: int, order: int, size: int) -> Tensor:
    """Differentiate the quotient: from D·s = a follows D⁽ⁿ⁾ = (a⁽ⁿ⁾ − Σ_{k≥1} C(n, k) s⁽ᵏ⁾ D⁽ⁿ⁻ᵏ⁾)/s."""
    rate = math.pi / size
    angle = rate * (fraction - tap)
    sines = [rate**n * torch.sin(angle + n * math.pi / 2) if n else torch.sin(angle) for n in range(order + 2)]
    sign = -1 if tap % 2 else 1
    quotients: list[Tensor] = []
    for n in range(order + 1):
        value = sign * numerators[n]
        if size % 2 == 0:
            # The numerator has the factor cos(πu/N), which is the derivative of the sine over its rate.
            terms = [math.comb(n, k) * numerators[n - k] * sines[k + 1] / rate for k in range(n + 1)]
            value = sign * torch.stack(terms).sum(0)
        for k in range(1, n + 1):
            value = value - math.comb(n, k) * sines[k] * quotients[n - k]
        quotients.append(value / sines[0])
    return quotients[order] / size
