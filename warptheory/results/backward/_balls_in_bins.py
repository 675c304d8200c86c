"""The largest load when N balls fall into N bins, each ball into a bin of its own choice, all equally likely.

Of a maximum, the distribution function is simpler than the mean: E max = Σ_{k≥0} (1 − P(no bin holds more than k)).
The loads are multinomial, and three routes lead to that probability:

- bin by bin: each in turn takes a binomial share of the balls that are left;
- by independent Poisson loads, given that they sum to N, of which the sum's law is a Fourier transform;
- by the coefficient of zᴺ of the generating function (Σ_{j≤k} zʲ/j!)ᴺ, which a recursion gives.

Each step of a derivation takes another route, so that their numbers check each other. The mean grows like
log N / log log N (M. Raab, A. Steger, "Balls into bins", RANDOM 1998).
"""

import math

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_MOST_PIXELS = 2**16
_NEGLIGIBLE = 1e-20  # probability


class _ExpectedLargestLoad(Node):
    """The expected largest load, by one route to P(no bin holds more than k): args (N,)."""

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k) for every k, shape (K,)."""
        raise NotImplementedError

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add the tails; a scalar."""
        size = whole_size(float(evaluate(self.args[0], environment)))
        return float(np.sum(1 - self.probabilities(size, _possible_loads(size))))


class LargestLoad(_ExpectedLargestLoad):
    """E maxₘ Σₙ k(p(n) − m): numbers by the chain rule, one bin after the other."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the expectation."""
        m, n = sp.symbols("m n", integer=True)
        column = sp.Sum(sp.Function("k")(sp.IndexedBase("p")[n] - m), (n, 1, self.args[0]))
        return sp.Function("E")(sp.Function(r"\max_m" if latex else "max_m")(column))

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k), shape (K,): each bin in turn takes a binomial share of what is left."""
        left = np.arange(size + 1)
        found = []
        for k in loads:
            state = np.where(left == size, 1.0, 0.0)
            for bins in range(size, 1, -1):
                moved, chance = np.zeros(size + 1), np.where(left > 0, (1 - 1 / bins) ** left, 1.0)  # P(load 0)
                for load in range(min(int(k), size) + 1):
                    moved[: size + 1 - load] += (state * chance)[load:]
                    chance = chance * np.maximum(left - load, 0) / ((load + 1) * (bins - 1))
                state = moved
            found.append(state[: int(k) + 1].sum())
        return np.array(found)


class SumOfTails(_ExpectedLargestLoad):
    """Σ_{k≥0} (1 − P(S₁ ≤ k, …, S_N ≤ k)), (S₁, …, S_N) multinomial: numbers by Poisson loads and a transform."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        k = sp.Symbol("k", integer=True)
        most = sp.Function(r"\max_m" if latex else "max_m")(sp.IndexedBase("S")[sp.Symbol("m", integer=True)])
        return sp.Sum(1 - sp.Function("P")(sp.Le(most, k, evaluate=False)), (k, 0, sp.oo))

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k), shape (K,): independent Poisson loads, given that they sum to N."""
        length = size * len(loads)
        masses = np.array([math.exp(-1) / math.factorial(int(k)) for k in loads])
        certain = math.exp(-size + size * math.log(size) - math.lgamma(size + 1))  # P(Poisson(N) = N)
        powers = [np.fft.fft(masses[: k + 1], length) ** size for k in loads]
        return np.array([np.fft.ifft(power)[size].real for power in powers]) / certain


class GeneratingFunction(_ExpectedLargestLoad):
    """Σ_{k≥0} (1 − N!/Nᴺ [zᴺ] (Σ_{j≤k} zʲ/j!)ᴺ): numbers by the recursion of the coefficients."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        size, z = self.args[0], sp.Symbol("z")
        j, k = sp.symbols("j k", integer=True)
        coefficient = sp.Function(f"[z^{{{size}}}]" if latex else f"[z^{size}]")(
            sp.Sum(z**j / sp.factorial(j), (j, 0, k)) ** size
        )
        return sp.Sum(1 - sp.factorial(size) / size**size * coefficient, (k, 0, sp.oo))

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k) for every k, shape (K,), from the generating function.

        The coefficients cₙ of (Σ_{j≤k} zʲ/j!)ᴺ obey n cₙ = Σ_{j=1}^k (j(N+1) − n) cₙ₋ⱼ/j!, in which every term is
        positive for n ≤ N. In dₙ = n! cₙ/Nⁿ, the probability after n balls, nothing over- or underflows.
        """
        steps = np.arange(1, len(loads))  # j
        allowed = steps <= loads[:, None]
        recent = np.zeros((len(loads), len(steps)))  # dₙ₋₁, dₙ₋₂, … for every k
        current = np.ones(len(loads))
        for n in range(1, size + 1):
            recent = np.concatenate([current[:, None], recent[:, :-1]], axis=1)
            chosen = np.cumprod((n - steps + 1) / (size * steps))  # binomial(n, j)/Nʲ, zero for j > n
            current = (allowed * recent) @ ((steps * (size + 1) - n) / n * chosen)
        return current


def whole_size(size: float) -> int:
    """Return N as an integer.

    Raises:
        ArgumentError: not a whole number of pixels ≥ 1, or too many to be gone through.
    """
    if not 1 <= size <= _MOST_PIXELS or size != int(size):
        expected = f"a whole number of pixels ≥ 1, at most {_MOST_PIXELS}"
        raise ArgumentError("N", expected=expected, received=size)
    return int(size)


def _possible_loads(size: int) -> ndarray:
    """Return k = 0, 1, … up to where some bin holds more with negligible probability, shape (K,)."""
    most = 1
    while most < size and size / math.factorial(most + 1) > _NEGLIGIBLE:
        most += 1
    return np.arange(most + 1)
