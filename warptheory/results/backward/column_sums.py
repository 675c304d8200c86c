"""B5: the norms of W. Rows are bounded, columns are not: some inputs receive many gradients at once."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FRACTION, POSITION, Kernel, PeriodicFunction, Piece, PiecewiseKernel
from warptheory.kernels._periodic import Cell
from warptheory.kernels._pieces import convolve
from warptheory.results._result import Quantity, Result, Setting
from warptheory.symbolic import Derivation, NotReducible, Statistic, Step
from warptheory.symbolic._nodes import Node, Opaque
from warptheory.symbolic._quadrature import Environment, Evaluate
from warptheory.symbolic._reading import WideLimit, kernel_values, support, support_size

SIZE = sp.Symbol("N", integer=True, positive=True)
THRESHOLD = sp.Symbol("t", nonnegative=True)

Values = Mapping[str, float]

_NEGLIGIBLE = 1e-20


# ---- absolute row sums: the infinity norm ----


@cache
def absolute_tap_sum(kernel: Kernel) -> PeriodicFunction:
    """Return Λ(f) = Σₘ |k(f − m)|, the sum of absolute weights along one axis, exactly.

    Raises:
        NotReducible: weights that are neither polynomials nor seen to be of one sign.
    """
    signed = [_signed_cells(weight) for weight in kernel.taps.values()]
    if all(sign >= 0 for cells in signed for sign, _ in cells):
        return kernel.tap_sum((0,))  # absolute values change nothing
    return PeriodicFunction.sum(
        PeriodicFunction.from_cells(cell._replace(expression=sign * cell.expression) for sign, cell in cells)
        for cells in signed
    )


def _signed_cells(weight: PeriodicFunction) -> list[tuple[int, Cell]]:
    """Cut the cells where the weight changes sign; return each with its sign."""
    cells = []
    for cell in weight.cells:
        inside = [root for root in _roots(cell.expression) if cell.lower < root < cell.upper]
        for low, high in itertools.pairwise([cell.lower, *inside, cell.upper]):
            sign = sp.sign(cell.expression.subs(FRACTION, (low + high) / 2))
            cells.append((int(sign), Cell(low, high, cell.expression)))
    return cells


def _roots(expression: sp.Expr) -> list[sp.Expr]:
    """Return where a rational function of f may change sign, ascending; nowhere for what is positive everywhere."""
    if expression.is_positive or expression.is_negative:
        return []
    if not expression.is_rational_function(FRACTION):
        raise NotReducible(expression, "the sign of this function of the fraction is not known")
    polynomials = [sp.Poly(part, FRACTION) for part in sp.fraction(sp.together(expression))]
    return sorted({root for polynomial in polynomials if polynomial.degree() > 0 for root in sp.real_roots(polynomial)})


def _largest_value(function: PeriodicFunction) -> sp.Expr:
    """Return the maximum over the ends of the cells and the points where the derivative vanishes, unevaluated."""
    candidates = set()
    for cell in function.cells:
        slope = sp.diff(cell.expression, FRACTION)
        inside = [root for root in _roots(slope) if cell.lower < root < cell.upper]
        points = [cell.lower, *inside, cell.upper]
        candidates |= {cell.expression.subs(FRACTION, point) for point in points}
    ordered = sorted(candidates)
    return ordered[0] if len(ordered) == 1 else sp.Max(*ordered, evaluate=False)


class _OfRow(Node):
    """A functional of the sum of absolute weights of a row, Σₘ |∏ᵢ k(fᵢ − mᵢ)|: args (kernel, dim)."""

    @property
    def dim(self) -> int:
        """Number d of axes."""
        return int(self.args[1])

    @property
    def fractions(self) -> tuple[sp.Symbol, ...]:
        """The fraction along each axis."""
        return tuple(sp.Symbol(f"f_{axis + 1}" if self.dim > 1 else "f") for axis in range(self.dim))

    @property
    def row_sum(self) -> sp.Expr:
        """The sum itself, to be printed."""
        taps = [sp.Symbol(f"m_{axis + 1}" if self.dim > 1 else "m", integer=True) for axis in range(self.dim)]
        factors = [sp.Function("k")(f - m) for f, m in zip(self.fractions, taps, strict=True)]
        return sp.Sum(sp.Abs(sp.Mul(*factors)), *((m, -sp.oo, sp.oo) for m in taps))

    def at(self, fractions: ndarray) -> ndarray:
        """Return the sum at every combination of fractions of shape (d, P), by the definition; shape (P, …, P)."""
        kernel = self.args[0].content
        taps = np.arange(min(kernel.taps), max(kernel.taps) + 1)
        weights = [kernel_values(kernel, line[:, None] - taps) for line in fractions]
        total = np.zeros((fractions.shape[1],) * self.dim)
        for combination in itertools.product(range(len(taps)), repeat=self.dim):
            product = np.ones(())
            for axis, tap in enumerate(combination):
                product = product[..., None] * weights[axis][:, tap]
            total = total + np.abs(product)
        return total


class MeanRowSum(_OfRow):
    """The mean over uniform fractions of a row's sum of absolute weights."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        return sp.Integral(self.row_sum, *((f, 0, 1) for f in self.fractions))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate by Gauss–Legendre panels between multiples of 1/4; a scalar."""
        nodes, weights = np.polynomial.legendre.leggauss(12)
        points = ((np.arange(4)[:, None] + (nodes + 1) / 2) / 4).ravel()
        total = self.at(np.tile(points, (self.dim, 1)))
        for _ in range(self.dim):
            total = total @ np.tile(weights / 8, 4)
        return float(total)


class LargestRowSum(_OfRow):
    """The supremum over the fractions of a row's sum of absolute weights."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the supremum."""
        return sp.Function(r"\sup_f" if latex else "sup_f")(self.row_sum)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Search a grid of fractions, then finer ones around the best; maxima are flat, hence exact; a scalar."""
        centre, width = np.full(self.dim, 0.5), 0.5
        for _ in range(12):
            steps = np.linspace(-width, width, 33)
            lines = np.clip(centre[:, None] + steps, 0.0, 1.0 - 2.0**-40)
            sums = self.at(lines)
            best = np.unravel_index(int(np.argmax(sums)), sums.shape)
            centre = np.array([lines[axis, place] for axis, place in enumerate(best)])
            width /= 8
        return float(sums.max())


@dataclass(frozen=True)
class AbsoluteRowSum(Statistic):
    """The sum of absolute weights of a row of W, its mean over uniform fractions or its supremum ‖W‖_∞.

    Attributes:
        kernel: the interpolation kernel.
        dim: number d of axes.
        largest: whether the supremum is meant.
    """

    kernel: Kernel
    dim: int
    largest: bool = False

    def derive(self) -> Derivation:
        """Return the steps to the number; raises as `Statistic.derive`."""
        node = LargestRowSum if self.largest else MeanRowSum
        function = absolute_tap_sum(self.kernel)
        pieces = "on every piece the weights have one sign: Λ(f) = Σₘ |k(f − m)|, "
        if self.largest:
            value = _largest_value(function)
            signs = Step("Candidates", pieces + "largest where Λ′ = 0 or where pieces meet", value**self.dim)
            result = value.doit()
        else:
            line = sp.Integral(function.at(FRACTION), (FRACTION, 0, 1))
            signs = Step("Take the signs", pieces.rstrip(", "), line**self.dim)
            result = function.mean()
        return Derivation(
            str(self),
            (
                Step(
                    "Row", "the sum of absolute weights of an output at fraction f", node(Opaque(self.kernel), self.dim)
                ),
                Step(
                    "Separate the axes",
                    "|∏k| = ∏|k|, a product of functions of one fraction each",
                    node(Opaque(self.kernel), 1) ** self.dim,
                ),
                signs,
                Step("Evaluate", "exactly", result**self.dim),
            ),
        )

    def __str__(self) -> str:
        return "‖W‖_∞ = sup Σₘ |W[n, m]|" if self.largest else "E Σₘ |W[n, m]|"


@dataclass(frozen=True)
class RowSumSimulation:
    """Sums of absolute weights of the rows of W, from its matrix on a periodic grid.

    Attributes:
        statistic: what is estimated. Its mean is taken at random fractions; the supremum over a grid of
            fractions, multiples of one pixel over the size, that holds all combinations along the axes,
            each at a random distance in whole pixels.
    """

    statistic: AbsoluteRowSum

    @property
    def size(self) -> int:
        """Number of pixels along an axis."""
        return {1: 64, 2: 16, 3: 12}[self.statistic.dim]

    def row_elements(self, values: Values) -> int:
        """Return the number of entries of a matrix."""
        return int((self.size * len(self.statistic.kernel.taps)) ** self.statistic.dim)

    @property
    def symbols(self) -> set[str]:
        """No symbol needs a number."""
        return set()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw mean or largest absolute row sums of independent matrices.

        Args:
            generator: source of every random number.
            rows: number of matrices.
            values: not used.
            device: device on which the operator runs.

        Returns:
            Absolute row sums, without unit, shape (rows,), float64.
        """
        dim, grid = self.statistic.dim, (self.size,) * self.statistic.dim
        if self.statistic.largest:
            fractions = np.stack(np.meshgrid(*[np.arange(self.size) / self.size] * dim, indexing="ij"))
            moved = fractions + generator.integers(-self.size, self.size, (rows, dim, *grid))
        else:
            moved = generator.uniform(-0.5, 0.5, (rows, dim, *grid))
        offsets = torch.from_numpy(moved).to(device)
        matrix = warping.warp_matrix(offsets, kernel=self.statistic.kernel, boundary="periodic")
        sums = _absolute_row_sums(matrix)
        return sums.amax(1) if self.statistic.largest else sums.mean(1)


def _absolute_row_sums(matrix: Tensor) -> Tensor:
    batch, row, _ = matrix.indices()
    sums = torch.zeros(matrix.shape[0] * matrix.shape[1], dtype=torch.float64, device=matrix.device)
    sums.index_add_(0, batch * matrix.shape[1] + row, matrix.values().abs())
    return sums.reshape(matrix.shape[:2])


# ---- the largest column sum of nearest-neighbour interpolation: balls in bins ----


def expected_maximum(sizes: Sequence[int]) -> list[float]:
    """Return the expected largest column sum of W, nearest kernel, positions uniform over a torus of N pixels.

    It is the largest load when N balls fall into N bins, Σ_{k≥0} (1 − P(no bin holds more than k)), and grows
    like log N / log log N.

    Args:
        sizes: numbers N ≥ 1 of pixels.

    Returns:
        E max for each size, without unit; exact to about 1e-12 relative.

    Raises:
        ArgumentError: a size below 1.

    Source: result B5; M. Raab, A. Steger, "Balls into bins", RANDOM 1998.
    """
    for size in sizes:
        if size < 1:
            raise ArgumentError("sizes", expected="integers ≥ 1", received=size)
    return [float(np.sum(1 - _by_recursion(int(size), _loads(int(size))))) for size in sizes]


def _loads(size: int) -> ndarray:
    """Return the loads k = 0, 1, … up to where a bin holds more with negligible probability, shape (K,)."""
    most = 1
    while most < size and size / math.factorial(most + 1) > _NEGLIGIBLE:
        most += 1
    return np.arange(most + 1)


def _by_recursion(size: int, loads: ndarray) -> ndarray:
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


def _by_fourier(size: int, loads: ndarray) -> ndarray:
    """Return P(no bin holds more than k), shape (K,): independent Poisson loads, given that they sum to N."""
    length = size * len(loads)
    masses = np.array([math.exp(-1) / math.factorial(int(k)) for k in loads])
    certain = math.exp(-size + size * math.log(size) - math.lgamma(size + 1))  # P(Poisson(N) = N)
    powers = [np.fft.fft(masses[: k + 1], length) ** size for k in loads]
    return np.array([np.fft.ifft(power)[size].real for power in powers]) / certain


def _bin_by_bin(size: int, loads: ndarray) -> ndarray:
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


class _OfLoads(Node):
    """The expected largest load, by some route to P(no bin holds more than k): args (N,)."""

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k) for every k, shape (K,)."""
        raise NotImplementedError

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add the tails; a scalar."""
        size = _whole_size(float(evaluate(self.args[0], environment)))
        return float(np.sum(1 - self.probabilities(size, _loads(size))))


class LargestLoad(_OfLoads):
    """E maxₘ Σₙ k(p(n) − m): numbers by the chain rule, one bin after the other."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the expectation."""
        m, n = sp.symbols("m n", integer=True)
        column = sp.Sum(sp.Function("k")(sp.IndexedBase("p")[n] - m), (n, 1, self.args[0]))
        return sp.Function("E")(sp.Function(r"\max_m" if latex else "max_m")(column))

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k) for every k, shape (K,)."""
        return _bin_by_bin(size, loads)


class SumOfTails(_OfLoads):
    """Σ_{k≥0} (1 − P(S₁ ≤ k, …, S_N ≤ k)), (S₁, …, S_N) multinomial: numbers by Poisson loads and a transform."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        k = sp.Symbol("k", integer=True)
        most = sp.Function(r"\max_m" if latex else "max_m")(sp.IndexedBase("S")[sp.Symbol("m", integer=True)])
        return sp.Sum(1 - sp.Function("P")(sp.Le(most, k, evaluate=False)), (k, 0, sp.oo))

    def probabilities(self, size: int, loads: ndarray) -> ndarray:
        """Return P(no bin holds more than k) for every k, shape (K,)."""
        return _by_fourier(size, loads)


class GeneratingFunction(_OfLoads):
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
        """Return P(no bin holds more than k) for every k, shape (K,)."""
        return _by_recursion(size, loads)


def _whole_size(size: float) -> int:
    if size < 1 or size != int(size):
        raise ArgumentError("N", expected="a whole number of pixels ≥ 1", received=size)
    return int(size)


@dataclass(frozen=True)
class LargestColumnSum(Statistic):
    """The expected largest column sum of W for the nearest kernel on a torus of N pixels."""

    def derive(self) -> Derivation:
        """Return the steps to the sum over the generating function."""
        return Derivation(
            str(self),
            (
                Step("Largest column", "a column sum counts the outputs nearest to a pixel", LargestLoad(SIZE)),
                Step(
                    "Add the tails",
                    "positions are independent and uniform, so the counts are multinomial; E X = Σ P(X > k)",
                    SumOfTails(SIZE),
                ),
                Step(
                    "Generating function",
                    "N!/∏jₘ! of the Nᴺ placements have the counts jₘ, each at most k",
                    GeneratingFunction(SIZE),
                ),
            ),
        )

    def __str__(self) -> str:
        return "E maxₘ Σₙ W[n, m]"


@dataclass(frozen=True)
class LargestColumnSimulation:
    """The largest column sum of W on a periodic axis of N pixels, positions uniform over it."""

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels N."""
        return _whole_size(values[SIZE.name])

    @property
    def symbols(self) -> set[str]:
        """The size N."""
        return {SIZE.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the largest column sums of independent operators.

        Args:
            generator: source of every random number.
            rows: number of operators.
            values: N, the number of pixels.
            device: device on which the operator runs.

        Returns:
            Largest column sums, without unit, shape (rows,), float64.
        """
        size = _whole_size(values[SIZE.name])
        offsets = torch.from_numpy(generator.uniform(0, size, (rows, 1, size))).to(device)
        return warping.hit_counts(offsets, (size,), "nearest", "periodic").flatten(1).amax(1)


# ---- the law of one column sum: compound Poisson ----


class ColumnTail(Node):
    """P(S > t) for the sum S of the weights that reach a pixel: args (kernel, dim, t, pixels).

    Each of `pixels` outputs reads it with probability |S|ᵈ/pixels, with weight ∏k(Uᵢ), U uniform on the
    support; infinitely many pixels make their number Poisson.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return P(S > t), S a sum over the pixels, or over R readings where these are Poisson."""
        n, pixels = sp.Symbol("n", integer=True), self.args[3]
        number = sp.Symbol("R", integer=True) if pixels == sp.oo else pixels
        read = sp.Function("k")(sp.IndexedBase("U")[n] if pixels == sp.oo else sp.IndexedBase("p")[n])
        return sp.Function("P")(sp.Gt(sp.Sum(read, (n, 1, number)), self.args[2], evaluate=False))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Transform the law of a weight on two lattices of weights, and extrapolate to a fine one; a scalar.

        The error of a lattice of step h is of order h² (t is not to be an atom). About 1e-7 remains, and 1e-5 on
        three axes, where the support is divided into few cells.
        """
        kernel, dim = self.args[0].content, int(self.args[1])
        threshold = float(evaluate(self.args[2], environment))
        pixels = math.inf if self.args[3] == sp.oo else float(evaluate(self.args[3], environment))
        coarse, fine = (1 - _lattice_distribution(kernel, dim, threshold, pixels, 2**p) for p in (9, 10))
        return (4 * fine - coarse) / 3


_LARGEST_SUM = 32  # column sums have mean one; the share beyond is far below rounding
_CELLS_PER_PIXEL = {1: 2**16, 2: 2**9, 3: 2**6}  # of the support, as memory allows


def _lattice_distribution(kernel: Kernel, dim: int, threshold: float, pixels: float, per_unit: int) -> float:
    """Return P(S ≤ t) with weights on a lattice of step 1/per_unit; half the mass at t counts."""
    readings = float(support_size(kernel)) ** dim
    excess = readings * (np.fft.rfft(_lattice_weights(kernel, dim, per_unit)) - 1)
    transform = np.exp(excess) if math.isinf(pixels) else (1 + excess / pixels) ** pixels
    masses = np.fft.irfft(transform)
    place = threshold * per_unit
    below = int(np.floor(place))
    # The distribution function is linear between the middles of the lattice's cells.
    return float(masses[:below].sum() + masses[below] * min(1.0, place - below + 0.5) + _next_share(masses, place))


def _next_share(masses: ndarray, place: float) -> float:
    beyond = place - np.floor(place) - 0.5
    return float(masses[int(np.floor(place)) + 1] * beyond) if beyond > 0 else 0.0


@cache
def _lattice_weights(kernel: Kernel, dim: int, per_unit: int) -> ndarray:
    """Return the law of ∏k(Uᵢ) on multiples of 1/per_unit, mass shared between the two neighbours."""
    count = _CELLS_PER_PIXEL[dim]
    line = np.concatenate([_midpoint_values(kernel, piece, count) for piece in support(kernel)])
    weights = np.ones(())
    for _ in range(dim):
        weights = weights[..., None] * line
    places = weights.ravel() * per_unit
    length = _LARGEST_SUM * per_unit
    lower = np.floor(places).astype(int)
    share = places - lower
    masses = np.bincount(lower % length, weights=1 - share, minlength=length)
    masses += np.bincount((lower + 1) % length, weights=share, minlength=length)
    return masses / masses.sum()


def _midpoint_values(kernel: Kernel, piece: Piece, count: int) -> ndarray:
    """Return k at the middles of equal cells of an interval, `count` for each pixel."""
    cells = int(count * (piece.upper - piece.lower))
    return kernel_values(kernel, float(piece.lower) + (np.arange(cells) + 0.5) / count)


class MixtureTail(Node):
    """Σᵣ e^{−λ}λʳ/r! P(W₁ + … + Wᵣ > t), W of the kernel's weights: args (kernel, dim, t)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        r, i = sp.symbols("r i", integer=True)
        mean = support_size(self.args[0].content) ** self.args[1]
        total = sp.Sum(sp.IndexedBase("W")[i], (i, 1, r))
        tail = sp.Function("P")(sp.Gt(total, self.args[2], evaluate=False))
        return sp.Sum(sp.exp(-mean) * mean**r / sp.factorial(r) * tail, (r, 0, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Convolve the density of a weight with itself exactly, piece by piece; a scalar."""
        kernel, threshold = self.args[0].content, float(evaluate(self.args[2], environment))
        mean, law = float(support_size(kernel)) ** int(self.args[1]), _weight_law(kernel, int(self.args[1]))
        below, r, poisson = 0.0, 0, math.exp(-mean)
        while poisson > 1e-18 or r < mean:
            share = _share_below(r, threshold, law)
            below, r, poisson = below + poisson * share, r + 1, poisson * mean / (r + 1)
            if share * poisson < 1e-18 and r > threshold:
                break
        return 1 - below


@dataclass(frozen=True)
class _WeightLaw:
    """A weight that is uniform on (0, top), or always `top`."""

    top: sp.Expr
    is_constant: bool


def _weight_law(kernel: Kernel, dim: int) -> _WeightLaw:
    """Read the law of a weight ∏k(Uᵢ) off the kernel's pieces.

    Raises:
        NotReducible: the weights are neither constant nor, on one axis, uniform from zero.
    """
    if not isinstance(kernel, PiecewiseKernel):
        raise NotReducible(sp.Symbol(kernel.name), "it reads every pixel")
    pieces = [piece for piece in kernel.pieces if piece.expression != 0]
    slopes = [sp.diff(piece.expression, POSITION) for piece in pieces]
    ends = {
        tuple(sorted(piece.expression.subs(POSITION, edge) for edge in (piece.lower, piece.upper))) for piece in pieces
    }
    if len(ends) == 1 and all(slope.is_number for slope in slopes):
        low, top = ends.pop()
        if low == top:
            return _WeightLaw(top**dim, is_constant=True)
        if low == 0 and dim == 1:
            return _WeightLaw(top, is_constant=False)
    raise NotReducible(sp.Symbol(kernel.name), f"no closed form of the sum of its weights in {dim} axes")


def _share_below(readings: int, threshold: float, law: _WeightLaw) -> float:
    """Return P(W₁ + … + Wᵣ ≤ t)."""
    top = float(law.top)
    if readings == 0 or law.is_constant:
        return float(readings * top <= threshold)
    pieces = _sum_density(readings, math.ceil(threshold / top))
    total = sp.Integer(0)
    for piece in pieces:
        upper = min(piece.upper, sp.Rational(threshold / top))
        if piece.lower < upper:
            total += sp.Poly(piece.expression, POSITION).integrate().eval(upper)
            total -= sp.Poly(piece.expression, POSITION).integrate().eval(piece.lower)
    return float(total)


@cache
def _sum_density(terms: int, limit: int) -> tuple[Piece, ...]:
    """Return the density of the sum of uniform variables on (0, 1), on (0, limit)."""
    box = (Piece(sp.Integer(0), sp.Integer(1), sp.Integer(1)),)
    if terms == 1:
        return box
    return tuple(piece for piece in convolve(_sum_density(terms - 1, limit), box) if piece.upper <= limit)


class KnotSum(Node):
    """Σ_{j=0}^{⌊t/step⌋} of a term that may hold series and Bessel functions: args (term, j, t, step)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """The symbols of the term and of t."""
        return (self.args[0].free_symbols - {self.args[1]}) | self.args[2].free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        term, index, threshold, step = self.args
        return sp.Sum(term, (index, 0, sp.floor(threshold / step)))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add the terms in multiple precision, which sums their series to the last digit; a scalar."""
        term, index, threshold, step = self.args
        numbers = {symbol: sp.Rational(float(value)) for symbol, value in environment.items() if term.has(symbol)}
        last = int(sp.floor(sp.Rational(float(evaluate(threshold, environment))) / step))
        return float(sum(term.subs(index, j).subs(numbers).evalf(20) for j in range(last + 1)))


@dataclass(frozen=True)
class ColumnSumTail(Statistic):
    """The probability that a column of W sums to more than t, positions uniform over a wide torus.

    Attributes:
        kernel: an interpolation kernel with weights ≥ 0.
        dim: number d of axes.
    """

    kernel: Kernel
    dim: int

    def derive(self) -> Derivation:
        """Return the steps to the closed form, or to the compound Poisson law where there is none."""
        if absolute_tap_sum(self.kernel) != PeriodicFunction.constant(sp.Integer(1)):
            raise NotReducible(sp.Symbol(self.kernel.name), "column sums are derived for weights ≥ 0 that sum to one")
        kernel, dim = Opaque(self.kernel), self.dim
        mean = support_size(self.kernel) ** dim
        steps = [
            Step(
                "Torus",
                "each of Nᵈ outputs reads the pixel with probability |S|ᵈ/Nᵈ, at a uniform place in the support",
                WideLimit(ColumnTail(kernel, dim, THRESHOLD, SIZE**dim), SIZE, dim),
            ),
            Step(
                "Law of rare events",
                f"the number R of readings is binomial, and Poisson of mean |S|ᵈ = {mean} in the limit",
                ColumnTail(kernel, dim, THRESHOLD, sp.oo),
            ),
        ]
        try:
            law = _weight_law(self.kernel, dim)
        except NotReducible:
            return Derivation(str(self), tuple(steps))
        mixture = MixtureTail(kernel, dim, THRESHOLD)
        steps.append(Step("Condition on R", "weights are independent of their number", mixture))
        return Derivation(str(self), (*steps, *(_constant if law.is_constant else _uniform)(mean, law.top)))

    def __str__(self) -> str:
        return "P(Σₙ W[n, m] > t)"


def _constant(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    r = sp.Symbol("r", integer=True, nonnegative=True)
    return (
        Step(
            "Equal weights",
            "the sum of r weights is r times one of them",
            1 - KnotSum(sp.exp(-mean) * mean**r / sp.factorial(r), r, THRESHOLD, top),
        ),
    )


def _uniform(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    """Invert the Laplace transform of the distribution function term by term, and add the terms up."""
    rate, time, weight = sp.symbols("theta T w", positive=True)
    j, q = sp.symbols("j q", integer=True, nonnegative=True)
    r = j + q
    one = sp.expand(sp.integrate(sp.exp(-rate * weight) / top, (weight, 0, top)))  # a transform of one weight
    delayed = one.coeff(sp.exp(-top * rate))
    prompt = one - delayed * sp.exp(-top * rate)
    # (prompt + delayed e^{−rate·top})^r / rate, its j-th binomial term; both factors are constants over the rate.
    constant = (prompt * rate) ** q * (delayed * rate) ** j * sp.binomial(r, j).rewrite(sp.factorial)
    power = sp.inverse_laplace_transform(rate ** (-q - j - 1), rate, time).rewrite(sp.factorial)
    term = sp.exp(-mean) * mean**r / sp.factorial(r) * constant * power
    elapsed = THRESHOLD - top * j
    series = sp.Sum(sp.simplify(term), (q, 0, sp.oo))
    closed = sp.simplify(sp.summation(sp.simplify(term), (q, 0, sp.oo)))
    return (
        Step(
            "Invert the transform",
            "E e^{−θS}/θ = Σᵣ e^{−λ}λʳ/r! ((1 − e^{−θ})/θ)ʳ/θ; the j-th binomial term is a power, delayed by j weights",
            1 - KnotSum(series.subs(time, elapsed), j, THRESHOLD, top),
        ),
        Step(
            "Add the series",
            "over r it is that of a modified Bessel function",
            1 - KnotSum(closed.subs(time, elapsed), j, THRESHOLD, top),
        ),
    )


@dataclass(frozen=True)
class ColumnTailSimulation:
    """The share of columns of W that sum to more than t: the splat of ones on a torus.

    Attributes:
        statistic: kernel and number of axes.
    """

    statistic: ColumnSumTail

    @property
    def size(self) -> int:
        """Number of pixels along an axis."""
        return TORUS_SIZE[self.statistic.dim]

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels of a grid."""
        return int(self.size**self.statistic.dim)

    @property
    def symbols(self) -> set[str]:
        """The threshold t."""
        return {THRESHOLD.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw shares of independent grids.

        Args:
            generator: source of every random number.
            rows: number of grids.
            values: t, without unit.
            device: device on which the operator runs.

        Returns:
            Shares in [0, 1], shape (rows,), float64.
        """
        grid = (self.size,) * self.statistic.dim
        positions = generator.uniform(0, self.size, (rows, self.statistic.dim, *grid))
        counts = warping.hit_counts(
            torch.from_numpy(positions).to(device), grid, self.statistic.kernel, boundary="periodic"
        )
        return (counts > values[THRESHOLD.name]).to(torch.float64).flatten(1).mean(1)


# So many pixels that the binomial number of readings is Poisson up to a tenth of the smallest effect.
TORUS_SIZE = {1: 4096, 2: 128, 3: 32}


def mean_row_sum(setting: Setting) -> AbsoluteRowSum:
    """State the mean sum of absolute weights of a row."""
    return AbsoluteRowSum(kernels.get(setting.kernel), setting.dim)


def infinity_norm(setting: Setting) -> AbsoluteRowSum:
    """State ‖W‖_∞."""
    return AbsoluteRowSum(kernels.get(setting.kernel), setting.dim, largest=True)


def largest_column_sum(setting: Setting) -> LargestColumnSum:
    """State the expected largest column sum of the nearest kernel."""
    if setting.kernel != "nearest" or setting.dim != 1:
        raise NotReducible(sp.Symbol(setting.kernel), "loads are counts for the nearest kernel, here on one axis")
    return LargestColumnSum()


def column_sum_tail(setting: Setting) -> ColumnSumTail:
    """State the probability that a column sums to more than t."""
    return ColumnSumTail(kernels.get(setting.kernel), setting.dim)


def _simulation_of(make: Callable[[Any], Any]) -> Callable[[Statistic, Setting], Any]:
    return lambda statistic, setting: make(statistic)


RESULT = Result(
    label="B5",
    title="Norms: rows are bounded, columns are not",
    statement=(
        "‖W‖_∞ = sup_f Λ(f)ᵈ with Λ(f) = Σₘ |k(f − m)|: 1 for non-negative weights, (5/4)ᵈ for cubic convolution. "
        "‖W‖₁, the largest column sum, is unbounded: with positions uniform over N pixels it is the largest load of "
        "balls in bins for the nearest kernel, log N / log log N, and one column sum is compound Poisson, of |S|ᵈ "
        "expected readings. ‖W‖₂ ≤ √(‖W‖₁ ‖W‖_∞)."
    ),
    assumptions=(
        "Row sums: none; their mean is for fractions that are uniform and independent along the axes.",
        "Column sums: the offsets are independent over the pixels, so wide that positions are uniform over the grid, "
        "which is periodic; in one column of a large grid, weights are ≥ 0.",
    ),
    source=(
        "arXiv 2511.20800, backward pass; I. Schur, J. reine angew. Math. 140, 1911 (the bound); M. Raab, A. Steger, "
        "Balls into bins, RANDOM 1998; theory label B5"
    ),
    quantities=(
        Quantity("mean absolute row sum", mean_row_sum, simulation=_simulation_of(RowSumSimulation)),
        Quantity("infinity norm", infinity_norm, simulation=_simulation_of(RowSumSimulation)),
        Quantity(
            "largest column sum",
            largest_column_sum,
            kernels=("nearest",),
            dims=(1,),
            values=lambda setting: {SIZE.name: 256.0},
            simulation=lambda statistic, setting: LargestColumnSimulation(),
        ),
        Quantity(
            "tail of a column sum",
            column_sum_tail,
            smallest_effect=0.02,
            kernels=("linear", "nearest", "bspline3"),
            values=lambda setting: {THRESHOLD.name: 1.6},
            simulation=_simulation_of(ColumnTailSimulation),
        ),
    ),
    kernels=("keys", "linear", "nearest"),
)
