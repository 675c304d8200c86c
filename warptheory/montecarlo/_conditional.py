"""Conditioning on the offsets: what the input does on average is summed exactly, and only offsets are drawn.

Given the offsets every value is linear in the input, v = Σⱼ wⱼ xⱼ, and the real operator gives the weights: it is run
on the unit impulses of all pixels of the row. A product of values then has the mean

    E[v₁ … v_m | ε] = Σ over partitions Π over blocks κ(block),   κ(a, …, z) = κ_{|block|} Σⱼ wⱼ(a) … wⱼ(z)

for independent pixels of cumulants κ (for a Gaussian field κ(a, b) = Σᵢⱼ wᵢ(a) C(i − j) wⱼ(b), and no more than two at
a time). By the law of total variance its scatter is never larger than that of the product itself
(Rao 1945, Blackwell 1947). Offsets come from point sets that cover their laws evenly.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import symbolic
from warptheory.fields import IID
from warptheory.montecarlo._atoms import field_of, is_slope, shift_of
from warptheory.montecarlo._drawing import correlated, differentiated, drawn_shape
from warptheory.montecarlo._extent import Values
from warptheory.montecarlo._points import get_design
from warptheory.montecarlo._simulation import Simulation
from warptheory.symbolic import Field, GaussianField, IIDField, InputField, OffsetField, SplattedField, WarpedField
from warptheory.symbolic.values import RandomAtom

MOST_PIXELS = 144  # of a row: the operator runs on as many impulses
MOST_FACTORS = 4  # of a product; partitions grow faster than powers
_FEW_DIMENSIONS = 3  # in which a sequence beats strata along each axis for all functions
_POINT_SET = 2**12  # elements of a realisation's weights
_FEWEST_POINTS, _MOST_POINTS = 8, 1024

AtomProduct = tuple[RandomAtom, ...]


@dataclass(frozen=True)
class ConditionalSimulation(Simulation):
    """An experiment whose rows are means over sets of offsets, each given its offsets.

    Attributes:
        statistic: a function of moments.
        inputs: law of the input fields whose law is left open.
        design: how the points of a set are spread, a name of `montecarlo.DESIGNS`; by default a Sobol sequence for few
            numbers, and strata for many. Means over the pixels of a row are sums over their offsets but for neighbours,
            and of sums strata take away the scatter as well as a sequence does, for less.

    Raises:
        UnknownNameError: no such design.
    """

    design: str | None = None

    def __post_init__(self) -> None:
        if self.design is not None:
            get_design(self.design)

    @property
    def shortest(self) -> int:
        """The least number of pixels of a row along an axis; every pixel costs an impulse."""
        return 1

    def is_possible(self, values: Values) -> bool:
        """Return whether means can be summed: input that scatters, few pixels and factors, independent offsets."""
        return (
            all(isinstance(field, WarpedField | SplattedField) for field in self._moving)
            and all(isinstance(field, GaussianField | IIDField) for field in self.input_fields)
            and any(self._scatters(field, values) for field in self.input_fields)
            and all(source.covariance is None and source.head is None for source in self._sources)
            and max((len(product) for form in self._products for product in form), default=0) <= MOST_FACTORS
            and math.prod(self.shape(values)) <= MOST_PIXELS
        )

    def row_elements(self, values: Values) -> int:
        """Return the number of weights of the operator that a row reads."""
        return self.points(values) * self._weights_of_a_point(values)

    def points(self, values: Values) -> int:
        """Return the number of points of a set, a power of two."""
        if not self._dimensions(values):
            return 1
        wanted = _POINT_SET // self._weights_of_a_point(values)
        return min(_MOST_POINTS, max(_FEWEST_POINTS, 2 ** (wanted.bit_length() - 1) if wanted else 0))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw estimates as `Simulation.sample`, shape (rows, k), each the mean over a set of offsets."""
        points = self.points(values)
        state = self._impulses(rows * points, values, device) | self._offsets(generator, rows, points, values, device)
        means = _ProductMeans(self, state, values)
        columns = [
            sum(coefficient(values) * means.of(product) for product, coefficient in form.items())
            for form in self._products
        ]
        shape = (rows, points, len(columns))
        drawn = [
            torch.as_tensor(column, dtype=torch.float64, device=device).expand(rows * points) for column in columns
        ]
        return torch.stack(drawn, dim=1).reshape(shape).mean(1) if drawn else torch.zeros((rows, 0)).double()

    def weights(self, atom: RandomAtom, state: dict[object, Tensor], values: Values) -> Float[Tensor, "B S P"]:
        """Return the weights of the row's S pixels in a value at each of P pixels, shape (B, S, P)."""
        field = self._tensor(field_of(atom), state, values)
        shift = [-n for n in shift_of(atom, self.dim, values)]
        moved = torch.roll(field, shift, dims=list(range(2, 2 + self.dim)))
        return moved.flatten(2)

    def cumulant(self, field: InputField, order: int, values: Values) -> float:
        """Return a cumulant, of order 2 or more, of a pixel of an independent field."""
        assert isinstance(field, IIDField)
        deviation = symbolic.evaluate(field.deviation, values)
        return float(IID(field.law or self.inputs, 0, deviation).cumulant(order)) if deviation else 0.0

    def spectrum(self, field: GaussianField, values: Values) -> Float[Tensor, "*S"]:
        """Return the eigenvalues of a Gaussian field's covariance on the row, shape (*S)."""
        return torch.from_numpy(self._sampler(field, self.shape(values), values).eigenvalues)

    def _higher_derivative(self, inner: Tensor, offsets: Tensor, field: WarpedField) -> Tensor:
        # Derivatives are those of a sum over outputs, so that each impulse has to be alone.
        return torch.cat([differentiated(inner[:, n : n + 1], offsets, field) for n in range(inner.shape[1])], dim=1)

    @cached_property
    def _products(self) -> list[Mapping[AtomProduct, Callable[[Values], float]]]:
        """The averaged expressions as sums of products, with the coefficient of each."""
        return [_as_products(node.args[0], self._atoms) for node in self._averaged]

    def _weights_of_a_point(self, values: Values) -> int:
        pixels = math.prod(self.shape(values))
        return pixels * max((self._impulses_of(field, values) for field in self.input_fields), default=1)

    def _impulses_of(self, field: InputField, values: Values) -> int:
        """Return on how many impulses the operator is run: of every pixel, or one of all where they are equal."""
        return math.prod(self.shape(values)) if self._scatters(field, values) else 1

    def _scatters(self, field: InputField, values: Values) -> bool:
        return self.mean_and_variance(field, values)[1] > 0

    def _random_sources(self) -> list[OffsetField]:
        return [source for source in self._sources if not self._is_given(source)]

    def _dimensions(self, values: Values) -> int:
        size = self.shape(values)
        return sum(math.prod(drawn_shape(source, size, values)) for source in self._random_sources())

    def _impulses(self, count: int, values: Values, device: str) -> dict[object, Tensor]:
        """Return for every input the unit impulses of the row's pixels or their sum, shape (count, S, *size)."""
        size = self.shape(values)
        state: dict[object, Tensor] = {}
        for field in self.input_fields:
            impulses = torch.eye(math.prod(size), dtype=torch.float64, device=device)
            kept = impulses if self._scatters(field, values) else impulses.sum(0)
            state[field] = kept.reshape(1, -1, *size).expand(count, -1, *size)
        return state

    def _offsets(
        self, generator: np.random.Generator, rows: int, points: int, values: Values, device: str
    ) -> dict[object, Tensor]:
        """Return every offset field, shape (rows·points, d, *size), made of one set of points for each row."""
        size, dims = self.shape(values), self._dimensions(values)
        design = get_design(self.design or ("sobol" if dims <= _FEW_DIMENSIONS else "stratified"))
        sets = [design(generator, points, dims) for _ in range(rows)] if dims else []
        uniform = np.concatenate(sets) if sets else np.zeros((rows * points, 0))
        state: dict[object, Tensor] = {}
        start = 0
        for source in self._sources:
            if self._is_given(source):
                state[source] = self._given_offsets((rows * points, source.dim, *size), values, device)
                continue
            stop = start + math.prod(drawn_shape(source, size, values))
            canonical = source.axis_law.of_uniform(uniform[:, start:stop])
            drawn = correlated(source, canonical.reshape, rows * points, size, values)
            state[source] = torch.from_numpy(drawn).to(device).expand(rows * points, source.dim, *size)
            start = stop
        return state


class _ProductMeans:
    """Means of products of values about their input's means, given the offsets; each is worked out once."""

    def __init__(self, simulation: ConditionalSimulation, state: dict[object, Tensor], values: Values) -> None:
        self._simulation, self._state, self._values = simulation, state, values
        self._weights: dict[RandomAtom, Tensor] = {}
        self._known: dict[AtomProduct, Tensor | float] = {(): 1.0}
        self._blocks: dict[AtomProduct, Tensor | float] = {}

    def of(self, product: AtomProduct) -> Float[Tensor, "B"] | float:
        """Return the mean of a product, shape (B,), averaged over the pixels; a number where no offset matters."""
        found = self._mean(product)
        return found.mean(1) if isinstance(found, Tensor) else found

    def _mean(self, product: AtomProduct) -> Tensor | float:
        """Sum over the blocks that the first factor is in."""
        if product not in self._known:
            first, others = product[0], range(1, len(product))
            total: Tensor | float = 0.0
            for count in range(len(product)):
                for chosen in combinations(others, count):
                    block = (first, *(product[n] for n in chosen))
                    rest = tuple(product[n] for n in others if n not in chosen)
                    total = total + self._cumulant(block) * self._mean(rest)
            self._known[product] = total
        return self._known[product]

    def _cumulant(self, block: AtomProduct) -> Tensor | float:
        if block not in self._blocks:
            self._blocks[block] = self._new_cumulant(block)
        return self._blocks[block]

    def _new_cumulant(self, block: AtomProduct) -> Tensor | float:
        simulation, values = self._simulation, self._values
        fields = {_input_of(field_of(atom)) for atom in block}
        field = fields.pop()
        if fields:
            return 0.0  # fields of different names are independent
        if len(block) == 1:
            mean, _ = simulation.mean_and_variance(field, values)
            kept = 0.0 if is_slope(block[0]) else 1.0
            return mean * (self._weight(block[0]).sum(1) - kept) if mean else 0.0
        if isinstance(field, GaussianField):
            return self._covariance(field, block) if len(block) == 2 else 0.0
        cumulant = simulation.cumulant(field, len(block), values)
        if not cumulant:
            return 0.0
        return cumulant * math.prod(map(self._weight, block[1:]), start=self._weight(block[0])).sum(1)

    def _covariance(self, field: GaussianField, block: AtomProduct) -> Tensor:
        """Return Σᵢⱼ wᵢ C(i − j) wⱼ′ on the periodic row."""
        size, axes = self._simulation.shape(self._values), list(range(1, 1 + self._simulation.dim))
        first, second = (self._weight(atom) for atom in block)
        grid = second.reshape(len(second), *size, -1)
        spectrum = self._simulation.spectrum(field, self._values).to(grid.device)[None, ..., None]
        smoothed = torch.fft.ifftn(torch.fft.fftn(grid, dim=axes) * spectrum, dim=axes).real
        return cast("Tensor", (first * smoothed.reshape(second.shape)).sum(1))

    def _weight(self, atom: RandomAtom) -> Float[Tensor, "B S P"]:
        if atom not in self._weights:
            self._weights[atom] = self._simulation.weights(atom, self._state, self._values)
        return self._weights[atom]


def _as_products(expression: sp.Expr, atoms: list[RandomAtom]) -> dict[AtomProduct, Callable[[Values], float]]:
    """Return a polynomial in values as products of them, with the coefficient of each as a function of numbers.

    The values of the products are those less their input's mean, unless they are slopes: large means do not cancel.
    """
    if not expression.atoms(RandomAtom):
        return {(): _coefficient(expression)}
    own = [atom for atom in atoms if expression.has(atom)]
    expression = expression.xreplace(
        {atom: atom + _input_of(field_of(atom)).mean for atom in own if not is_slope(atom)}
    )
    return {
        tuple(atom for atom, power in zip(own, powers, strict=True) for _ in range(power)): _coefficient(coefficient)
        for powers, coefficient in sp.Poly(expression, *own).terms()
    }


def _coefficient(expression: sp.Expr) -> Callable[[Values], float]:
    symbols = sorted(expression.free_symbols, key=str)
    compiled = sp.lambdify(symbols, expression, modules="math")
    return lambda values: float(compiled(*(values[symbol.name] for symbol in symbols)))


def _input_of(field: Field) -> InputField:
    """Return the input that a value comes from."""
    while isinstance(field, WarpedField | SplattedField):
        field = field.field
    assert isinstance(field, InputField)
    return field
